//! Hostile clients in numbers: the healthy ones hardly notice, and memory stays bounded.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::packet::{self, packet};
use crate::support::{Broker, BrokerCommand, Connect, Publish, Wire, eventually};

/// What 99 of 100 messages of a healthy client may take, while the broker shares its processors
/// with the attack and with all other tests.
const P99_MAX: Duration = Duration::from_secs(1);

/// Runs `attack` while a healthy client sends itself one message after the other. Fails when these
/// are slow, or when the broker has grown by more than `memory_max` bytes at the end.
fn besiege<T>(broker: &Broker, memory_max: u64, attack: impl FnOnce() -> T) -> T {
    let mut healthy = broker.connect("healthy");
    healthy.subscribe("healthy");
    let before = broker.resident_bytes();
    let is_over = AtomicBool::new(false);
    let outcome = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut latencies = Vec::new();
            while !is_over.load(Ordering::SeqCst) || latencies.len() < 100 {
                let start = Instant::now();
                healthy.publish("healthy", "and well");
                healthy.expect_publish("healthy", "and well");
                latencies.push(start.elapsed());
            }
            latencies
        });
        let outcome = attack();
        is_over.store(true, Ordering::SeqCst);
        let mut latencies = watch.join().unwrap();
        latencies.sort_unstable();
        let p99 = latencies[latencies.len() * 99 / 100];
        assert!(p99 < P99_MAX, "p99 of {} is {p99:?}", latencies.len());
        outcome
    });
    let grown = broker.resident_bytes().saturating_sub(before);
    assert!(grown < memory_max, "grown by {grown} bytes");
    outcome
}

/// 200 clients send a CONNECT byte by byte, as slowly as they may.
#[test]
fn outlasts_clients_that_dribble_their_connect() {
    const COUNT: usize = 200;
    let broker = BrokerCommand::without_store()
        .args(&["--connect-timeout", "1s"])
        .start();
    besiege(&broker, 32 << 20, || {
        let mut crowd: Vec<Wire> = (0..COUNT).map(|_| broker.open()).collect();
        let long = Connect::new("slow").will("w", &[b'x'; 10_000]).bytes();
        let mut bytes = long.iter();
        eventually("all are closed", || {
            let byte = *bytes.next().unwrap();
            crowd.iter_mut().for_each(|it| it.send_to_closing(&[byte]));
            (broker.log_count("sent no CONNECT within 1s") == COUNT).then_some(())
        });
    });
}

/// 200 clients announce the largest packet there may be, and send little of it.
#[test]
fn gives_no_memory_for_announced_lengths() {
    const COUNT: usize = 200;
    let broker = Broker::start_without_store();
    besiege(&broker, 32 << 20, || {
        let mut crowd: Vec<Wire> = (0..COUNT)
            .map(|number| broker.connect(&format!("bomb {number}")))
            .collect();
        // 8,388,600 bytes are announced, 5,000 come.
        let beginning = [
            &[0x30, 0xf8, 0xff, 0xff, 0x03, 0, 1, b'a'],
            &[b'x'; 5_000][..],
        ]
        .concat();
        crowd.iter_mut().for_each(|it| it.send(&beginning));
        let mut strangers: Vec<Wire> = (0..COUNT).map(|_| broker.open()).collect();
        for stranger in &mut strangers {
            stranger.send(&[0x10, 0xf8, 0xff, 0xff, 0x03, 0, 4]);
        }
    });
}

/// Half-open connections: the peers are gone without a word, and their seats are free again when
/// the keep alive is over.
#[test]
fn frees_the_seats_of_clients_that_are_gone() {
    const COUNT: usize = 50;
    let seats = (COUNT + 1).to_string();
    let broker = BrokerCommand::without_store()
        .args(&["--max-connections", &seats])
        .start();
    besiege(&broker, 32 << 20, || {
        let silent: Vec<Wire> = (0..COUNT)
            .map(|number| {
                broker.connect_with(&Connect {
                    keep_alive: 1,
                    ..Connect::new(&format!("gone {number}"))
                })
            })
            .collect();
        broker.open().expect_closed();
        broker.wait_for_logs("keep alive expired", COUNT);
        eventually("a seat is free again", || {
            let mut wire = broker.open();
            wire.send_to_closing(&Connect::new("next").bytes());
            wire.next_or_closed()
        });
        drop(silent);
    });
}

