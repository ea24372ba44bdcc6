### Sentences of all pages. Second person, present tense, short.

skip = Skip to the content
sections = Sections
section-authorizations = App access
times = Times are in UTC.
to-start = Go to the start
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

landing-title = See which apps can reach your account. Take it back.
landing-text = When you let an app use your account, it is listed here: what it can do, when it last did, on which devices. Revoke it, and its access ends at once.
sign-in = Sign in
sign-in-to-continue = Sign in to continue to
sign-in-decide-next = It asks for access to your account. You decide on the next page.
sign-in-no-name = Your name is missing. Type it and sign in again.
sign-in-no-password = Your password is missing. Type it and sign in again.
sign-in-wrong = Name or password is wrong, or the account is disabled. Check both and try again.
field-username = Name
field-password = Password
sign-out = Sign out
sign-out-title = Sign out?
sign-out-text = You sign out of this page on this browser. Apps that you allowed keep their access.
stay = Stay signed in
signed-in-as = You are signed in as
not-you = Not you?

## Consent

consent-title = Let { $app } use your account?
by-publisher = by { $publisher }
by-publisher-at = by { $publisher } · { $domain }
consent-goes-to = Access goes to
consent-registered = Registered
consent-could = It could
consent-until = It never learns your password. Access lasts until you take it back under “App access”.
consent-back = Either way you go back to { $domain }.
consent-moved = Access was changed or revoked while this page stood open, so nothing was given. Look again before you allow it.
consent-other-account = This page was shown to another account than the one that is signed in now. Nothing was allowed. Look again before you decide.
go-on-title = One moment
go-on = If nothing happens, follow the link.
go-on-to-app = Continue to { $app }
go-on-here = Continue
consent-undecided = You chose neither. Allow it, or don’t.
allow = Allow
deny = Don’t allow

authorize-error-client-title = This app can’t ask for access
authorize-error-client = The app that sent you here is not registered, or it was suspended or removed. Nothing was given to it.
authorize-error-redirect-title = This app sent you here with a wrong address
authorize-error-redirect = The parameter redirect_uri is not an address that the app has registered, so you are not sent on. Nothing was given to it. If you run the app, compare redirect_uri with its registration.
authorize-error-repeated-title = This app sent you here with a garbled request
authorize-error-repeated = The parameter client_id or redirect_uri stands more than once. Nothing was given to the app.
authorize-error-encoding-title = This app sent you here with a garbled request
authorize-error-encoding = A parameter is not readable as text. Nothing was given to the app.
authorize-error-parameters-title = This app sent you here with a garbled request
authorize-error-parameters = The request has more than 100 parameters. Nothing was given to the app.
authorize-error-banned-title = This app can’t ask for access
authorize-error-banned = The app sends people to an address that another app was banned for, so you are not sent on. Nothing was given to it.

## App access

authorizations-title = Apps that can reach your account
authorizations-empty = No app can reach your account. When you sign in to an app with this account, it appears here.
authorizations-count = { $count ->
    [0] No app can at present.
    [one] 1 app can.
   *[other] { $count } apps can.
}
authorizations-hindered = { $count ->
    [one] 1 can’t at present.
   *[other] { $count } can’t at present.
}
authorizations-lede = What you revoke ends at once, on every device.
authorizations-unused = { $count ->
    [one] 1 app has been unused for 90 days or more.
   *[other] { $count } apps have been unused for 90 days or more.
}
revoke-unused = { $count ->
    [one] Revoke it
    [2] Revoke both
   *[other] Revoke all { $count }
}
select-all = Select all
select-app = Select { $app }
unused-days = Unused for { $count } days
status-suspended = Suspended
status-banned = Banned
status-deleted = Deleted
card-suspended = We suspended this app, so it has no access now. { $reason }
card-banned = We banned this app, so it has no access any more. { $reason }
card-deleted = Its publisher deleted this app, so it has no access any more.
card-outdated = All its sign-ins were ended, so it has no access now. It has to ask you again.
last-used = Last used
never-used = Never used
since = since
devices = { $count ->
    [0] no device
    [one] 1 device
   *[other] { $count } devices
}
live-tokens = { $count ->
    [0] no live access token
    [one] 1 live access token
   *[other] { $count } live access tokens
}
tokens-title = Access tokens
tokens-uncounted = Renewed every few minutes, not counted
first-authorized = Access since
can-do = What it can do
could-do = What it could do
of-app = of { $app }
ended = Ended
ended-title = Access that has ended
ended-link = Access that has ended
ended-empty = Nothing has ended yet. Apps that you revoke appear here.
ended-at = Ended
access-ended-at = Access ended at
ended-one = { $app }’s access ended at
ended-device = A device of { $app } was signed out at
ended-device-text = It keeps what it has already copied. Your other devices stay signed in.
ended-several = The access of { $count } apps ended at
ended-nothing = Nothing it holds works any more.
ended-text = It keeps what it has already copied. It can get access again only if you allow it again.

