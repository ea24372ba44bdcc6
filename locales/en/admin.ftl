### Sentences of the pages for admins, and of receipts.

section-admin = Moderation
admin-apps = Apps
admin-users = Users
admin-ledger = Ledger
admin-audit = Audit
admin-resource-servers = Resource servers

number = { $count }
admin-any = Any
admin-show = Show
admin-order = Order
admin-status = Status
admin-pages = Pages
admin-page = Page { $count }
admin-previous = Previous
admin-next = Next
admin-acts = Act
admin-in-ledger = Everything in the ledger
admin-in-audit = All of it in the audit
go-back = Go back
error-prefix = Error:

status-active = Active
status-disabled = Disabled

## The list of apps, and one app

admin-app = App
admin-owner = Developer
admin-shared = Other apps at { $domain }
admin-people = People
admin-apps-search = Name, publisher, developer or client ID
admin-apps-empty = No app is registered yet. Apps that developers register appear here.
admin-apps-none = No app matches.
admin-apps-all = Show all apps
order-users = Most people
order-tokens = Most access tokens
order-age = Newest
order-name = Name
order-status = Status

figure-people = { $count ->
    [one] person gives it access
   *[other] people give it access
}
figure-devices = { $count ->
    [one] device is signed in
   *[other] devices are signed in
}
figure-tokens = { $count ->
    [one] access token works
   *[other] access tokens work
}
people = { $count ->
    [0] nobody uses it
    [one] 1 person
   *[other] { $count } people
}
client-id = Client ID
client-kind = Kind
client-kind-confidential = Confidential: it runs on a server and keeps a secret
client-kind-public = Public: it runs on people’s devices and keeps no secret
client-redirects = Sends people back to
client-scope = May ask for
client-scope-all = Everything
admin-since-suspended = Suspended since
admin-since-banned = Banned since
admin-since-deleted = Deleted by its developer at
admin-sees = Its users and its developer read:
admin-deleted-text = Nothing it held works any more, and it can’t come back.

## Suspending, banning, reinstating

suspend = Suspend
suspend-hint = { $count ->
    [0] Nobody uses it now. You can reinstate it; its old tokens stay dead.
    [one] 1 person loses it at once. You can reinstate it; its old tokens stay dead.
   *[other] { $count } people lose it at once. You can reinstate it; its old tokens stay dead.
}
suspend-title = Suspend { $app }?
suspend-button = Suspend { $app }
suspend-reversible = You can reinstate it. Its old tokens stay dead: people have to authorize it again.
suspend-settings = Its settings and secrets stay.
shut-lede = { $people ->
    [0] Nobody uses it now.
    [one] 1 person loses it at once, on { $devices ->
        [0] no device
        [one] 1 device
       *[other] { $devices } devices
    }.
   *[other] { $people } people lose it at once, on { $devices ->
        [0] no device
        [one] 1 device
       *[other] { $devices } devices
    }.
}
shut-tokens = Every token of { $app } stops working, its own tokens too, and it can’t get new ones.
shut-rows = What it held is then really deleted. The receipt shows how far that is.
shut-reason = The people who use it and { $owner }, its developer, read your sentence.
shut-copies = What was already copied. Nobody can take that back from here.
ban = Ban
ban-hint = Like suspending, and for good: it can’t be reinstated.
ban-title = Ban { $app }?
ban-lede = A ban can’t be undone.
ban-button = Ban { $app }
ban-domains = No app can be registered any more, or ask for access, that sends people to these hosts, hosts below them, or schemes:
ban-shared = These apps send people to { $domain } too. They are not banned, but can’t ask anyone for access there any more:
ban-owner = { $owner }’s account and other apps.
ban-owner-link = See { $owner } to act there too.
reinstate = Reinstate
reinstate-hint = People can authorize it again. Its old tokens stay dead.
reinstate-own = This app is yours. Ask another admin to reinstate it.
reinstate-title = Reinstate { $app }?
reinstate-lede = People can authorize it again. Nobody gives it access by this alone.
reinstate-asks = { $app } can ask people for access again. Everyone has to allow it anew.
reinstate-dead = The tokens it had before stay dead.
reinstate-button = Reinstate { $app }
keep-suspended = Keep it suspended
reason = Reason
reason-hint = One sentence, at most 300 characters. Everyone who uses the app and its developer read it.
reason-hint-account = One sentence, at most 300 characters. The person concerned and all admins can read it.
reason-hint-server = One sentence, at most 300 characters. All admins can read it.
reason-hint-owner = One sentence, at most 300 characters. The new developer and all admins can read it.
reason-hint-disable = One sentence, at most 300 characters. The person concerned and all admins can read it, and so can everyone who uses an app that is suspended.
error-reason-empty = The reason is empty. Say in one sentence why.
error-reason-long = The reason is too long. Use at most 300 characters.
error-reason-characters = The reason holds line breaks, or characters that are invisible or change the direction of text. Leave them out.

