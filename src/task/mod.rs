//! What the subcommands do: they show the journal and the rejected points to an operator, beside a
//! server that may be running on the same data folder, and try settings and rules.

mod check;
mod import_file;
mod journal;
mod rejected;
mod try_rule;

use std::fmt;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use crate::config::{Config, Task};
use crate::logging::push_rfc3339;
use crate::state::{State, StateError};

/// Does `task` with `config` and prints what it found to `out`.
///
/// # Errors
/// When what is to be checked is not in order, or when the data folder cannot be read or changed, or has no such point; not when the reader of
/// `out` has gone.
pub fn run(config: &Config, task: &Task, out: &mut impl Write) -> Result<(), TaskError> {
    let mut out = BufWriter::new(out);
    let done = run_task(config, task, &mut out);
    match done.and_then(|()| Ok(out.flush()?)) {
        // As in `mqtt-server rejected list | head`.
        Err(TaskError::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

fn run_task(config: &Config, task: &Task, out: &mut impl Write) -> Result<(), TaskError> {
    let state = || {
        let state = State::open_beside(&config.data_dir)?;
        state.ok_or_else(|| TaskError::NoState {
            folder: config.data_dir.display().to_string(),
        })
    };
    match task {
        Task::JournalStatus => journal::status(&state()?, out),
        Task::JournalExport => journal::export(&state()?, &config.influx_database, out),
        Task::RejectedList => rejected::list(&state()?, out),
        Task::RejectedShow(id) => rejected::show(&state()?, *id, out),
        Task::RejectedRetry(which) => rejected::retry(&mut state()?, which, out),
        Task::RejectedExport => rejected::export(&state()?, &config.influx_database, out),
        Task::RejectedDrop(which) => rejected::forget(&mut state()?, which, out),
        Task::TryRule(trial) => try_rule::run(config, trial, out),
        Task::Check { connect } => check::run(config, *connect, out),
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
    /// What was to be checked or tried is not in order.
    Refused {
        /// What is wrong with it.
        what: String,
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
            Self::Refused { what } => f.write_str(what),
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
