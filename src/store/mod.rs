//! Messages become points in InfluxDB.
//!
//! The way of a message through this module: [`Store::write`] takes timestamps from the `clock`, the
//! [`mapping`] makes lines of line protocol of the payloads, `group_commit` joins the lines of many
//! clients into one write, and `safe_keeping` finds a safe place for it: `influx` posts it; where
//! InfluxDB rejects some of the points, `sift` finds which, and they go to the `rejected`; where
//! it is away, the whole write goes to the `journal`, from where `replay` brings it later. When
//! `Store::write` returns, all points are in one of these places, or the error says why not.
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
    /// Opens the data folder, and begins to look for InfluxDB in the background.
    ///
    /// # Errors
    /// When the data folder or a setting cannot be used; not when InfluxDB is away.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        let mapping = Mapping::new(&config.measurement, config.keep_payload)?;
        let state = Arc::new(Mutex::new(State::open(&config.data_dir)?));
        let clock = Clock::start(Arc::clone(&state))?;
        let influx = Influx::start(config)?;
        let writes = GroupCommit::new(
            SafeKeeping::start(influx, &state, config)?,
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

    /// Stores one point for each message, in their order, and returns when all are safe: InfluxDB
    /// has acknowledged them, or they are on our own disk, in the journal while InfluxDB is away
    /// or among the rejected points. Blocks. `lines` is working space, and only kept by the caller so that
    /// it is not allocated anew.
    ///
    /// # Errors
    /// When at least one of the points is not safe; the others may be.
    pub fn write<'a>(
        &self,
        messages: impl ExactSizeIterator<Item = (&'a Series, &'a [u8])>,
        lines: &mut Vec<u8>,
    ) -> Result<(), StoreError> {
        let count = messages.len();
        let first = self.clock.take(count);
        lines.clear();
        for ((series, payload), timestamp) in messages.zip(first..) {
            self.mapping.push_point(series, payload, timestamp, lines);
        }
        self.writes.write(&Points {
            lines,
            count,
            first_ns: first,
            last_ns: first.saturating_add(i64::try_from(count).unwrap_or(i64::MAX) - 1),
        })
    }
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
