//! One hashed password, in the formats that `mosquitto_passwd` writes.
//!
//! | text | what is hashed |
//! |---|---|
//! | `$6$SALT$HASH` | SHA-512 of the password and then the salt |
//! | `$7$ITERATIONS$SALT$HASH` | PBKDF2 with HMAC-SHA-512 |
//! | `$argon2id$v=19$m=KIB,t=PASSES,p=LANES$SALT$HASH` | Argon2id, a PHC string |
//!
//! Salt and hash are base64, with padding in the first two and without in the third.

use std::fmt;
use std::ops::RangeInclusive;

use argon2::{Argon2, Params, Version};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use pbkdf2::pbkdf2_hmac_array;
use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;

/// A password that can be recognised and not be read.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    method: Method,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq)]
enum Method {
    Sha512,
    Pbkdf2Sha512 { iterations: u32 },
    Argon2id(Params),
}

/// How a new password is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Salted SHA-512, `$6$`. Cheap for whoever guesses: for versions of Mosquitto before 2.0.
    Sha512,
    /// PBKDF2 with HMAC-SHA-512, `$7$`. Mosquitto 2.0 and later read it.
    Sha512Pbkdf2,
    /// Argon2id, `$argon2id$`. It costs whoever guesses memory too. Mosquitto 2.1 and later read it.
    Argon2id,
}

/// The length of a SHA-512 hash, in bytes.
const SHA512_LEN: usize = 64;

/// The iterations of a new PBKDF2 hash: about 10 ms of a core. A guess costs two hundred times what
/// it costs with the 101 iterations of `mosquitto_passwd` 2.0, and a core still admits some hundred
/// devices a second when all of them come back at once.
const NEW_ITERATIONS: u32 = 20_000;

/// The length of a new salt, in bytes. Mosquitto 2.0.11 refuses any other in its own two formats.
const NEW_SALT_LEN: usize = 12;

/// What a line of a file may ask for. Beyond it a slip of the pen would make each CONNECT take
/// seconds, or the memory of the machine.
const ITERATIONS: RangeInclusive<u32> = 1..=10_000_000;
const ARGON2_KIB_MAX: u32 = 1024 * 1024;
const ARGON2_PASSES_MAX: u32 = 1_000;
const ARGON2_HASH_LEN: RangeInclusive<usize> = 16..=64;
const SALT_LEN: RangeInclusive<usize> = 1..=64;

/// What is wrong with the text of a hash. It never quotes the text.
pub(super) type Malformed = &'static str;

impl PasswordHash {
    /// Reads the text of a hash.
    ///
    /// # Errors
    /// What is wrong with it, without the text itself.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let mut fields = text.split('$');
        if fields.next() != Some("") {
            return Err(UNKNOWN_FORMAT);
        }
        let mut next = || fields.next().ok_or("the hash ends too early");
        let parsed = match next()? {
            "6" => Self {
                method: Method::Sha512,
                salt: bytes(&BASE64_STANDARD, next()?)?,
                hash: bytes(&BASE64_STANDARD, next()?)?,
            },
            "7" => Self {
                method: Method::Pbkdf2Sha512 {
                    iterations: iterations(next()?)?,
                },
                salt: bytes(&BASE64_STANDARD, next()?)?,
                hash: bytes(&BASE64_STANDARD, next()?)?,
            },
            "argon2id" => {
                if next()? != "v=19" {
                    return Err("expected version 19 of Argon2id");
                }
                Self {
                    method: Method::Argon2id(argon2_params(next()?)?),
                    salt: bytes(&BASE64_STANDARD_NO_PAD, next()?)?,
                    hash: bytes(&BASE64_STANDARD_NO_PAD, next()?)?,
                }
            }
            _ => return Err(UNKNOWN_FORMAT),
        };
        if fields.next().is_some() {
            return Err("something follows the hash");
        }
        parsed.check_lengths()?;
        Ok(parsed)
    }

    /// Hashes a new password with a new salt.
    ///
    /// # Errors
    /// When the system gives no random bytes, or not the memory that Argon2id wants.
    pub fn new(algorithm: Algorithm, password: &[u8]) -> std::io::Result<Self> {
        let mut salt = vec![0; NEW_SALT_LEN];
        let mut filled = 0;
        while let Some(rest) = salt.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())?;
        }
        let method = match algorithm {
            Algorithm::Sha512 => Method::Sha512,
            Algorithm::Sha512Pbkdf2 => Method::Pbkdf2Sha512 {
                iterations: NEW_ITERATIONS,
            },
            Algorithm::Argon2id => Method::Argon2id(Params::default()),
        };
        let hash = method
            .hash(password, &salt, SHA512_LEN)
            .ok_or(std::io::ErrorKind::OutOfMemory)?;
        Ok(Self { method, salt, hash })
    }

    /// Whether `password` is the one that was hashed. How long that takes depends on the method and
    /// on the length of `password`, not on how much of it is right.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        self.method
            .hash(password, &self.salt, self.hash.len())
            .is_some_and(|hash| hash.ct_eq(&self.hash).into())
    }

    fn check_lengths(&self) -> Result<(), Malformed> {
        let hash_is_whole = match self.method {
            Method::Sha512 | Method::Pbkdf2Sha512 { .. } => self.hash.len() == SHA512_LEN,
            Method::Argon2id(_) => ARGON2_HASH_LEN.contains(&self.hash.len()),
        };
        let salt_len_min = match self.method {
            Method::Sha512 | Method::Pbkdf2Sha512 { .. } => *SALT_LEN.start(),
            Method::Argon2id(_) => argon2::MIN_SALT_LEN,
        };
        if !hash_is_whole {
            return Err("the hash has not the length that its format wants");
        }
        if self.salt.len() < salt_len_min || self.salt.len() > *SALT_LEN.end() {
            return Err("the salt is too short or too long");
        }
        Ok(())
    }
}

