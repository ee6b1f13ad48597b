//! What outlives the process: one SQLite file in the data folder.
//!
//! One server has it at a time. Others can read it meanwhile, and write a little: an operator with
//! `sqlite3`, and the subcommands of this program.

mod journal;
mod rejected;
mod sessions;

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};

pub use journal::{JournalTotals, Journalled};
pub use rejected::{NewRejected, RejectedPoint, RejectedTotals};
pub use sessions::{Change, KeptDelivery, KeptSession, KeptSubscription, Restored};

/// The open file.
#[derive(Debug)]
pub struct State {
    database: Connection,
    /// Held by a server for as long as it has the file: two servers on one file would give out the
    /// same timestamps. Not SQLite's own lock, which would keep readers out as well.
    _lock: Option<File>,
}

/// The file's name in the data folder.
const FILE: &str = "mqtt-server.db";

/// The name of the file that a server locks. It is empty, and stays when the server ends.
const LOCK_FILE: &str = "mqtt-server.lock";

/// How long a change waits for another process that changes the file. Subcommands change it for
/// milliseconds at a time.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The steps from an empty file to today's tables; `user_version` counts those that were taken.
/// Never change one that was released: add another.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE clock (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        bound_ns INTEGER NOT NULL -- no timestamp beyond this was given out
    ) STRICT;
    ",
    journal::TABLE,
    rejected::TABLE,
    sessions::TABLES,
    sessions::SENT_BELOW,
];

impl State {
    /// Opens the file in `folder` for a server; makes both where they are missing.
    ///
    /// # Errors
    /// When the folder or the file cannot be made, read or written, another server has it, or a
    /// newer version of this program made it.
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        let folder_failed = |error| StateError::Folder {
            folder: folder.to_owned(),
            error,
        };
        // Messages are in there, which other users of the machine may have no right to read.
        let mut folders = DirBuilder::new();
        folders.recursive(true).mode(0o700);
        folders.create(folder).map_err(folder_failed)?;
        let lock = take_lock(folder)?;
        let file = folder.join(FILE);
        let mut private = OpenOptions::new();
        private.create(true).append(true).mode(0o600);
        // SQLite gives its other files the permissions of this one.
        private.open(&file).map_err(folder_failed)?;
        let failed = |error| StateError::open(&file, error);
        let mut database = Connection::open(&file).map_err(failed)?;
        database.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        // FULL: what is committed survives a power failure.
        database
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 PRAGMA journal_size_limit = 16000000;",
            )
            .map_err(failed)?;
        migrate(&mut database, &file)?;
        Ok(Self {
            database,
            _lock: Some(lock),
        })
    }

    /// Opens the file in `folder` beside a server that may be running; `None` where there is none.
    ///
    /// # Errors
    /// When the file cannot be read, or another version of this program made it.
    pub fn open_beside(folder: &Path) -> Result<Option<Self>, StateError> {
        let file = folder.join(FILE);
        if !file.exists() {
            return Ok(None);
        }
        let failed = |error| StateError::open(&file, error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Connection::open_with_flags(&file, flags).map_err(failed)?;
        database.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        database
            .execute_batch("PRAGMA synchronous = FULL;")
            .map_err(failed)?;
        let version = user_version(&database).map_err(failed)?;
        if version > MIGRATIONS.len() {
            return Err(StateError::Newer { file });
        }
        if version < MIGRATIONS.len() {
            return Err(StateError::Older { file });
        }
        Ok(Some(Self {
            database,
            _lock: None,
        }))
    }

    /// The bound that [`State::set_clock_bound`] left last; zero at first.
    ///
    /// # Errors
    /// SQLite's.
    pub fn clock_bound(&self) -> Result<i64, StateError> {
        let bound = self
            .database
            .query_row("SELECT bound_ns FROM clock", (), |row| row.get(0))
            .optional()?;
        Ok(bound.unwrap_or(0))
    }

    /// Keeps the nanosecond beyond which no timestamp is given out.
    ///
    /// # Errors
    /// SQLite's, as on a full disk.
    pub fn set_clock_bound(&mut self, bound_ns: i64) -> Result<(), StateError> {
        let mut statement = self
            .database
            .prepare_cached("INSERT OR REPLACE INTO clock (only_row, bound_ns) VALUES (1, ?1)")?;
        statement.execute([bound_ns])?;
        Ok(())
    }
}

