### Sentences of the developers' pages, and of the consent page where an app has changed.

section-apps = Your apps

## List

apps-register = Register an app
apps-empty = You have not registered an app yet. An app that you register can ask users for access to their accounts. Here you then see who uses it, and you can revoke its tokens.
apps-app = App
apps-status = Status
apps-users = Users
apps-devices = Sign-ins
apps-created = Registered
app-status-active = Active
app-status-suspended = Suspended
app-status-banned = Banned
app-number = { $count }

## One app

app-changed = Your changes are saved. Users who allowed the app earlier see what changed the next time it asks them.
app-refused = The app’s status does not allow that. Nothing was changed.
app-stale = The tokens that you saw had already been revoked, so nothing more was done. This page shows the current state.
app-suspended-at = An admin suspended { $app } on
app-suspended = It has no access to any account, and its earlier tokens stay revoked. If an admin reinstates it, users have to allow it again.
app-banned-at = An admin banned { $app } on
app-banned = It has no access to any account, and it can’t be reinstated. The domains it sent users to can’t be registered again.
app-reason = Everyone can read this reason: “{ $reason }”
app-purging = Revoked data is being deleted
app-purging-text = This affects nobody, because everything below has already ended. Deleted so far: { $tokens ->
    [one] 1 access token
   *[other] { $tokens } access tokens
}, { $devices ->
    [one] 1 sign-in
   *[other] { $devices } sign-ins
}.
app-purging-receipt = Progress and receipt
app-figure-users = { $count ->
    [one] user allows it
   *[other] users allow it
}
app-figure-devices = { $count ->
    [one] active sign-in
   *[other] active sign-ins
}
app-figure-tokens = { $count ->
    [one] active access token
   *[other] active access tokens
}
counted-at = Counted at
app-client-id = Client ID
app-registered = Registered
app-publisher = Publisher
app-runs = Type
app-type-confidential = Confidential (server-side, with a client secret)
app-type-public = Public (browser, mobile or desktop, without a client secret)
app-itself = Can also get its own tokens, without a user (client_credentials)
app-figure-jwts = APIs check this app’s JWTs themselves, so JWTs are not counted here.
app-format = Access token format
app-format-opaque = Opaque: looked up at every request
app-format-jwt = JWT: checked by the API itself
app-goes-to = Redirect URIs
app-may-ask = Allowed permissions
app-may-ask-all = All, including permissions that are added later
app-edit = Edit registration
secrets-title = Client secrets
secret-made = Secret created
secret-newest = Newest
secret-ending = Expiring
secret-until = works until
secrets-none = There is no active secret.
rotate-secret = Rotate secret
take-back = Revoke or delete
revoke-tokens = Revoke all user tokens
revoke-tokens-text = Signs all users out of { $app }. A client secret stays valid.
delete-app = Delete the app
delete-text = All users lose access, and the client ID is never used again. This can’t be undone.
history-registered = You registered the app

## Registration

form-new-title = Register an app
form-edit-title = Edit { $app }
form-error = Error: { $title }
form-new-refused = { $count ->
    [one] The app was not registered: 1 problem to fix
   *[other] The app was not registered: { $count } problems to fix
}
form-edit-refused = { $count ->
    [one] Nothing was changed: 1 problem to fix
   *[other] Nothing was changed: { $count } problems to fix
}
form-edit-lede = Users who allowed the app earlier see a new name, publisher or redirect URI the next time it asks them.
form-name = Name
form-name-hint = Users see it when they decide. At most 80 characters.
form-publisher = Publisher
form-publisher-hint = Who is behind the app, as users see it. If you leave this blank, it is your username.
form-redirects = Redirect URIs
form-redirects-hint = Where users return to. Enter each URI in full, with https or with a scheme of your own, such as com.example.app:/callback. Only 127.0.0.1, [::1] and localhost may use http. Leave unused fields blank.
form-redirect = Redirect URI { $count }
form-redirect-fault = Redirect URI { $count }: { $fault }
form-type = App type
form-type-confidential = Confidential (server-side)
form-type-confidential-hint = It runs on a server and gets a client secret, which it can keep secret.
form-type-public = Public (browser, mobile or desktop)
form-type-public-hint = It gets no client secret, because anyone who has the app could read it.
form-itself = Allow client credentials
form-itself-hint = The app can get its own tokens, without a user (client_credentials). Only a confidential app can do this.
form-grant-types = Access without a user
form-format = Access token format
form-format-opaque = Opaque
form-format-opaque-hint = Looked up at every request. A revoked token is refused at the next request, by every API.
form-format-jwt = JWT
form-format-jwt-hint = Checked by the API itself. Each JWT is for one API and lives for minutes. APIs with the Rescind guard learn of a revocation at once. Other APIs accept a revoked JWT until it expires.
form-scopes = Allowed permissions
form-scopes-hint = If you select none, the app may ask for every permission, including those that are added later.
form-scopes-none = No API has registered any permissions yet.
form-register = Register app
form-save = Save changes
form-leave = Cancel

