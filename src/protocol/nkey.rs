//! Signing with a user's NKey seed.

use ed25519_compact::{KeyPair, Seed};

/// The first byte of a seed, and of a user's public key: the letters S and U in base32.
const SEED: u8 = 18 << 3;
const USER: u8 = 20 << 3;

/// A user's key.
pub(super) struct UserKey(KeyPair);

/// An invalid NKey seed of a user. The text is not included, as it may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the seed of a user's nkey: {0}")]
pub(super) struct InvalidSeed(&'static str);

impl UserKey {
    pub(super) fn from_seed(text: &str) -> Result<Self, InvalidSeed> {
        let bytes = base32_decode(text).ok_or(InvalidSeed("it is not base32"))?;
        let [first, second, seed @ .., low, high] = bytes.as_slice() else {
            return Err(InvalidSeed("it is too short"));
        };
        let body = &bytes[..bytes.len() - 2];
        if crc16(body) != u16::from_le_bytes([*low, *high]) {
            return Err(InvalidSeed("its checksum is wrong"));
        }
        // The key type is spread over both bytes.
        let kind = (first & 0b111) << 5 | second >> 3;
        if first & 0b1111_1000 != SEED || kind != USER {
            return Err(InvalidSeed("it is a key of another kind"));
        }
        let seed = Seed::from_slice(seed).map_err(|_| InvalidSeed("its length is wrong"))?;
        // Only the all-zero seed is rejected.
        let pair = KeyPair::try_from_seed(seed).map_err(|_| InvalidSeed("it is empty"))?;
        Ok(Self(pair))
    }

    pub(super) fn public(&self) -> String {
        let mut bytes = vec![USER];
        bytes.extend_from_slice(&*self.0.pk);
        let checksum = crc16(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        base32(&bytes)
    }

    pub(super) fn sign(&self, nonce: &[u8]) -> [u8; 64] {
        *self.0.sk.sign(nonce, None)
    }
}

const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn base32(bytes: &[u8]) -> String {
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    (0..bytes.len() * 8)
        .step_by(5)
        .map(|from| (from..from + 5).fold(0, |digit, at| digit << 1 | bit(at)))
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

fn base32_decode(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut count, mut bytes) = (0u16, 0, Vec::new());
    for letter in text.bytes() {
        let digit = DIGITS.iter().position(|&digit| digit == letter)?;
        bits = bits << 5 | digit as u16;
        count += 5;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |mut crc: u16, &byte| {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 != 0 {
                crc << 1 ^ 0x1021
            } else {
                crc << 1
            };
        }
        crc
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_matches_the_rfc() {
        assert_eq!(base32(b"foobar"), "MZXW6YTBOI");
        assert_eq!(base32_decode("MZXW6YTBOI").unwrap(), b"foobar");
        assert_eq!(base32_decode("1"), None);
    }

    const SEED_TEXT: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";

    #[test]
    fn a_seed_yields_its_public_key() {
        let key = UserKey::from_seed(SEED_TEXT).unwrap();
        assert_eq!(
            key.public(),
            "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"
        );
        let signature = ed25519_compact::Signature::new(key.sign(b"nonce"));
        assert!(key.0.pk.verify(b"nonce", &signature).is_ok());
    }

    #[test]
    fn bad_seeds_are_refused() {
        let typo = SEED_TEXT.replace("UAHU", "UAHV");
        let account = SEED_TEXT.replacen("SU", "SA", 1);
        for seed in ["", "SU", "not base32", &typo, &account] {
            assert!(UserKey::from_seed(seed).is_err(), "{seed}");
        }
    }

    crate::platform::native_only! {
        #[test]
        fn an_account_seed_is_refused() {
            let account = nkeys::KeyPair::new_account().seed().unwrap();
            let error = UserKey::from_seed(&account).err().unwrap().to_string();
            assert!(error.ends_with("it is a key of another kind"), "{error}");
        }
    }

    #[test]
    fn crc16_matches_xmodem() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }
}
