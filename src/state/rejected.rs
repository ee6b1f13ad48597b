//! Rejected points: those that InfluxDB does not want, kept aside with its reason.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{State, StateError};

pub(super) const TABLE: &str = "
    CREATE TABLE rejected (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        rejected_ns INTEGER NOT NULL, -- when, in nanoseconds since 1970
        status INTEGER NOT NULL, -- of HTTP
        answer TEXT NOT NULL, -- InfluxDB's own words
        topic TEXT, -- where the line tells it
        line BLOB NOT NULL -- line protocol, without a newline after it
    ) STRICT;
";

/// A point that InfluxDB has rejected and that is to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRejected {
    /// When, in nanoseconds since 1970.
    pub rejected_ns: i64,
    /// The HTTP status of the answer.
    pub status: u16,
    /// InfluxDB's own words.
    pub answer: String,
    /// The topic of its message, where the line tells it.
    pub topic: Option<String>,
    /// Its line, without a newline after it.
    pub line: Vec<u8>,
}

/// A kept point with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedPoint {
    /// Its number, never given twice.
    pub id: i64,
    /// The point, and why InfluxDB does not want it.
    pub point: NewRejected,
}

/// How much is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RejectedTotals {
    /// How many points.
    pub points: u64,
    /// The bytes of their lines and of what InfluxDB said.
    pub bytes: u64,
}

impl NewRejected {
    /// What it counts in [`RejectedTotals::bytes`].
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.line.len() + self.answer.len()) as u64
    }
}

impl State {
    /// Keeps these points. When it returns, they survive a power failure.
    ///
    /// # Errors
    /// SQLite's, as on a full disk. Then none of them is kept.
    pub fn keep_rejected(&mut self, points: &[NewRejected]) -> Result<(), StateError> {
        let transaction = self.database.transaction()?;
        insert(&transaction, points)?;
        transaction.commit()?;
        Ok(())
    }

    /// The kept points after the number `after` (0 is before all), at most `count_max` of them, in
    /// the order of their numbers.
    ///
    /// # Errors
    /// SQLite's.
    pub fn rejected_after(
        &self,
        after: i64,
        count_max: u32,
    ) -> Result<Vec<RejectedPoint>, StateError> {
        let mut statement = self.database.prepare_cached(
            "SELECT id, rejected_ns, status, answer, topic, line FROM rejected WHERE id > ?1 \
             ORDER BY id LIMIT ?2",
        )?;
        let points = statement.query_map([after, i64::from(count_max)], read)?;
        Ok(points.collect::<Result<_, _>>()?)
    }

    /// The kept point of this number.
    ///
    /// # Errors
    /// SQLite's.
    pub fn rejected(&self, id: i64) -> Result<Option<RejectedPoint>, StateError> {
        let mut statement = self.database.prepare_cached(
            "SELECT id, rejected_ns, status, answer, topic, line FROM rejected WHERE id = ?1",
        )?;
        Ok(statement.query_row([id], read).optional()?)
    }

    /// Forgets the kept points of these numbers; returns how many there were.
    ///
    /// # Errors
    /// SQLite's. Then none of them is forgotten.
    pub fn drop_rejected(&mut self, ids: &[i64]) -> Result<usize, StateError> {
        let transaction = self.database.transaction()?;
        let mut dropped = 0;
        for id in ids {
            dropped += delete(&transaction, *id)?;
        }
        transaction.commit()?;
        Ok(dropped)
    }

    /// Moves the kept points of these numbers to the journal, from where InfluxDB gets them once
    /// more; returns how many there were.
    ///
    /// # Errors
    /// SQLite's. Then none of them is moved.
    pub fn retry_rejected(&mut self, ids: &[i64]) -> Result<usize, StateError> {
        let transaction = self.database.transaction()?;
        let mut moved = 0;
        for id in ids {
            // Its newline; and the time of the rejection, as that of the point is in the line.
            transaction.execute(
                "INSERT INTO journal (points, first_ns, last_ns, lines) \
                 SELECT 1, rejected_ns, rejected_ns, CAST(line || x'0a' AS BLOB) FROM rejected \
                 WHERE id = ?1",
                [id],
            )?;
            moved += delete(&transaction, *id)?;
        }
        transaction.commit()?;
        Ok(moved)
    }

