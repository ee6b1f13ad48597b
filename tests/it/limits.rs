//! A limit on everything that a client can make grow, each with its setting.

use crate::support::packet::{self, packet};
use crate::support::{Broker, BrokerCommand, Connect, Publish, Signal, Wire};

fn broker_with(args: &[&str]) -> Broker {
    BrokerCommand::without_store().args(args).start()
}

/// Closed as soon as the length is known, before there is anything to hold in memory.
#[test]
fn closes_on_a_packet_above_the_maximum_size() {
    let broker = broker_with(&["--max-packet-size", "1000"]);
    let mut client = broker.connect("client");
    // First byte, two bytes of remaining length, two of topic length, the topic: 1000 bytes in all.
    let fits = Publish::new("a", vec![b'x'; 1000 - 6]);
    assert_eq!(fits.bytes().len(), 1000);
    client.send(&fits.bytes());
    client.expect_nothing();

    let too_large = Publish::new("a", vec![b'x'; 1000 - 5]).bytes();
    client.send(&too_large[..3]);
    client.expect_closed();
    broker.expect_one_error_of(client.peer());
}

/// A stranger may claim 256 MiB and gets nothing for it.
#[test]
fn closes_on_a_connect_that_claims_to_be_huge() {
    let broker = Broker::start_without_store();
    let mut stranger = broker.open();
    stranger.send(&[0x10, 0xff, 0xff, 0xff, 0x7f]);
    stranger.expect_closed();
    broker.expect_one_error_of(stranger.peer());
}

#[test]
fn closes_on_a_topic_above_the_maximum_length() {
    let broker = broker_with(&["--max-topic-length", "10"]);
    let mut client = broker.connect("client");
    client.publish_acked("0123456789", "fits");
    client.publish("0123456789a", "does not");
    client.expect_closed();
    broker.expect_one_error_of(client.peer());
}

#[test]
fn closes_on_a_topic_above_the_maximum_levels() {
    let broker = broker_with(&["--max-topic-levels", "3"]);
    let mut client = broker.connect("client");
    client.publish_acked("a/b/c", "fits");
    client.publish("a/b/c/d", "does not");
    client.expect_closed();
    broker.expect_one_error_of(client.peer());
}

/// `[MQTT-3.9.3-2]` (3.1.1): 0x80 for the one too many, and the client goes on.
#[test]
fn refuses_a_subscription_above_the_maximum() {
    let broker = broker_with(&["--max-subscriptions", "2"]);
    let mut client = broker.connect("client");
    client.send(&packet::subscribe(1, &[("a", 0), ("b", 0), ("c", 0)]));
    client.expect(&packet::suback(1, &[0, 0, 0x80]));
    // One that is there already is no further one.
    client.subscribe("a");
    client.unsubscribe("a");
    client.subscribe("c");
    let mut other = broker.connect("other");
    other.subscribe_all(&[("a", 0), ("b", 0)]);
}

/// Sessions of the absent count too; who has one gets it back.
#[test]
fn refuses_a_client_above_the_maximum_of_sessions() {
    let broker = broker_with(&["--max-sessions", "2"]);
    let durable = |client_id| Connect::new(client_id).resuming();
    broker.connect_with(&durable("away")).disconnect();
    let _present = broker.connect("present");
    let (_, connack) = broker.shake_hands(&Connect::new("third"));
    assert_eq!(connack.code, 3, "server unavailable");
    broker.wait_for_log("--max-sessions is reached: 1 CONNECTs refused");
    broker.resume(&durable("away"));
}

/// What is beyond the limit is delivered all the same; topics that are there go on.
#[test]
fn retains_no_more_messages_than_the_maximum() {
    let broker = broker_with(&["--max-retained", "2"]);
    let mut live = broker.connect("live");
    live.subscribe("#");
    let mut publisher = broker.connect("publisher");
    for (topic, payload) in [
        ("a", "1"),
        ("b", "1"),
        ("c", "1"),
        ("b", "2"),
        ("a", ""),
        ("d", "1"),
    ] {
        publisher.publish_retained(topic, payload);
        live.expect_publish(topic, payload);
    }
    broker.wait_for_log("--max-retained is reached: 1 messages not retained, last topic \"c\"");
    let mut later = broker.connect("later");
    later.subscribe_all(&[("a", 0), ("b", 0), ("c", 0), ("d", 0)]);
    later.expect_retained("b", "2");
    later.expect_retained("d", "1");
    later.expect_nothing();
}

/// A client that does not read is not given unlimited memory, whichever limit is reached first.
#[test]
fn bounds_the_queue_of_a_client_in_messages() {
    let broker = broker_with(&["--max-queued-messages", "100"]);
    let mut stuck = broker.connect("stuck");
    stuck.subscribe("a");
    let mut publisher = broker.connect("publisher");
    let before = broker.resident_bytes();
    let run = Publish::new("a", vec![b'x'; 10_000]).bytes().repeat(100);
    for _ in 0..50 {
        publisher.send(&run);
        publisher.expect_nothing();
    }
    let grown = broker.resident_bytes().saturating_sub(before);
    assert!(grown < 24 << 20, "50 MB published, {grown} bytes kept");
}

/// EMFILE: those who are in are served, and those who wait are let in when others leave.
#[test]
fn goes_on_when_files_run_out() {
    let broker = BrokerCommand::with_open_files_max("40").start();
    let mut early = broker.connect("early");
    early.subscribe("a");
    let crowd: Vec<Wire> = (0..60).map(|_| broker.open()).collect();
    broker.wait_for_log("Too many open files");
    early.publish("a", "served");
    early.expect_publish("a", "served");
    drop(crowd);
    broker.connect("late").publish("a", "welcome");
    early.expect_publish("a", "welcome");
}

/// Packets cut off by the end of the process are no reason to fail.
#[test]
fn stops_while_clients_are_in_the_middle_of_packets() {
    let mut broker = Broker::start_without_store();
    let mut stranger = broker.open();
    stranger.send(&[0x10]);
    let mut client = broker.connect("client");
    client.send(&packet(0x30, b"\0\x01a")[..3]);
    broker.signal(Signal::Terminate);
    assert_eq!(broker.wait().code(), Some(0));
}