/// Takes the lock that only one server has.
fn take_lock(folder: &Path) -> Result<File, StateError> {
    let path = folder.join(LOCK_FILE);
    let failed = |error| StateError::Folder {
        folder: folder.to_owned(),
        error,
    };
    let lock = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StateError::InUse {
            file: folder.join(FILE),
        }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn user_version(database: &Connection) -> Result<usize, rusqlite::Error> {
    database.query_row("PRAGMA user_version", (), |row| row.get(0))
}

fn migrate(database: &mut Connection, file: &Path) -> Result<(), StateError> {
    let failed = |error| StateError::open(file, error);
    // Immediate: no other process changes the tables meanwhile.
    let transaction = database
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(failed)?;
    let version = user_version(&transaction).map_err(failed)?;
    if version > MIGRATIONS.len() {
        return Err(StateError::Newer {
            file: file.to_owned(),
        });
    }
    for (step, taken) in MIGRATIONS.iter().zip(1_u32..).skip(version) {
        transaction.execute_batch(step).map_err(failed)?;
        transaction
            .pragma_update(None, "user_version", taken)
            .map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

/// Why the state cannot be had or kept.
#[derive(Debug)]
pub enum StateError {
    /// The data folder cannot be made or used.
    Folder {
        /// The data folder.
        folder: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file cannot be opened.
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        error: rusqlite::Error,
    },
    /// Another server uses the file.
    InUse {
        /// The file.
        file: PathBuf,
    },
    /// The file was made by a newer version of this program.
    Newer {
        /// The file.
        file: PathBuf,
    },
    /// The file was made by an older version of this program, and no server of this version has
    /// brought it up to date yet.
    Older {
        /// The file.
        file: PathBuf,
    },
    /// The thread that writes it cannot be started.
    Thread(io::Error),
    /// Reading or writing failed later.
    Sqlite(rusqlite::Error),
}

impl StateError {
    fn open(file: &Path, error: rusqlite::Error) -> Self {
        Self::File {
            file: file.to_owned(),
            error,
        }
    }
}

impl From<io::Error> for StateError {
    fn from(error: io::Error) -> Self {
        Self::Thread(error)
    }
}

impl From<rusqlite::Error> for StateError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { folder, error } => {
                write!(
                    f,
                    "cannot use the data folder {}: {error} (--data-dir names another)",
                    folder.display()
                )
            }
            Self::File { file, error } => {
                write!(
                    f,
                    "cannot open {}: {error} (--data-dir names another folder)",
                    file.display()
                )
            }
            Self::InUse { file } => {
                write!(
                    f,
                    "{} is in use by another server (--data-dir names another folder)",
                    file.display()
                )
            }
            Self::Newer { file } => {
                write!(
                    f,
                    "{} was made by a newer version of mqtt-server",
                    file.display()
                )
            }
            Self::Older { file } => {
                write!(
                    f,
                    "{} was made by an older version of mqtt-server: start the server once, which \
                     brings it up to date",
                    file.display()
                )
            }
            Self::Thread(error) => write!(f, "cannot start the thread of the state file: {error}"),
            Self::Sqlite(error) => write!(f, "state file: {error}"),
        }
    }
}

impl std::error::Error for StateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Folder { error, .. } | Self::Thread(error) => Some(error),
            Self::File { error, .. } | Self::Sqlite(error) => Some(error),
            Self::InUse { .. } | Self::Newer { .. } | Self::Older { .. } => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keeps_the_clock_bound() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("not/yet/there");
        let mut state = State::open(&folder).unwrap();
        assert_eq!(state.clock_bound().unwrap(), 0);
        state.set_clock_bound(17).unwrap();
        state.set_clock_bound(18).unwrap();
        drop(state);
        assert_eq!(State::open(&folder).unwrap().clock_bound().unwrap(), 18);
    }

    #[test]
    fn lets_no_other_user_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("state");
        let mut state = State::open(&folder).unwrap();
        state.set_clock_bound(1).unwrap();
        let files = fs::read_dir(&folder)
            .unwrap()
            .map(|file| file.unwrap().path());
        for path in files.chain([folder.clone()]) {
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            // The lock file is empty.
            let is_private = mode & 0o077 == 0 || path.ends_with(LOCK_FILE);
            assert!(is_private, "{}: {mode:o}", path.display());
        }
    }

    #[test]
    fn refuses_a_file_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let _state = State::open(dir.path()).unwrap();
        let error = State::open(dir.path()).unwrap_err();
        assert!(matches!(error, StateError::InUse { .. }), "{error}");
    }

    #[test]
    fn is_read_beside_a_server() {
        let dir = tempfile::tempdir().unwrap();
        assert!(State::open_beside(dir.path()).unwrap().is_none());
        let mut server = State::open(dir.path()).unwrap();
        server.set_clock_bound(18).unwrap();
        let beside = State::open_beside(dir.path()).unwrap().unwrap();
        assert_eq!(beside.clock_bound().unwrap(), 18);
    }

    #[test]
    fn refuses_what_is_not_its_file() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), "a".repeat(4096)).unwrap();
        let error = State::open(dir.path()).unwrap_err();
        assert!(matches!(error, StateError::File { .. }), "{error}");
    }

    #[test]
    fn refuses_a_newer_file() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        state
            .database
            .pragma_update(None, "user_version", 1_000)
            .unwrap();
        drop(state);
        let error = State::open(dir.path()).unwrap_err();
        assert!(matches!(error, StateError::Newer { .. }), "{error}");
    }
}
