### Sentences of all pages. Second person, present tense, short.

skip = Skip to main content
sections = Sections
section-authorizations = App access
times = Times are in UTC.
to-start = Go to the home page
new = New
never = Never
history = History

time-now = just now
time-minutes = { $count ->
    [one] 1 minute ago
   *[other] { $count } minutes ago
}
time-hours = { $count ->
    [one] 1 hour ago
   *[other] { $count } hours ago
}
time-days = { $count ->
    [one] yesterday
   *[other] { $count } days ago
}

## Signing in and out

landing-title = See which apps can access your account, and revoke access
landing-text = When you let an app use your account, it is listed here. You see what it can do, when it was last used, and on which devices you signed in to it. When you revoke its access, the access ends at once.
sign-in = Sign in
sign-in-to-continue = Sign in to continue to
sign-in-decide-next = It asks for access to your account. You decide on the next page.
sign-in-no-name = Enter your username, then sign in again.
sign-in-no-password = Enter your password, then sign in again.
sign-in-wrong = The username or password is wrong, or the account is disabled. Check both and try again.
field-username = Username
field-password = Password
sign-out = Sign out
sign-out-title = Sign out?
sign-out-text = This signs you out on this browser. Apps that you allowed keep their access.
stay = Stay signed in
signed-in-as = You are signed in as
not-you = Not you?

## Consent

consent-title = Let { $app } use your account?
by-publisher = by { $publisher }
by-publisher-at = by { $publisher } · { $domain }
consent-goes-to = Access goes to
consent-registered = Registered
consent-could = It will be able to
consent-until = It never sees your password. Access lasts until you revoke it under “App access”.
consent-back = Either way, you return to { $domain }.
consent-moved = The app’s access was changed or revoked while this page was open, so nothing was allowed. Check the page again before you allow it.
consent-other-account = This page was opened for a different account than the one that is signed in now. Nothing was allowed. Check the page again before you decide.
go-on-title = One moment
go-on = If nothing happens, use the link below.
go-on-to-app = Continue to { $app }
go-on-here = Continue
consent-undecided = Choose “Allow” or “Don’t allow”.
allow = Allow
deny = Don’t allow

authorize-error-client-title = This app can’t ask for access
authorize-error-client = The app that sent you here is not registered, or it was suspended or removed. It did not get access.
authorize-error-redirect-title = This app’s redirect URI is not registered
authorize-error-redirect = The parameter redirect_uri is not one of the redirect URIs that the app has registered, so you are not sent there. The app did not get access. If you run the app, compare redirect_uri with its registration.
authorize-error-repeated-title = This app’s request has an error
authorize-error-repeated = The parameter client_id or redirect_uri appears more than once. The app did not get access.
authorize-error-encoding-title = This app’s request has an error
authorize-error-encoding = A parameter can’t be read as text. The app did not get access.
authorize-error-parameters-title = This app’s request has an error
authorize-error-parameters = The request has more than 100 parameters. The app did not get access.
authorize-error-banned-title = This app can’t ask for access
authorize-error-banned = The app sends users to an address that another app was banned for, so you are not sent there. The app did not get access.

## App access

authorizations-title = Apps with access to your account
authorizations-empty = No app has access to your account. When you allow an app to use your account, it appears here.
authorizations-count = { $count ->
    [0] No app has access now.
    [one] 1 app has access.
   *[other] { $count } apps have access.
}
authorizations-hindered = { $count ->
    [one] 1 app has lost its access.
   *[other] { $count } apps have lost their access.
}
authorizations-lede = Access that you revoke ends at once, on every device.
authorizations-unused = { $count ->
    [one] 1 app has not been used for 90 days or more.
   *[other] { $count } apps have not been used for 90 days or more.
}
revoke-unused = { $count ->
    [one] Revoke its access
    [2] Revoke both
   *[other] Revoke all { $count }
}
select-all = Select all
select-app = Select { $app }
unused-days = Not used for { $count } days
status-suspended = Suspended
status-banned = Banned
status-deleted = Deleted
card-suspended = We suspended this app, so it has no access now. { $reason }
card-banned = We banned this app, so it no longer has access. { $reason }
card-deleted = Its publisher deleted this app, so it no longer has access.
card-outdated = All sign-ins to this app were ended, so it has no access now. It has to ask you again.
last-used = Last used
never-used = Never used
since = since
devices = { $count ->
    [0] No sign-ins
    [one] 1 sign-in
   *[other] { $count } sign-ins
}
live-tokens = { $count ->
    [0] No active access tokens
    [one] 1 active access token
   *[other] { $count } active access tokens
}
tokens-title = Access tokens
tokens-uncounted = Renewed every few minutes, so they are not counted
first-authorized = Access since
can-do = What it can do
could-do = What it could do
of-app = of { $app }
ended = Ended
ended-title = Access that has ended
ended-link = Access that has ended
ended-empty = No access has ended yet. Apps whose access you revoke appear here.
ended-at = Ended
access-ended-at = Access ended at
ended-one = { $app }’s access ended at
ended-device = A sign-in to { $app } ended at
ended-device-text = The app keeps what it has already copied. Your other sign-ins are not affected.
ended-several = The access of { $count } apps ended at
ended-nothing = None of the tokens work any more.
ended-text = An app keeps what it has already copied. It gets access again only if you allow it again.

