//! What InfluxDB does with the same points when no broker stands before it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    let clock = Instant::now();
    let write = |connection: usize| -> io::Result<Vec<u64>> {
        let mut writer = influx.writer()?;
        let index = u32::try_from(connection).unwrap_or(u32::MAX);
        let mut points = Points::new(index, &topics_of_all(100), alone.batch);
        let (mut latencies, mut first, mut turn) = (Vec::new(), 0_u32, connection);
        while !stop.load(Ordering::Relaxed) && first < length.messages_max {
            if let Some(interval) = alone.interval {
                let due = clock + interval * u32::try_from(turn).unwrap_or(u32::MAX);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                turn += alone.connections;
            }
            let lines = points.numbered_from(first);
            let begin = Instant::now();
            writer.write(lines)?;
            if begin > clock + length.warm_up {
                latencies.push(u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX));
            }
            first += u32::try_from(alone.batch).unwrap_or(u32::MAX);
            written.fetch_add(alone.batch as u64, Ordering::Relaxed);
        }
        Ok(latencies)
    };
    thread::scope(|scope| {
        let write = &write;
        let writers: Vec<_> = (0..alone.connections)
            .map(|connection| scope.spawn(move || write(connection)))
            .collect();
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
