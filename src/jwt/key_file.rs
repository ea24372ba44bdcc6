//! The key file: 32 random bytes, beside the database by default. Private keys are sealed with it, and successors of
//! refresh tokens are derived with it.
//!
//! So a copy of only the database, such as a backup, can't sign anything and contains no usable token.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use zeroize::Zeroizing;

use crate::model::secret::SuccessorSecret;

const LENGTH: usize = 32;

/// Why the key file can't be used. Most messages name the setting.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("RESCIND_KEY_FILE {path}: {error}")]
    File { path: PathBuf, error: std::io::Error },
    #[error(
        "RESCIND_KEY_FILE {0} is not there, and the database holds signing keys sealed under it: \
         put it back, or, if it is lost, withdraw these keys (rescind key list, rescind key withdraw KID)"
    )]
    Missing(PathBuf),
    #[error("RESCIND_KEY_FILE {0} has to hold exactly 32 bytes")]
    Length(PathBuf),
    #[error(
        "RESCIND_KEY_FILE {path} is not the file that the signing key {kid} of this database was sealed under"
    )]
    Wrong { path: PathBuf, kid: String },
    #[error("the system gives no randomness")]
    Randomness,
}

/// Seals and opens private keys.
pub struct KeyFile {
    path: PathBuf,
    key: RandomizedNonceKey,
    pub successors: SuccessorSecret,
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "KeyFile({})", self.path.display())
    }
}

impl KeyFile {
    /// # Errors
    /// `Missing`, or what is wrong with it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let fault = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::Missing(path.to_owned()),
            _ => Error::File { path: path.to_owned(), error },
        };
        let bytes = Zeroizing::new(std::fs::read(path).map_err(fault)?);
        if bytes.len() != LENGTH {
            return Err(Error::Length(path.to_owned()));
        }
        let key = RandomizedNonceKey::new(&AES_256_GCM, &bytes).map_err(|_| Error::Randomness)?;
        Ok(Self { path: path.to_owned(), key, successors: SuccessorSecret::of_key_file(&bytes) })
    }

    /// Opens the file. If there is none, creates one that only its owner can read.
    ///
    /// # Errors
    /// When it can't be created or used.
    pub fn open_or_make(path: &Path) -> Result<Self, Error> {
        match Self::open(path) {
            Err(Error::Missing(_)) => {
                make(path).map_err(|error| Error::File { path: path.to_owned(), error })?;
                Self::open(path)
            }
            opened => opened,
        }
    }

    /// Seals `secret` for the key `kid`. It can't be opened for another key.
    ///
    /// # Errors
    /// `Randomness`.
    pub fn seal(&self, kid: &str, secret: &[u8]) -> Result<Vec<u8>, Error> {
        let mut sealed = secret.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(kid.as_bytes()), &mut sealed)
            .map_err(|_| Error::Randomness)?;
        Ok([nonce.as_ref().as_slice(), &sealed].concat())
    }

    /// # Errors
    /// `Wrong` if it was sealed under another file or for another key.
    pub fn unseal(&self, kid: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let wrong = || self.wrong(kid);
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN).ok_or_else(wrong)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| wrong())?;
        let mut opened = Zeroizing::new(sealed.to_vec());
        let length =
            self.key.open_in_place(nonce, Aad::from(kid.as_bytes()), &mut opened).map_err(|_| wrong())?.len();
        opened.truncate(length);
        Ok(opened)
    }

    pub(super) fn wrong(&self, kid: &str) -> Error {
        Error::Wrong { path: self.path.clone(), kid: kid.to_owned() }
    }
}

/// Writes a temporary file beside it and renames that, so that nobody ever finds half a file.
fn make(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Nobody else can read a new temporary file.
    let mut file = tempfile::Builder::new().prefix(".rescind-key").tempfile_in(folder)?;
    let bytes = Zeroizing::new(rand::random::<[u8; LENGTH]>());
    file.write_all(bytes.as_slice())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error.error),
        _ => {}
    }
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_key_opens_only_with_its_own_id_and_key_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::open_or_make(&folder.path().join("a")).unwrap();
        let sealed = file.seal("key_1", b"secret").unwrap();
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
        assert_eq!(file.unseal("key_1", &sealed).unwrap().as_slice(), b"secret");
        let again = KeyFile::open_or_make(&folder.path().join("a")).unwrap();
        assert_eq!(again.unseal("key_1", &sealed).unwrap().as_slice(), b"secret");
        assert!(matches!(file.unseal("key_2", &sealed), Err(Error::Wrong { .. })));
        let other = KeyFile::open_or_make(&folder.path().join("b")).unwrap();
        assert!(matches!(other.unseal("key_1", &sealed), Err(Error::Wrong { .. })));
        assert!(matches!(file.unseal("key_1", &sealed[..11]), Err(Error::Wrong { .. })));
    }

    #[test]
    fn a_file_that_is_missing_or_cut_short_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert!(matches!(KeyFile::open(&path), Err(Error::Missing(_))));
        std::fs::write(&path, [7; 31]).unwrap();
        let error = KeyFile::open_or_make(&path).unwrap_err().to_string();
        assert!(error.contains("RESCIND_KEY_FILE") && error.contains("32 bytes"), "{error}");
    }

    #[test]
    fn only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        KeyFile::open_or_make(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