error-publisher-long = Use at most 80 characters for the publisher.
error-publisher-characters = The publisher contains invisible characters, characters that change the direction of text, or accents without a letter. Remove them.
error-redirect-many = An app can have at most 10 redirect URIs. Remove some.
error-redirect-banned = A banned app sent users to one of these domains, so no app may use it. Use another redirect URI.
error-scope-unknown = No API has registered one of these permissions. Choose from the list.
error-type = Choose the app type.
error-token-format = Choose the access token format.
error-grant-type-unknown = An app can’t be registered for this grant type. Choose what the form offers.
error-grant-type-public = A public app can’t use client credentials. Choose “Confidential (server-side)”, or clear this box.
error-generation-title = This form can’t be read
error-generation = A hidden field of the form does not hold the number that the page showed. Nothing was revoked.

## Secret

secret-heading = { $app }: new secret
secret-shown = The secret has already been shown.
secret-shown-why = We store only a fingerprint of it and can’t show it again. If you lost it, create a new one.
secret-copy-now = Copy the secret now.
secret-copy-why = We store only a fingerprint of it and can’t show it again.
secret-title = Client secret
secret-copy = Copy secret
secret-copied = Copied
secret-earlier = Earlier secrets
secret-earlier-until = Stop working at { $at } at the latest
secret-done = Go to { $app }
rotate-title = Rotate { $app }’s secret?
rotate-lede = You get a new client secret. Nobody is signed out, and user tokens stay valid.
rotate-refused = The secret was not rotated
rotate-hours = How many hours the old secret still works
rotate-hours-hint = 0 to 168 (one week). If the secret has leaked, enter 0. { $app } then fails until it has the new secret.
error-overlap = Enter a whole number of hours, from 0 to 168.
rotate-leaked = Anyone who had the old secret may also have tokens. If it leaked, also
rotate-leaked-link = revoke all user tokens
rotate-keep = Cancel

## Revoke all user tokens

revoke-tokens-title = Revoke all user tokens of { $app }?
revoke-tokens-lede = { $users ->
    [0] Nobody is signed out, because nobody is signed in now.
    [one] This signs out 1 user.
   *[other] This signs out { $users } users.
}{ $devices ->
    [0] { "" }
    [one] { " " }1 sign-in ends.
   *[other] { " " }{ $devices } sign-ins end.
} To go on, users have to allow the app again.
revoke-tokens-all = Every access token and every refresh token stops working at once.
revoke-tokens-midway = Sign-ins that are in progress fail. Users have to start them again.
revoke-tokens-itself = The app’s own tokens (client_credentials) stop working too. It can get new ones at once.
revoke-tokens-stays = The client ID, a client secret, and all settings.
revoke-tokens-leaked = If the secret leaked too,
revoke-tokens-leaked-link = rotate it first
revoke-tokens-button = { $count ->
    [0] Revoke all tokens
    [one] Sign out 1 user
   *[other] Sign out { $count } users
}
leave-them = Cancel

## Delete

delete-title = Delete { $app }?
delete-lede = { $users ->
    [0] No user loses access, because no user has access now.
    [one] 1 user loses access now.
   *[other] { $users } users lose access now.
}{ $devices ->
    [0] { "" }
    [one] { " " }1 sign-in ends.
   *[other] { " " }{ $devices } sign-ins end.
} This can’t be undone.
delete-all = Every token and every secret stops working at once, and the app can’t get new ones. The data is then deleted for good. You can follow the progress.
delete-itself = The app’s own tokens (client_credentials) stop working too.
delete-id = The client ID is never used again:
delete-tombstone = Users of the app see that you deleted it.
delete-receipt = The receipt, for you, the app’s users and the admins.
delete-refused = { $app } was not deleted
delete-empty = Enter the name “{ $app }”.
delete-typed = You entered “{ $typed }”. Enter “{ $app }”.
delete-field = Enter the app’s name to confirm
delete-button = Delete { $app }

## Consent to an app that has changed

consent-changed = Changed since you last allowed it
consent-changed-name = The name was “{ $earlier }”.
consent-changed-publisher = The publisher was “{ $earlier }”.
consent-changed-domains = Access could go to { $earlier }.
consent-changed-address = The exact address that access goes to has changed. It is still on { $earlier }.
consent-changed-more = { $count ->
    [one] It asks for 1 more permission.
   *[other] It asks for { $count } more permissions.
}