## The list of users, and one user

admin-users-search = Name, e-mail address or user ID
admin-users-none = No user matches.
admin-users-all = Show all users
admin-users-by-name = Users, by name
admin-users-apps = Apps with access
admin-users-own = Own apps
admin-since = Since
user-id = User ID
email = E-mail address
role = Role
role-user = User
role-developer = Developer
role-admin = Admin
role-hint-user = Sees and takes back what apps can reach.
role-hint-developer = Also registers apps.
role-hint-admin = Also suspends apps and acts for users.
role-change = Change role
role-own = This is your own account. Ask another admin to change your role.
error-role = Choose one of the three roles.
user-access = Apps that can reach the account
user-access-empty = No app can reach this account.
user-devices = Devices
user-own = This is your own account. Ask another admin to disable it.
user-revoke = Revoke everything
user-revoke-short = Revoke everything
user-revoke-hint = Every app loses access, and every browser is signed out. The account stays.
user-revoke-title = Revoke everything of { $user }?
user-revoke-lede = { $apps ->
    [0] No app has access to the account.
    [one] 1 app loses access to the account now, on { $devices ->
        [0] no device
        [one] 1 device
       *[other] { $devices } devices
    }.
   *[other] { $apps } apps lose access to the account now, on { $devices ->
        [0] no device
        [one] 1 device
       *[other] { $devices } devices
    }.
}
user-revoke-browsers = { $user } is signed out in every browser, and can sign in again.
user-revoke-asks = Apps have to ask again.
user-revoke-button = Revoke everything
user-disable = Disable the account
user-disable-short = Disable
user-disable-hint = Ends every app’s access and every sign-in. You can enable it again.
user-disable-title = Disable { $user }’s account?
user-disable-lede = { $user } is signed out everywhere and can’t sign in. { $count ->
    [0] No app has access to the account.
    [one] 1 app loses access to it.
   *[other] { $count } apps lose access to it.
}
user-disable-stays = You can enable it again. Tokens and sign-ins of before stay dead.
user-disable-apps = Apps that this account publishes
user-disable-suspend = { $count ->
    [one] Suspend this app too
   *[other] Suspend these { $count } apps too
}
user-disable-suspend-hint = Otherwise they go on without anybody who looks after them.
user-disable-button = Disable the account
user-enable = Enable the account
user-enable-short = Enable
user-enable-hint = Its owner can sign in again. Tokens and sign-ins of before stay dead.
user-enable-title = Enable { $user }’s account?
user-enable-lede = { $user } can sign in again. Tokens and sign-ins of before stay dead; apps have to ask again.
user-enable-apps = Apps of theirs that were suspended stay so until you reinstate them.
user-enable-button = Enable the account
keep-disabled = Keep it disabled

## Handing an app over

owner-link = Hand over to another developer
owner-title = Hand { $app } over?
owner-lede = Today it belongs to { $owner }.
owner-former = { $owner } doesn’t see it any more, and can’t change it.
owner-secret = The new developer can rotate its secret, change it, revoke its tokens and delete it. Secrets that are in use keep working: the former developer may know them, so rotate them if that matters.
owner-tokens = All tokens, everyone’s permissions, its settings, and whether it is suspended or banned.
owner-publisher = Pages go on naming “{ $publisher }” as its publisher. The new developer can change that, and users are told.
owner-field = User name of the new developer
owner-hint = An active account with the role developer or admin.
owner-button = Hand it over
owner-stuck = { $user } can’t manage these apps: only an active developer or admin can. Hand them over to somebody who can.
error-owner-unknown = Nobody has this user name. Enter the name of another developer.
error-owner-developer = This account is disabled, or is neither a developer nor an admin. Change its role first, or enter another name.
error-owner-same = The app belongs to this person already. Enter another name.

