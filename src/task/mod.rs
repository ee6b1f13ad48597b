//! What the subcommands do: they show the journal and the rejected points to an operator, beside a
//! server that may be running on the same data folder.

mod import_file;
mod journal;
mod rejected;

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use crate::config::{Config, Task};
use crate::logging::push_rfc3339;
use crate::state::{State, StateError};

/// Does `task` with the data folder of `config` and prints what it found to `out`.
///
/// # Errors
/// When the data folder cannot be read or changed, or has no such point; not when the reader of
/// `out` has gone.
pub fn run(config: &Config, task: &Task, out: &mut impl Write) -> Result<(), TaskError> {
    let mut out = BufWriter::new(out);
    let done = match State::open_beside(&config.data_dir)? {
        Some(mut state) => run_on(&mut state, config, task, &mut out),
        None => Err(TaskError::NoState {
            folder: config.data_dir.display().to_string(),
        }),
    };
    match done.and_then(|()| Ok(out.flush()?)) {
        // As in `mqtt-server rejected list | head`.
        Err(TaskError::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

fn run_on(
    state: &mut State,
    config: &Config,
    task: &Task,
    out: &mut impl Write,
) -> Result<(), TaskError> {
    match task {
        Task::JournalStatus => journal::status(state, out),
        Task::JournalExport => journal::export(state, &config.influx_database, out),
        Task::RejectedList => rejected::list(state, out),
        Task::RejectedShow(id) => rejected::show(state, *id, out),
        Task::RejectedRetry(which) => rejected::retry(state, which, out),
        Task::RejectedExport => rejected::export(state, &config.influx_database, out),
        Task::RejectedDrop(which) => rejected::forget(state, which, out),
    }
}

/// A time in UTC, to the millisecond.
fn time(ns: i64) -> String {
    let mut text = String::new();
    push_rfc3339(&mut text, Duration::from_nanos(ns.max(0).unsigned_abs()));
    text
}

/// Why a subcommand failed.
#[derive(Debug)]
pub enum TaskError {
    /// No server has ever used the data folder.
    NoState {
        /// The data folder.
        folder: String,
    },
    /// The state file.
    State(StateError),
    /// There is no rejected point of this number.
    NoSuchPoint {
        /// The number.
        id: i64,
    },
    /// The output cannot be written.
    Print(io::Error),
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoState { folder } => write!(
                f,
                "no server has used the data folder {folder} yet (--data-dir names another)"
            ),
            Self::State(error) => error.fmt(f),
            Self::NoSuchPoint { id } => write!(f, "there is no rejected point {id}"),
            Self::Print(error) => write!(f, "cannot print: {error}"),
        }
    }
}

impl std::error::Error for TaskError {}

impl From<StateError> for TaskError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl From<io::Error> for TaskError {
    fn from(error: io::Error) -> Self {
        Self::Print(error)
    }
}
