//! Whether InfluxDB takes points, as far as is known.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use log::{error, info};

use super::api::Api;
use super::failure::Failure;
use crate::lock::{lock, wait};
use crate::store::StoreError;

/// What all writers share about InfluxDB.
#[derive(Debug)]
pub(super) struct Presence {
    /// What the log calls the server.
    name: String,
    known: Mutex<Known>,
    /// It has come to be there.
    came: Condvar,
}

#[derive(Debug, Default)]
struct Known {
    state: State,
    /// How often it was lost since the last points were stored: an InfluxDB that takes the
    /// watcher's probe and then refuses points is asked less and less often.
    losses: u32,
}

/// What is known.
#[derive(Clone, Debug, Default)]
pub(super) enum State {
    /// Nothing was tried yet.
    #[default]
    Unknown,
    /// The last write or probe succeeded, by this interface.
    There(Api),
    /// It does not take points, for this reason. The watcher looks for it until it does; until
    /// then writes fail at once, so that a server that hangs does not hold up every client for
    /// the length of a timeout.
    Away(StoreError),
}

/// The watcher's pauses between two probes.
pub(super) const PROBE_PAUSE_MIN: Duration = Duration::from_millis(200);
pub(super) const PROBE_PAUSE_MAX: Duration = Duration::from_secs(2);

impl Presence {
    /// Nothing is known of the server `name`.
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            known: Mutex::default(),
            came: Condvar::new(),
        }
    }

    pub(super) fn state(&self) -> State {
        lock(&self.known).state.clone()
    }

    /// What was known does not count any more.
    pub(super) fn forget(&self) {
        lock(&self.known).state = State::Unknown;
    }

    /// Points were stored.
    pub(super) fn has_stored(&self, api: Api) {
        let mut known = lock(&self.known);
        known.losses = 0;
        self.comes(&mut known, api);
    }

    /// It would take points.
    pub(super) fn is_there(&self, api: Api) {
        self.comes(&mut lock(&self.known), api);
    }

    fn comes(&self, known: &mut Known, api: Api) {
        if !matches!(known.state, State::There(_)) {
            known.state = State::There(api);
            self.came.notify_all();
            info!(
                "[INFLUXDB] InfluxDB at {} is available, by {api}",
                self.name
            );
        }
    }

    /// It does not take points. Returns after which pause to look for it, or `None` when that was
    /// known already.
    pub(super) fn is_away(&self, failure: &Failure) -> Option<Duration> {
        let mut known = lock(&self.known);
        if matches!(known.state, State::Away(_)) {
            return None;
        }
        error!(
            "InfluxDB at {} is not available: {}",
            self.name, failure.error
        );
        known.state = State::Away(failure.error.clone());
        known.losses = known.losses.saturating_add(1);
        let pause = PROBE_PAUSE_MIN
            .saturating_mul(known.losses)
            .min(PROBE_PAUSE_MAX);
        Some(pause.max(failure.retry_after.unwrap_or_default()))
    }

    /// Waits until InfluxDB takes points, for ever if it must.
    pub(super) fn wait_until_there(&self) {
        let mut known = lock(&self.known);
        while !matches!(known.state, State::There(_)) {
            known = wait(&self.came, known);
        }
    }
}