## Resource servers

servers-lede = The services that accept access tokens, and what each scope allows.
servers-empty = No resource server is registered yet. Without one, apps can’t ask for anything.
server-name = Name
server-name-hint = What people call the service, such as “Photo service”.
server-audience = Audience
server-audience-hint = The address that its tokens are for, such as https://photos.example.
server-scopes = Scopes
server-scopes-hint = One a line: its name, an equals sign, and what it allows in plain words. For example: photos.read=See your photos
server-id = ID
server-added = Added
server-add = Add a resource server
server-add-button = Add it
server-added-title = { $name } was added
server-secret = Secret
server-secret-once = Copy the secret now. We can’t show it again. Keep it where the service can read it.
server-secret-use = The service sends both as HTTP Basic when it looks a token up.
copy-secret = Copy the secret
copied = Copied
server-instances = Guards
server-guard-fresh = { $fresh } of { $count } up to date
server-guard-nobody = None running
server-guard-none = No guard
server-guard-not-yet = No guard yet
server-guard-text = What is revoked is refused there as soon as a guard has learned of it. A guard that hears nothing accepts nothing.
server-guard-none-text = No guard runs there, as you have said. A JWT that it checks by itself works until it expires; what it looks up is refused at once.
server-guard-not-yet-text = No guard was ever heard of. A JWT that it checks by itself works until it expires; what it looks up is refused at once.
guard-heard = last heard
guard-through = has everything up to
guard-fresh = Up to date
guard-behind = Catching up
guard-silent = Silent: accepts nothing
server-expected = What is expected of its guards
server-staleness = Seconds without an answer
server-staleness-hint = A guard that has heard nothing for so long accepts no token until it has learned of everything: 1 to 300.
server-guard = How it checks JWTs
server-guard-expected-choice = With a guard
server-guard-expected-hint = The library or the sidecar: it learns what is revoked, and receipts say when.
server-guard-none-choice = Without one
server-guard-none-hint = It looks every token up, or checks JWTs until they expire. Receipts say so.
server-save = Save
error-server-staleness = The seconds without an answer have to be a whole number from 1 to 300, and one of the two ways has to be chosen.
error-server-name = The name has to have 1 to 80 visible characters, none of them invisible or changing the direction of text.
error-server-audience = The audience has to be an absolute address without # and white space, such as https://photos.example.
error-server-audience-taken = Another resource server has this audience or one of these scopes, or had it until it was deleted. Use another.
error-server-scopes-empty = Name at least one scope: without one, no app can ask for anything there.
error-server-scopes-line = Each line of the scopes needs an equals sign between its name and its words.
error-server-scopes-name = A scope’s name may have at most 64 characters, and no space, quote or backslash.
error-server-scopes-words = Each scope needs 1 to 200 visible characters that say what it allows.
error-server-scopes-taken = A scope’s name stands twice, another resource server has it, or it was deleted before. Use another.
error-server-outdated = Another admin has changed this resource server since you opened the page. Here is how it is now.
server-edit = Edit name and scopes
server-edit-hint = The audience stays: tokens name it.
server-edit-title = Edit { $name }
server-edit-audience = It can’t be changed, because tokens name it.
server-edit-words = If you change what a scope allows, people who allowed it are asked again the next time an app sends them here. Apps keep the access that they have.
server-edit-deleted = A scope whose line you delete is gone at once for tokens that are looked up, and when they are refreshed. A JWT that was issued before carries it until it expires.
server-edit-names = The name of a deleted scope can never be used again, so that nobody’s old permission comes to allow something new.
server-rotate-text = Both secrets work for as long as you choose. Tokens stay.
server-rotate-lede = The service gets a new secret for looking tokens up and for its guards. No app and no user notices.
server-rotate-hint = 0 to 168, which is a week. Take 0 if it has leaked: whoever has only the old one is refused at once, and feeds that it opened end. Guards accept nothing until they have the new one.
server-delete = Delete
server-delete-hint = It can look up no token any more, and apps can’t ask for its scopes. This can’t be undone.
server-delete-lede = The service can’t check tokens any more. This can’t be undone.
server-delete-secrets = Its ID and its secrets stop working at once: it can look up no token, and its revocation feed ends.
server-delete-guards = Guards that are connected refuse every token at once. One that can’t be reached refuses every token after at most { $seconds ->
    [one] 1 second
   *[other] { $seconds } seconds
}.
server-delete-unguarded = No guard is known there. If the service checks JWTs by itself, those that were issued before work there until they expire: at most { $minutes ->
    [one] 1 minute
   *[other] { $minutes } minutes
}. To be safe, switch it off.
server-delete-tokens = Tokens that were issued for it are accepted by no other service. Refreshing leaves its scopes out; an app that has no other scope gets no more tokens.
server-delete-scopes = No app can ask for its scopes any more, whatever its registration says:
server-delete-grants = What people have allowed there allows nothing any more, and pages stop showing it.
server-delete-others = Access to all other services.
server-delete-receipts = Receipts and the history of this service.
server-delete-names = The audience and the names of the scopes can never be registered again, so that no old token works somewhere new:
server-delete-field = Type the service’s name to confirm
server-deleted = Deleted
server-deleted-text = No token is accepted for it, and its audience and scopes are never used again.

