//! Section 3.1.2.10: a client that says nothing for one and a half times its keep alive is gone.

use std::time::{Duration, Instant};

use crate::support::{Broker, BrokerCommand, Connect};

/// `[MQTT-3.1.2-22]`
#[test]
fn closes_a_client_that_falls_silent_and_publishes_its_will() {
    let broker = Broker::start_without_store();
    let mut watcher = broker.connect("watcher");
    watcher.subscribe("will");
    let start = Instant::now();
    let mut client =
        broker.connect_with(&Connect::new("quiet").keep_alive(1).will("will", b"gone"));
    client.expect_closed();
    assert!(
        start.elapsed() >= Duration::from_millis(1500),
        "after {:?}",
        start.elapsed()
    );
    watcher.expect_publish("will", "gone");
    broker.expect_one_error_of(client.peer());
}

/// Only what the client sends counts, not what it receives.
#[test]
fn closes_a_silent_client_that_is_sent_messages() {
    let broker = Broker::start_without_store();
    let mut listener = broker.connect_with(&Connect::new("listener").keep_alive(1));
    listener.subscribe("a");
    let mut publisher = broker.connect("publisher");
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        publisher.publish_acked("a", "b");
        listener.expect_publish("a", "b");
    }
    assert!(listener.expect_closed_after_anything().is_empty());
}

#[test]
fn keeps_a_client_that_pings() {
    let broker = Broker::start_without_store();
    let mut client = broker.connect_with(&Connect::new("pinging").keep_alive(1));
    for _ in 0..5 {
        client.expect_silence(Duration::from_millis(500));
        client.expect_nothing();
    }
}

#[test]
fn never_closes_a_client_with_keep_alive_0() {
    // The shortest time limit there is besides keep alive must not reach a connected client.
    let broker = BrokerCommand::without_store()
        .args(&["--connect-timeout", "1s"])
        .start();
    let mut client = broker.connect_with(&Connect::new("patient").keep_alive(0));
    client.expect_silence(Duration::from_secs(3));
    client.expect_nothing();
}
