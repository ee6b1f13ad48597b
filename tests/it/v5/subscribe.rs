//! Chapters 3.8 to 3.11: subscription options, subscription identifiers, and the codes of the answers.

use crate::support::packet;
use crate::support::property::{self, SUBSCRIPTION_ID};
use crate::support::{Broker, BrokerCommand, Connect, Publish, Wire};

const NO_LOCAL: u8 = 0x04;
const RETAIN_AS_PUBLISHED: u8 = 0x08;
const SEND_RETAINED_IF_NEW: u8 = 0x10;
const SEND_NO_RETAINED: u8 = 0x20;

/// The subscription identifiers of the next message, which is acknowledged.
fn identifiers_of_next(client: &mut Wire) -> Vec<Vec<u8>> {
    let publish = client.take_publish();
    if let Some(id) = publish.id {
        client.send(&packet::puback(id));
    }
    let properties = property::parse(&publish.properties).unwrap();
    let mut found: Vec<_> = properties
        .into_iter()
        .filter(|(id, _)| *id == SUBSCRIPTION_ID)
        .map(|(_, value)| value)
        .collect();
    found.sort();
    found
}

/// `[MQTT-3.8.3-3]`: of the client's own messages, and by the subscriptions that say so only.
#[test]
fn keeps_own_messages_away_from_who_does_not_want_them() {
    let broker = Broker::start_without_store();
    let mut other = broker.connect_v5("other");
    let mut client = broker.connect_v5("client");
    client.subscribe_all(&[("a/#", NO_LOCAL), ("a/b", 1)]);
    client.send_publish(&Publish::new("a/c", "own"));
    client.expect_nothing();
    client.send_publish(&Publish::new("a/b", "own"));
    client.expect_publish("a/b", "own");
    other.publish("a/c", "other's");
    client.expect_publish("a/c", "other's");
    client.subscribe_all(&[("a/#", 0)]);
    client.send_publish(&Publish::new("a/c", "own"));
    client.expect_publish("a/c", "own");
}

/// `[MQTT-3.3.1-12]`, `[MQTT-3.3.1-13]`
#[test]
fn passes_retain_on_to_who_wants_it_as_published() {
    let broker = Broker::start_without_store();
    let mut as_published = broker.connect_v5("as published");
    as_published.subscribe_all(&[("a", RETAIN_AS_PUBLISHED), ("b", RETAIN_AS_PUBLISHED | 1)]);
    let mut usual = broker.connect_v5("usual");
    usual.subscribe_all(&[("a", 0), ("b", 1)]);
    let mut publisher = broker.connect_v5("publisher");
    for topic in ["a", "b"] {
        publisher.send_acked(Publish::new(topic, "kept").retained());
        publisher.send_acked(Publish::new(topic, "not kept"));
        for retain in [true, false] {
            assert_eq!(as_published.take_publish().retain, retain, "{topic}");
            assert!(!usual.take_publish().retain, "{topic}");
        }
    }
}

/// `[MQTT-3.3.1-9]` to `[MQTT-3.3.1-11]`, for new subscriptions and for those that were there, also from an earlier
/// connection.
#[test]
fn sends_retained_messages_as_the_options_say() {
    let broker = Broker::start_without_store();
    broker.connect("publisher").publish_retained("a", "kept");
    let durable = Connect::v5("client")
        .properties(&[property::four(property::SESSION_EXPIRY, 100)])
        .resuming();
    let gets = |client: &mut Wire, options| {
        client.subscribe_all(&[("a", options)]);
        !client.take_publishes().is_empty()
    };
    let mut client = broker.connect_with(&durable);
    assert!(!gets(&mut client, SEND_NO_RETAINED), "never");
    assert!(!gets(&mut client, SEND_RETAINED_IF_NEW), "was there");
    assert!(gets(&mut client, 0), "always");
    client.unsubscribe("a");
    assert!(gets(&mut client, SEND_RETAINED_IF_NEW), "new");
    client.disconnect();
    let mut client = broker.resume(&durable);
    assert!(
        !gets(&mut client, SEND_RETAINED_IF_NEW),
        "there since the last connection"
    );
    assert!(gets(&mut client, 0), "always");
}

/// `[MQTT-3.3.4-3]` to `[MQTT-3.3.4-5]`: of all that match, on live and on retained messages, at every QoS; changed by
/// subscribing again, and kept with the session.
#[test]
fn sends_the_identifiers_of_the_subscriptions_that_match() {
    let broker = Broker::start_without_store();
    let durable = Connect::v5("client")
        .properties(&[property::four(property::SESSION_EXPIRY, 100)])
        .resuming();
    let id = |value| property::var_int(SUBSCRIPTION_ID, value);
    let bytes = |value| property::digits(value);
    let mut publisher = broker.connect_v5("publisher");
    publisher.send_acked(Publish::new("a/kept", "x").retained());
    let mut client = broker.connect_with(&durable);
    client.subscribe_with(&id(1), &[("a/+", 0)]);
    assert_eq!(identifiers_of_next(&mut client), [bytes(1)]);
    client.subscribe_with(&id(268_435_455), &[("a/#", 1), ("b", 1)]);
    assert_eq!(identifiers_of_next(&mut client), [bytes(268_435_455)]);
    client.subscribe_all(&[("+/b", 0)]);
    let mut expect = |client: &mut Wire, topic, expected: &[Vec<u8>]| {
        publisher.publish_acked(topic, "x");
        assert_eq!(identifiers_of_next(client), expected, "{topic}");
        client.expect_nothing();
    };
    expect(&mut client, "a/b", &[bytes(1), bytes(268_435_455)]);
    expect(&mut client, "a/b/c", &[bytes(268_435_455)]);
    expect(&mut client, "c/b", &[]);
    client.subscribe_with(&id(7), &[("b", 1)]);
    expect(&mut client, "b", &[bytes(7)]);
    client.disconnect();
    publisher.publish_acked("b", "x");
    let mut client = broker.resume(&durable);
    assert_eq!(identifiers_of_next(&mut client), [bytes(7)]);
    // Without an identifier it has none from now on.
    client.subscribe_all(&[("b", 0)]);
    publisher.publish_acked("b", "x");
    assert_eq!(identifiers_of_next(&mut client), [[0_u8; 0]; 0]);
}

/// `[MQTT-3.8.4-6]`, `[MQTT-3.9.3-1]`, chapter 3.11.3: one code for each filter, in their order.
#[test]
fn answers_each_filter_with_its_code() {
    let broker = BrokerCommand::without_store()
        .args(&["--max-subscriptions", "3", "--max-topic-levels", "3"])
        .start();
    let mut client = broker.connect_v5("client");
    let filters = [
        ("a", 2),
        ("a/b/c/d", 1),
        ("b", 1),
        ("$share/g/a", 0),
        ("d", 0),
        ("a", 1),
    ];
    client.send(&packet::subscribe_v5(1, &[], &filters));
    client.expect(&packet::suback_v5(1, &[2, 0x8f, 1, 0, 0x97, 1]));
    client.send(&packet::unsubscribe_v5(
        2,
        &["b", "d", "b", "#", "$share/g/a", "a"],
    ));
    client.expect(&packet::unsuback_v5(2, &[0, 0x11, 0x11, 0x11, 0, 0]));
    broker.connect("publisher").publish_acked("a", "x");
    client.expect_nothing();
}