## The last drill

drill = The last drill
drill-none = No drill was run yet. The command “{ $command }” revokes an app of its own again and again, and says how long a guard took to refuse it.
drill-passed = { $rounds ->
    [one] 1 revocation
   *[other] { $rounds } revocations
}. From its answer until a guard on this machine refused the token:
drill-failed = { $seconds } seconds after a revocation was answered, a guard on this machine had not learned of it. Before that, there were { $rounds ->
    [0] no good round
    [one] 1 good round
   *[other] { $rounds } good rounds
}.
drill-word-passed = Passed
drill-word-failed = Failed
drill-p50 = Half took no longer
drill-p99 = 99 of 100 took no longer
drill-max = The slowest
drill-ms = { $ms } ms

## The ledger

audit-details = Details
audit-lede = Who gave power or changed who has it, when and from where: sign-ins, consents, secrets, registrations and settings. Rows never change.
ledger-lede = Every act that took access away or let it be asked for again, and every changed role. Rows never change. Rounds of drills are shown when you choose that act.
ledger-search = App, person, or the ID of anything
ledger-act = Act
ledger-empty = Nothing was revoked yet. Every act that takes access away appears here.
ledger-none = No act matches.
ledger-all = Show all acts
ledger-newest = Ledger, newest first
ledger-app = App
ledger-first = Newest
ledger-older = Older
ledger-export = Export everything that matches:
error-format-title = There is no such format
error-format = The ledger can be exported as csv or json.
error-act-title = There is no such act
error-act = “act” has to be one of those that the search offers.
error-before-title = That is no place in the ledger
error-before = “before” has to be the number of a row.

verb-access_token_revoked = Access token given back
verb-refresh_token_revoked = Refresh token given back
verb-refresh_token_reused = Refresh token used twice
verb-code_replayed = Authorization code used twice
verb-device_signed_out = Device signed out
verb-app_revoked = App’s access revoked
verb-user_tokens_revoked = All user tokens revoked
verb-canary_revoked = Round of a drill
verb-client_deleted = App deleted
verb-client_suspended = App suspended
verb-client_banned = App banned
verb-client_reinstated = App reinstated
verb-user_revoked = Everything of a user revoked
verb-user_disabled = Account disabled
verb-user_enabled = Account enabled
verb-role_changed = Role changed
verb-user_deleted = Account deleted
verb-account_taken_over = Account taken over
verb-database_restored = Database restored from a backup
verb-account_created = Account created
verb-signed_in = Signed in
verb-session_ended = Session ended
verb-password_changed = Password changed
verb-consent_given = App authorized
verb-app_blocked = App blocked
verb-app_unblocked = App unblocked
verb-client_registered = App registered
verb-client_edited = App changed
verb-client_secret_rotated = Client secret rotated
verb-client_handed_over = App handed over
verb-key_published = Signing key published
verb-key_withdrawn = Signing key withdrawn
verb-resource_server_registered = Resource server registered
verb-resource_server_edited = Resource server changed
verb-resource_server_secret_rotated = Resource server secret rotated
verb-resource_server_deleted = Resource server deleted

