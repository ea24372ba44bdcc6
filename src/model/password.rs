//! Passwords: argon2id, the only slow hash here, and only for people.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use zeroize::Zeroize;

use crate::model::text;

/// A password in the forms in which it may have been hashed.
pub struct Password {
    /// OpaqueString (RFC 8265 §4.2): however a keyboard composes a letter, it is the same password.
    opaque: Option<String>,
    /// The bytes as they were typed, if they differ: earlier versions hashed these.
    raw: Option<String>,
}

impl Password {
    pub const SHORTEST: usize = 10;
    pub const LONGEST: usize = 1024;

    /// As typed to sign in: any text, so that an old password still works.
    pub fn typed(text: String) -> Self {
        // What is longer was never accepted.
        let opaque = if text.len() <= Self::LONGEST { text::opaque(&text) } else { None };
        let raw = (opaque.as_deref() != Some(text.as_str())).then_some(text);
        Self { opaque, raw }
    }

    /// As chosen for an account.
    ///
    /// # Errors
    /// Too short (counted in characters), too long (in bytes), or with characters that may not stand in it, as a
    /// message key.
    pub fn chosen(text: String) -> Result<Self, &'static str> {
        if text.len() > Self::LONGEST {
            return Err("error-password-long");
        }
        let is_empty = text.is_empty();
        let Self { opaque, .. } = &mut Self::typed(text);
        match opaque.take() {
            None if !is_empty => Err("error-password-characters"),
            Some(opaque) if opaque.chars().count() >= Self::SHORTEST => {
                Ok(Self { opaque: Some(opaque), raw: None })
            }
            _ => Err("error-password-short"),
        }
    }

    /// The form that is hashed comes first.
    fn forms(&self) -> impl Iterator<Item = &str> {
        self.opaque.iter().chain(&self.raw).map(String::as_str)
    }

    /// A PHC string with its own salt (19 MiB, t = 2, p = 1). Takes tens of milliseconds.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn hash(&self) -> Result<String, argon2::password_hash::Error> {
        let form = self.forms().next().unwrap_or_default();
        Argon2::default().hash_password(form.as_bytes()).map(|hash| hash.to_string())
    }

    /// Whether this is the password of `hash`. Takes tens of milliseconds for each form, whatever the answer: all
    /// are tried, so that the time tells nothing about the account.
    pub fn verify(&self, hash: &str) -> bool {
        let Ok(hash) = PasswordHash::new(hash) else { return false };
        let is_right = |form: &str| {
            form.len() <= Self::LONGEST && Argon2::default().verify_password(form.as_bytes(), &hash).is_ok()
        };
        self.forms().filter(|form| is_right(form)).count() > 0
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        self.opaque.zeroize();
        self.raw.zeroize();
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Password(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_verifies_only_its_own_password() {
        let hash = Password::chosen("correct horse".into()).unwrap().hash().unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(Password::typed("correct horse".into()).verify(&hash));
        assert!(!Password::typed("correct horsf".into()).verify(&hash));
        assert!(!Password::typed("x".into()).verify("no hash"));
    }

    #[test]
    fn however_a_letter_is_composed_the_password_is_the_same() {
        let (composed, decomposed) = ("gr\u{fc}\u{df}e aus Ulm", "gru\u{308}\u{df}e\u{a0}aus Ulm");
        for (set, typed) in [(composed, decomposed), (decomposed, composed)] {
            let hash = Password::chosen(set.into()).unwrap().hash().unwrap();
            assert!(Password::typed(typed.into()).verify(&hash));
            assert!(Password::typed(set.into()).verify(&hash));
        }
    }

    #[test]
    fn a_hash_of_the_bytes_as_typed_is_still_accepted() {
        for old in ["gru\u{308}\u{df}e aus Ulm", "with a\ttab in it", "zero\u{200b}width", "short"] {
            let hash = Argon2::default().hash_password(old.as_bytes()).unwrap().to_string();
            assert!(Password::typed(old.into()).verify(&hash), "{old:?}");
            assert!(!Password::typed(format!("{old}.")).verify(&hash), "{old:?}");
        }
    }

    #[test]
    fn a_password_that_other_keyboards_cannot_type_is_refused() {
        for text in ["tab\tin the middle", "nothing\u{200b}seen", "\u{202e}backwards"] {
            assert_eq!(Password::chosen(text.into()).unwrap_err(), "error-password-characters", "{text:?}");
        }
        assert_eq!(Password::chosen(String::new()).unwrap_err(), "error-password-short");
        assert!(Password::chosen("🦊❤️👩‍👩‍👧 correct".into()).is_ok());
    }

    #[test]
    fn short_and_long_passwords_are_refused() {
        assert!(Password::chosen("123456789".into()).is_err());
        assert!(Password::chosen("ä".repeat(10)).is_ok());
        assert!(Password::chosen("a".repeat(1025)).is_err());
    }
}
