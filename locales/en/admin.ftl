### Sentences of the pages for admins, and of receipts.

section-admin = Admin
admin-apps = Apps
admin-users = Users
admin-ledger = Ledger
admin-audit = Audit log
admin-resource-servers = Resource servers

number = { $count }
admin-any = Any
admin-show = Search
admin-order = Sort by
admin-status = Status
admin-pages = Pages
admin-page = Page { $count }
admin-previous = Previous
admin-next = Next
admin-acts = Actions
admin-in-ledger = All entries in the ledger
admin-in-audit = All entries in the audit log
go-back = Go back
error-prefix = Error:

status-active = Active
status-disabled = Disabled

## The list of apps, and one app

admin-app = App
admin-owner = Developer
admin-shared = Other apps at { $domain }
admin-people = Users
admin-apps-search = Name, publisher, developer or client ID
admin-apps-empty = No app is registered yet. Apps that developers register appear here.
admin-apps-none = No app matches your search.
admin-apps-all = Show all apps
order-users = Most users
order-tokens = Most access tokens
order-age = Newest
order-name = Name
order-status = Status

figure-people = { $count ->
    [one] user allows it
   *[other] users allow it
}
figure-devices = { $count ->
    [one] active sign-in
   *[other] active sign-ins
}
figure-tokens = { $count ->
    [one] active access token
   *[other] active access tokens
}
people = { $count ->
    [0] No users
    [one] 1 user
   *[other] { $count } users
}
client-id = Client ID
client-kind = Type
client-kind-confidential = Confidential (server-side, with a client secret)
client-kind-public = Public (browser, mobile or desktop, without a client secret)
client-redirects = Redirect URIs
client-scope = Allowed permissions
client-scope-all = All permissions
admin-since-suspended = Suspended since
admin-since-banned = Banned since
admin-since-deleted = Deleted by its developer at
admin-sees = Its users and its developer can read this reason:
admin-deleted-text = None of its tokens work any more, and it can’t be restored.

## Suspending, banning, reinstating

suspend = Suspend
suspend-hint = { $count ->
    [0] No users allow it now. You can reinstate it. Its old tokens stay revoked.
    [one] 1 user loses access at once. You can reinstate it. Its old tokens stay revoked.
   *[other] { $count } users lose access at once. You can reinstate it. Its old tokens stay revoked.
}
suspend-title = Suspend { $app }?
suspend-button = Suspend { $app }
suspend-reversible = You can reinstate it. Its old tokens stay revoked, so users have to allow it again.
suspend-settings = Its settings and secrets stay.
shut-lede = { $people ->
    [0] No users allow it now.
    [one] 1 user loses access at once.
   *[other] { $people } users lose access at once.
}{ $devices ->
    [0] { "" }
    [one] { " " }1 sign-in ends.
   *[other] { " " }{ $devices } sign-ins end.
}
shut-tokens = All tokens of { $app } stop working, including its own tokens, and it can’t get new ones.
shut-rows = The revoked data is then deleted for good. The receipt shows the progress.
shut-reason = Its users and { $owner }, its developer, can read your reason.
shut-copies = Data that was already copied can’t be taken back from here.
ban = Ban
ban-hint = Like suspending, but permanent: the app can’t be reinstated.
ban-title = Ban { $app }?
ban-lede = A ban can’t be undone.
ban-button = Ban { $app }
ban-domains = No app can be registered, or ask for access, if it sends users to these hosts, hosts below them, or schemes:
ban-shared = These apps also send users to { $domain }. They are not banned, but they can’t ask anyone for access there any more:
ban-owner = { $owner }’s account and other apps.
ban-owner-link = Go to { $owner } to act there too.
reinstate = Reinstate
reinstate-hint = Users can allow it again. Its old tokens stay revoked.
reinstate-own = This app is yours. Ask another admin to reinstate it.
reinstate-title = Reinstate { $app }?
reinstate-lede = Users can allow it again. Reinstating it does not give it access to any account.
reinstate-asks = { $app } can ask users for access again. Each user has to allow it again.
reinstate-dead = Its earlier tokens stay revoked.
reinstate-button = Reinstate { $app }
keep-suspended = Cancel
reason = Reason
reason-hint = One sentence, at most 300 characters. Everyone who uses the app, and its developer, can read it.
reason-hint-account = One sentence, at most 300 characters. The user and all admins can read it.
reason-hint-server = One sentence, at most 300 characters. All admins can read it.
reason-hint-owner = One sentence, at most 300 characters. The new developer and all admins can read it.
reason-hint-disable = One sentence, at most 300 characters. The user and all admins can read it. Everyone who uses an app that you suspend here can read it too.
error-reason-empty = Enter a reason, in one sentence.
error-reason-long = Use at most 300 characters for the reason.
error-reason-characters = The reason contains line breaks, or characters that are invisible or change the direction of text. Remove them.

