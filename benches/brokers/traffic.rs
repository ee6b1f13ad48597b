//! Messages from publishers through a broker to subscribers, counted.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::arrivals::Faults;
use crate::broker::Broker;
use crate::client::Client;
use crate::influx::Influx;
use crate::measure::{Latency, Measure, Snapshot};
use crate::paced::{self, Paced};
use crate::publisher::{Packets, Publisher};
use crate::subscribers::{Flow, Group, Report};
use crate::window::Window;

/// Who sends what to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    pub(crate) route: Route,
    /// Of messages and of subscriptions.
    pub(crate) qos: u8,
    pub(crate) pace: Pace,
    /// Subscriptions of other clients, which match nothing that is sent.
    pub(crate) bystanders: usize,
}

/// Which subscriber gets which publisher's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// All get all; each publisher uses so many topics in turn, the same as the others.
    ToAll {
        /// At most 1,000.
        topics: usize,
    },
    /// The first gets the first one's, and so on.
    Pairs,
}

/// How fast publishers send.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As fast as the broker takes it, `batch` messages in one write.
    Full {
        /// Messages of one publisher under way; `None` leaves it to TCP.
        window: Option<u64>,
        batch: usize,
    },
    /// One publisher after another, in turn, at fixed times.
    Fixed {
        /// From one publisher's turn to the next one's.
        interval: Duration,
        /// Messages that a publisher sends at once, in one write.
        burst: usize,
    },
}

/// How long a run is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    /// Goes before, and does not count.
    pub(crate) warm_up: Duration,
    /// What counts.
    pub(crate) measured: Duration,
    /// A publisher stops after so many messages, at the latest.
    pub(crate) messages_max: u32,
}

/// After this time without a single delivery what is missing is lost.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// How often the main thread looks how far a run is.
const CHECK_INTERVAL: Duration = Duration::from_millis(2);

/// Filters in one SUBSCRIBE, and of one client, of the bystanders. All brokers allow so many.
const FILTERS_PER_PACKET: usize = 500;
const FILTERS_PER_CLIENT: usize = 10_000;

/// Runs `traffic` through `broker`.
///
/// # Errors
/// When a connection breaks, or the broker ends.
pub(crate) fn run(
    traffic: &Traffic,
    length: &Length,
    broker: &Broker,
    influx: Option<&Influx>,
) -> io::Result<Measure> {
    let bystanders = add_bystanders(traffic.bystanders, broker)?;
    let is_paced = matches!(traffic.pace, Pace::Fixed { .. });
    let warm_up_ns = u64::try_from(length.warm_up.as_nanos()).unwrap_or(u64::MAX);
    let subscribers = connect_subscribers(traffic, broker)?;
    let publishers = connect_publishers(traffic, broker)?;
    let flow = Arc::new(Flow {
        windows: (0..traffic.publishers).map(|_| traffic.window()).collect(),
        clock: Instant::now(),
        latencies_from_ns: is_paced.then_some(warm_up_ns),
    });
    let stop = Arc::new(AtomicBool::new(false));
    let groups = start_groups(subscribers, &flow)?;
    let senders = start_senders(traffic, publishers, length, &flow, &stop)?;

    let delivered = || flow.windows.iter().map(Window::delivered).sum::<u64>();
    let wait_until = |end: Instant| {
        while Instant::now() < end && !senders.iter().all(JoinHandle::is_finished) {
            thread::sleep(CHECK_INTERVAL.min(end.saturating_duration_since(Instant::now())));
        }
    };
    wait_until(flow.clock + length.warm_up);
    let begin = Snapshot::take(delivered(), Some(broker), influx)?;
    wait_until(flow.clock + length.warm_up + length.measured);
    let end = Snapshot::take(delivered(), Some(broker), influx)?;

    stop.store(true, Ordering::Relaxed);
    let mut sent = Vec::new();
    for sender in senders {
        let result = sender
            .join()
            .map_err(|_| io::Error::other("a publisher panicked"))?;
        sent.extend(result?);
    }
    let expected: u64 = sent
        .iter()
        .zip(&flow.windows)
        .map(|(sent, window)| window.deliveries_of(u64::from(*sent)))
        .sum();
    let arrived = await_the_rest(expected, &delivered);
    // A run that is over before the first figure is taken still has a rate: a short check.
    let (begin, end) = match end.has_progress_since(&begin) {
        true => (begin, end),
        false => (
            begin.with_nothing_done(),
            Snapshot::take(arrived, Some(broker), influx)?,
        ),
    };

    let reports: Vec<Report> = groups
        .into_iter()
        .map(Group::finish)
        .collect::<io::Result<_>>()?;
    drop(bystanders);
    let mut measure = begin.until(&end);
    measure.faults = faults(traffic, &reports, &sent);
    if is_paced {
        measure.latency = Latency::of(reports.into_iter().flat_map(|one| one.latencies).collect());
    }
    if let Some(influx) = influx {
        let sent: u64 = sent.iter().map(|&sent| u64::from(sent)).sum();
        measure.stored_amiss = sent.abs_diff(influx.count()?);
    }
    Ok(measure)
}

impl Traffic {
    /// The same with `divisor` times fewer of what there are many of.
    pub(crate) fn scaled_down(self, divisor: usize) -> Self {
        let less = |count: usize| if count > 100 { count / divisor } else { count };
        Self {
            publishers: less(self.publishers),
            subscribers: less(self.subscribers),
            bystanders: less(self.bystanders),
            ..self
        }
    }