what-access_token_revoked = An access token of { $app } ended
what-refresh_token_revoked = A device was signed out of { $app }
what-refresh_token_reused = A device was signed out of { $app }: a refresh token was used twice
what-code_replayed = A device was signed out of { $app }: an authorization code was used twice
what-device_signed_out = A device was signed out of { $app }
what-app_revoked = { $app }’s access ended
what-user_tokens_revoked = All user tokens of { $app } ended
what-canary_revoked = A drill revoked its own app
what-client_deleted = { $app } was deleted
what-client_suspended = { $app } was suspended
what-client_banned = { $app } was banned
what-client_reinstated = { $app } was reinstated
what-user_revoked = All access to { $user }’s account ended
what-user_disabled = { $user }’s account was disabled
what-user_enabled = { $user }’s account was enabled
what-role_changed = { $user }’s role was changed
what-user_deleted = { $user }’s account was deleted
what-account_taken_over = All access to { $user }’s account ended: it was taken over
what-database_restored = All access of all apps ended, and everybody was signed out: the database was restored from a backup
what-account_created = { $user }’s account was created
what-signed_in = { $user } signed in
what-session_ended = A session of { $user } ended
what-password_changed = { $user }’s password was changed
what-consent_given = { $user } allowed { $app } to use the account
what-app_blocked = { $user } blocked { $app }
what-app_unblocked = { $user } lifted the block on { $app }
what-client_registered = { $app } was registered
what-client_edited = The registration of { $app } was changed
what-client_secret_rotated = { $app } got a new client secret
what-client_handed_over = { $app } was handed to another developer
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
receipt-where = From where
receipt-why = Why
receipt-no-reason = No reason was given.
receipt-generation = Generation
receipt-generation-hint = Whatever was given under a lower one is dead.
receipt-download = Download it, signed by this server
receipt-lasts = Once this is settled, it never changes. Print it if you need it on paper.
worst-none = It takes effect at once, everywhere.
worst-guarded = It takes effect at once, and within { $seconds ->
    [one] second
   *[other] { $seconds } seconds
} even at a service that can’t be reached.
worst-unguarded = It takes effect at once, except at { $count ->
    [one] a service that checks
   *[other] { $count } services that check
} tokens without asking: what they have been shown before may work there for up to { $minutes ->
    [one] minute
   *[other] { $minutes } minutes
}.
told-title = Where it is refused
told-all = Nothing it covers works any more at { $closed } of { $total } { $total ->
    [one] service
   *[other] services
}.
told-some = Nothing it covers works any more at { $closed } of { $total } services. Where something may still work, the receipt says until when.
told-none = Something it covers may still work at { $total ->
    [one] 1 service
   *[other] { $total } services
}. The receipt says until when.
told-refused = Refused
told-refused-unconfirmed = Refused, not confirmed
told-open = May still work
told-unconfirmed = { $count ->
    [one] One of them never confirmed it: it is refused there since leases ran out.
   *[other] { $count } of them never confirmed it: it is refused there since leases ran out.
}
told-confirmed-after = { $count ->
    [one] Its instance confirmed it after { $ms } ms.
   *[other] All { $count } instances confirmed it, the last after { $ms } ms.
}
told-confirmed = { $count ->
    [one] Its instance confirmed it.
   *[other] All { $count } instances confirmed it.
}
told-nobody = No instance was running there, so nothing was accepted.
told-waiting = { $confirmed } of { $count } { $count ->
    [one] instance
   *[other] instances
} confirmed it. What has not may accept it until { $until }.
told-silent = { $confirmed } of { $count } { $count ->
    [one] instance
   *[other] instances
} confirmed it. The lease of what had not ran out by { $until }: since then it accepts nothing until it has learned of it.
told-unguarded = Tokens that it looks up were refused at once. Tokens that it checks by itself may work until they expire, at { $until } at the latest.
told-expired = Tokens that it looks up were refused at once. Tokens that it checks by itself had all expired by { $until }.
told-looked-up = Refused at once: it looks every token of this app up here.
told-reload = Reload this page to see who has confirmed it since.
purge-title = Deleted for good
purge-running = What is dead is now being deleted.
purge-done = Everything dead was deleted.
purge-progress = { $taken } of about { $total } rows deleted
purge-progress-more = { $taken } rows deleted, more than { $left } left
purge-finished = All deleted at
purge-reload = Reload this page to see how far it is.
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
    [one] device
   *[other] devices
}
tally-sessions = { $count ->
    [one] browser
   *[other] browsers
}
