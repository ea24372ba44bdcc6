### Accounts: creating one, changing it, deleting it.

your-account-named = Your account, { $name }
account-title = Your account
account-since = Created
register = Create an account
register-button = Create account
register-refused = Your account was not created
sign-in-instead = Sign in instead
field-email = Email address
field-current-password = Current password
field-new-password = New password
hint-username = Letters a to z, digits, dots, hyphens and underscores. You sign in with this name.
hint-email = Optional. Only you and the admins can see it.
hint-password = At least 10 characters. A few unrelated words work well.
error-username = Use 1 to 64 characters: letters a to z, digits, dots, hyphens and underscores. Start with a letter or a digit.
error-username-taken = This username is taken. Choose another one.
error-email = Enter a valid email address, or leave this blank.
error-current-password = That is not your current password.
nothing-changed = Nothing was changed

sessions-title = Where you are signed in
sessions-text = Signing out a browser does not affect apps. To see which apps have access, go to
this-browser = This browser
signed-in-at = Signed in
account-session-ended = That browser is signed out.

password-title = Change your password
password-button = Change password
password-text = This signs out your other browsers. Apps keep their access unless you select the box above.
password-revoke-apps = Also revoke the access of all apps
account-password-changed = Your password is changed, and your other browsers are signed out.
account-password-refused = Your password was not changed

more = More
download = Download
activity = Recent activity
activity-text = Your 20 most recent events. If you do not recognize one, change your password, or lock everyone out below.
what-happens = What happens
what-stays = What stays
leave-it = Cancel
no-undo = This can’t be undone.

taken-over-heading = Someone else used your account
taken-over-meta = Revokes every app’s access, signs out every browser, and lets you choose a new password.
taken-over-button = Lock everyone out
taken-over-title = Lock everyone out?
taken-over-lede = Do this if someone else used your account. It ends all access at once, no matter who has it.
taken-over-apps = { $count ->
    [0] No app loses access, because no app has access to your account now.
    [one] 1 app loses access to your account, on every device.
   *[other] All { $count } apps lose access to your account, on every device.
}
taken-over-browsers = { $count ->
    [one] This browser is signed out, and then signed in again with the new password.
   *[other] All { $count } browsers are signed out. This browser is then signed in again with the new password.
}
taken-over-password = You choose a new password below.
taken-over-stays = Apps keep what they have already copied. Your data stays as it is. Check it for changes that you did not make.

export-heading = Download your data
export-meta = One JSON file with your account, apps, sign-ins and history.
export-first = Download your data first
delete-account-heading = Delete your account
delete-account-meta = Revokes every app’s access, and erases your username and email address.
delete-account-title = Delete your account?
delete-account-erased = Your username, email address and password are erased.
delete-account-receipts = Receipts of revocations stay, without your username.
delete-account-button = Delete my account

block = Also block this app
block-hint = It can’t ask you for access again until you unblock it.
blocked-text = You blocked this app, so it can’t ask you for access.
unblock = Unblock this app
authorize-error-blocked-title = You blocked this app
authorize-error-blocked = The app asked for access again and did not get it. To unblock it, go to “App access”, open “Access that has ended”, and choose the app.
