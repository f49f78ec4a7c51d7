//! AES-128 of HLS segments, as the bytes come.
//!
//! Owns the keys that were fetched and the decryption (CBC, PKCS#7). Must not enter: where keys come from. Invariant: no more
//! than one block is held back, because only the end of a segment tells what is padding.

use aes::Aes128;
use cbc::cipher::{BlockModeDecrypt as _, KeyIvInit as _};

const BLOCK: usize = 16;

pub struct Decrypter {
    cipher: cbc::Decryptor<Aes128>,
    held: Vec<u8>,
}

impl Decrypter {
    pub fn new(key: &[u8; 16], iv: &[u8; 16]) -> Self {
        Self { cipher: cbc::Decryptor::new(key.into(), iv.into()), held: Vec::with_capacity(BLOCK) }
    }

    /// The clear text that these bytes complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        // A whole block at the end may be the padding.
        let ready = self.held.len().saturating_sub(1) / BLOCK * BLOCK;
        let rest = self.held.split_off(ready);
        let mut out = std::mem::replace(&mut self.held, rest);
        self.decrypt(&mut out);
        out
    }

    /// What is left at the end of the segment.
    ///
    /// # Errors
    /// When it is not whole blocks, or the padding shows that the key is wrong.
    pub fn finish(mut self) -> Result<Vec<u8>, &'static str> {
        let mut out = std::mem::take(&mut self.held);
        if out.len() != BLOCK {
            return Err("an encrypted HLS segment is cut off");
        }
        self.decrypt(&mut out);
        let padding = usize::from(out[BLOCK - 1]);
        if !(1..=BLOCK).contains(&padding) || out[BLOCK - padding..].iter().any(|b| usize::from(*b) != padding) {
            return Err("the key of an HLS segment is wrong");
        }
        out.truncate(BLOCK - padding);
        Ok(out)
    }

    fn decrypt(&mut self, bytes: &mut [u8]) {
        let (blocks, _) = bytes.as_chunks_mut::<BLOCK>();
        for block in blocks {
            self.cipher.decrypt_block(block.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use cbc::cipher::BlockModeEncrypt as _;
    use proptest::prelude::*;

    use super::*;

    fn encrypt(key: &[u8; 16], iv: &[u8; 16], clear: &[u8]) -> Vec<u8> {
        let padding = BLOCK - clear.len() % BLOCK;
        let mut out = [clear, &vec![padding as u8; padding]].concat();
        let mut cipher = cbc::Encryptor::<Aes128>::new(key.into(), iv.into());
        out.as_chunks_mut::<BLOCK>().0.iter_mut().for_each(|b| cipher.encrypt_block(b.into()));
        out
    }

    #[test]
    fn a_known_text_comes_out() {
        // openssl enc -aes-128-cbc -K 000102…0f -iv 0 of "MPEG-TS"
        let key: [u8; 16] = std::array::from_fn(|i| i as u8);
        let mut decrypter = Decrypter::new(&key, &[0; 16]);
        let sealed = [0x82, 0xda, 0xeb, 0x7b, 0xc8, 0xb9, 0xdf, 0x56, 0xad, 0xe4, 0x67, 0x5e, 0x3a, 0xa3, 0xd6, 0x54];
        assert_eq!(decrypter.push(&sealed), b"");
        assert_eq!(decrypter.finish().unwrap(), b"MPEG-TS");
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_whole(
            clear in proptest::collection::vec(any::<u8>(), 0..300), cuts in proptest::collection::vec(1usize..40, 1..50)
        ) {
            let (key, iv) = ([7; 16], [9; 16]);
            let sealed = encrypt(&key, &iv, &clear);
            let mut decrypter = Decrypter::new(&key, &iv);
            let (mut out, mut rest) = (Vec::new(), &sealed[..]);
            for cut in cuts.iter().cycle() {
                let (piece, more) = rest.split_at((*cut).min(rest.len()));
                out.extend(decrypter.push(piece));
                rest = more;
                if rest.is_empty() {
                    break;
                }
            }
            out.extend(decrypter.finish().unwrap());
            prop_assert_eq!(out, clear);
        }

        #[test]
        fn garbage_is_an_error_or_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut decrypter = Decrypter::new(&[1; 16], &[2; 16]);
            let came = decrypter.push(&bytes).len();
            let rest = decrypter.finish();
            prop_assert!(rest.is_err() || came + rest.unwrap().len() < bytes.len());
        }
    }
}
