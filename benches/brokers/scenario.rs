//! What is measured: one row of [`SCENARIOS`] for each.

use std::time::Duration;

use crate::alone::Alone;
use crate::measure::Measure;
use crate::traffic::{Pace, Route, Traffic};

/// One kind of work for all brokers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// As it stands on the command line and in the table.
    pub(crate) name: &'static str,
    pub(crate) work: Work,
    /// What brokers are compared by.
    pub(crate) headline: Headline,
}

/// What is done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// Messages.
    Traffic(Traffic),
    /// So many connections that do nothing.
    Idle(usize),
    /// Messages that are stored in InfluxDB on their way; and what InfluxDB does alone.
    Stored(Traffic, Alone),
}

/// The figure by which a scenario's brokers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Headline {
    /// Messages or connections per second.
    Rate,
    /// The broker's CPU for each message.
    BrokerCpu,
    /// InfluxDB's CPU for each point.
    InfluxCpu,
    /// The median latency.
    Latency,
    /// The memory of a connection.
    ConnectionMemory,
}

impl Headline {
    /// The figure in one run's measure.
    pub(crate) fn of(self, measure: &Measure) -> Option<f64> {
        match self {
            Self::Rate => measure.rate,
            Self::BrokerCpu => measure.broker_us,
            Self::InfluxCpu => measure.influx_us,
            Self::Latency => measure.latency.map(|latency| latency.p50),
            Self::ConnectionMemory => measure.connection_kib,
        }
    }

    /// How it is called in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rate => "per second",
            Self::BrokerCpu => "broker µs",
            Self::InfluxCpu => "influxd µs",
            Self::Latency => "p50 µs",
            Self::ConnectionMemory => "KiB each",
        }
    }
}

/// All of them, in the order of the table.
pub(crate) const SCENARIOS: &[Scenario] = &[
    fast("fan-in-qos0", FAN_IN),
    fast("fan-in-qos1", Traffic { qos: 1, ..FAN_IN }),
    fast("fan-in-qos2", Traffic { qos: 2, ..FAN_IN }),
    fast("fan-in-single-writes", FAN_IN_SINGLE_WRITES),
    fast("fan-out-50", FAN_OUT_50),
    fast("fan-out-1000", FAN_OUT_1000),
    fast("pairs-qos0", PAIRS),
    fast("pairs-qos1", Traffic { qos: 1, ..PAIRS }),
    Scenario {
        name: "latency",
        work: Work::Traffic(steady(1, Duration::from_millis(1), 1)),
        headline: Headline::Latency,
    },
    Scenario {
        name: "latency-bursts",
        work: Work::Traffic(steady(1, Duration::from_millis(50), 10)),
        headline: Headline::Latency,
    },
    Scenario {
        name: "slow-publishers",
        work: Work::Traffic(steady(1_000, Duration::from_millis(1), 1)),
        headline: Headline::BrokerCpu,
    },
    fast(
        "fan-in-bystanders",
        Traffic {
            bystanders: 100_000,
            ..FAN_IN
        },
    ),
    Scenario {
        name: "idle",
        work: Work::Idle(10_000),
        headline: Headline::ConnectionMemory,
    },
    stored("stored-1", 1, None),
    stored("stored-8", 8, None),
    stored("stored-8-window", 8, Some(2_500)),
    Scenario {
        name: "stored-slow-publishers",
        work: Work::Stored(
            steady(1_000, Duration::from_millis(1), 1),
            one_line_each(32, Duration::from_millis(1)),
        ),
        headline: Headline::InfluxCpu,
    },
    Scenario {
        name: "stored-latency",
        work: Work::Stored(
            steady(1, Duration::from_millis(10), 1),
            one_line_each(1, Duration::from_millis(10)),
        ),
        headline: Headline::Latency,
    },
];

/// 8 publishers on 100 topics to one subscriber.
const FAN_IN: Traffic = Traffic {
    publishers: 8,
    subscribers: 1,
    route: Route::ToAll { topics: 100 },
    qos: 0,
    pace: Pace::Full {
        window: Some(2_500),
        batch: 500,
    },
    bystanders: 0,
};

/// Each message in a write of its own, which costs the generator more, and leaves it to the broker
/// to make batches of what came meanwhile.
const FAN_IN_SINGLE_WRITES: Traffic = Traffic {
    pace: Pace::Full {
        window: Some(2_500),
        batch: 1,
    },
    ..FAN_IN
};

const FAN_OUT_50: Traffic = Traffic {
    publishers: 1,
    subscribers: 50,
    route: Route::ToAll { topics: 1 },
    pace: Pace::Full {
        window: Some(2_000),
        batch: 500,
    },
    ..FAN_IN
};

const FAN_OUT_1000: Traffic = Traffic {
    subscribers: 1_000,
    pace: Pace::Full {
        window: Some(200),
        batch: 50,
    },
    ..FAN_OUT_50
};

const PAIRS: Traffic = Traffic {
    publishers: 10,
    subscribers: 10,
    route: Route::Pairs,
    ..FAN_IN
};

const fn fast(name: &'static str, traffic: Traffic) -> Scenario {
    Scenario {
        name,
        work: Work::Traffic(traffic),
        headline: Headline::Rate,
    }
}

/// Publishers that take turns, to one subscriber.
const fn steady(publishers: usize, interval: Duration, burst: usize) -> Traffic {
    Traffic {
        publishers,
        pace: Pace::Fixed { interval, burst },
        ..FAN_IN
    }
}

/// Fast publishers, against the most that InfluxDB takes.
const fn stored(name: &'static str, publishers: usize, window: Option<u64>) -> Scenario {
    let traffic = Traffic {
        publishers,
        pace: Pace::Full { window, batch: 500 },
        ..FAN_IN
    };
    let alone = Alone {
        connections: 4,
        batch: 5_000,
        interval: None,
    };
    Scenario {
        name,
        work: Work::Stored(traffic, alone),
        headline: Headline::Rate,
    }
}

const fn one_line_each(connections: usize, interval: Duration) -> Alone {
    Alone {
        connections,
        batch: 1,
        interval: Some(interval),
    }
}
