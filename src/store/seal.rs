//! Passwords at rest.
//!
//! Owns `secret.key` and the sealing of viewers' passwords (ChaCha20-Poly1305), so that a playlist URL can be shown again
//! while a stolen copy of the database shows none. Must not enter: rows, policy. Invariant: a key is never replaced while
//! something is sealed with it.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::{StoreError, sync_dir, warn_if_open};
use crate::secret::Secret;

const KEY_LEN: usize = 32;
/// Binds a sealed text to its use.
const PURPOSE: &[u8] = b"yagid viewer password 1";
const TRAIL: &[u8] = b"yagid audit trail 1";

/// Seals and opens with the key of the state directory.
pub struct Sealer(LessSafeKey);

impl Sealer {
    /// Reads the key, or makes one when nothing was ever sealed.
    pub fn open(path: &Path, sealed: bool) -> Result<Self, StoreError> {
        let io = |cause| StoreError::Io { what: "cannot read or make", path: path.to_owned(), cause };
        let bytes = match fs::read(path) {
            Ok(bytes) if bytes.len() == KEY_LEN => {
                warn_if_open(path, 0o077, "chmod 600");
                bytes
            }
            Ok(_) if sealed => {
                return Err(StoreError::Key { path: path.to_owned(), why: "the key does not have 32 bytes" });
            }
            Ok(_) => make(path).map_err(io)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound && sealed => {
                return Err(StoreError::Key { path: path.to_owned(), why: "the key file is missing" });
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => make(path).map_err(io)?,
            Err(e) => return Err(io(e)),
        };
        let key = UnboundKey::new(&CHACHA20_POLY1305, &bytes).expect("the length was checked");
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Nonce, then ciphertext and tag. Fails only when the system gives no random bytes.
    pub fn seal(&self, secret: &Secret) -> io::Result<Vec<u8>> {
        self.seal_bytes(secret.expose().as_bytes().to_vec(), PURPOSE)
    }

    /// None: sealed with another key, or damaged.
    pub fn unseal(&self, sealed: &[u8]) -> Option<Secret> {
        Some(Secret::new(std::str::from_utf8(&self.unseal_bytes(sealed, PURPOSE)?).ok()?))
    }

    /// The same for what rows held, which may be much.
    pub fn seal_trail(&self, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        self.seal_bytes(bytes, TRAIL)
    }

    pub fn unseal_trail(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        self.unseal_bytes(sealed, TRAIL)
    }

    fn seal_bytes(&self, mut bytes: Vec<u8>, purpose: &[u8]) -> io::Result<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(purpose), &mut bytes)
            .map_err(|_| io::Error::other("it is too long to seal"))?;
        Ok([&nonce[..], &bytes].concat())
    }

    fn unseal_bytes(&self, sealed: &[u8], purpose: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
        let mut text = text.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.0.open_in_place(nonce, Aad::from(purpose), &mut text).ok()?.len();
        text.truncate(plain);
        Some(text)
    }
}

/// Written beside and renamed: a crash leaves the whole key or none.
fn make(path: &Path) -> io::Result<Vec<u8>> {
    let mut key = vec![0; KEY_LEN];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let part = path.with_extension("part");
    let _ = fs::remove_file(&part);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealing_hides_and_opens_again_with_the_same_key_only() {
        let tmp = tempfile::tempdir().unwrap();
        let a = Sealer::open(&tmp.path().join("a"), false).unwrap();
        let b = Sealer::open(&tmp.path().join("b"), false).unwrap();
        let sealed = a.seal(&Secret::new("canary-password")).unwrap();
        assert!(!sealed.windows(6).any(|w| w == b"canary"));
        assert_ne!(sealed, a.seal(&Secret::new("canary-password")).unwrap());
        let again = Sealer::open(&tmp.path().join("a"), true).unwrap();
        assert_eq!(again.unseal(&sealed).unwrap().expose(), "canary-password");
        assert!(b.unseal(&sealed).is_none());
        assert!(a.unseal(&sealed[..20]).is_none() && a.unseal(b"").is_none());
    }

    #[test]
    fn a_lost_key_is_never_replaced_silently() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("secret.key");
        let error = Sealer::open(&path, true).err().unwrap().to_string();
        assert!(error.contains("the key file is missing"), "{error}");
        assert!(!path.exists());
        fs::write(&path, "short").unwrap();
        assert!(Sealer::open(&path, true).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"short");
    }
}