## The list of users, and one user

admin-users-search = Username, email address or user ID
admin-users-none = No user matches your search.
admin-users-all = Show all users
admin-users-by-name = Users, by username
admin-users-apps = Apps with access
admin-users-own = Own apps
admin-since = Created
user-id = User ID
email = Email address
role = Role
role-user = User
role-developer = Developer
role-admin = Admin
role-hint-user = Can see which apps have access, and revoke it.
role-hint-developer = Can also register apps.
role-hint-admin = Can also suspend apps and act for users.
role-change = Change role
role-own = This is your own account. Ask another admin to change your role.
error-role = Choose one of the three roles.
user-access = Apps with access to this account
user-access-empty = No app has access to this account.
user-devices = Sign-ins
user-own = This is your own account. Ask another admin to disable it.
user-revoke = Revoke all access
user-revoke-short = Revoke all access
user-revoke-hint = Every app loses access, and every browser is signed out. The account stays.
user-revoke-title = Revoke all access to { $user }’s account?
user-revoke-lede = { $apps ->
    [0] No app has access to the account.
    [one] 1 app loses access to the account now.
   *[other] { $apps } apps lose access to the account now.
}{ $devices ->
    [0] { "" }
    [one] { " " }1 sign-in ends.
   *[other] { " " }{ $devices } sign-ins end.
}
user-revoke-browsers = { $user } is signed out in every browser, but can sign in again.
user-revoke-asks = Apps have to ask for access again.
user-revoke-button = Revoke all access
user-disable = Disable the account
user-disable-short = Disable
user-disable-hint = Revokes every app’s access and signs out every browser. You can enable the account again.
user-disable-title = Disable { $user }’s account?
user-disable-lede = { $user } is signed out everywhere and can’t sign in. { $count ->
    [0] No app has access to the account.
    [one] 1 app loses access to it.
   *[other] { $count } apps lose access to it.
}
user-disable-stays = You can enable it again. Earlier tokens and sign-ins stay revoked.
user-disable-apps = Apps that this account owns
user-disable-suspend = { $count ->
    [one] Suspend this app too
   *[other] Suspend these { $count } apps too
}
user-disable-suspend-hint = Otherwise they keep running, and nobody looks after them.
user-disable-button = Disable the account
user-enable = Enable the account
user-enable-short = Enable
user-enable-hint = The user can sign in again. Earlier tokens and sign-ins stay revoked.
user-enable-title = Enable { $user }’s account?
user-enable-lede = { $user } can sign in again. Earlier tokens and sign-ins stay revoked, so apps have to ask for access again.
user-enable-apps = Suspended apps of this user stay suspended until you reinstate them.
user-enable-button = Enable the account
keep-disabled = Cancel

## Transferring an app

owner-link = Transfer to another developer
owner-title = Transfer { $app }?
owner-lede = { $owner } owns it now.
owner-former = { $owner } can no longer see or change it.
owner-secret = The new developer can rotate its secret, change it, revoke its tokens and delete it. Secrets that are in use keep working. The former developer may know them, so rotate them if that matters.
owner-tokens = All tokens, all permissions that users gave, its settings, and whether it is suspended or banned.
owner-publisher = Pages still name “{ $publisher }” as its publisher. The new developer can change that, and users are told.
owner-field = Username of the new developer
owner-hint = An active account with the role developer or admin.
owner-button = Transfer app
owner-stuck = { $user } can’t manage these apps, because only an active developer or admin can. Transfer them to someone who can.
error-owner-unknown = Nobody has this username. Enter the username of another developer.
error-owner-developer = This account is disabled, or is neither a developer nor an admin. Change its role first, or enter another username.
error-owner-same = This user already owns the app. Enter another username.

## Resource servers

