//! Chapter 3.3.2.3: what belongs to a message reaches whoever gets it, unaltered.

use crate::support::packet::puback;
use crate::support::property::{self, text};
use crate::support::{Broker, Connect, Publish};

/// Everything that a message may carry but its expiry, in the order in which the broker writes it.
fn everything() -> Vec<Vec<u8>> {
    vec![
        property::byte(property::PAYLOAD_FORMAT, 1),
        text(property::RESPONSE_TOPIC, "answers/here"),
        text(property::CORRELATION_DATA, [0, 1, 0xff]),
        text(property::CONTENT_TYPE, "text/plain"),
        property::user("b", "2"),
        property::user("a", "1"),
        property::user("b", "2"),
        property::user("", ""),
    ]
}

/// `[MQTT-3.3.2-4]`, `[MQTT-3.3.2-15]` to `[MQTT-3.3.2-18]`, `[MQTT-3.3.2-20]`: to who is there, to who was away and from
/// among retained messages; user properties in their order, repeated ones too.
#[test]
fn are_passed_on_unaltered() {
    let broker = Broker::start_without_store();
    let durable = Connect::v5("absent")
        .properties(&[property::four(property::SESSION_EXPIRY, 100)])
        .resuming();
    let mut absent = broker.connect_with(&durable);
    absent.subscribe_all(&[("a", 1)]);
    absent.disconnect();
    let mut live = [broker.connect_v5("at QoS 0"), broker.connect_v5("at QoS 1")];
    live[0].subscribe_all(&[("a", 0)]);
    live[1].subscribe_all(&[("a", 1)]);
    let mut plain = broker.connect("3.1.1");
    plain.subscribe("a");
    let mut publisher = broker.connect_v5("publisher");
    let publish = Publish::new("a", "x").properties(&everything());
    publisher.send_publish(&publish);
    publisher.send_acked(publish.clone().retained());

    live[0].expect_message(&publish);
    live[0].expect_message(&publish);
    live[1].expect_message(&publish);
    let acknowledged = live[1].take_publish();
    assert_eq!(acknowledged.properties, publish.properties);
    live[1].send(&puback(acknowledged.id.unwrap()));
    plain.expect_publish("a", "x");
    plain.expect_publish("a", "x");
    let mut absent = broker.resume(&durable);
    assert_eq!(absent.take_publish().properties, publish.properties);
    for qos in 0..=1 {
        let mut later = broker.connect_v5("later");
        later.subscribe_all(&[("a", qos)]);
        let kept = later.take_publish();
        assert_eq!(
            (kept.retain, kept.properties),
            (true, publish.properties.clone())
        );
    }
}

/// Whatever order the publisher writes them in, and beside an alias, which is not passed on.
#[test]
fn are_passed_on_whatever_their_order() {
    let broker = Broker::start_without_store();
    let mut subscriber = broker.connect_v5("subscriber");
    subscriber.subscribe("a");
    let mut publisher = broker.connect_v5("publisher");
    let mut shuffled = everything();
    shuffled.rotate_left(5);
    shuffled.insert(2, property::two(property::TOPIC_ALIAS, 1));
    shuffled.insert(4, property::four(property::MESSAGE_EXPIRY, 500));
    publisher.send_publish(&Publish::new("a", "x").properties(&shuffled));
    let got = subscriber.take_publish();
    let mut got = property::parse(&got.properties).unwrap();
    let mut expected = property::parse(&shuffled.concat()).unwrap();
    expected.retain(|(id, _)| *id != property::TOPIC_ALIAS);
    let user = |properties: &[(u8, Vec<u8>)]| {
        let users = properties
            .iter()
            .filter(|(id, _)| *id == property::USER_PROPERTY);
        users.cloned().collect::<Vec<_>>()
    };
    assert_eq!(user(&got), user(&expected));
    got.sort();
    expected.sort();
    assert_eq!(got, expected);
}
