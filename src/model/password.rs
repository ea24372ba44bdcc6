//! Passwords: argon2id, the only slow hash here, and only for people.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use zeroize::Zeroize;

/// A password as it was typed.
pub struct Password(String);

impl Password {
    pub const SHORTEST: usize = 10;
    pub const LONGEST: usize = 1024;

    /// As typed to sign in: any text, so that an old short password still works.
    pub fn typed(text: String) -> Self {
        Self(text)
    }

    /// As chosen anew.
    ///
    /// # Errors
    /// Too short (counted in characters) or too long (in bytes), as a message key.
    pub fn chosen(text: String) -> Result<Self, &'static str> {
        if text.chars().count() < Self::SHORTEST {
            Err("error-password-short")
        } else if text.len() > Self::LONGEST {
            Err("error-password-long")
        } else {
            Ok(Self(text))
        }
    }

    /// A PHC string with its own salt (19 MiB, t = 2, p = 1). Takes tens of milliseconds.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn hash(&self) -> Result<String, argon2::password_hash::Error> {
        Argon2::default().hash_password(self.0.as_bytes()).map(|hash| hash.to_string())
    }

    /// Whether this is the password of `hash`. Takes tens of milliseconds, whatever the answer.
    pub fn verify(&self, hash: &str) -> bool {
        self.0.len() <= Self::LONGEST
            && PasswordHash::new(hash)
                .is_ok_and(|hash| Argon2::default().verify_password(self.0.as_bytes(), &hash).is_ok())
    }
}

impl Drop for Password {
    fn drop(&mut self) {
        self.0.zeroize();
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
    fn a_hash_verifies_its_own_password_alone() {
        let hash = Password::chosen("correct horse".into()).unwrap().hash().unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(Password::typed("correct horse".into()).verify(&hash));
        assert!(!Password::typed("correct horsf".into()).verify(&hash));
        assert!(!Password::typed("x".into()).verify("no hash"));
    }

    #[test]
    fn short_and_long_passwords_are_refused() {
        assert!(Password::chosen("123456789".into()).is_err());
        assert!(Password::chosen("ä".repeat(10)).is_ok());
        assert!(Password::chosen("a".repeat(1025)).is_err());
    }
}
