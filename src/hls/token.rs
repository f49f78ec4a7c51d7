//! Tokens: who may fetch segments, without a password in the address.
//!
//! Owns their form and their proof: base64url of a claim and its HMAC-SHA256 under a key that lives as long as the process.
//! Must not enter: what a session is. Invariant: a claim is believed only if we signed it and it is not too old; the address a
//! request comes from is no part of it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;

/// Bytes of a claim, and of its proof.
const CLAIM: usize = 24;
const PROOF: usize = 32;

pub struct Key(hmac::Key);

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub session: u64,
    /// 0: nobody in particular.
    pub user: u32,
    /// 0: content that is no channel.
    pub channel: u32,
    /// Epoch seconds.
    pub expires_at: i64,
}

/// Why a token opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("this address was not made by this server; ask for the channel's playlist again")]
    Forged,
    #[error("this address is too old; ask for the channel's playlist again")]
    Expired,
    #[error("this session is over; ask for the channel's playlist again")]
    Over,
}

impl Key {
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    pub fn sign(&self, claim: Claim) -> String {
        let mut bytes = Vec::with_capacity(CLAIM + PROOF);
        bytes.extend(claim.session.to_be_bytes());
        bytes.extend(claim.user.to_be_bytes());
        bytes.extend(claim.channel.to_be_bytes());
        bytes.extend(claim.expires_at.to_be_bytes());
        let proof = hmac::sign(&self.0, &bytes);
        bytes.extend(proof.as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// # Errors
    /// When it is not ours, or was good until a moment before `now`.
    pub fn read(&self, token: &str, now: i64) -> Result<Claim, Fault> {
        let mut bytes = [0; CLAIM + PROOF];
        let whole = URL_SAFE_NO_PAD.decode_slice(token, &mut bytes).is_ok_and(|n| n == bytes.len());
        let (claim, proof) = bytes.split_at(CLAIM);
        if !whole || hmac::verify(&self.0, claim, proof).is_err() {
            return Err(Fault::Forged);
        }
        let word = |at: usize| claim[at..at + 4].iter().fold(0u32, |n, b| n << 8 | u32::from(*b));
        let long = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
        let claim = Claim { session: long(0), user: word(8), channel: word(12), expires_at: long(16).cast_signed() };
        if claim.expires_at <= now { Err(Fault::Expired) } else { Ok(claim) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLAIM: Claim = Claim { session: 7 << 40 | 5, user: 3, channel: 0x8000_0001, expires_at: 1_800_000_000 };

    #[test]
    fn a_token_says_what_was_signed_until_it_is_too_old() {
        let (key, other) = (Key::random().unwrap(), Key::random().unwrap());
        let token = key.sign(CLAIM);
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{token}");
        assert_eq!(key.read(&token, CLAIM.expires_at - 1), Ok(CLAIM));
        assert_eq!(key.read(&token, CLAIM.expires_at), Err(Fault::Expired));
        assert_eq!(other.read(&token, 0), Err(Fault::Forged), "a key of another process");
    }

    proptest! {
        #[test]
        fn nothing_else_is_believed(text in "\\PC{0,120}", at in 0usize..74, letter in "[A-Za-z0-9_-]") {
            let key = Key::random().unwrap();
            prop_assert_eq!(key.read(&text, 0), Err(Fault::Forged));
            let mut token = key.sign(CLAIM);
            prop_assume!(token[at..=at] != letter);
            token.replace_range(at..=at, &letter);
            prop_assert_eq!(key.read(&token, 0), Err(Fault::Forged));
        }
    }
}
