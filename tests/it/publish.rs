//! Chapters 3.3 to 3.7 and 4.3: messages and their acknowledgements.

use crate::support::{Broker, Publish, packet};

/// `[MQTT-4.3.2-4]`
#[test]
fn acknowledges_qos_1_with_puback() {
    let broker = Broker::start_without_store();
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a");
    let mut publisher = broker.connect("publisher");
    for id in [1, 0xffff, 1] {
        publisher.send(&Publish::new("a", "x").qos(1, id).bytes());
        publisher.expect(&packet::puback(id));
        subscriber.expect_publish("a", "x");
    }
}

/// `[MQTT-4.6.0-2]`: in one write, so that the broker reads them together.
#[test]
fn acknowledges_a_run_in_its_order() {
    let broker = Broker::start_without_store();
    let mut publisher = broker.connect("publisher");
    let ids = (1..=500_u16).rev();
    let run: Vec<u8> = ids
        .clone()
        .flat_map(|id| Publish::new("a", id.to_string()).qos(1, id).bytes())
        .collect();
    publisher.send(&run);
    for id in ids {
        publisher.expect(&packet::puback(id));
    }
}

/// `[MQTT-4.3.3-8]` to `[MQTT-4.3.3-11]`: no second delivery before PUBREL, a new message after PUBCOMP.
#[test]
fn delivers_qos_2_once() {
    let broker = Broker::start_without_store();
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a");
    let mut publisher = broker.connect("publisher");
    let publish = Publish::new("a", "once").qos(2, 7);
    publisher.send(&publish.bytes());
    publisher.expect(&packet::pubrec(7));
    publisher.send(&publish.clone().dup().bytes());
    publisher.expect(&packet::pubrec(7));
    publisher.send(&packet::pubrel(7));
    publisher.expect(&packet::pubcomp(7));
    subscriber.expect_publish("a", "once");
    subscriber.expect_nothing();

    publisher.send(&publish.bytes());
    publisher.expect(&packet::pubrec(7));
    publisher.send(&packet::pubrel(7));
    publisher.expect(&packet::pubcomp(7));
    subscriber.expect_publish("a", "once");
    subscriber.expect_nothing();
}

/// The same within one read of the broker.
#[test]
fn delivers_qos_2_once_when_all_comes_at_once() {
    let broker = Broker::start_without_store();
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a");
    let mut publisher = broker.connect("publisher");
    let publish = Publish::new("a", "once").qos(2, 7);
    let parts = [
        publish.bytes(),
        publish.clone().dup().bytes(),
        packet::pubrel(7),
        publish.bytes(),
        packet::pubrel(7),
    ];
    publisher.send(&parts.concat());
    publisher.expect(&packet::pubrec(7));
    publisher.expect(&packet::pubrec(7));
    publisher.expect(&packet::pubcomp(7));
    publisher.expect(&packet::pubrec(7));
    publisher.expect(&packet::pubcomp(7));
    subscriber.expect_publish("a", "once");
    subscriber.expect_publish("a", "once");
    subscriber.expect_nothing();
}

/// `[MQTT-4.3.3-11]`: a client that lost the PUBCOMP sends PUBREL again.
#[test]
fn answers_pubrel_for_an_unknown_id() {
    let broker = Broker::start_without_store();
    let mut publisher = broker.connect("publisher");
    publisher.send(&packet::pubrel(4711));
    publisher.expect(&packet::pubcomp(4711));
}

/// `[MQTT-3.3.1-3]`
#[test]
fn does_not_pass_on_dup() {
    let broker = Broker::start_without_store();
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a");
    let mut publisher = broker.connect("publisher");
    publisher.send(&Publish::new("a", "x").qos(1, 3).dup().bytes());
    publisher.expect(&packet::puback(3));
    subscriber.expect_publish("a", "x");
}

#[test]
fn ignores_acknowledgements_that_nobody_waits_for() {
    let broker = Broker::start_without_store();
    let mut client = broker.connect("client");
    client.send(&packet::puback(9));
    client.send(&packet::pubcomp(9));
    client.expect_nothing();
}

#[test]
fn passes_on_every_payload_untouched() {
    let broker = Broker::start_without_store();
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("#");
    let mut publisher = broker.connect("publisher");
    let all_bytes: Vec<u8> = (0..=255).collect();
    // Lengths at which the remaining length grows by a byte, and their neighbours.
    let lengths = [0, 1, 124, 125, 16_380, 16_381, 2_097_148, 2_097_149];
    let mut payloads: Vec<_> = lengths.map(|length| vec![b'x'; length]).into();
    payloads.push(all_bytes);
    for payload in payloads {
        publisher.publish("a", &payload);
        subscriber.expect_publish("a", &payload);
    }
}

/// `[MQTT-4.6.0-6]`
#[test]
fn keeps_the_order_of_a_publisher() {
    const COUNT: usize = 2_000;
    let broker = Broker::start_without_store();
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("a/+");
    let mut publisher = broker.connect("publisher");
    let numbered = |n: usize| Publish::new(&format!("a/{}", n % 7), n.to_string());
    let run: Vec<u8> = (0..COUNT).flat_map(|n| numbered(n).bytes()).collect();
    publisher.send(&run);
    for n in 0..COUNT {
        assert_eq!(subscriber.take_publish(), numbered(n));
    }
}
