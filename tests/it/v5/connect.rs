//! Chapters 3.1, 3.2 and 3.14.

use std::time::{Duration, Instant};

use crate::support::property;
use crate::support::{Broker, BrokerCommand, Connect};

/// `[MQTT-3.2.2-16]`, `[MQTT-3.1.3-6]`: also with clean start 0, and the id is the client's from then on.
#[test]
fn assigns_a_client_id() {
    let broker = Broker::start_without_store();
    let durable = [property::four(property::SESSION_EXPIRY, 100)];
    for connect in [Connect::v5(""), Connect::v5("").resuming()] {
        let (client, connack) = broker.shake_hands(&connect.properties(&durable));
        assert_eq!((connack.session_present, connack.code), (false, 0));
        let id = connack.property(property::ASSIGNED_CLIENT_ID).unwrap();
        let id = str::from_utf8(id).unwrap();
        client.disconnect();
        broker.resume(&Connect::v5(id).resuming());
    }
    let (_, connack) = broker.shake_hands(&Connect::v5("own"));
    assert_eq!(connack.property(property::ASSIGNED_CLIENT_ID), None);
}

/// `[MQTT-3.2.2-21]`, `[MQTT-3.14.4-1]`: the keep alive in CONNACK counts, and its end has a reason code.
#[test]
fn enforces_the_keep_alive_of_the_server() {
    let broker = BrokerCommand::without_store()
        .args(&["--max-keep-alive", "1"])
        .start();
    let (_, connack) = broker.shake_hands(&Connect::v5("modest").keep_alive(1));
    assert_eq!(connack.property(property::SERVER_KEEP_ALIVE), None);
    let start = Instant::now();
    for asked in [0, 600] {
        let (mut client, connack) = broker.shake_hands(&Connect::v5("silent").keep_alive(asked));
        assert_eq!(
            connack.property(property::SERVER_KEEP_ALIVE),
            Some(&[0, 1][..])
        );
        client.expect_disconnect(0x8d);
    }
    assert!(
        start.elapsed() >= Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
}

/// `[MQTT-3.1.4-3]`
#[test]
fn tells_the_old_connection_that_it_is_taken_over() {
    let broker = Broker::start_without_store();
    let mut old = broker.connect_v5("same");
    let mut new = broker.connect_v5("same");
    old.expect_disconnect(0x8e);
    new.expect_nothing();
}

/// `[MQTT-3.1.2-2]`: a version that nobody speaks is refused in the words of 3.1.1.
#[test]
fn refuses_versions_to_come() {
    let broker = Broker::start_without_store();
    let mut client = broker.open();
    client.send(
        &Connect {
            level: 6,
            ..Connect::v5("future")
        }
        .bytes(),
    );
    client.expect(&[0x20, 2, 0, 1]);
    client.expect_closed();
}

/// A password needs no user name in MQTT 5.0.
#[test]
fn accepts_a_password_alone() {
    let broker = Broker::start_without_store();
    broker.connect_with(&Connect {
        password: Some("secret"),
        ..Connect::v5("client")
    });
}

/// MQTT 3.1, 3.1.1 and 5.0 side by side, and one session that changes its version.
#[test]
fn serves_all_versions_at_once() {
    let broker = Broker::start_without_store();
    let v3_1 = Connect {
        protocol: "MQIsdp",
        level: 3,
        ..Connect::new("3.1")
    };
    let mut clients = [
        broker.connect_with(&v3_1),
        broker.connect("3.1.1"),
        broker.connect_v5("5"),
    ];
    for client in &mut clients {
        client.subscribe_all(&[("a", 1)]);
    }
    for sender in 0..clients.len() {
        clients[sender].publish("a", "x");
        for client in &mut clients {
            client.expect_publish("a", "x");
        }
    }
    let expiry = [property::four(property::SESSION_EXPIRY, 100)];
    let mut client = broker.connect_with(&Connect::v5("changing").properties(&expiry));
    client.subscribe_with(
        &property::var_int(property::SUBSCRIPTION_ID, 3),
        &[("b", 1)],
    );
    client.disconnect();
    clients[2].publish_acked("b", "y");
    let mut client = broker.resume(&Connect::new("changing").resuming());
    let got = client.take_publish();
    assert_eq!((got.payload, got.qos), (b"y".to_vec(), 1));
}

/// The server stops: its clients are told [MQTT-3.14.4-1].
#[test]
fn says_that_it_shuts_down() {
    let mut broker = Broker::start_without_store();
    let mut client = broker.connect_v5("client");
    broker.signal(crate::support::Signal::Terminate);
    client.expect_disconnect(0x8b);
    assert!(broker.wait().success());
}
