//! Limits on how many clients come, and on how fast they send: each a setting, off by default.

use std::time::{Duration, Instant};

use crate::support::{Broker, BrokerCommand, ConnAck, Connect, Publish, Signal, Wire, eventually};

/// MQTT 5.0's codes, and the one of 3.1.1 that stands for both.
const QUOTA_EXCEEDED: u8 = 0x97;
const CONNECTION_RATE_EXCEEDED: u8 = 0x9f;
const SERVER_UNAVAILABLE: u8 = 3;

fn broker_with(args: &[&str]) -> Broker {
    BrokerCommand::without_store().args(args).start()
}

/// Connects if the broker has room; otherwise it closes the connection without an answer.
fn try_connect(broker: &Broker, client_id: &str) -> Option<Wire> {
    let mut wire = broker.open();
    wire.send_to_closing(&Connect::new(client_id).bytes());
    let connack = wire.next_or_closed()?;
    assert_eq!(ConnAck::parse(&connack).unwrap().code, 0);
    Some(wire)
}

fn as_user<'a>(connect: Connect<'a>, name: &'a str) -> Connect<'a> {
    Connect {
        user_name: Some(name),
        ..connect
    }
}

#[test]
fn closes_connections_above_the_maximum() {
    let mut broker = broker_with(&["--max-connections", "2"]);
    let mut first = broker.connect("first");
    // A stranger has a thread as well, and counts.
    let stranger = broker.open();
    assert!(try_connect(&broker, "third").is_none());
    broker.wait_for_log("[WARN] --max-connections is reached: 1 connections closed unanswered");
    first.expect_nothing();
    drop(stranger);
    let mut third = eventually("the seat is free again", || try_connect(&broker, "third"));
    third.expect_nothing();
    broker.signal(Signal::Terminate);
    assert_eq!(broker.wait().code(), Some(0));
    broker.wait_for_log("limits were reached: --max-connections: ");
}

#[test]
fn closes_connections_of_one_address_above_the_maximum() {
    let broker = BrokerCommand::bare()
        .args(&["--store", "off", "--max-connections-per-address", "2"])
        .args(&["--listen", "127.0.0.1:0", "--listen", "ws://[::1]:0"])
        .start();
    let _there = [broker.connect("a"), broker.connect("b")];
    assert!(try_connect(&broker, "c").is_none());
    broker.wait_for_log("--max-connections-per-address is reached: 1 connections closed");
    // Another address has seats of its own. One that had none would be closed at once.
    let mut other = Wire::open(broker.address_of("ws"));
    other.send_beneath(b"no WebSocket\r\n\r\n");
    let answer = other.expect_closed_beneath();
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
}

/// A client that comes back while its broken connection is still there is not one more.
#[test]
fn refuses_clients_of_one_user_above_the_maximum() {
    let broker = broker_with(&["--max-connections-per-user", "1"]);
    let mut ann = broker.connect_with(&as_user(Connect::new("sensor"), "ann"));
    let code = |connect| broker.shake_hands(&as_user(connect, "ann")).1.code;
    assert_eq!(code(Connect::v5("other")), QUOTA_EXCEEDED);
    assert_eq!(code(Connect::new("other")), SERVER_UNAVAILABLE);
    ann.expect_nothing();

    let again = broker.connect_with(&as_user(Connect::new("sensor"), "ann"));
    ann.expect_closed();
    broker.connect_with(&as_user(Connect::new("other"), "bob"));
    broker.connect("anonymous");
    again.disconnect();
    eventually("the seat is free again", || {
        (code(Connect::new("other")) == 0).then_some(())
    });
}

/// What is refused a thousand times is logged once.
#[test]
fn refuses_connects_above_the_rate() {
    let broker = broker_with(&["--max-connect-rate", "1"]);
    let mut early = broker.connect("early");
    let code = |connect: &Connect<'_>| broker.shake_hands(connect).1.code;
    // The pause that a busy machine makes lets one of them in; never all.
    let codes: Vec<u8> = (0..20)
        .map(|number| match number % 2 {
            0 => code(&Connect::new("late")),
            _ => code(&Connect::v5("late")),
        })
        .collect();
    for expected in [SERVER_UNAVAILABLE, CONNECTION_RATE_EXCEEDED] {
        assert!(codes.contains(&expected), "{codes:x?}");
    }
    early.expect_nothing();
    eventually("a second has passed", || {
        (code(&Connect::new("late")) == 0).then_some(())
    });
    assert_eq!(broker.log_count("--max-connect-rate is reached"), 1);
    assert_eq!(broker.log_count("[ERROR]"), 0);
}

/// Messages above the rate come later, and all of them.
#[test]
fn holds_back_a_client_above_its_message_rate() {
    const COUNT: usize = 100;
    let broker = broker_with(&["--max-message-rate", "50"]);
    // So long that few of them come with one read.
    let payload = |number| format!("{number:060}");
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a");
    let mut fast = broker.connect("fast");
    let start = Instant::now();
    for number in 0..COUNT {
        fast.publish("a", payload(number));
    }
    for number in 0..COUNT {
        subscriber.expect_publish("a", payload(number));
    }
    // The first 50 at once, the others within a second; but those of the last read at its start.
    let took = start.elapsed();
    assert!(took > Duration::from_millis(500), "{took:?}");
    broker.wait_for_log("--max-message-rate is reached: 1 times a client was held back");
}

/// A packet that takes longer than the keep alive allows is late because of us.
#[test]
fn holds_back_a_client_above_its_byte_rate() {
    let broker = broker_with(&["--max-byte-rate", "1k"]);
    let mut client = broker.connect_with(&Connect {
        keep_alive: 1,
        ..Connect::new("client")
    });
    client.subscribe("a");
    let start = Instant::now();
    let large = vec![b'x'; 3_500];
    client.publish("a", &large);
    client.expect_publish("a", &large);
    let took = start.elapsed();
    assert!(took > Duration::from_secs(1), "{took:?}");
    broker.wait_for_log("--max-byte-rate is reached");
}

#[test]
fn stops_while_clients_are_held_back() {
    let mut broker = broker_with(&["--max-byte-rate", "1"]);
    let mut client = broker.connect("client");
    client.send(&Publish::new("a", [b'x'; 1_000]).bytes());
    broker.wait_for_log("--max-byte-rate is reached");
    let start = Instant::now();
    broker.signal(Signal::Terminate);
    assert_eq!(broker.wait().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn raises_the_limit_of_open_files_and_says_what_it_does_not_allow() {
    let broker = BrokerCommand::with_open_files_max("64:300")
        .args(&["--max-connections", "1000"])
        .start();
    broker.wait_for_log("[INFO] raised the limit of open files from 64 to 300");
    broker.wait_for_log(
        "[WARN] --max-connections 1000 is out of reach: the limit of open files (ulimit -n, \
         LimitNOFILE) is 300, which is enough for 236 connections",
    );
    let crowd: Vec<Wire> = (0..100)
        .map(|number| broker.connect(&number.to_string()))
        .collect();
    assert_eq!(crowd.len(), 100);
}
