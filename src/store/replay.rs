//! Bringing the journal to InfluxDB.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use log::{error, info};

use super::StoreError;
use super::influx::Influx;
use super::journal::Journal;
use super::rejected::{Rejected, to_keep};
use super::sift;
use crate::lock::lock;
use crate::state::StateError;

/// One thread, only while the journal holds something, that waits until InfluxDB is there and then
/// brings it the points, the oldest first. New points go directly meanwhile.
///
/// A batch leaves the journal only after InfluxDB has acknowledged it. Should the process end in
/// between, the next one writes the same points once more, and they are still the same points.
#[derive(Debug)]
pub(super) struct Replay {
    influx: Arc<Influx>,
    journal: Arc<Journal>,
    rejected: Arc<Rejected>,
    batch_points: usize,
    /// Whether the thread is there. Held while it finds that it may end, so that nobody takes it
    /// for being there who has just put something into the journal.
    is_running: Mutex<bool>,
}

/// It runs HTTP requests, and SQLite.
const STACK: usize = 1024 * 1024;

/// How long it waits after the disk has failed.
const DISK_PAUSE: Duration = Duration::from_secs(1);

/// What one run has brought to InfluxDB.
#[derive(Debug, Default)]
struct Tally {
    points: u64,
    rejected: usize,
}

/// Why a run ends before the journal is empty.
#[derive(Debug)]
enum Halt {
    Influx(StoreError),
    Disk(StateError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Influx(error)
    }
}

impl From<StateError> for Halt {
    fn from(error: StateError) -> Self {
        Self::Disk(error)
    }
}

impl Replay {
    pub(super) fn new(
        influx: Arc<Influx>,
        journal: Arc<Journal>,
        rejected: Arc<Rejected>,
        batch_points: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            influx,
            journal,
            rejected,
            batch_points,
            is_running: Mutex::new(false),
        })
    }

    /// Starts the thread unless it is there already.
    pub(super) fn start(self: &Arc<Self>) {
        let mut is_running = lock(&self.is_running);
        if *is_running {
            return;
        }
        let replay = Arc::clone(self);
        let thread = thread::Builder::new()
            .name("replay".into())
            .stack_size(STACK);
        match thread.spawn(move || replay.run_until_empty()) {
            Ok(_) => *is_running = true,
            // Whoever journals next tries again.
            Err(error) => error!("cannot start the thread that replays the journal: {error}"),
        }
    }

    fn run_until_empty(&self) {
        let mut is_disk_failing = false;
        loop {
            self.influx.wait_until_there();
            if !is_disk_failing {
                info!("[JOURNAL] replaying {} points", self.journal.len());
            }
            match self.run() {
                Err(Halt::Disk(error)) => {
                    if !is_disk_failing {
                        error!(
                            "cannot replay the journal: {error}: trying again until it succeeds"
                        );
                    }
                    is_disk_failing = true;
                    thread::sleep(DISK_PAUSE);
                }
                Ok(()) | Err(Halt::Influx(_)) => is_disk_failing = false,
            }
            let mut is_running = lock(&self.is_running);
            if matches!(self.journal.is_empty(), Ok(true)) {
                *is_running = false;
                return;
            }
        }
    }

    /// Replays until the journal is empty or something fails, and logs what it did.
    fn run(&self) -> Result<(), Halt> {
        let started = Instant::now();
        let mut tally = Tally::default();
        let outcome = self.bring_all(&mut tally);
        let Tally { points, rejected } = tally;
        let took = started.elapsed();
        match &outcome {
            Ok(()) => {
                info!("[JOURNAL] replayed all {points} points in {took:.1?}, {rejected} rejected");
                self.journal.shrink();
            }
            Err(Halt::Influx(error)) => info!(
                "[JOURNAL] replayed {points} points in {took:.1?}, {rejected} rejected; \
                 interrupted: {error}"
            ),
            Err(Halt::Disk(_)) => {}
        }
        outcome
    }

    fn bring_all(&self, tally: &mut Tally) -> Result<(), Halt> {
        while let Some(batch) = self.journal.oldest(self.batch_points)? {
            let rejected = sift::post(&batch.lines, &|lines| self.influx.post(lines))?;
            let rejected = to_keep(&rejected);
            self.journal.remove(&batch, &rejected)?;
            self.rejected.note(&rejected);
            tally.points += batch.points;
            tally.rejected += rejected.len();
        }
        Ok(())
    }
}