    fn window(&self) -> Window {
        let max = match self.pace {
            Pace::Full { window, .. } => window,
            Pace::Fixed { .. } => None,
        };
        let fan_out = match self.route {
            Route::ToAll { .. } => self.subscribers as u64,
            Route::Pairs => 1,
        };
        Window::new(max, fan_out)
    }

    fn topics(&self, publisher: usize) -> Vec<String> {
        match self.route {
            Route::ToAll { topics } => topics_of_all(topics),
            Route::Pairs => vec![format!("bench/{publisher:03}/value")],
        }
    }

    fn filter(&self, subscriber: usize) -> String {
        match self.route {
            Route::ToAll { .. } => "bench/#".to_owned(),
            Route::Pairs => format!("bench/{subscriber:03}/#"),
        }
    }
}

/// The first `count` topics of those that all publishers share.
pub(crate) fn topics_of_all(count: usize) -> Vec<String> {
    (0..count)
        .map(|topic| format!("bench/{topic:03}/value"))
        .collect()
}

fn connect_subscribers(traffic: &Traffic, broker: &Broker) -> io::Result<Vec<TcpStream>> {
    let connect = |index| {
        let mut client = Client::connect(broker.address, &format!("subscriber-{index}"))?;
        client.subscribe(&[traffic.filter(index)], traffic.qos)?;
        Ok(client.socket)
    };
    (0..traffic.subscribers).map(connect).collect()
}

fn connect_publishers(traffic: &Traffic, broker: &Broker) -> io::Result<Vec<TcpStream>> {
    let connect = |index| {
        let client = Client::connect(broker.address, &format!("publisher-{index}"))?;
        Ok(client.socket)
    };
    (0..traffic.publishers).map(connect).collect()
}

/// Half of them plain; the others with wildcards, beside the topics that are used and at the root,
/// where every look-up passes them.
fn add_bystanders(count: usize, broker: &Broker) -> io::Result<Vec<Client>> {
    let filters: Vec<String> = (0..count)
        .map(|number| match number % 4 {
            0 => format!("bench/+/other-{number}"),
            1 => format!("+/other-{number}/#"),
            _ => format!("other/{}/{number}", number % 1_000),
        })
        .collect();
    let mut clients = Vec::new();
    for filters in filters.chunks(FILTERS_PER_CLIENT) {
        let client_id = format!("bystander-{}", clients.len());
        let mut client = Client::connect(broker.address, &client_id)?;
        for filters in filters.chunks(FILTERS_PER_PACKET) {
            client.subscribe(filters, 0)?;
        }
        clients.push(client);
    }
    Ok(clients)
}

/// Shares the subscribers among as many threads as there are processors.
fn start_groups(mut subscribers: Vec<TcpStream>, flow: &Arc<Flow>) -> io::Result<Vec<Group>> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let group_len = subscribers.len().div_ceil(threads).max(1);
    let mut groups = Vec::new();
    while !subscribers.is_empty() {
        let rest = subscribers.split_off(group_len.min(subscribers.len()));
        groups.push(Group::start(subscribers, flow)?);
        subscribers = rest;
    }
    Ok(groups)
}

/// A thread that sends, and tells how many messages of each of its publishers it sent.
type Sender = JoinHandle<io::Result<Vec<u32>>>;

fn start_senders(
    traffic: &Traffic,
    sockets: Vec<TcpStream>,
    length: &Length,
    flow: &Arc<Flow>,
    stop: &Arc<AtomicBool>,
) -> io::Result<Vec<Sender>> {
    let packets = |index: usize, count| {
        let publisher = u32::try_from(index).unwrap_or(u32::MAX);
        Packets::new(publisher, &traffic.topics(index), count, traffic.qos)
    };
    let spawn = |send: Box<dyn FnOnce() -> io::Result<Vec<u32>> + Send>| {
        thread::Builder::new().name("publisher".into()).spawn(send)
    };
    let messages_max = length.messages_max;
    match traffic.pace {
        Pace::Full { batch, .. } => sockets
            .into_iter()
            .enumerate()
            .map(|(index, socket)| {
                let publisher = Publisher::new(socket, packets(index, batch), traffic.qos);
                let (flow, stop) = (Arc::clone(flow), Arc::clone(stop));
                spawn(Box::new(move || {
                    let sent = publisher.run(&flow.windows[index], messages_max, &stop)?;
                    Ok(vec![sent])
                }))
            })
            .collect(),
        Pace::Fixed { interval, burst } => {
            let publishers = sockets
                .into_iter()
                .enumerate()
                .map(|(index, socket)| Paced::new(socket, packets(index, burst)))
                .collect();
            let (clock, stop) = (flow.clock, Arc::clone(stop));
            let send = move || paced::run(publishers, interval, messages_max, clock, &stop);
            Ok(vec![spawn(Box::new(send))?])
        }
    }
}

/// Waits until `expected` messages are delivered or none come any more; returns how many are.
fn await_the_rest(expected: u64, delivered: &impl Fn() -> u64) -> u64 {
    let mut seen = delivered();
    let mut last_progress = Instant::now();
    while seen < expected && last_progress.elapsed() < SILENCE_MAX {
        thread::sleep(CHECK_INTERVAL);
        let now = delivered();
        if now != seen {
            (seen, last_progress) = (now, Instant::now());
        }
    }
    seen
}

fn faults(traffic: &Traffic, reports: &[Report], sent: &[u32]) -> Faults {
    let mut first = 0;
    reports
        .iter()
        .map(|report| {
            let faults = report.faults(sent, |subscriber, publisher| match traffic.route {
                Route::ToAll { .. } => true,
                Route::Pairs => first + subscriber == publisher,
            });
            first += report.subscribers();
            faults
        })
        .sum()
}
