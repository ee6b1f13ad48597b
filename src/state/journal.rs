//! The journal: points that wait for InfluxDB.

use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use super::{BUSY_TIMEOUT, NewRejected, State, StateError, rejected};

/// A batch of lines a row, and not a point a row, so that a fast publisher's points cost no more
/// than their bytes.
pub(super) const TABLE: &str = "
    CREATE TABLE journal (
        id INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of arrival
        points INTEGER NOT NULL,
        first_ns INTEGER NOT NULL, -- the first and the last timestamp among the points
        last_ns INTEGER NOT NULL,
        lines BLOB NOT NULL -- line protocol, a newline after each point
    ) STRICT;
";

/// Points from the journal.
#[derive(Debug, PartialEq, Eq)]
pub struct Journalled {
    /// The number of the newest row that they are from; numbers only grow.
    pub last_id: i64,
    /// How many they are.
    pub points: u64,
    /// Their lines, in the order of arrival.
    pub lines: Vec<u8>,
}

/// What the journal holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalTotals {
    /// How many points.
    pub points: u64,
    /// The bytes of their lines.
    pub bytes: u64,
    /// The oldest timestamp, in nanoseconds since 1970; `None` in an empty journal.
    pub first_ns: Option<i64>,
    /// The newest timestamp.
    pub last_ns: Option<i64>,
}

impl State {
    /// Adds `points` points with timestamps from `first_ns` to `last_ns`. When it returns, they
    /// survive a power failure.
    ///
    /// # Errors
    /// SQLite's, as on a full disk. Then none of them was added.
    pub fn append_to_journal(
        &mut self,
        points: u64,
        first_ns: i64,
        last_ns: i64,
        lines: &[u8],
    ) -> Result<(), StateError> {
        let mut statement = self.database.prepare_cached(
            "INSERT INTO journal (points, first_ns, last_ns, lines) VALUES (?1, ?2, ?3, ?4)",
        )?;
        statement.execute(params![points, first_ns, last_ns, lines])?;
        Ok(())
    }

    /// The oldest rows after the row `after` (0 is before all), as many as have about `points_max`
    /// points and `bytes_max` bytes; at least one. `None` where there is no row.
    ///
    /// # Errors
    /// SQLite's.
    pub fn oldest_in_journal(
        &self,
        after: i64,
        points_max: u64,
        bytes_max: usize,
    ) -> Result<Option<Journalled>, StateError> {
        let mut statement = self
            .database
            .prepare_cached("SELECT id, points, lines FROM journal WHERE id > ?1 ORDER BY id")?;
        let mut rows = statement.query([after])?;
        let mut found: Option<Journalled> = None;
        while let Some(row) = rows.next()? {
            let (id, points) = (row.get(0)?, row.get::<_, u64>(1)?);
            let lines = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
            let batch = found.get_or_insert_with(|| Journalled {
                last_id: id,
                points: 0,
                lines: Vec::new(),
            });
            let is_full =
                batch.points + points > points_max || batch.lines.len() + lines.len() > bytes_max;
            if batch.points > 0 && is_full {
                break;
            }
            batch.last_id = id;
            batch.points += points;
            batch.lines.extend_from_slice(lines);
        }
        Ok(found)
    }

    /// Takes all rows up to `last_id` away, since InfluxDB has their points, and keeps those that
    /// it has rejected; both or neither.
    ///
    /// # Errors
    /// SQLite's.
    pub fn remove_from_journal(
        &mut self,
        last_id: i64,
        rejected: &[NewRejected],
    ) -> Result<(), StateError> {
        let transaction = self.database.transaction()?;
        rejected::insert(&transaction, rejected)?;
        transaction.execute("DELETE FROM journal WHERE id <= ?1", [last_id])?;
        transaction.commit()?;
        Ok(())
    }

    /// What the journal holds. Reads every row's head, but no lines.
    ///
    /// # Errors
    /// SQLite's.
    pub fn journal_totals(&self) -> Result<JournalTotals, StateError> {
        let totals = self.database.query_row(
            "SELECT IFNULL(SUM(points), 0), IFNULL(SUM(LENGTH(lines)), 0), MIN(first_ns), \
             MAX(last_ns) FROM journal",
            (),
            |row| {
                Ok(JournalTotals {
                    points: row.get(0)?,
                    bytes: row.get(1)?,
                    first_ns: row.get(2)?,
                    last_ns: row.get(3)?,
                })
            },
        )?;
        Ok(totals)
    }