impl Method {
    /// `None` if there is no memory for it.
    fn hash(&self, password: &[u8], salt: &[u8], len: usize) -> Option<Vec<u8>> {
        match self {
            Self::Sha512 => {
                let digest = Sha512::new().chain_update(password).chain_update(salt);
                Some(digest.finalize().to_vec())
            }
            Self::Pbkdf2Sha512 { iterations } => {
                Some(pbkdf2_hmac_array::<Sha512, SHA512_LEN>(password, salt, *iterations).to_vec())
            }
            Self::Argon2id(params) => {
                let mut hash = vec![0; len];
                let argon2 =
                    Argon2::new(argon2::Algorithm::Argon2id, Version::V0x13, params.clone());
                let done = argon2.hash_password_into(password, salt, &mut hash);
                done.is_ok().then_some(hash)
            }
        }
    }
}

const UNKNOWN_FORMAT: Malformed = "expected a hash that begins with $6$, $7$ or $argon2id$";

fn bytes(engine: &impl base64::Engine, text: &str) -> Result<Vec<u8>, Malformed> {
    engine
        .decode(text)
        .map_err(|_| "salt or hash is not base64")
}

fn iterations(text: &str) -> Result<u32, Malformed> {
    text.parse()
        .ok()
        .filter(|count| ITERATIONS.contains(count))
        .ok_or("expected from 1 to 10000000 iterations")
}

/// Reads `m=19456,t=2,p=1`.
fn argon2_params(text: &str) -> Result<Params, Malformed> {
    const EXPECTED: Malformed =
        "expected m=KIB,t=PASSES,p=LANES of Argon2id, with at most 1 GiB and 1000 passes";
    let mut fields = text.split(',');
    let mut number = |name: &str| {
        let value = fields.next()?.strip_prefix(name)?;
        value.parse::<u32>().ok()
    };
    let (Some(kib), Some(passes), Some(lanes)) = (number("m="), number("t="), number("p=")) else {
        return Err(EXPECTED);
    };
    if fields.next().is_some() || kib > ARGON2_KIB_MAX || passes > ARGON2_PASSES_MAX {
        return Err(EXPECTED);
    }
    Params::new(kib, passes, lanes, None).map_err(|_| EXPECTED)
}