    /// How much is kept.
    ///
    /// # Errors
    /// SQLite's.
    pub fn rejected_totals(&self) -> Result<RejectedTotals, StateError> {
        let totals = self.database.query_row(
            "SELECT COUNT(*), IFNULL(SUM(LENGTH(line) + LENGTH(CAST(answer AS BLOB))), 0) \
             FROM rejected",
            (),
            |row| {
                Ok(RejectedTotals {
                    points: row.get(0)?,
                    bytes: row.get(1)?,
                })
            },
        )?;
        Ok(totals)
    }
}

pub(super) fn insert(database: &Connection, points: &[NewRejected]) -> Result<(), rusqlite::Error> {
    let mut statement = database.prepare_cached(
        "INSERT INTO rejected (rejected_ns, status, answer, topic, line) \
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for point in points {
        statement.execute(params![
            point.rejected_ns,
            point.status,
            point.answer,
            point.topic,
            point.line
        ])?;
    }
    Ok(())
}

fn delete(database: &Connection, id: i64) -> Result<usize, rusqlite::Error> {
    database
        .prepare_cached("DELETE FROM rejected WHERE id = ?1")?
        .execute([id])
}

fn read(row: &Row<'_>) -> Result<RejectedPoint, rusqlite::Error> {
    Ok(RejectedPoint {
        id: row.get(0)?,
        point: NewRejected {
            rejected_ns: row.get(1)?,
            status: row.get(2)?,
            answer: row.get(3)?,
            topic: row.get(4)?,
            line: row.get(5)?,
        },
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn point(line: &str) -> NewRejected {
        NewRejected {
            rejected_ns: 7,
            status: 400,
            answer: "field type conflict".to_owned(),
            topic: Some("a".to_owned()),
            line: line.as_bytes().to_vec(),
        }
    }

    #[test]
    fn keeps_drops_and_retries() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = State::open(dir.path()).unwrap();
        let points = ["m a=1 1", "m a=2 2", "m a=\u{e9} 3"].map(point);
        state.keep_rejected(&points).unwrap();
        let kept = state.rejected_after(0, 10).unwrap();
        assert_eq!(
            kept.iter().map(|kept| kept.id).collect::<Vec<_>>(),
            [1, 2, 3]
        );
        assert!(kept.iter().map(|kept| &kept.point).eq(&points));
        assert_eq!(state.rejected_after(2, 10).unwrap(), kept[2..]);
        assert_eq!(state.rejected_after(0, 1).unwrap(), kept[..1]);
        let totals = RejectedTotals {
            points: 3,
            bytes: points.iter().map(NewRejected::bytes).sum(),
        };
        assert_eq!(state.rejected_totals().unwrap(), totals);

        assert_eq!(state.drop_rejected(&[2, 9]).unwrap(), 1);
        assert_eq!(state.rejected(2).unwrap(), None);
        assert_eq!(state.rejected(1).unwrap().as_ref(), kept.first());
        assert_eq!(state.retry_rejected(&[3, 1, 2]).unwrap(), 2);
        assert!(state.rejected_after(0, 10).unwrap().is_empty());
        let waiting = state.oldest_in_journal(0, 10, 1000).unwrap().unwrap();
        assert_eq!(waiting.points, 2);
        assert_eq!(waiting.lines, "m a=\u{e9} 3\nm a=1 1\n".as_bytes());
    }

    #[test]
    fn moves_from_the_journal_as_one_step() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = State::open(dir.path()).unwrap();
        state
            .append_to_journal(2, 1, 2, b"m a=1 1\nm a=2 2\n")
            .unwrap();
        state.remove_from_journal(1, &[point("m a=2 2")]).unwrap();
        assert!(state.journal_is_empty().unwrap());
        assert_eq!(state.rejected_totals().unwrap().points, 1);
    }
}
