//! From start to stop.

use std::net::TcpListener;

use crate::support::{
    Answer, Broker, BrokerCommand, Connect, FakeInflux, Influx, Publish, Signal, packet,
};

#[test]
fn names_the_port_it_got() {
    let broker = Broker::start_without_store();
    assert_ne!(broker.address().port(), 0);
    broker.connect("client").expect_nothing();
}

#[test]
fn stops_cleanly_on_sigint_and_sigterm() {
    for signal in [Signal::Interrupt, Signal::Terminate] {
        let mut broker = Broker::start_without_store();
        let mut client = broker.connect("client");
        broker.signal(signal);
        assert_eq!(broker.wait().code(), Some(0), "{signal:?}");
        client.expect_closed();
    }
}

#[test]
fn stops_while_nobody_is_connected_and_influxdb_is_away() {
    let mut broker = BrokerCommand::storing_at("http://127.0.0.1:1").start();
    broker.signal(Signal::Terminate);
    assert_eq!(broker.wait().code(), Some(0));
}

/// What the broker had accepted when it was told to stop is stored, delivered and acknowledged.
#[test]
fn finishes_what_it_accepted_before_it_stops() {
    let influx = FakeInflux::start();
    let mut broker = Broker::start_with_fake(&influx);
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a");
    let mut publisher = broker.connect("publisher");
    influx.next(Answer::Hold);
    publisher.send(&Publish::new("a", "accepted").qos(1, 1).bytes());
    influx.wait_for_writes(1);
    broker.signal(Signal::Terminate);
    influx.release();
    subscriber.expect_publish("a", "accepted");
    publisher.expect(&packet::puback(1));
    assert_eq!(broker.wait().code(), Some(0));
}

/// `[MQTT-3.1.2-8]`: its clients did not say DISCONNECT.
#[test]
fn stores_and_delivers_wills_when_it_stops() {
    let influx = Influx::start();
    let mut broker = Broker::start(&influx);
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("will/#");
    let _clients = ["one", "two"].map(|id| {
        let topic = format!("will/{id}");
        broker.connect_with(&Connect::new(id).will(&topic, b"gone"))
    });
    broker.signal(Signal::Terminate);
    let mut topics = [(); 2].map(|()| subscriber.take_publish().topic);
    topics.sort();
    assert_eq!(topics, ["will/one", "will/two"]);
    assert_eq!(broker.wait().code(), Some(0));
    assert_eq!(influx.payloads("will/one"), ["gone"]);
    assert_eq!(influx.payloads("will/two"), ["gone"]);
}

#[test]
fn says_in_one_line_that_the_address_is_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, lines) = BrokerCommand::bare()
        .args(&["--store", "off", "--listen", &address])
        .fail();
    assert!(code.is_some_and(|code| code != 0), "{code:?}");
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(
        lines[0].contains(&address) && lines[0].contains("in use"),
        "{lines:#?}"
    );
}
