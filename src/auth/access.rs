//! The password file and the access-control file as they are now.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use super::gate::Gate;
use super::{Acl, Credential, FileError, PasswordFile, Principal, Rights};
use crate::config::Config;

/// Who may connect and do what: shared by all clients, and exchanged as a whole by a reload.
#[derive(Debug)]
pub struct Access {
    password_file: Option<PathBuf>,
    acl_file: Option<PathBuf>,
    allow_anonymous: bool,
    files: RwLock<Arc<Files>>,
    /// How often the files were exchanged.
    epoch: AtomicU64,
    gate: Gate,
    refused_publishes: AtomicU64,
}

/// What was read. `None` where no such file is configured.
#[derive(Debug)]
struct Files {
    passwords: Option<PasswordFile>,
    acl: Option<Acl>,
}

/// Why a client is not admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The user is unknown or the password wrong; nobody is told which of the two.
    WrongPassword {
        /// The name that was given.
        user_name: String,
    },
    /// There was no user name, or no password file that could confirm it, and that is not allowed.
    Anonymous,
    /// So many clients had their passwords checked that this one's turn did not come in time.
    Busy,
}

impl Access {
    /// Reads the files that are configured.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn open(config: &Config) -> Result<Self, FileError> {
        let (password_file, acl_file) = (config.password_file.clone(), config.acl_file.clone());
        let files = Files::read(password_file.as_ref(), acl_file.as_ref())?;
        Ok(Self {
            password_file,
            acl_file,
            allow_anonymous: config.allow_anonymous,
            files: RwLock::new(Arc::new(files)),
            epoch: AtomicU64::new(0),
            gate: Gate::new(),
            refused_publishes: AtomicU64::new(0),
        })
    }

    /// Checks what a client says of itself. Takes milliseconds where there is a password to check,
    /// and waits for its turn to do so, but not beyond `deadline`.
    ///
    /// # Errors
    /// Why the client is refused.
    pub fn admit(
        &self,
        user_name: Option<&str>,
        password: Option<&[u8]>,
        deadline: Instant,
    ) -> Result<Credential, Refusal> {
        let files = self.files();
        // As in Mosquitto, an empty name is none.
        let user_name = user_name.filter(|name| !name.is_empty());
        let (Some(user_name), Some(passwords)) = (user_name, &files.passwords) else {
            // A name that nobody confirms is what the client likes to be called.
            return match self.allow_anonymous {
                true => Ok(Credential {
                    user_name: user_name.map(Box::from),
                    proof: None,
                    is_certified: false,
                }),
                false => Err(Refusal::Anonymous),
            };
        };
        let pass = self.gate.enter(deadline).ok_or(Refusal::Busy)?;
        // Without a password the work is the same, so that it tells nothing about the user.
        let proof = passwords.verify(user_name, password.unwrap_or_default());
        drop(pass);
        match proof.filter(|_| password.is_some()) {
            Some(proof) => Ok(Credential {
                user_name: Some(user_name.into()),
                proof: Some(Arc::clone(proof)),
                is_certified: false,
            }),
            None => Err(Refusal::WrongPassword {
                user_name: user_name.to_owned(),
            }),
        }
    }

    /// Reads the files again. Clients are measured by the new ones from their next message on.
    ///
    /// # Errors
    /// What is wrong with one of them; then both stay as they were.
    pub fn reload(&self) -> Result<(), FileError> {
        let files = Files::read(self.password_file.as_ref(), self.acl_file.as_ref())?;
        let mut current = self.files.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(files);
        drop(current);
        // After the exchange: whoever sees the new number finds the new files.
        self.epoch.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Whether the client would be admitted now as it was then: its user is still there, with the
    /// same password.
    #[must_use]
    pub fn still_admits(&self, principal: &Principal) -> bool {
        match (&self.files().passwords, principal.user_name()) {
            _ if principal.is_certified() => true,
            (Some(passwords), Some(user_name)) => passwords.of(user_name) == principal.proof(),
            // The settings that let it in do not change while the server runs.
            (None, _) | (_, None) => true,
        }
    }

    /// Changes when the files do, and only grows. An answer about rights holds while it stands
    /// still, if it was read before the question.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Whether there is a file that a reload would read.
    #[must_use]
    pub fn has_files(&self) -> bool {
        self.password_file.is_some() || self.acl_file.is_some()
    }

    /// Whether not everybody who is connected may do everything.
    #[must_use]
    pub fn restricts(&self) -> bool {
        self.has_files()
    }

    /// What the operator should know of these settings, given whether others than this machine
    /// reach a listener.
    #[must_use]
    pub fn advice(&self, is_reachable: bool) -> Option<&'static str> {
        let files = self.files();
        match (&files.acl, &files.passwords) {
            (None, _) if self.allow_anonymous && is_reachable => Some(
                "anyone who reaches this port may read and write everything: --password-file and \
                 --acl-file end that",
            ),
            (_, None) if !self.allow_anonymous => Some(
                "--allow-anonymous false without --password-file: only clients get in whose \
                 certificate names them (--tls-client-identity)",
            ),
            (Some(acl), None) if acl.names_users() => Some(
                "without --password-file any client may call itself by any user name of the \
                 --acl-file",
            ),
            _ => None,
        }
    }

    /// Counts a message that a client was not allowed to publish.
    pub fn count_refused_publish(&self) {
        self.refused_publishes.fetch_add(1, Ordering::Relaxed);
    }

    /// How many messages clients were not allowed to publish.
    #[must_use]
    pub fn refused_publishes(&self) -> u64 {
        self.refused_publishes.load(Ordering::Relaxed)
    }

    pub(super) fn rights(&self, principal: &Principal) -> Rights {
        if !self.still_admits(principal) {
            return Rights::nothing();
        }
        match &self.files().acl {
            Some(acl) => acl.rights(&principal.identity()),
            None => Rights::everything(),
        }
    }

    fn files(&self) -> Arc<Files> {
        Arc::clone(&self.files.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Files {
    fn read(passwords: Option<&PathBuf>, acl: Option<&PathBuf>) -> Result<Self, FileError> {
        Ok(Self {
            passwords: passwords.map(|path| PasswordFile::read(path)).transpose()?,
            acl: acl.map(|path| Acl::read(path)).transpose()?,
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongPassword { user_name } => {
                write!(f, "user {user_name:?} is unknown or its password wrong")
            }
            Self::Anonymous => f.write_str(
                "no user name that a password file confirms, and anonymous clients are not allowed",
            ),
            Self::Busy => {
                f.write_str("its password could not be checked in time, as others were before it")
            }
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::super::{Algorithm, PasswordHash};
    use super::*;
    use crate::config::Invocation;

    fn config(flags: &[&str]) -> Config {
        let args = ["mqtt-server", "--data-dir", "/nowhere"];
        let args = args.iter().chain(flags).map(|arg| (*arg).to_owned());
        let read = Config::from_sources(args, [], |_| Err(std::io::ErrorKind::NotFound.into()));
        match read.unwrap() {
            Invocation::Serve(config) => *config,
            other => panic!("expected a configuration, got {other:?}"),
        }
    }

    #[test]
    fn takes_an_unconfirmed_name_for_an_anonymous_client() {
        let now = Instant::now();
        let open = Access::open(&config(&[])).unwrap();
        let bob = open.admit(Some("bob"), None, now).unwrap();
        assert_eq!(bob.user_name.as_deref(), Some("bob"));
        let closed = Access::open(&config(&["--allow-anonymous", "false"])).unwrap();
        for name in [None, Some("bob")] {
            let refused = closed.admit(name, Some(b"b"), now);
            assert_eq!(refused.unwrap_err(), Refusal::Anonymous);
        }
    }

    #[test]
    fn refuses_who_waits_too_long_for_a_check() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("users");
        let hash = PasswordHash::new(Algorithm::Sha512, b"b").unwrap();
        fs::write(&path, format!("bob:{hash}\n")).unwrap();
        let access = Access::open(&config(&["--password-file", path.to_str().unwrap()])).unwrap();
        let now = Instant::now();
        let mut passes = Vec::new();
        while let Some(pass) = access.gate.enter(now) {
            passes.push(pass);
        }
        let cores = std::thread::available_parallelism().unwrap().get();
        assert_eq!(
            passes.len(),
            (cores - 1).max(1),
            "one core is left to others"
        );
        let bob = || access.admit(Some("bob"), Some(b"b"), now);
        assert_eq!(bob().unwrap_err(), Refusal::Busy);
        passes.pop();
        assert!(bob().is_ok());
    }
}
