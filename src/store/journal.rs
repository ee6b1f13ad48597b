//! Where points wait while InfluxDB is away.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use log::{error, info, warn};

use super::StoreError;
use super::points::Points;
use crate::config::Config;
use crate::lock::lock;
use crate::state::{Journalled, NewRejected, State, StateError};

/// The journal of the state file, and the limits that it keeps to.
#[derive(Debug)]
pub(super) struct Journal {
    state: Arc<Mutex<State>>,
    folder: PathBuf,
    /// Most bytes of lines.
    bytes_max: u64,
    /// Bytes that must stay free on the file system of `folder`.
    disk_reserve: u64,
    /// Points in it, and the bytes of their lines; counted here, as SQLite would have to read every
    /// row. Only changed under the lock of `state`, so that no two threads take the same room.
    points: AtomicU64,
    bytes: AtomicU64,
    is_full: AtomicBool,
}

/// Most bytes of one write out of the journal: InfluxDB refuses bodies of 25 MB.
const BATCH_BYTES_MAX: usize = 8_000_000;

impl Journal {
    /// The journal in `state`, with what an earlier process left in it.
    pub(super) fn open(state: Arc<Mutex<State>>, config: &Config) -> Result<Self, StateError> {
        let totals = lock(&state).journal_totals()?;
        Ok(Self {
            state,
            folder: config.data_dir.clone(),
            bytes_max: config.journal_max_size as u64,
            disk_reserve: config.journal_disk_reserve as u64,
            points: AtomicU64::new(totals.points),
            bytes: AtomicU64::new(totals.bytes),
            is_full: AtomicBool::new(false),
        })
    }

    /// Takes the points in. When it returns, they survive a power failure.
    pub(super) fn append(&self, points: &Points<'_>) -> Result<(), StoreError> {
        let mut state = lock(&self.state);
        let outcome = self.check_room(points).and_then(|()| {
            state
                .append_to_journal(
                    points.count as u64,
                    points.first_ns,
                    points.last_ns,
                    points.lines,
                )
                .map_err(|error| error.to_string())
        });
        if outcome.is_ok() {
            add(&self.points, points.count as u64);
            add(&self.bytes, points.lines.len() as u64);
        }
        drop(state);
        let was_full = self.is_full.swap(outcome.is_err(), Ordering::Relaxed);
        match outcome {
            Ok(()) => {
                if was_full {
                    info!("[JOURNAL] the journal takes points again");
                }
                Ok(())
            }
            Err(reason) => {
                if !was_full {
                    error!(
                        "the journal cannot take any more points: {reason}: nothing is \
                         acknowledged or delivered until it can, or InfluxDB answers"
                    );
                }
                Err(StoreError::NoRoom { reason })
            }
        }
    }

    fn check_room(&self, points: &Points<'_>) -> Result<(), String> {
        let bytes = self.bytes.load(Ordering::Relaxed) + points.lines.len() as u64;
        if bytes > self.bytes_max {
            return Err(format!(
                "it would have {bytes} bytes, and --journal-max-size is {}",
                self.bytes_max
            ));
        }
        if self.disk_reserve == 0 {
            return Ok(());
        }
        let disk = rustix::fs::statvfs(&self.folder).map_err(|error| error.to_string())?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < self.disk_reserve.saturating_add(points.lines.len() as u64) {
            return Err(format!(
                "{free} bytes are free in {}, and --journal-disk-reserve is {}",
                self.folder.display(),
                self.disk_reserve
            ));
        }
        Ok(())
    }

    /// The oldest points, up to about `points_max`; `None` where there are none.
    pub(super) fn oldest(&self, points_max: usize) -> Result<Option<Journalled>, StateError> {
        lock(&self.state).oldest_in_journal(0, points_max as u64, BATCH_BYTES_MAX)
    }

    /// Takes away what [`Journal::oldest`] gave, as InfluxDB has it but for the `rejected` points,
    /// which are kept in the same step. They are not refused room: they had it here.
    pub(super) fn remove(
        &self,
        points: &Journalled,
        rejected: &[NewRejected],
    ) -> Result<(), StateError> {
        let mut state = lock(&self.state);
        state.remove_from_journal(points.last_id, rejected)?;
        subtract(&self.points, points.points);
        subtract(&self.bytes, points.lines.len() as u64);
        Ok(())
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> Result<bool, StateError> {
        lock(&self.state).journal_is_empty()
    }

    /// How many points wait, but for those that a subcommand has put there.
    pub(super) fn len(&self) -> u64 {
        self.points.load(Ordering::Relaxed)
    }

    /// Gives the room that is not used any more back to the disk.
    pub(super) fn shrink(&self) {
        let outcome = lock(&self.state).shrink();
        if let Err(error) = outcome {
            warn!("cannot make the file of the journal smaller: {error}");
        }
    }
}

fn add(total: &AtomicU64, count: u64) {
    total.fetch_add(count, Ordering::Relaxed);
}

/// Takes away what was counted, and perhaps what a subcommand has put there, which was not.
fn subtract(total: &AtomicU64, count: u64) {
    let left = total.load(Ordering::Relaxed).saturating_sub(count);
    total.store(left, Ordering::Relaxed);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn journal(folder: &tempfile::TempDir, bytes_max: u64, disk_reserve: u64) -> Journal {
        Journal {
            state: Arc::new(Mutex::new(State::open(folder.path()).unwrap())),
            folder: folder.path().to_owned(),
            bytes_max,
            disk_reserve,
            points: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
        }
    }

    const POINTS: Points<'_> = Points {
        lines: b"m a=1 1\n",
        count: 1,
        first_ns: 1,
        last_ns: 1,
    };

    #[test]
    fn has_room_again_for_what_was_removed() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(&folder, 20, 0);
        for _ in 0..2 {
            assert_eq!(journal.append(&POINTS), Ok(()));
        }
        let no_room = journal.append(&POINTS).unwrap_err();
        assert!(
            no_room.to_string().contains("--journal-max-size"),
            "{no_room}"
        );
        let oldest = journal.oldest(1).unwrap().unwrap();
        journal.remove(&oldest, &[]).unwrap();
        assert_eq!(journal.append(&POINTS), Ok(()));
        assert_eq!(journal.len(), 2);
        assert!(!journal.is_empty().unwrap());
    }

    #[test]
    fn leaves_the_reserve_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let error = journal(&folder, 1000, u64::MAX)
            .append(&POINTS)
            .unwrap_err();
        assert!(
            error.to_string().contains("--journal-disk-reserve"),
            "{error}"
        );
    }
}