/// The text that [`PasswordHash::parse`] reads.
impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.method {
            Method::Sha512 => f.write_str("$6")?,
            Method::Pbkdf2Sha512 { iterations } => write!(f, "$7${iterations}")?,
            Method::Argon2id(params) => {
                let (kib, passes) = (params.m_cost(), params.t_cost());
                write!(f, "$argon2id$v=19$m={kib},t={passes},p={}", params.p_cost())?;
            }
        }
        let (salt, hash) = match self.method {
            Method::Sha512 | Method::Pbkdf2Sha512 { .. } => (
                BASE64_STANDARD.encode(&self.salt),
                BASE64_STANDARD.encode(&self.hash),
            ),
            Method::Argon2id(_) => (
                BASE64_STANDARD_NO_PAD.encode(&self.salt),
                BASE64_STANDARD_NO_PAD.encode(&self.hash),
            ),
        };
        write!(f, "${salt}${hash}")
    }
}

/// Without the hash: this may end in a log, and a hash can be guessed at.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(***)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    /// By mosquitto_passwd 2.0.11.
    const HASHES_OF_SECRET: [&str; 2] = [
        "$6$QFCpSrm0ufk+Sj0I$KfxkyW/WPu5qkiRgmiNmAItKl/N6+iDg9m7SZagLOcaXrnWv7DO6J4KOxrTU84VeG5au+QzKqPzRFtlAB8/q7A==",
        "$7$101$sXL6A0CZkwzUvnEi$k/aqfB0Iqx6PXt1PK0OMAuV8Eqeq4je1YMQaF90XM6exq7IxpKeKDUaBmHzrPumK5TivJCvyeF6WImrki6jzlQ==",
    ];

    /// From the tests of the reference implementation of Argon2.
    const ARGON2ID_OF_PASSWORD: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ\
         $nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    #[test]
    fn recognises_the_password_and_no_other() {
        for text in HASHES_OF_SECRET {
            let hash = PasswordHash::parse(text).unwrap();
            assert!(hash.verify(b"secret"), "{text}");
            for wrong in ["", "secre", "secrets", "Secret"] {
                assert!(!hash.verify(wrong.as_bytes()), "{text} {wrong:?}");
            }
            assert_eq!(hash.to_string(), text);
        }
        let argon2id = PasswordHash::parse(ARGON2ID_OF_PASSWORD).unwrap();
        assert!(argon2id.verify(b"password") && !argon2id.verify(b"passwort"));
        assert_eq!(argon2id.to_string(), ARGON2ID_OF_PASSWORD);
    }

    #[test]
    fn hashes_what_it_recognises() {
        for algorithm in [
            Algorithm::Sha512,
            Algorithm::Sha512Pbkdf2,
            Algorithm::Argon2id,
        ] {
            let hash = PasswordHash::new(algorithm, b"secret").unwrap();
            let read = PasswordHash::parse(&hash.to_string()).unwrap();
            assert!(read == hash && read.verify(b"secret") && !read.verify(b"other"));
            let again = PasswordHash::new(algorithm, b"secret").unwrap();
            assert!(again != hash, "the salt is new each time");
        }
    }

    #[test]
    fn refuses_what_is_no_hash() {
        let hash = BASE64_STANDARD.encode([7; SHA512_LEN]);
        let short = BASE64_STANDARD.encode([7; SHA512_LEN - 1]);
        assert!(PasswordHash::parse(&format!("$7$101$c2FsdA==${hash}")).is_ok());
        for bad in [
            String::new(),
            "secret".to_owned(),
            "$5$c2FsdA==$aGFzaA==".to_owned(),
            "$6$c2FsdA==".to_owned(),
            format!("$6$c2FsdA==${short}"),
            format!("$6$${hash}"),
            format!("$6$c2FsdA==${hash}$"),
            format!("$6$c2Fs*A==${hash}"),
            format!("$7$0$c2FsdA==${hash}"),
            format!("$7$10000001$c2FsdA==${hash}"),
            format!("$7$-1$c2FsdA==${hash}"),
            "$argon2id$v=16$m=8,t=1,p=1$c29tZXNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng".to_owned(),
            "$argon2id$v=19$m=2000000,t=1,p=1$c29tZXNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng".to_owned(),
            "$argon2id$v=19$m=8,t=1$c29tZXNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng".to_owned(),
            "$argon2id$v=19$m=8,t=1,p=1$c2Fs$MTIzNDU2Nzg5MDEyMzQ1Ng".to_owned(),
            "$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng".to_owned(),
        ] {
            assert!(PasswordHash::parse(&bad).is_err(), "{bad:?}");
        }
    }
}
