//! `mqtt-server journal`.

use std::io::Write;

use super::{TaskError, import_file, time};
use crate::state::State;

/// How much is taken out of the state file at a time.
const POINTS_MAX: u64 = 10_000;
const BYTES_MAX: usize = 4_000_000;

pub(super) fn status(state: &State, out: &mut impl Write) -> Result<(), TaskError> {
    let totals = state.journal_totals()?;
    match (totals.first_ns, totals.last_ns) {
        (Some(first), Some(last)) => writeln!(
            out,
            "{} points of {} bytes wait for InfluxDB, since {}; the newest is of {}",
            totals.points,
            totals.bytes,
            time(first),
            time(last)
        )?,
        _ => writeln!(out, "the journal is empty: InfluxDB has all points")?,
    }
    Ok(())
}

pub(super) fn export(state: &State, database: &str, out: &mut impl Write) -> Result<(), TaskError> {
    import_file::head(database, out)?;
    let mut after = 0;
    // A server that replays meanwhile takes rows away, but only from the front.
    while let Some(batch) = state.oldest_in_journal(after, POINTS_MAX, BYTES_MAX)? {
        out.write_all(&batch.lines)?;
        after = batch.last_id;
    }
    Ok(())
}
