### Sentences of the developers' pages, and of the consent page where an app has changed.

section-apps = Your apps

## List

apps-register = Register an app
apps-empty = You have registered no app. An app that you register can ask people for access to their accounts; here you then see who uses it, and take its tokens back.
apps-app = App
apps-status = Status
apps-users = People
apps-devices = Devices
apps-created = Registered
app-status-active = Active
app-status-suspended = Suspended
app-status-banned = Banned
app-number = { $count }

## One app

app-changed = The registration is changed. People who allowed the app before see what changed when it next asks them.
app-refused = The app’s state does not allow that. Nothing was changed.
app-stale = The tokens that you saw had ended before, so nothing more was done. What you see here is of now.
app-suspended-at = An admin suspended { $app } on
app-suspended = Nobody has access through it, and what it held stays dead. If an admin reinstates it, people have to allow it again.
app-banned-at = An admin banned { $app } on
app-banned = Nobody has access through it, for good. The domains it sent people to can’t be registered again.
app-reason = Everyone reads this sentence: “{ $reason }”
app-purging = Dead rows are being deleted
app-purging-text = Nothing depends on this: what they stood for has ended already. So far gone: { $tokens ->
    [one] 1 access token
   *[other] { $tokens } access tokens
}, { $devices ->
    [one] 1 device
   *[other] { $devices } devices
}.
app-purging-receipt = Progress and receipt
app-figure-users = { $count ->
    [one] person gave it access
   *[other] people gave it access
}
app-figure-devices = { $count ->
    [one] device is signed in
   *[other] devices are signed in
}
app-figure-tokens = { $count ->
    [one] access token
   *[other] access tokens
}
counted-at = Counted at
app-client-id = Client ID
app-registered = Registered
app-publisher = Publisher
app-runs = Runs
app-type-confidential = On a server, with a client secret
app-type-public = In a browser, on a phone or a desktop, without a secret
app-itself = Also works for itself, without a person (client_credentials)
app-figure-jwts = Its JWTs are checked by the APIs themselves, so they are not counted here.
app-format = Access tokens
app-format-opaque = Opaque: looked up at every request
app-format-jwt = JWT: checked by the API itself
app-goes-to = Goes back to
app-may-ask = May ask for
app-may-ask-all = Everything, also what is added later
app-edit = Change the registration
secrets-title = Client secrets
secret-made = Secret made
secret-newest = Newest
secret-ending = Ending
secret-until = works until
secrets-none = No secret works.
rotate-secret = Rotate secret
take-back = Take back
revoke-tokens = Revoke all user tokens
revoke-tokens-text = Signs everyone out of { $app }. Your client secret stays.
delete-app = Delete the app
delete-text = Everyone loses access, and the client ID is never given out again. This can’t be undone.
history-registered = You registered the app

## Registration

form-new-title = Register an app
form-edit-title = Change { $app }
form-error = Error: { $title }
form-new-refused = { $count ->
    [one] The app was not registered: 1 thing to mend
   *[other] The app was not registered: { $count } things to mend
}
form-edit-refused = { $count ->
    [one] Nothing was changed: 1 thing to mend
   *[other] Nothing was changed: { $count } things to mend
}
form-edit-lede = Who allowed the app before sees a new name, publisher or address when it next asks them.
form-name = Name
form-name-hint = People see it when they decide. At most 80 characters.
form-publisher = Publisher
form-publisher-hint = Who stands behind the app, as people see it. Left empty, it is your own name here.
form-redirects = Where people go back to
form-redirects-hint = The app’s redirect addresses, each in full: https, or a scheme of your own such as com.example.app:/callback; http on 127.0.0.1, [::1] or localhost alone. Leave empty what you don’t need.
form-redirect = Address { $count }
form-redirect-fault = Address { $count }: { $fault }
form-type = Where it runs
form-type-confidential = On a server
form-type-confidential-hint = It gets a client secret, which it can keep to itself.
form-type-public = In a browser, on a phone or a desktop
form-type-public-hint = It gets no secret: whoever has the app could read it.
form-itself = It also works for itself
form-itself-hint = It gets tokens of its own by client_credentials, without a person. Only an app on a server can.
form-grant-types = Without people
form-format = How its access tokens are checked
form-format-opaque = Looked up at every request
form-format-opaque-hint = Opaque tokens. A revoked one fails at the next request, at every API.
form-format-jwt = Checked by the API itself
form-format-jwt-hint = JWTs, each for one API, which live for minutes. APIs with the Rescind guard hear of a revocation at once; to others a revoked token stays good until it expires.
form-scopes = What it may ask for
form-scopes-hint = If you tick nothing, it may ask for everything, also for what is added later.
form-scopes-none = No service has registered anything yet.
form-register = Register app
form-save = Save changes
form-leave = Leave it