revoke-access = Revoke access
revoke-selected = Revoke selected apps
revoke-all-link = { $count ->
    [one] Revoke it
   *[other] Revoke all { $count }
}
revoke-one-title = Revoke { $app }’s access?
revoke-one-lede = { $count ->
    [0] It loses access to your account now.
    [one] It loses access to your account now, on the device where it has it.
    [2] It loses access to your account now, on both your devices.
   *[other] It loses access to your account now, on all { $count } devices.
}
revoke-loses = What it can’t do any more
revoke-keeps = { $app } keeps what it has already copied; ask them to delete it. You can allow it again later. Then it asks you first.
revoke-several-title = { $count ->
    [one] Revoke the access of 1 app?
   *[other] Revoke the access of { $count } apps?
}
revoke-all-title = Revoke the access of all apps?
revoke-several-lede = { $apps ->
    [one] 1 app loses
   *[other] { $apps } apps lose
} access to your account now, on { $devices ->
    [0] no device
    [one] 1 device
   *[other] { $devices } devices
}. You stay signed in here.
revoke-several-keeps = They keep what they have already copied; ask them to delete it. You can allow them again later, one by one.
revoke-several-button = { $count ->
    [one] Revoke access of 1 app
   *[other] Revoke access of { $count } apps
}
keep-it = Keep it
keep-them = Keep them
sign-out-device = Sign out this device
keep-signed-in = Keep it signed in
device-title = Sign out { $device }?
device-lede = { $app } loses access on this device now.
device-others = { $count ->
    [one] On your other device it keeps it.
   *[other] On your { $count } other devices it keeps it.
}

receipt = Receipt

## Acts of the ledger, and who did them

act-access_token_revoked = One access token was given back
act-refresh_token_revoked = A device was signed out
act-refresh_token_reused = A refresh token was used twice, which may be theft: the device was signed out
act-code_replayed = An authorization code was used twice, which may be theft: the device was signed out
act-device_signed_out = A device was signed out
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
act-database_restored = The database was restored from a backup: everybody was signed out, and all apps lost their access
act-account_taken_over = The account was reported as taken over: all access and all browsers were signed out
act-account_created = The account was created
act-signed_in = You signed in
act-session_ended = A browser was signed out
act-password_changed = The password was changed
act-consent_given = The app was allowed to use the account
act-app_blocked = The app was blocked: it may not ask again
act-app_unblocked = The block was lifted: the app may ask again
act-client_registered = The app was registered
act-client_edited = The registration was changed
act-client_secret_rotated = The client secret was rotated
act-client_handed_over = The app was handed to another developer
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
error-not-found-title = There is nothing here
error-not-found = The address may be mistyped, or what stood here is gone. It may also belong to another account.
error-forbidden-title = This is not for your account
error-forbidden = Your account’s role does not allow this page.
error-signed-out-title = You are signed out
error-signed-out = Your session ended before this was done. Nothing was changed. Sign in and try again.
error-other-account-title = Another account is signed in
error-other-account = This form was shown to another account than the one that is signed in now. Nothing was changed.
error-look-again = Look at the page again
error-cross-site-title = This came from another site
error-cross-site = Another site sent this form, so nothing was done. If you meant it, do it here.
error-unavailable-title = Something is not answering
error-unavailable = Nothing was changed. Try again in a moment.
error-too-slow-title = This took too long
error-too-slow = It may have been done nevertheless: look before you try again.
error-internal-title = Something failed on our side
error-internal = Nothing was changed. Try again; if it happens again, tell us this reference.
error-too-many-title = Too many attempts
error-too-many = There were too many attempts with this username or from your network. Nothing was changed. Wait a minute, then try again.
error-too-large-title = This form is too large
error-too-large = It holds more than 64 KiB. Nothing was changed.
error-media-type-title = This form can’t be read
error-media-type = Its Content-Type has to be application/x-www-form-urlencoded. Nothing was changed.
error-host-title = This request can’t be read
error-host = It does not name exactly one host. Nothing was changed.
error-method-title = This page can’t do that
error-method = The address is right, the method is not. Nothing was changed.
error-encoding-title = This can’t be read
error-encoding = A field holds something that is not text. Nothing was changed.
error-parameters-title = That is too much at once
error-parameters = The request has more than 1,100 fields. Nothing was changed.
error-nothing-chosen-title = You chose no app
error-nothing-chosen = The field grant_id is missing. Go back and choose at least one app. Nothing was changed.
error-oneself-title = This is your own
error-oneself = Nobody does this to their own account or app. Ask another admin.
error-last-admin-title = This is the last admin
error-last-admin = Without an admin nobody could moderate. Make somebody else an admin first.
error-has-apps-title = Delete your apps first
error-has-apps = Your account still owns apps, and their users need somebody to turn to. Delete the apps, then the account.
error-no-authorization-title = This app has no access to your account
error-no-authorization = Nothing is to be revoked. When you let an app use your account, it appears under “App access”.

## Fields

error-password-short = Use at least 10 characters for the password.
error-password-long = Use at most 1024 bytes for the password.
error-password-characters = The password has a character that is invisible or that not every keyboard can type, such as a tab. Leave it out.
error-name-empty = Give the app a name that people can see.
error-name-long = Use at most 80 characters for the name.
error-name-characters = The name has invisible characters, characters that change the direction of text, or accents without a letter. Leave them out.
error-name-look-alike = This name looks like the name of another developer’s app. Use a name that people can tell apart.
error-redirect-empty = Give an address to send people back to.
error-redirect-relative = The redirect address has to be absolute, such as https://app.example/callback.
error-redirect-fragment = The redirect address may not hold a fragment (#).
error-redirect-characters = The redirect address holds a character that may not stand there: white space, a wildcard, a quote, or one outside ASCII.
error-redirect-user = The redirect address may not hold a user name or password.
error-redirect-http = The redirect address may use http on 127.0.0.1, [::1] or localhost alone; use https.
error-redirect-scheme = The redirect address needs https, or a scheme of your own that holds a dot, such as com.example.app:/callback.
error-redirect-host = Write the redirect address in its plain form: scheme://host, in lower case, without a dot at the end of the host, and with numbers and other scripts as browsers write them, such as https://app.example/callback.
restored-suspended = The service was restored from a backup. An administrator is checking this app.
