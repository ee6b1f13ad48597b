//! What outlives the process: one SQLite file in the data folder.
//!
//! An operator can open it with `sqlite3` while the broker is stopped.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OptionalExtension};

/// The open file. Only one process has it at a time.
#[derive(Debug)]
pub struct State {
    database: Connection,
}

/// The file's name in the data folder.
const FILE: &str = "mqtt-server.db";

/// The steps from an empty file to today's tables; `user_version` counts those that were taken.
/// Never change one that was released: add another.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE clock (
        only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
        bound_ns INTEGER NOT NULL -- no timestamp beyond this was given out
    ) STRICT;
"];

impl State {
    /// Opens the file in `folder`; makes both where they are missing.
    ///
    /// # Errors
    /// When the folder or the file cannot be made, read or written, another process has it, or a
    /// newer version of this program made it.
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        fs::create_dir_all(folder).map_err(|error| StateError::Folder {
            folder: folder.to_owned(),
            error,
        })?;
        let file = folder.join(FILE);
        let failed = |error| StateError::open(&file, error);
        let mut database = Connection::open(&file).map_err(failed)?;
        // Exclusive: two brokers on one file would give out the same timestamps.
        // FULL: what is committed survives a power failure.
        database
            .execute_batch(
                "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
            )
            .map_err(failed)?;
        migrate(&mut database, &file)?;
        Ok(Self { database })
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

fn migrate(database: &mut Connection, file: &Path) -> Result<(), StateError> {
    let failed = |error| StateError::open(file, error);
    // Immediate: takes the lock now, and with it any other process's claim is found.
    let transaction = database
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(failed)?;
    let version: u32 = transaction
        .query_row("PRAGMA user_version", (), |row| row.get(0))
        .map_err(failed)?;
    let version = version as usize;
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
    /// The data folder cannot be made.
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
    /// Another process uses the file.
    InUse {
        /// The file.
        file: PathBuf,
    },
    /// The file was made by a newer version of this program.
    Newer {
        /// The file.
        file: PathBuf,
    },
    /// Reading or writing failed later.
    Sqlite(rusqlite::Error),
}

impl StateError {
    fn open(file: &Path, error: rusqlite::Error) -> Self {
        let file = file.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::InUse { file },
            _ => Self::File { file, error },
        }
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
                    "cannot make the data folder {}: {error} (--data-dir names another)",
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
                    "{} is in use by another process (--data-dir names another folder)",
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
            Self::Sqlite(error) => write!(f, "state file: {error}"),
        }
    }
}

impl std::error::Error for StateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Folder { error, .. } => Some(error),
            Self::File { error, .. } | Self::Sqlite(error) => Some(error),
            Self::InUse { .. } | Self::Newer { .. } => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
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
    fn refuses_a_file_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let _state = State::open(dir.path()).unwrap();
        let error = State::open(dir.path()).unwrap_err();
        assert!(matches!(error, StateError::InUse { .. }), "{error}");
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