revoke-access = Revoke access
revoke-selected = Revoke selected apps
revoke-all-link = { $count ->
    [one] Revoke its access
   *[other] Revoke all { $count }
}
revoke-one-title = Revoke { $app }’s access?
revoke-one-lede = { $count ->
    [0] It loses access to your account now.
    [one] It loses access to your account now. Your sign-in to it ends.
    [2] It loses access to your account now. Both your sign-ins to it end.
   *[other] It loses access to your account now. All { $count } sign-ins to it end.
}
revoke-loses = What it can no longer do
revoke-keeps = { $app } keeps what it has already copied. Ask its publisher to delete it. You can allow the app again later, but it has to ask you first.
revoke-several-title = { $count ->
    [one] Revoke the access of 1 app?
   *[other] Revoke the access of { $count } apps?
}
revoke-all-title = Revoke the access of all apps?
revoke-several-lede = { $apps ->
    [one] 1 app loses
   *[other] { $apps } apps lose
} access to your account now.{ $devices ->
    [0] { "" }
    [one] { " " }1 sign-in ends.
   *[other] { " " }{ $devices } sign-ins end.
} You stay signed in here.
revoke-several-keeps = An app keeps what it has already copied. Ask its publisher to delete it. You can allow each app again later.
revoke-several-button = { $count ->
    [one] Revoke access of 1 app
   *[other] Revoke access of { $count } apps
}
keep-it = Cancel
keep-them = Cancel
sign-out-device = End this sign-in
keep-signed-in = Cancel
device-title = End the sign-in from { $device }?
device-lede = { $app } loses the access that this sign-in gave it.
device-others = { $count ->
    [one] Your other sign-in to it is not affected.
   *[other] Your { $count } other sign-ins to it are not affected.
}

receipt = Receipt

## Acts of the ledger, and who did them

act-access_token_revoked = One access token was revoked
act-refresh_token_revoked = A sign-in was ended
act-refresh_token_reused = A refresh token was used twice, which may mean theft: the sign-in was ended
act-code_replayed = An authorization code was used twice, which may mean theft: the sign-in was ended
act-device_signed_out = A sign-in was ended
act-app_revoked = The app’s access was revoked
act-user_tokens_revoked = All user tokens of the app were revoked
act-canary_revoked = A drill revoked its own app
act-client_deleted = The app was deleted
act-client_suspended = The app was suspended
act-client_banned = The app was banned
act-client_reinstated = The app was reinstated
act-user_revoked = All access to the account was revoked, and all browsers were signed out
act-user_disabled = The account was disabled
act-user_enabled = The account was enabled
act-role_changed = The account’s role was changed
act-user_deleted = The account was deleted
act-database_restored = The database was restored from a backup: everyone was signed out, and all apps lost their access
act-account_taken_over = The account was reported as taken over: all access was revoked, and all browsers were signed out
act-account_created = The account was created
act-signed_in = You signed in
act-session_ended = A browser was signed out
act-password_changed = The password was changed
act-consent_given = The app was allowed to use the account
act-app_blocked = The app was blocked and can’t ask for access again
act-app_unblocked = The app was unblocked and can ask for access again
act-client_registered = The app was registered
act-client_edited = The registration was changed
act-client_secret_rotated = The client secret was rotated
act-client_handed_over = The app was transferred to another developer
act-key_published = A signing key was published
act-key_withdrawn = A signing key was withdrawn
act-resource_server_registered = The resource server was registered
act-resource_server_edited = The resource server was changed
act-resource_server_secret_rotated = The secret was rotated
act-resource_server_deleted = The resource server was deleted
actor-user = by the user
actor-developer = by the app’s developer
actor-admin = by an admin
actor-client = by the app
actor-operator = by the server’s operator
actor-visitor = by a visitor
actor-server = by the server

