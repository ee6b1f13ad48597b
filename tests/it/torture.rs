//! Everything fails, again and again, while nine clients publish: in the end each acknowledged message is in InfluxDB or
//! among the rejected, and so is each that a subscriber saw.
//!
//! A message that was sent again, since its acknowledgement was lost with the connection, may be two points; so payloads
//! are compared as sets. `MQTT_SERVER_LONG_TESTS=1` publishes ten times as many.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{BrokerCommand, Connect, Influx, Publish, Unsteady, eventually, packet};

/// Clients at QoS 1; one more publishes at QoS 2.
const AT_LEAST_ONCE: usize = 8;

/// Messages of one client that are on their way at a time.
const WINDOW: usize = 50;

/// Each client's message of such a number has a field that InfluxDB does not take.
const REJECTED_EVERY: usize = 250;

/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(600);

/// What the clients and the one who disturbs them share.
struct Scene {
    /// Where the broker is now.
    address: Mutex<SocketAddr>,
    acknowledged: AtomicUsize,
    is_over: AtomicBool,
    deadline: Instant,
}

impl Scene {
    fn connect(&self, client_id: &str) -> io::Result<Unsteady> {
        assert!(
            Instant::now() < self.deadline,
            "{client_id}: not done in time"
        );
        let address = *self.address.lock().unwrap_or_else(PoisonError::into_inner);
        // Patient only so that a client notices that all is over.
        let mut client = Unsteady::open(address, Duration::from_secs(20))?;
        client.send(&Connect::new(client_id).bytes())?;
        match client.packet()? == packet::connack(0) {
            true => Ok(client),
            false => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }

    /// Connects again and again, and does `work` on each connection until it is done.
    fn persist(&self, client_id: &str, mut work: impl FnMut(&mut Unsteady) -> io::Result<()>) {
        loop {
            let done = self
                .connect(client_id)
                .and_then(|mut client| work(&mut client));
            if done.is_ok() || self.is_over.load(Ordering::SeqCst) {
                return;
            }
            // The broker is being started again; nobody announces its port to us.
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until so many messages have been acknowledged.
    fn wait_for(&self, count: usize) {
        while self.acknowledged.load(Ordering::SeqCst) < count {
            assert!(
                Instant::now() < self.deadline,
                "the clients make no progress"
            );
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The payload of the message `number` of one client.
fn payload(client: usize, number: usize) -> String {
    match number % REJECTED_EVERY {
        0 => format!("{{\"clash\":{}}}", (client + 1) * 1_000_000 + number),
        _ => format!("client {client} message {number}"),
    }
}

/// Publishes `count` messages and returns when all are acknowledged; those that are not yet go out again, marked as
/// duplicates, on the next connection.
fn publish(scene: &Scene, client: usize, qos: u8, count: usize) -> BTreeSet<String> {
    let mut acknowledged = BTreeSet::new();
    // Numbers that were sent and not acknowledged; the packet identifier is the place in the window, from 1.
    let mut window: Vec<Option<usize>> = vec![None; WINDOW];
    let mut next = 0;
    scene.persist(&format!("publisher {client}"), |connection| {
        let bytes = |slot: usize, number: usize| {
            let id = u16::try_from(slot + 1).unwrap();
            Publish::new(&format!("t/{client}"), payload(client, number)).qos(qos, id)
        };
        for (slot, number) in window.iter().enumerate() {
            if let Some(number) = number {
                connection.send(&bytes(slot, *number).dup().bytes())?;
            }
        }
        while acknowledged.len() < count {
            let mut run = Vec::new();
            for (slot, number) in window.iter_mut().enumerate() {
                if number.is_none() && next < count {
                    run.extend(bytes(slot, next).bytes());
                    *number = Some(next);
                    next += 1;
                }
            }
            connection.send(&run)?;
            let answer = connection.packet()?;
            let id = u16::from_be_bytes([answer[2], answer[3]]);
            let slot = usize::from(id) - 1;
            // PUBACK frees the identifier; PUBREC does when its handshake is complete.
            match answer[0] >> 4 {
                4 => {
                    let number = window[slot].take().unwrap();
                    acknowledged.insert(payload(client, number));
                    scene.acknowledged.fetch_add(1, Ordering::SeqCst);
                }
                5 => {
                    if acknowledged.insert(payload(client, window[slot].unwrap())) {
                        scene.acknowledged.fetch_add(1, Ordering::SeqCst);
                    }
                    connection.send(&packet::pubrel(id))?;
                }
                7 => window[slot] = None,
                other => panic!("packet type {other}"),
            }
        }
        Ok(())
    });
    acknowledged
}

/// Everything that a subscriber sees until all is over.
fn watch(scene: &Scene) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    scene.persist("subscriber", |connection| {
        connection.send(&packet::subscribe(1, &[("t/#", 0)]))?;
        loop {
            let packet = connection.packet()?;
            if let Some(publish) = Publish::parse(&packet, false) {
                seen.insert(String::from_utf8(publish.payload).unwrap());
            }
        }
    });
    seen
}

#[test]
fn loses_nothing_whatever_fails() {
    let long = std::env::var_os("MQTT_SERVER_LONG_TESTS").is_some();
    let total = if long { 200_000 } else { 20_000 };
    let each = total / (AT_LEAST_ONCE + 1);

    let mut influx = Influx::start();
    influx.query("CREATE DATABASE mqtt_data");
    influx.write("mqtt,topic=before clash=\"text\"");
    let mut broker = BrokerCommand::storing_at(&influx.url())
        .args(&["--influx-timeout", "300ms"])
        .start();
    let scene = Scene {
        address: Mutex::new(broker.address()),
        acknowledged: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
        deadline: Instant::now() + LIMIT,
    };

    let (acknowledged, seen, rejected) = thread::scope(|scope| {
        let scene = &scene;
        let publishers: Vec<_> = (0..=AT_LEAST_ONCE)
            .map(|client| {
                let qos = if client == AT_LEAST_ONCE { 2 } else { 1 };
                scope.spawn(move || publish(scene, client, qos, each))
            })
            .collect();
        let watcher = scope.spawn(move || watch(scene));

        let mut kill_broker = || {
            broker.kill();
            broker.restart();
            *scene.address.lock().unwrap() = broker.address();
        };
        let at = |percent: usize| scene.wait_for(total * percent / 100);
        at(5);
        influx.pause();
        at(15);
        influx.resume();
        at(25);
        influx.kill();
        at(35);
        influx.restart();
        at(45);
        kill_broker();
        at(50);
        influx.pause();
        at(55);
        kill_broker();
        at(60);
        influx.resume();
        at(65);
        influx.kill();
        kill_broker();
        at(75);
        kill_broker();
        influx.restart();
        at(85);
        kill_broker();
        let acknowledged: BTreeSet<String> = publishers
            .into_iter()
            .flat_map(|publisher| publisher.join().unwrap())
            .collect();
        // Whatever was delivered has been sent to the subscriber by now; it is not promised to have come.
        scene.is_over.store(true, Ordering::SeqCst);
        eventually("the journal is empty", || {
            broker.tool(&["journal"]).contains("empty").then_some(())
        });
        let rejected = broker.tool(&["rejected", "export"]);
        broker.kill();
        (acknowledged, watcher.join().unwrap(), rejected)
    });

    let rejected: BTreeSet<String> = rejected
        .lines()
        .filter_map(|line| line.split_once(" clash=")?.1.split([',', ' ']).next())
        .map(|number| format!("{{\"clash\":{number}}}"))
        .collect();
    let points = influx.points();
    let stored: BTreeSet<String> = points
        .iter()
        .filter(|point| point.topic() != "before")
        .map(|point| String::from_utf8(point.payload()).unwrap())
        .collect();
    eprintln!(
        "{} acknowledged, {} seen by the subscriber, {} points of {} messages in InfluxDB, {} messages rejected",
        acknowledged.len(),
        seen.len(),
        points.len() - 1,
        stored.len(),
        rejected.len()
    );
    assert_eq!(acknowledged.len(), (AT_LEAST_ONCE + 1) * each);
    let safe: BTreeSet<&String> = stored.union(&rejected).collect();
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|message| !safe.contains(message))
        .collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let ghosts: Vec<_> = seen
        .iter()
        .filter(|message| !safe.contains(message))
        .collect();
    assert!(ghosts.is_empty(), "delivered and lost: {ghosts:?}");
    assert_eq!(safe.len(), acknowledged.len(), "nothing else was published");
    assert_eq!(
        rejected.len(),
        (AT_LEAST_ONCE + 1) * each.div_ceil(REJECTED_EVERY)
    );
    assert!(seen.len() > total / 2, "the subscriber saw {}", seen.len());
}
