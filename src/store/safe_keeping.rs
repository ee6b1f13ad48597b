//! Where points are safe: in InfluxDB, else in the journal, else among the rejected.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use log::{error, warn};

use super::StoreError;
use super::group_commit::Sink;
use super::influx::Influx;
use super::journal::Journal;
use super::points::Points;
use super::rejected::Rejected;
use super::replay::Replay;
use super::sift::{self, RejectedLine};
use crate::config::{Config, WhenInfluxIsAway};
use crate::state::{State, StateError};

/// Finds a safe place for points, and returns only when they are there.
#[derive(Debug)]
pub(super) struct SafeKeeping {
    influx: Arc<Influx>,
    journal: Arc<Journal>,
    rejected: Arc<Rejected>,
    replay: Arc<Replay>,
    when_away: WhenInfluxIsAway,
    /// Said once for each time that InfluxDB is away.
    is_journalling: AtomicBool,
    /// Points that are stored nowhere, as the operator wishes, since InfluxDB was there last.
    unstored: AtomicU64,
}

impl SafeKeeping {
    /// Begins to bring what an earlier process left in the journal to `influx`.
    pub(super) fn start(
        influx: Arc<Influx>,
        state: &Arc<Mutex<State>>,
        config: &Config,
    ) -> Result<Self, StateError> {
        let journal = Arc::new(Journal::open(Arc::clone(state), config)?);
        let rejected = Arc::new(Rejected::open(
            Arc::clone(state),
            config.rejected_max_size as u64,
        )?);
        let replay = Replay::new(
            Arc::clone(&influx),
            Arc::clone(&journal),
            Arc::clone(&rejected),
            config.influx_batch_points,
        );
        if !journal.is_empty()? {
            replay.start();
        }
        Ok(Self {
            influx,
            journal,
            rejected,
            replay,
            when_away: config.when_influx_is_away,
            is_journalling: AtomicBool::new(false),
            unstored: AtomicU64::new(0),
        })
    }

    /// Keeps points among the rejected ones that nobody need ask InfluxDB about. When it returns,
    /// they survive a power failure.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] when there is no room for them.
    pub(super) fn keep_aside(&self, lines: &[RejectedLine<'_>]) -> Result<(), StoreError> {
        self.rejected.keep(lines)
    }

    fn while_away(&self, points: &Points<'_>, error: StoreError) -> Result<(), StoreError> {
        match self.when_away {
            WhenInfluxIsAway::Journal => {
                self.journal.append(points)?;
                if !self.is_journalling.swap(true, Ordering::Relaxed) {
                    warn!("[JOURNAL] points go to the journal until InfluxDB takes them: {error}");
                }
                // It waits for InfluxDB, and ends when the journal is empty.
                self.replay.start();
                Ok(())
            }
            WhenInfluxIsAway::Refuse => Err(error),
            WhenInfluxIsAway::Deliver => {
                let count = points.count as u64;
                if self.unstored.fetch_add(count, Ordering::Relaxed) == 0 {
                    error!(
                        "messages are delivered and acknowledged without being stored, until \
                         InfluxDB takes points (--when-influx-is-away deliver): {error}"
                    );
                }
                Ok(())
            }
        }
    }

    fn is_there(&self) {
        // Looked at before it is changed: all writers share these.
        if self.is_journalling.load(Ordering::Relaxed) {
            self.is_journalling.store(false, Ordering::Relaxed);
        }
        if self.unstored.load(Ordering::Relaxed) > 0 {
            let count = self.unstored.swap(0, Ordering::Relaxed);
            error!("InfluxDB takes points again; {count} messages were not stored");
        }
    }
}

impl Sink for SafeKeeping {
    fn post(&self, points: &Points<'_>) -> Result<(), StoreError> {
        match sift::post(points.lines, &|lines| self.influx.post(lines)) {
            Ok(rejected) => {
                self.is_there();
                match rejected.is_empty() {
                    true => Ok(()),
                    false => self.rejected.keep(&rejected),
                }
            }
            Err(error) => self.while_away(points, error),
        }
    }
}
