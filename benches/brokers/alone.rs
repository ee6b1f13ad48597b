//! What InfluxDB does with the same points when no broker stands before it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::influx::{Influx, Points};
use crate::measure::{Latency, Measure, Snapshot};
use crate::traffic::{Length, topics_of_all};

/// How points are written to InfluxDB without a broker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alone {
    /// Writes under way at a time.
    pub(crate) connections: usize,
    /// Points in one write.
    pub(crate) batch: usize,
    /// From one write to the next one, of all connections together; `None` is as fast as it goes.
    pub(crate) interval: Option<Duration>,
}

/// Writes points, and looks what that costs and how many there are at the end.
///
/// # Errors
/// When a write fails.
pub(crate) fn run(alone: &Alone, length: &Length, influx: &Influx) -> io::Result<Measure> {
    let stop = AtomicBool::new(false);
    let written = AtomicU64::new(0);
    // Whoever is free takes the next batch, so that timestamps rise for each series, as the
    // broker's do: InfluxDB sorts what does not.
    let next_batch = AtomicU32::new(0);
    let batch = u32::try_from(alone.batch).unwrap_or(u32::MAX);
    let clock = Instant::now();
    let write = || -> io::Result<Vec<u64>> {
        let mut writer = influx.writer()?;
        let mut points = Points::new(&topics_of_all(100), alone.batch);
        let mut latencies = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let turn = next_batch.fetch_add(1, Ordering::Relaxed);
            if turn * batch >= length.messages_max {
                break;
            }
            if let Some(interval) = alone.interval {
                let due = clock + interval * turn;
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            let lines = points.numbered_from(turn * batch);
            let begin = Instant::now();
            writer.write(lines)?;
            if begin > clock + length.warm_up {
                latencies.push(u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX));
            }
            written.fetch_add(u64::from(batch), Ordering::Relaxed);
        }
        Ok(latencies)
    };
    thread::scope(|scope| {
        let writers: Vec<_> = (0..alone.connections).map(|_| scope.spawn(write)).collect();
        let snapshot = || Snapshot::take(written.load(Ordering::Relaxed), None, Some(influx));
        thread::sleep(length.warm_up);
        let begin = snapshot();
        thread::sleep(length.measured);
        let end = snapshot();
        stop.store(true, Ordering::Relaxed);
        let mut latencies = Vec::new();
        for writer in writers {
            let result = writer
                .join()
                .map_err(|_| io::Error::other("a writer panicked"))?;
            latencies.extend(result?);
        }
        let stored = influx.count()?;
        Ok(Measure {
            latency: alone.interval.and_then(|_| Latency::of(latencies)),
            stored_amiss: written.load(Ordering::Relaxed).abs_diff(stored),
            ..begin?.until(&end?)
        })
    })
}
