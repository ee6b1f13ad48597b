//! What one run of one scenario found.

use std::io;
use std::time::{Duration, Instant};

use crate::arrivals::Faults;
use crate::broker::Broker;
use crate::influx::Influx;
use crate::usage::Usage;

/// The figures of one run. `None` where a figure has no meaning, or cannot be had.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measure {
    /// Deliveries, connections or points per second.
    pub(crate) rate: Option<f64>,
    /// Microseconds of CPU for each of those.
    pub(crate) broker_us: Option<f64>,
    pub(crate) generator_us: Option<f64>,
    pub(crate) influx_us: Option<f64>,
    /// Resident memory of the broker at the end, in MiB.
    pub(crate) resident_mib: Option<f64>,
    /// Resident memory for each connection, in KiB.
    pub(crate) connection_kib: Option<f64>,
    pub(crate) latency: Option<Latency>,
    pub(crate) faults: Faults,
    /// By how much the points in InfluxDB are fewer or more than the messages that were sent.
    pub(crate) stored_amiss: u64,
}

/// How long messages were under way, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

impl Latency {
    /// Of these, in nanoseconds and in any order; `None` of nothing.
    pub(crate) fn of(mut latencies_ns: Vec<u64>) -> Option<Self> {
        latencies_ns.sort_unstable();
        let quantile = |share: f64| {
            let last = latencies_ns.len().checked_sub(1)?;
            // Rounded to the nearest, and within the vector as `share` is at most 1.
            #[allow(clippy::cast_sign_loss, reason = "a share of a length is a length")]
            let index = (last as f64 * share).round() as usize;
            Some(latencies_ns[index] as f64 / 1e3)
        };
        Some(Self {
            p50: quantile(0.5)?,
            p99: quantile(0.99)?,
            p999: quantile(0.999)?,
        })
    }
}

/// Counters at one moment, of all who take part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    at: Instant,
    /// Deliveries, connections or points.
    done: u64,
    broker: Option<Usage>,
    generator: Usage,
    influx: Option<Usage>,
}

impl Snapshot {
    /// Now, with `done` so far.
    ///
    /// # Errors
    /// When one of the processes has ended.
    pub(crate) fn take(
        done: u64,
        broker: Option<&Broker>,
        influx: Option<&Influx>,
    ) -> io::Result<Self> {
        Ok(Self {
            at: Instant::now(),
            done,
            broker: broker.map(Broker::usage).transpose()?.flatten(),
            generator: Usage::of_generator()?,
            influx: influx.map(Influx::usage).transpose()?,
        })
    }

    /// What happened from `self` to `end`.
    pub(crate) fn until(&self, end: &Self) -> Measure {
        let done = (end.done - self.done) as f64;
        let each_us = |begin: Option<Usage>, end: Option<Usage>| {
            let cpu = end?.cpu.saturating_sub(begin?.cpu);
            (done > 0.0).then(|| cpu.as_secs_f64() * 1e6 / done)
        };
        Measure {
            rate: Some(
                done / (end.at - self.at)
                    .max(Duration::from_nanos(1))
                    .as_secs_f64(),
            ),
            broker_us: each_us(self.broker, end.broker),
            generator_us: each_us(Some(self.generator), Some(end.generator)),
            influx_us: each_us(self.influx, end.influx),
            resident_mib: end.broker.map(|usage| usage.resident as f64 / MIB),
            ..Measure::default()
        }
    }

    /// Whether anything was done from `earlier` to `self`.
    pub(crate) fn has_progress_since(&self, earlier: &Self) -> bool {
        self.done > earlier.done
    }

    /// The same moment, as if nothing had been done before.
    pub(crate) fn with_nothing_done(self) -> Self {
        Self { done: 0, ..self }
    }

    /// How much the broker's resident memory grew from `self` to `end`, in KiB.
    pub(crate) fn growth_kib(&self, end: &Self) -> Option<f64> {
        let grown = end.broker?.resident.saturating_sub(self.broker?.resident);
        Some(grown as f64 / 1024.0)
    }
}

const MIB: f64 = 1024.0 * 1024.0;