error-publisher-long = Use at most 80 characters for the publisher.
error-publisher-characters = The publisher has invisible characters, characters that change the direction of text, or accents without a letter. Leave them out.
error-redirect-many = An app has at most 10 redirect addresses. Leave some out.
error-redirect-banned = A banned app sent people to one of these domains, so nothing may lead there. Use another address.
error-scope-unknown = No service has registered one of these scopes. Tick what the list offers.
error-type = Choose where the app runs.
error-token-format = Choose how its tokens are checked.
error-grant-type-unknown = An app can’t be registered for this grant type. Choose what the form offers.
error-grant-type-public = An app without a secret can’t work for itself. Choose “On a server”, or leave this out.
error-generation-title = This form is garbled
error-generation = The field generation has to be the number that the page showed. Nothing was revoked.

## Secret

secret-heading = { $app }: new secret
secret-shown = The secret has been shown.
secret-shown-why = We keep only a fingerprint of it and can’t show it again. If you have lost it, make a new one.
secret-copy-now = Copy the secret now.
secret-copy-why = We keep only a fingerprint of it and can’t show it again.
secret-title = Client secret
secret-copy = Copy secret
secret-copied = Copied
secret-earlier = Earlier secrets
secret-earlier-until = Stop at { $at } at the latest
secret-done = Go to { $app }
rotate-title = Rotate { $app }’s secret?
rotate-lede = You get a new client secret. Nobody is signed out: user tokens stay.
rotate-refused = The secret was not rotated
rotate-hours = How many hours the old secret still works
rotate-hours-hint = 0 to 168, which is a week. Take 0 if it has leaked: then { $app } fails until it has the new one.
error-overlap = Give whole hours, from 0 to 168.
rotate-leaked = Whoever had the old secret may hold tokens too. If it leaked, also
rotate-leaked-link = revoke all user tokens
rotate-keep = Keep the old one

## Revoke all user tokens

revoke-tokens-title = Revoke all user tokens of { $app }?
revoke-tokens-lede = This signs { $users ->
    [0] nobody
    [one] 1 person
   *[other] { $users } people
} out, on { $devices ->
    [0] no device
    [one] 1 device
   *[other] { $devices } devices
}. Whoever wants to go on has to allow the app again.
revoke-tokens-all = Every access token and every refresh token stops working at once.
revoke-tokens-midway = Sign-ins that are under way fail. People start them again.
revoke-tokens-itself = Tokens that the app got for itself (client_credentials) end too. It can get new ones at once.
revoke-tokens-stays = Your client secret, the client ID and all settings.
revoke-tokens-leaked = If the secret leaked as well,
revoke-tokens-leaked-link = rotate it first
revoke-tokens-button = { $count ->
    [0] Revoke all tokens
    [one] Sign 1 person out
   *[other] Sign { $count } people out
}
leave-them = Leave them

## Delete

delete-title = Delete { $app }?
delete-lede = { $users ->
    [0] Nobody loses access, as nobody has it now.
    [one] 1 person loses access now, on { $devices ->
        [0] no device
        [one] 1 device
       *[other] { $devices } devices
    }.
   *[other] { $users } people lose access now, on { $devices ->
        [0] no device
        [one] 1 device
       *[other] { $devices } devices
    }.
} This can’t be undone.
delete-all = Every token and every secret stops working at once, and nothing can get new ones. The rows are then really deleted; you can watch.
delete-itself = Tokens that the app got for itself (client_credentials) end too.
delete-id = The client ID is never given out again:
delete-tombstone = The people who used it see that you deleted it.
delete-receipt = The receipt, for you, for them and for the admins.
delete-refused = { $app } was not deleted
delete-empty = The name is missing. Type “{ $app }”.
delete-typed = You typed “{ $typed }”. Type “{ $app }”.
delete-field = Type the app’s name to confirm
delete-button = Delete { $app }

## Consent to an app that has changed

consent-changed = Changed since you last allowed it
consent-changed-name = The name was “{ $earlier }”.
consent-changed-publisher = The publisher was “{ $earlier }”.
consent-changed-domains = Access could go to { $earlier }.
consent-changed-address = The exact address that access goes to changed; it is still on { $earlier }.
consent-changed-more = { $count ->
    [one] It asks for 1 thing more.
   *[other] It asks for { $count } things more.
}
