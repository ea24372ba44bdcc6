### Accounts: making one, changing it, ending it.

your-account-named = Your account, { $name }
account-title = Your account
account-since = Account since
register = Make an account
register-button = Make account
register-refused = The account was not made
sign-in-instead = Sign in instead
field-email = E-mail address
field-current-password = Password now
field-new-password = New password
hint-username = Letters a to z, digits, dot, hyphen and underscore. You sign in with it.
hint-email = Optional. Only you and the admins see it.
hint-password = At least 10 characters. A few unrelated words are good.
error-username = Use 1 to 64 of the letters a to z, digits, dot, hyphen and underscore, beginning with a letter or digit.
error-username-taken = Somebody has this name already. Choose another.
error-email = This is no e-mail address. Mend it or leave it empty.
error-current-password = The password that you have now is another one.
nothing-changed = Nothing was changed

sessions-title = Where you are signed in
sessions-text = Signing out here leaves apps alone. What apps can reach is under
this-browser = This browser
signed-in-at = Signed in
account-session-ended = That browser is signed out.

password-title = Change your password
password-button = Change password
password-text = Your other browsers are signed out. Apps keep their access unless you tick the box.
password-revoke-apps = Also revoke the access of all apps
account-password-changed = Your password is changed, and your other browsers are signed out.
account-password-refused = Your password was not changed

more = More
download = Download
activity = Recent activity
activity-text = The newest 20 events. If you do not recognize one, change your password or lock everyone out below.
what-happens = What happens
what-stays = What stays
leave-it = Leave it
no-undo = This can’t be undone.

taken-over-heading = Somebody else was in your account
taken-over-meta = Ends every app’s access and every sign-in, and gives you a new password.
taken-over-button = Lock everyone out
taken-over-title = Lock everyone out?
taken-over-lede = Do this when somebody else was in your account. It ends everything at once, whoever holds it.
taken-over-apps = { $count ->
    [0] No app has access to your account now, so none loses it.
    [one] 1 app loses access to your account, on all devices.
   *[other] All { $count } apps lose access to your account, on all devices.
}
taken-over-browsers = { $count ->
    [one] Your one sign-in here ends and begins anew with the new password.
   *[other] All { $count } sign-ins here end; this browser signs in anew with the new password.
}
taken-over-password = You choose a new password below.
taken-over-stays = Apps keep what they have already copied. Your data stays as it is: look for changes that you did not make.

export-heading = Take your data with you
export-meta = One JSON file: your account, apps, sign-ins and history.
export-first = Download your data first
delete-account-heading = Delete your account
delete-account-meta = Ends every app’s access and erases your name and e-mail address.
delete-account-title = Delete your account?
delete-account-erased = Your name, e-mail address and password are erased.
delete-account-receipts = Receipts of revocations stay, without your name.
delete-account-button = Delete my account

block = Also block this app
block-hint = It can’t ask you again until you lift the block.
blocked-text = You blocked this app: it can’t ask you for access.
unblock = Let it ask again
authorize-error-blocked-title = You blocked this app
authorize-error-blocked = It asked for access again, and nothing was given to it. To let it ask, find it under “Access that has ended” in your app access and lift the block.