servers-lede = The APIs that accept access tokens, and what each scope allows.
servers-empty = No resource server is registered yet. Apps can’t ask for any permission until you add one.
server-name = Name
server-name-hint = What people call the API, such as “Photo service”.
server-audience = Audience
server-audience-hint = The address that its tokens are for, such as https://photos.example.
server-scopes = Scopes
server-scopes-hint = One per line: the scope’s name, an equals sign, and what it allows in plain words. For example: photos.read=See your photos
server-id = ID
server-added = Added
server-add = Add a resource server
server-add-button = Add it
server-added-title = { $name } was added
server-secret = Secret
server-secret-once = Copy the secret now. We can’t show it again. Store it where the resource server can read it.
server-secret-use = The resource server sends its ID and its secret as HTTP Basic when it looks up a token.
copy-secret = Copy secret
copied = Copied
server-instances = Guards
server-guard-fresh = { $fresh } of { $count } up to date
server-guard-nobody = None running
server-guard-none = No guard
server-guard-not-yet = No guard yet
server-guard-text = A revoked token is refused there as soon as a guard learns of the revocation. A guard that gets no answer accepts nothing.
server-guard-none-text = You said that no guard runs there. A JWT that it checks itself works until it expires. A token that it looks up is refused at once.
server-guard-not-yet-text = No guard has connected yet. A JWT that it checks itself works until it expires. A token that it looks up is refused at once.
guard-heard = last seen
guard-through = received up to entry
guard-fresh = Up to date
guard-behind = Catching up
guard-silent = Silent: accepts nothing
server-expected = Guard settings
server-staleness = Seconds without an answer
server-staleness-hint = A guard that gets no answer for this long accepts no token until it has caught up. From 1 to 300.
server-guard = How it checks JWTs
server-guard-expected-choice = With a guard
server-guard-expected-hint = The library or the sidecar. It learns what is revoked, and receipts say when.
server-guard-none-choice = Without a guard
server-guard-none-hint = It looks up every token, or accepts JWTs until they expire. Receipts say so.
server-save = Save changes
error-server-staleness = Enter a whole number of seconds from 1 to 300, and choose one of the two ways to check JWTs.
error-server-name = Enter a name of 1 to 80 visible characters, without characters that are invisible or change the direction of text.
error-server-audience = Enter an absolute address without # and white space, such as https://photos.example.
error-server-audience-taken = Another resource server has this audience or one of these scopes, or had it before it was deleted. Use another one.
error-server-scopes-empty = Enter at least one scope. Without a scope, no app can ask for anything there.
error-server-scopes-line = Each line of the scopes needs an equals sign between the name and the words.
error-server-scopes-name = The name of a scope can have at most 64 characters, and no space, quote or backslash.
error-server-scopes-words = Each scope needs 1 to 200 visible characters that say what it allows.
error-server-scopes-taken = A scope’s name appears twice, belongs to another resource server, or was deleted earlier. Use another name.
error-server-outdated = Another admin changed this resource server after you opened the page. This is how it is now.
server-edit = Edit name and scopes
server-edit-hint = The audience can’t be changed, because tokens name it.
server-edit-title = Edit { $name }
server-edit-audience = It can’t be changed, because tokens name it.
server-edit-words = If you change what a scope allows, users who allowed it are asked again the next time an app sends them here. Apps keep the access that they have.
server-edit-deleted = If you delete a scope’s line, tokens that are looked up lose the scope at once, and refreshed tokens no longer get it. A JWT that was issued earlier keeps it until it expires.
server-edit-names = The name of a deleted scope can never be used again. This way, an old permission can’t come to allow something new.
server-rotate-text = The old and the new secret both work for as long as you choose. Tokens stay valid.
server-rotate-lede = The resource server gets a new secret, for looking up tokens and for its guards. Apps and users notice nothing.
server-rotate-hint = 0 to 168 (one week). If the secret has leaked, enter 0. The old secret is then refused at once, and feeds that were opened with it end. Guards accept nothing until they have the new one.
server-delete = Delete
server-delete-hint = It can no longer look up tokens, and apps can no longer ask for its scopes. This can’t be undone.
server-delete-lede = The resource server can no longer check tokens. This can’t be undone.
server-delete-secrets = Its ID and its secrets stop working at once. It can’t look up tokens, and its revocation feed ends.
server-delete-guards = Guards that are connected refuse every token at once. A guard that can’t be reached refuses every token after at most { $seconds ->
    [one] 1 second
   *[other] { $seconds } seconds
}.
server-delete-unguarded = No guard is known there. If the resource server checks JWTs itself, it accepts earlier ones until they expire, after at most { $minutes ->
    [one] 1 minute
   *[other] { $minutes } minutes
}. To be safe, switch it off.
server-delete-tokens = No other resource server accepts tokens that were issued for it. Refreshed tokens no longer get its scopes. An app that has no other scope gets no more tokens.
server-delete-scopes = No app can ask for its scopes any more, even if the app is registered for them:
server-delete-grants = Permissions that users gave for it no longer allow anything, and pages no longer show them.
server-delete-others = Access to all other resource servers.
server-delete-receipts = Receipts and the history of this resource server.
server-delete-names = The audience and the names of the scopes can never be registered again, so that no old token works somewhere new:
server-delete-field = Enter the resource server’s name to confirm
server-deleted = Deleted
server-deleted-text = No token for it is accepted, and its audience and scopes are never used again.

