//! `mqtt-server rejected`.

use std::io::Write;

use super::{TaskError, import_file, time};
use crate::config::Which;
use crate::state::{RejectedPoint, State, StateError};

/// Points that are read or changed in one step: few enough that a running server need not wait.
const STEP: u32 = 500;

pub(super) fn list(state: &State, out: &mut impl Write) -> Result<(), TaskError> {
    let totals = state.rejected_totals()?;
    writeln!(
        out,
        "{} rejected points of {} bytes",
        totals.points, totals.bytes
    )?;
    for_each(state, |RejectedPoint { id, point }| {
        let topic = point.topic.as_deref().unwrap_or("?");
        writeln!(
            out,
            "{id} {} {topic:?} {} {:?}",
            time(point.rejected_ns),
            point.status,
            point.answer
        )?;
        Ok(())
    })
}

pub(super) fn show(state: &State, id: i64, out: &mut impl Write) -> Result<(), TaskError> {
    let RejectedPoint { id, point } = state.rejected(id)?.ok_or(TaskError::NoSuchPoint { id })?;
    writeln!(out, "id: {id}")?;
    writeln!(out, "rejected: {}", time(point.rejected_ns))?;
    writeln!(out, "topic: {:?}", point.topic.as_deref().unwrap_or("?"))?;
    writeln!(out, "status: {}", point.status)?;
    writeln!(out, "answer: {:?}", point.answer)?;
    write!(out, "line: ")?;
    out.write_all(&point.line)?;
    writeln!(out)?;
    Ok(())
}

pub(super) fn export(state: &State, database: &str, out: &mut impl Write) -> Result<(), TaskError> {
    import_file::head(database, out)?;
    for_each(state, |RejectedPoint { id, point }| {
        // Quoted, the answer stays within its line.
        writeln!(out, "# {id}: {} {:?}", point.status, point.answer)?;
        out.write_all(&point.line)?;
        writeln!(out)?;
        Ok(())
    })
}

pub(super) fn retry(
    state: &mut State,
    which: &Which,
    out: &mut impl Write,
) -> Result<(), TaskError> {
    let moved = change(state, which, State::retry_rejected)?;
    writeln!(
        out,
        "{moved} points go to InfluxDB again when the server starts or replays its journal"
    )?;
    Ok(())
}

pub(super) fn forget(
    state: &mut State,
    which: &Which,
    out: &mut impl Write,
) -> Result<(), TaskError> {
    let dropped = change(state, which, State::drop_rejected)?;
    writeln!(out, "{dropped} points dropped")?;
    Ok(())
}

/// Changes the points in steps, and returns how many there were.
fn change(
    state: &mut State,
    which: &Which,
    step: impl Fn(&mut State, &[i64]) -> Result<usize, StateError>,
) -> Result<usize, TaskError> {
    let mut changed = 0;
    match which {
        Which::Ids(ids) => {
            for &id in ids {
                if state.rejected(id)?.is_none() {
                    return Err(TaskError::NoSuchPoint { id });
                }
            }
            changed += step(state, ids)?;
        }
        // All that there are now, and not those that come meanwhile.
        Which::All => {
            for ids in all_ids(state)?.chunks(STEP as usize) {
                changed += step(state, ids)?;
            }
        }
    }
    Ok(changed)
}

fn all_ids(state: &State) -> Result<Vec<i64>, TaskError> {
    let mut ids = Vec::new();
    for_each(state, |point| {
        ids.push(point.id);
        Ok(())
    })?;
    Ok(ids)
}

fn for_each(
    state: &State,
    mut each: impl FnMut(RejectedPoint) -> Result<(), TaskError>,
) -> Result<(), TaskError> {
    let mut after = 0;
    loop {
        let points = state.rejected_after(after, STEP)?;
        let Some(last) = points.last() else {
            return Ok(());
        };
        after = last.id;
        points.into_iter().try_for_each(&mut each)?;
    }
}