    /// Whether the journal holds nothing.
    ///
    /// # Errors
    /// SQLite's.
    pub fn journal_is_empty(&self) -> Result<bool, StateError> {
        let first = self
            .database
            .query_row("SELECT id FROM journal LIMIT 1", (), |_| Ok(()))
            .optional()?;
        Ok(first.is_none())
    }

    /// Gives the room that is not used any more back to the disk, where it is most of the file.
    ///
    /// Copies what is still used, and so takes no longer than the unused part is worth. SQLite's
    /// incremental way takes minutes, as it looks for each page in the list of all free ones.
    ///
    /// # Errors
    /// SQLite's.
    pub fn shrink(&mut self) -> Result<(), StateError> {
        let pages = |pragma: &str| -> Result<u64, rusqlite::Error> {
            self.database.query_row(pragma, (), |row| row.get(0))
        };
        let free = pages("PRAGMA freelist_count")?;
        if free < FREE_PAGES_MIN || free < pages("PRAGMA page_count")? / 2 {
            return Ok(());
        }
        self.database.execute_batch("VACUUM")?;
        // Nobody waits for somebody who reads just now: later writes do this as well.
        self.database.busy_timeout(Duration::ZERO)?;
        let emptied = self
            .database
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()));
        self.database.busy_timeout(BUSY_TIMEOUT)?;
        Ok(emptied?)
    }
}

/// Unused pages, of 4 KiB each, for which the file is not made smaller.
const FREE_PAGES_MIN: u64 = 256;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::super::FILE;
    use super::*;

    fn batch(last_id: i64, points: u64, lines: &str) -> Option<Journalled> {
        Some(Journalled {
            last_id,
            points,
            lines: lines.as_bytes().to_vec(),
        })
    }

    #[test]
    fn gives_back_the_oldest_first_until_it_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = State::open(dir.path()).unwrap();
        assert!(state.journal_is_empty().unwrap());
        state.append_to_journal(2, 10, 11, b"a\nb\n").unwrap();
        state.append_to_journal(1, 5, 5, b"c\n").unwrap();
        state.append_to_journal(3, 20, 22, b"d\ne\nf\n").unwrap();
        drop(state);

        let mut state = State::open(dir.path()).unwrap();
        let totals = JournalTotals {
            points: 6,
            bytes: 12,
            first_ns: Some(5),
            last_ns: Some(22),
        };
        assert_eq!(state.journal_totals().unwrap(), totals);
        let oldest =
            |state: &State, points, bytes| state.oldest_in_journal(0, points, bytes).unwrap();
        assert_eq!(
            oldest(&state, 1, 100),
            batch(1, 2, "a\nb\n"),
            "one at least"
        );
        assert_eq!(oldest(&state, 3, 100), batch(2, 3, "a\nb\nc\n"));
        assert_eq!(oldest(&state, 100, 5), batch(1, 2, "a\nb\n"));
        assert_eq!(oldest(&state, 6, 12), batch(3, 6, "a\nb\nc\nd\ne\nf\n"));
        assert_eq!(
            state.oldest_in_journal(2, 100, 100).unwrap(),
            batch(3, 3, "d\ne\nf\n")
        );
        state.remove_from_journal(2, &[]).unwrap();
        assert_eq!(oldest(&state, 100, 100), batch(3, 3, "d\ne\nf\n"));
        state.remove_from_journal(3, &[]).unwrap();
        assert_eq!(oldest(&state, 100, 100), None);
        assert!(state.journal_is_empty().unwrap());
        assert_eq!(state.journal_totals().unwrap(), JournalTotals::default());
    }

    #[test]
    fn shrinks_when_points_have_left() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = State::open(dir.path()).unwrap();
        let lines = vec![b'x'; 1 << 20];
        for _ in 0..8 {
            state.append_to_journal(1, 1, 1, &lines).unwrap();
        }
        state.remove_from_journal(i64::MAX, &[]).unwrap();
        state.shrink().unwrap();
        let len = dir.path().join(FILE).metadata().unwrap().len();
        assert!(len < 1 << 20, "{len} bytes are left");
    }
}