## The last drill

drill = The last drill
drill-none = No drill has been run yet. The command “{ $command }” revokes its own app again and again, and measures how long a guard takes to refuse it.
drill-passed = { $rounds ->
    [one] 1 revocation.
   *[other] { $rounds } revocations.
} Time from the answer until a guard on this machine refused the token:
drill-failed = { $seconds } seconds after a revocation was answered, a guard on this machine had not learned of it. { $rounds ->
    [0] No round before it succeeded.
    [one] 1 round before it succeeded.
   *[other] { $rounds } rounds before it succeeded.
}
drill-word-passed = Passed
drill-word-failed = Failed
drill-p50 = Half took at most
drill-p99 = 99 of 100 took at most
drill-max = Slowest
drill-ms = { $ms } ms

## The ledger

audit-details = Details
audit-lede = Every action that gave access or changed who has it, with who did it, when, and from where: sign-ins, consents, secrets, registrations and settings. Entries never change.
ledger-lede = Every action that revoked access or allowed it to be asked for again, and every change of a role. Entries never change. To see the rounds of drills, choose that action.
ledger-search = App, user, or any ID
ledger-act = Action
ledger-empty = Nothing has been revoked yet. Every action that revokes access appears here.
ledger-none = No entry matches your search.
ledger-all = Show all entries
ledger-newest = Ledger, newest first
ledger-app = App
ledger-first = Newest
ledger-older = Older
ledger-export = Export all matching entries:
error-format-title = This format does not exist
error-format = The ledger can be exported as csv or json.
error-act-title = This action does not exist
error-act = The parameter “act” must be one of the actions that the search offers.
error-before-title = This page of the ledger does not exist
error-before = The parameter “before” must be the number of an entry.

verb-access_token_revoked = Access token revoked
verb-refresh_token_revoked = Refresh token revoked
verb-refresh_token_reused = Refresh token used twice
verb-code_replayed = Authorization code used twice
verb-device_signed_out = Sign-in ended
verb-app_revoked = App’s access revoked
verb-user_tokens_revoked = All user tokens revoked
verb-canary_revoked = Round of a drill
verb-client_deleted = App deleted
verb-client_suspended = App suspended
verb-client_banned = App banned
verb-client_reinstated = App reinstated
verb-user_revoked = All access to an account revoked
verb-user_disabled = Account disabled
verb-user_enabled = Account enabled
verb-role_changed = Role changed
verb-user_deleted = Account deleted
verb-account_taken_over = Account taken over
verb-database_restored = Database restored from a backup
verb-account_created = Account created
verb-signed_in = Signed in
verb-session_ended = Browser signed out
verb-password_changed = Password changed
verb-consent_given = App allowed
verb-app_blocked = App blocked
verb-app_unblocked = App unblocked
verb-client_registered = App registered
verb-client_edited = App changed
verb-client_secret_rotated = Client secret rotated
verb-client_handed_over = App transferred
verb-key_published = Signing key published
verb-key_withdrawn = Signing key withdrawn
verb-resource_server_registered = Resource server registered
verb-resource_server_edited = Resource server changed
verb-resource_server_secret_rotated = Resource server secret rotated
verb-resource_server_deleted = Resource server deleted

what-access_token_revoked = An access token of { $app } was revoked
what-refresh_token_revoked = A sign-in to { $app } was ended
what-refresh_token_reused = A sign-in to { $app } was ended: a refresh token was used twice
what-code_replayed = A sign-in to { $app } was ended: an authorization code was used twice
what-device_signed_out = A sign-in to { $app } was ended
what-app_revoked = { $app }’s access was revoked
what-user_tokens_revoked = All user tokens of { $app } were revoked
what-canary_revoked = A drill revoked its own app
what-client_deleted = { $app } was deleted
what-client_suspended = { $app } was suspended
what-client_banned = { $app } was banned
what-client_reinstated = { $app } was reinstated
what-user_revoked = All access to { $user }’s account was revoked
what-user_disabled = { $user }’s account was disabled
what-user_enabled = { $user }’s account was enabled
what-role_changed = { $user }’s role was changed
what-user_deleted = { $user }’s account was deleted
what-account_taken_over = All access to { $user }’s account was revoked: someone else used it
what-database_restored = The database was restored from a backup: all apps lost their access, and everyone was signed out
what-account_created = { $user }’s account was created
what-signed_in = { $user } signed in
what-session_ended = A browser of { $user } was signed out
what-password_changed = { $user }’s password was changed
what-consent_given = { $user } allowed { $app } to use the account
what-app_blocked = { $user } blocked { $app }
what-app_unblocked = { $user } unblocked { $app }
what-client_registered = { $app } was registered
what-client_edited = The registration of { $app } was changed
what-client_secret_rotated = { $app } got a new client secret
what-client_handed_over = { $app } was transferred to another developer
what-key_published = A signing key was published
what-key_withdrawn = A signing key was withdrawn
what-resource_server_registered = A resource server was registered
what-resource_server_edited = A resource server was changed
what-resource_server_secret_rotated = A resource server got a new secret
what-resource_server_deleted = A resource server was deleted

