//! Messages become points in InfluxDB.
//!
//! The way of a message through this module: [`Store::take_timestamps`] takes its time from the
//! `clock`, the [`rules`] or the default [`mapping`] make lines of line protocol of it,
//! `group_commit` joins the lines of many clients into one write, at the `pace` in which they come,
//! and `safe_keeping` finds a safe place for it: `influx` posts it; where InfluxDB rejects some of
//! the points, `sift` finds which, and they go to the `rejected`; where it is away, the whole write
//! goes to the `journal`, from where `replay` brings it later. When `Store::write` returns, all
//! points are in one of these places, or the error says why not.
//!
//! Lock order: the state file, then the room of the rejected points.
//!
//! This module knows no sessions and no subscribers.

mod base64;
mod clock;
mod error;
mod group_commit;
mod influx;
mod journal;
mod json;
mod line;
pub mod mapping;
mod number;
mod pace;
mod points;
#[cfg(test)]
mod reading;
mod rejected;
mod replay;
pub mod rules;
mod safe_keeping;
pub mod series;
mod sift;

use std::fmt;
use std::sync::{Arc, Mutex};

pub use error::StoreError;
pub use influx::TransportError;

use crate::config::Config;
use crate::state::{State, StateError};
use clock::Clock;
use group_commit::GroupCommit;
use influx::Influx;
use mapping::MappingError;
use points::Points;
use rules::{Message, Refusal, Rules, TopicMapping};
use safe_keeping::SafeKeeping;
use sift::RejectedLine;

/// Where all messages are stored.
#[derive(Debug)]
pub struct Store {
    rules: Rules,
    clock: Clock,
    writes: GroupCommit<SafeKeeping>,
}

impl Store {
    /// Begins to look for InfluxDB in the background, and to bring it what is in the journal.
    ///
    /// # Errors
    /// When the state or a setting cannot be used; not when InfluxDB is away.
    pub fn start(config: &Config, state: &Arc<Mutex<State>>) -> Result<Self, StartError> {
        let rules = Rules::new(config)?;
        let clock = Clock::start(Arc::clone(state))?;
        let influx = Influx::start(config)?;
        let writes = GroupCommit::new(
            SafeKeeping::start(influx, state, config)?,
            config.influx_connections,
            config.influx_batch_points,
        );
        Ok(Self {
            rules,
            clock,
            writes,
        })
    }

    /// How messages of `topic` become points. Worth keeping for the topic's next message.
    #[must_use]
    pub fn bind(&self, topic: &str) -> TopicMapping {
        self.rules.bind(topic)
    }

    /// Takes `count` timestamps in a row, which nobody else gets, and returns the first:
    /// nanoseconds since 1970.
    #[must_use]
    pub fn take_timestamps(&self, count: usize) -> i64 {
        self.clock.take(count)
    }

    /// Stores the points of messages in their order, and returns when all are safe: InfluxDB has
    /// acknowledged them, or they are on our own disk, in the journal while InfluxDB is away or
    /// among the rejected points, as are those that do not fit their rule. Blocks. `lines` is
    /// working space, and only kept by the caller so that it is not allocated anew.
    ///
    /// # Errors
    /// When at least one of the points is not safe; the others may be.
    pub fn write<'a>(
        &self,
        messages: impl Iterator<Item = (&'a TopicMapping, Message<'a>)>,
        lines: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let mut count = 0;
        let mut refusals = Vec::new();
        let (mut first_ns, mut last_ns) = (i64::MAX, i64::MIN);
        lines.clear();
        for (topic, message) in messages {
            count += self
                .rules
                .push_points(topic, &message, lines, &mut refusals);
            first_ns = first_ns.min(message.timestamp_ns);
            last_ns = last_ns.max(message.timestamp_ns);
        }
        if count > 0 {
            self.writes.write(&Points {
                lines,
                count,
                first_ns,
                last_ns,
            })?;
        }
        // After the others: should those fail, the messages come again, and these with them.
        if !refusals.is_empty() {
            let refused: Vec<_> = refusals.iter().map(rejected_line).collect();
            self.writes.sink().keep_aside(&refused)?;
        }
        Ok(())
    }
}

/// Asks InfluxDB once whether it would take points of this server, and changes nothing there.
///
/// # Errors
/// Why it would not, or that a setting cannot be used.
pub fn probe(config: &Config) -> Result<(), StoreError> {
    Influx::probe(config)
}

/// A point that does not fit its rule, among those that InfluxDB rejects.
fn rejected_line(refusal: &Refusal) -> RejectedLine<'_> {
    RejectedLine {
        line: &refusal.line,
        status: NOT_SENT,
        answer: refusal.reason.clone(),
    }
}

/// Stands for the HTTP status of points that were never sent to InfluxDB, since they do not fit
/// their rule.
const NOT_SENT: u16 = 0;

/// Why the store cannot be started.
#[derive(Debug)]
pub enum StartError {
    /// The measurement's name.
    Mapping(MappingError),
    /// The data folder.
    State(StateError),
    /// The settings for InfluxDB.
    Influx(TransportError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mapping(error) => write!(f, "measurement: {error}"),
            Self::State(error) => error.fmt(f),
            Self::Influx(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

impl From<MappingError> for StartError {
    fn from(error: MappingError) -> Self {
        Self::Mapping(error)
    }
}

impl From<StateError> for StartError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl From<TransportError> for StartError {
    fn from(error: TransportError) -> Self {
        Self::Influx(error)
    }
}
