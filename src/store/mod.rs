//! Messages become points in InfluxDB.
//!
//! The way of a message through this module: [`Store::write`] takes timestamps from the `clock`, the
//! [`mapping`] makes lines of line protocol of the payloads, `group_commit` joins the lines of many
//! clients into one write, at the `pace` in which they come, and `safe_keeping` finds a safe place
//! for it: `influx` posts it; where InfluxDB rejects some of the points, `sift` finds which, and
//! they go to the `rejected`; where it is away, the whole write goes to the `journal`, from where
//! `replay` brings it later. When `Store::write` returns, all points are in one of these places, or
//! the error says why not.
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
mod safe_keeping;
pub mod series;
mod sift;

use std::fmt;
use std::sync::{Arc, Mutex};

pub use error::StoreError;

use crate::config::Config;
use crate::state::{State, StateError};
use clock::Clock;
use group_commit::GroupCommit;
use influx::Influx;
use mapping::{Mapping, MappingError};
use points::Points;
use safe_keeping::SafeKeeping;
use series::Series;

/// Where all messages are stored.
#[derive(Debug)]
pub struct Store {
    mapping: Mapping,
    clock: Clock,
    writes: GroupCommit<SafeKeeping>,
}

impl Store {
    /// Begins to look for InfluxDB in the background, and to bring it what is in the journal.
    ///
    /// # Errors
    /// When the state or a setting cannot be used; not when InfluxDB is away.
    pub fn start(config: &Config, state: &Arc<Mutex<State>>) -> Result<Self, StartError> {
        let mapping = Mapping::new(&config.measurement, config.keep_payload)?;
        let clock = Clock::start(Arc::clone(state))?;
        let influx = Influx::start(config)?;
        let writes = GroupCommit::new(
            SafeKeeping::start(influx, state, config)?,
            config.influx_connections,
            config.influx_batch_points,
        );
        Ok(Self {
            mapping,
            clock,
            writes,
        })
    }

    /// What every point of a topic begins with. Worth keeping for the topic's next message.
    #[must_use]
    pub fn series(&self, topic: &str) -> Series {
        self.mapping.series(topic)
    }

    /// Takes `count` timestamps in a row, which nobody else gets, and returns the first:
    /// nanoseconds since 1970.
    #[must_use]
    pub fn take_timestamps(&self, count: usize) -> i64 {
        self.clock.take(count)
    }

    /// Stores points in their order, and returns when all are safe: InfluxDB has acknowledged them,
    /// or they are on our own disk, in the journal while InfluxDB is away or among the rejected
    /// points. Blocks. `lines` is working space, and only kept by the caller so that it is not
    /// allocated anew.
    ///
    /// # Errors
    /// When at least one of the points is not safe; the others may be.
    pub fn write<'a>(
        &self,
        points: impl ExactSizeIterator<Item = Point<'a>>,
        lines: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let count = points.len();
        let (mut first_ns, mut last_ns) = (i64::MAX, i64::MIN);
        lines.clear();
        for Point {
            series,
            payload,
            timestamp_ns,
        } in points
        {
            self.mapping
                .push_point(series, payload, timestamp_ns, lines);
            first_ns = first_ns.min(timestamp_ns);
            last_ns = last_ns.max(timestamp_ns);
        }
        self.writes.write(&Points {
            lines,
            count,
            first_ns,
            last_ns,
        })
    }
}

/// A message to be stored.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    /// What its topic's points begin with.
    pub series: &'a Series,
    /// The message's payload.
    pub payload: &'a [u8],
    /// One that [`Store::take_timestamps`] gave; the same one if the message is stored again.
    pub timestamp_ns: i64,
}

/// Why the store cannot be started.
#[derive(Debug)]
pub enum StartError {
    /// The measurement's name.
    Mapping(MappingError),
    /// The data folder.
    State(StateError),
    /// The settings for InfluxDB.
    Influx(StoreError),
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

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> Self {
        Self::Influx(error)
    }
}