/// The limit holds, and what is beyond it costs nothing.
#[test]
fn bounds_a_client_that_subscribes_to_100_000_filters() {
    const PER_PACKET: usize = 1_000;
    let broker = Broker::start_without_store();
    besiege(&broker, 48 << 20, || {
        let mut greedy = broker.connect("greedy");
        let mut granted = 0;
        for packet_number in 0..100 {
            let filters: Vec<String> = (0..PER_PACKET)
                .map(|number| format!("greedy/{packet_number}/{number}/+"))
                .collect();
            let filters: Vec<(&str, u8)> = filters.iter().map(|it| (it.as_str(), 0)).collect();
            greedy.send(&packet::subscribe(1, &filters));
            let suback = greedy.packet();
            let codes = &suback[suback.len() - PER_PACKET..];
            granted += codes.iter().filter(|code| **code == 0).count();
        }
        assert_eq!(granted, 10_000);
        // A line for each packet, and not for each filter.
        broker.wait_for_logs("1000 subscriptions refused", 90);
        assert_eq!(broker.log_count("client=\"greedy\""), 91);
    });
}

/// A subscriber that reads nothing, while everybody publishes to it.
#[test]
fn bounds_what_waits_for_a_subscriber_that_never_reads() {
    let broker = BrokerCommand::without_store()
        .args(&["--max-queued-bytes", "1M"])
        .start();
    besiege(&broker, 32 << 20, || {
        let mut stuck = broker.connect("stuck");
        stuck.subscribe("flood");
        let mut publisher = broker.connect("publisher");
        let run = Publish::new("flood", vec![b'x'; 10_000])
            .bytes()
            .repeat(100);
        for _ in 0..40 {
            publisher.send(&run);
            publisher.expect_nothing();
        }
        stuck
    });
}

/// Four threads reconnect as fast as they can, each with one identifier that it takes over.
#[test]
fn stands_a_storm_of_reconnects() {
    const ROUNDS: usize = 250;
    let broker = Broker::start_without_store();
    besiege(&broker, 32 << 20, || {
        thread::scope(|scope| {
            for number in 0..4 {
                let broker = &broker;
                scope.spawn(move || {
                    let client_id = format!("storm {number}");
                    let mut last = None;
                    for _ in 0..ROUNDS {
                        last = Some(broker.connect(&client_id));
                    }
                    last
                });
            }
        });
    });
}

/// Control characters, escapes of terminals and marks of direction, in identifiers and in topics:
/// each event stays one line, and a line holds nothing but what can be seen.
#[test]
fn logs_one_line_for_each_event_whatever_clients_call_themselves() {
    let broker = BrokerCommand::without_store()
        .args(&["--max-topic-levels", "2"])
        .start();
    let nasty: Vec<char> = ('\u{1}'..='\u{1f}')
        .chain('\u{7f}'..='\u{9f}')
        .chain(['\u{202e}', '\u{2028}', '\u{2029}', '\u{2066}', '\u{200f}'])
        .collect();
    for (number, c) in nasty.iter().enumerate() {
        let text = format!("{c}[2J{c}[ERROR] forged{c}");
        let mut client = broker.connect(&format!("nasty {number} {text}"));
        client.send(&packet(0x30, &packet::prefixed(format!("a/b/c{text}"))));
        client.expect_closed();
        broker.expect_one_error_of(client.peer());
        assert_eq!(broker.log_count(&format!("nasty {number} ")), 2);
    }
    let log = broker.log();
    for line in log.lines() {
        assert!(line.starts_with('['), "{line:?}");
        assert!(!line.contains(&nasty[..]), "{line:?}");
    }
    let forged = |line: &&str| line.starts_with("[ERROR] forged");
    assert_eq!(log.lines().filter(forged).count(), 0);
}