## Errors

error-reference = Reference
error-not-found-title = Page not found
error-not-found = The address may be mistyped, or the page no longer exists. It may also belong to another account.
error-forbidden-title = Your account can’t open this page
error-forbidden = Your account’s role does not allow this page.
error-signed-out-title = You are signed out
error-signed-out = Your session ended before this was done. Nothing was changed. Sign in and try again.
error-other-account-title = Another account is signed in
error-other-account = This form was opened for a different account than the one that is signed in now. Nothing was changed.
error-look-again = Open the page again
error-cross-site-title = This form came from another site
error-cross-site = Another site sent this form, so nothing was done. If you want to do this, do it here.
error-unavailable-title = Something is not responding
error-unavailable = Nothing was changed. Try again in a moment.
error-too-slow-title = This took too long
error-too-slow = It may have been done anyway. Check before you try again.
error-internal-title = Something failed on our side
error-internal = Nothing was changed. Try again. If it happens again, tell us this reference.
error-too-many-title = Too many attempts
error-too-many = There were too many attempts with this username or from your network. Nothing was changed. Wait a minute, then try again.
error-too-large-title = This form is too large
error-too-large = It is larger than 64 KiB. Nothing was changed.
error-media-type-title = This form can’t be read
error-media-type = Its Content-Type must be application/x-www-form-urlencoded. Nothing was changed.
error-host-title = This request can’t be read
error-host = It does not name exactly one host. Nothing was changed.
error-method-title = This page can’t do that
error-method = The address is right, but the method is not. Nothing was changed.
error-encoding-title = This request can’t be read
error-encoding = A field contains something that is not text. Nothing was changed.
error-parameters-title = This request has too many fields
error-parameters = The request has more than 1,100 fields. Nothing was changed.
error-nothing-chosen-title = You chose no app
error-nothing-chosen = The field grant_id is missing. Go back and choose at least one app. Nothing was changed.
error-oneself-title = You can’t do this to your own account or app
error-oneself = Ask another admin to do it.
error-last-admin-title = This is the last admin
error-last-admin = Without an admin, nobody could manage apps and users. Make someone else an admin first.
error-has-apps-title = Delete your apps first
error-has-apps = Your account still owns apps, and their users need someone to contact. Delete the apps first, then the account.
error-no-authorization-title = This app has no access to your account
error-no-authorization = There is nothing to revoke. When you let an app use your account, it appears under “App access”.

## Fields

error-password-short = Use at least 10 characters for the password.
error-password-long = Use at most 1024 bytes for the password.
error-password-characters = The password contains a character that is invisible or that not every keyboard can type, such as a tab. Remove it.
error-name-empty = Enter a name with visible characters.
error-name-long = Use at most 80 characters for the name.
error-name-characters = The name contains invisible characters, characters that change the direction of text, or accents without a letter. Remove them.
error-name-look-alike = This name looks like the name of another developer’s app. Use a name that users can tell apart.
error-redirect-empty = Enter at least one redirect URI.
error-redirect-relative = The redirect URI must be absolute, such as https://app.example/callback.
error-redirect-fragment = The redirect URI must not contain a fragment (#).
error-redirect-characters = The redirect URI contains a character that is not allowed: white space, a wildcard, a quote, or a character outside ASCII.
error-redirect-user = The redirect URI must not contain a username or password.
error-redirect-http = The redirect URI may use http only on 127.0.0.1, [::1] or localhost. Use https.
error-redirect-scheme = The redirect URI must use https, or a scheme of your own that contains a dot, such as com.example.app:/callback.
error-redirect-host = Write the redirect URI in its plain form: scheme://host in lower case, without a dot at the end of the host, and with numbers and non-Latin scripts as browsers write them, such as https://app.example/callback.
restored-suspended = This service was restored from a backup. An admin is checking this app.