## Receipts

actor-you = by you
actor-named = { $actor }, { $name }
origin-page = On a page
origin-command = By a command on the server
origin-protocol = By the app itself
origin-schedule = By the server’s schedule
receipt-several = The access of { $count } apps ended
receipt-what = What
receipt-account = Account
receipt-when = When
receipt-who = Who
receipt-where = Where
receipt-why = Reason
receipt-no-reason = No reason was given.
receipt-download = Download signed receipt
receipt-lasts = Once this receipt is complete, it never changes. You can print it.
worst-none = This takes effect at once, everywhere.
worst-guarded = This takes effect at once, and within { $seconds ->
    [one] 1 second
   *[other] { $seconds } seconds
} even at an API that can’t be reached.
worst-unguarded = This takes effect at once, except at { $count ->
    [one] 1 API that checks
   *[other] { $count } APIs that check
} tokens without asking this server. Tokens that were issued earlier may work there for up to { $minutes ->
    [one] 1 minute
   *[other] { $minutes } minutes
}.
told-title = Where the access is refused
told-all = { $total ->
    [one] 1 API refuses
   *[other] { $closed } of { $total } APIs refuse
} the revoked access.
told-some = { $closed ->
    [one] 1 of { $total } APIs refuses
   *[other] { $closed } of { $total } APIs refuse
} the revoked access. Where it may still work, the receipt says until when.
told-none = { $total ->
    [one] 1 API may
   *[other] { $total } APIs may
} still accept the revoked access. The receipt says until when.
told-refused = Refused
told-refused-unconfirmed = Refused, not confirmed
told-open = May still work
told-unconfirmed = { $count ->
    [one] 1 of them never confirmed this. The access is refused there because a guard that gets no answer accepts nothing.
   *[other] { $count } of them never confirmed this. The access is refused there because a guard that gets no answer accepts nothing.
}
told-confirmed-after = { $count ->
    [one] Its guard confirmed this after { $ms } ms.
   *[other] All { $count } guards confirmed this, the last after { $ms } ms.
}
told-confirmed = { $count ->
    [one] Its guard confirmed this.
   *[other] All { $count } guards confirmed this.
}
told-nobody = No guard was running there, so nothing was accepted.
told-waiting = { $count ->
    [one] Its guard has not confirmed this yet.
   *[other] { $confirmed } of { $count } guards confirmed this.
} The access may still work there until { $until }.
told-silent = { $count ->
    [one] Its guard never confirmed this. It stopped accepting tokens by { $until }, and accepts none until it learns of this.
   *[other] { $confirmed } of { $count } guards confirmed this. The others stopped accepting tokens by { $until }, and accept none until they learn of this.
}
told-unguarded = Tokens that it looks up were refused at once. Tokens that it checks itself may work until they expire, at { $until } at the latest.
told-expired = Tokens that it looks up were refused at once. Tokens that it checks itself had all expired by { $until }.
told-looked-up = Refused at once, because it looks up every token of this app here.
told-reload = Reload this page to see which APIs have confirmed this since.
purge-title = Deleted for good
purge-running = The revoked data is now being deleted.
purge-done = All revoked data was deleted.
purge-progress = { $taken } of about { $total } rows deleted
purge-progress-more = { $taken } rows deleted, more than { $left } left
purge-finished = All deleted at
purge-reload = Reload this page to see the progress.
tally-access = { $count ->
    [one] access token
   *[other] access tokens
}
tally-refresh = { $count ->
    [one] refresh token
   *[other] refresh tokens
}
tally-codes = { $count ->
    [one] authorization code
   *[other] authorization codes
}
tally-devices = { $count ->
    [one] sign-in
   *[other] sign-ins
}
tally-sessions = { $count ->
    [one] browser
   *[other] browsers
}
