//! The file of users and their hashed passwords.
//!
//! A line is `USER:HASH`, see [`PasswordHash`] for the formats. Empty lines and lines that begin
//! with `#` say nothing.

use std::collections::HashMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Arc;

use super::{FileError, PasswordHash};

/// Users and their passwords.
#[derive(Debug, Default)]
pub struct PasswordFile {
    by_user: HashMap<Box<str>, Arc<PasswordHash>>,
    /// The same hashes, for whoever is not among the users.
    hashes: Vec<Arc<PasswordHash>>,
    decoys: RandomState,
}

impl PasswordFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, or the first line that is wrong.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let bytes = fs::read(path)
            .map_err(|error| FileError::whole(path, format!("cannot be read: {error}")))?;
        Self::parse(path, &bytes)
    }

    /// Reads `bytes`, which are those of the file at `path`.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, FileError> {
        let mut file = Self::default();
        for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
            let wrong = |what: &str| FileError::at(path, number, what);
            let line = str::from_utf8(line).map_err(|_| wrong("not UTF-8"))?;
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (user, hash) = line
                .split_once(':')
                .ok_or_else(|| wrong("expected USER:HASH"))?;
            let user = user.trim();
            check_user_name(user).map_err(wrong)?;
            let hash = Arc::new(PasswordHash::parse(hash.trim()).map_err(wrong)?);
            file.hashes.push(Arc::clone(&hash));
            if file.by_user.insert(user.into(), hash).is_some() {
                return Err(wrong(&format!("user {user:?} is there a second time")));
            }
        }
        Ok(file)
    }

    /// The hashed password of `user`.
    #[must_use]
    pub fn of(&self, user: &str) -> Option<&Arc<PasswordHash>> {
        self.by_user.get(user)
    }

    /// The hashed password of `user` if `password` is the right one.
    ///
    /// For a user that is not there the work is the same, with the hash of somebody who is, and of
    /// the same one each time: nobody learns from a watch who has an account.
    #[must_use]
    pub fn verify(&self, user: &str, password: &[u8]) -> Option<&Arc<PasswordHash>> {
        let there = self.of(user);
        let hash = there.or_else(|| self.decoy(user))?;
        let is_right = hash.verify(password);
        there.filter(|_| is_right)
    }

    /// `None` only where there are no users at all.
    fn decoy(&self, user: &str) -> Option<&Arc<PasswordHash>> {
        let count = u64::try_from(self.hashes.len()).ok()?;
        let number = self.decoys.hash_one(user).checked_rem(count)?;
        self.hashes.get(usize::try_from(number).ok()?)
    }
}

/// Whether a line of the file can hold this name, and give it back as it is.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check_user_name(user: &str) -> Result<(), &'static str> {
    if user.is_empty() {
        Err("the user name is empty")
    } else if user.len() > usize::from(u16::MAX) {
        Err("the user name is longer than 65535 bytes, which no client can send")
    } else if user.contains(':') || user.chars().any(char::is_control) {
        Err("a user name must not contain a colon or control characters")
    } else if user.starts_with('#') || user.trim() != user {
        Err("a user name must not begin with # or a blank, or end with a blank")
    } else {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Result<PasswordFile, String> {
        PasswordFile::parse(Path::new("users"), text).map_err(|error| error.to_string())
    }

    fn hash(password: &str) -> String {
        PasswordHash::new(super::super::Algorithm::Sha512, password.as_bytes())
            .unwrap()
            .to_string()
    }

    #[test]
    fn knows_its_users() {
        let text = format!(
            "# people\n\nbob:{}\r\n  al ice : {} \n",
            hash("b"),
            hash("a")
        );
        let file = parse(text.as_bytes()).unwrap();
        assert!(file.verify("bob", b"b").is_some());
        assert!(file.verify("al ice", b"a").is_some());
        for (user, password) in [
            ("bob", "a"),
            ("bob", ""),
            ("", ""),
            ("eve", "a"),
            ("eve", "b"),
        ] {
            assert!(file.verify(user, password.as_bytes()).is_none(), "{user}");
        }
        assert!(parse(b"").unwrap().verify("bob", b"b").is_none());
    }

    /// An unknown user is compared with the hash of a known one, so it costs what that one costs.
    #[test]
    fn has_a_decoy_for_each_unknown_user() {
        let file = parse(format!("a:{}\nb:{}", hash("1"), hash("2")).as_bytes()).unwrap();
        let drawn: Vec<_> = (0..64)
            .map(|number| file.decoy(&format!("eve{number}")).unwrap())
            .collect();
        for known in &file.hashes {
            assert!(drawn.iter().any(|decoy| Arc::ptr_eq(decoy, known)));
        }
        assert!(Arc::ptr_eq(
            file.decoy("eve0").unwrap(),
            file.decoy("eve0").unwrap()
        ));
    }

    #[test]
    fn names_the_line_that_is_wrong_and_never_a_hash() {
        let bob = format!("bob:{}\n", hash("b"));
        for (text, said) in [
            ("\nbob\n".to_owned(), "users: line 2: expected USER:HASH"),
            (
                format!("{bob}eve:secret\n"),
                "users: line 2: expected a hash that begins with $6$, $7$ or $argon2id$",
            ),
            (
                format!("{bob}{bob}"),
                "users: line 2: user \"bob\" is there a second time",
            ),
            (
                format!(":{}", hash("x")),
                "users: line 1: the user name is empty",
            ),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap_err(), said);
        }
        assert_eq!(parse(b"a\xff:").unwrap_err(), "users: line 1: not UTF-8");
    }
}
