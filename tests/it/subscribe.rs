//! Chapters 3.8 to 3.11 and 4.7: who gets what.

use crate::support::{Broker, Publish, packet};

/// `[MQTT-4.7.1-2]`, `[MQTT-4.7.1-3]`, `[MQTT-4.7.2-1]`, `[MQTT-4.7.3-4]`
#[test]
fn delivers_what_a_filter_matches_and_nothing_else() {
    let cases = [
        ("a/b", "a/b", true),
        ("a/b", "a/B", false),
        ("a/b", "a/b/", false),
        ("a/b", "/a/b", false),
        ("#", "a", true),
        ("#", "/a//b", true),
        ("a/#", "a", true),
        ("a/#", "a/", true),
        ("a/#", "a/b/c", true),
        ("a/#", "ab", false),
        ("/#", "a", false),
        ("/#", "/", true),
        ("+", "a", true),
        ("+", "a/b", false),
        ("+", "/a", false),
        ("/+", "/a", true),
        ("+/+", "/a", true),
        ("a/+/c", "a/b/c", true),
        ("a/+/c", "a//c", true),
        ("a/+/c", "a/b/d/c", false),
        ("a/+", "a", false),
        ("a/+", "a/", true),
        ("+/b/#", "a/b", true),
        ("+/b/#", "a/b/c", true),
        ("#", "$app/x", false),
        ("+/x", "$app/x", false),
        ("+/#", "$app/x", false),
        ("$app/#", "$app/x", true),
        ("$app/+", "$app/x", true),
        ("a/+", "a/$b", true),
        ("a b/ü", "a b/ü", true),
        ("ü/😀/+", "ü/😀/温度", true),
    ];
    let broker = Broker::start_without_store();
    let mut subscriber = broker.connect("subscriber");
    let mut publisher = broker.connect("publisher");
    for (filter, topic, matches) in cases {
        subscriber.subscribe(filter);
        publisher.publish_acked(topic, "x");
        let got = subscriber.take_publishes();
        let expected = if matches {
            vec![Publish::new(topic, "x")]
        } else {
            Vec::new()
        };
        assert_eq!(got, expected, "{topic:?} for {filter:?}");
        subscriber.unsubscribe(filter);
    }
}

/// `[MQTT-4.7.2-1]`
#[test]
fn hides_the_brokers_own_topics_from_wildcards() {
    let broker = Broker::start_without_store();
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe_all(&[("#", 0), ("+/x", 0)]);
    // A broker may take it or close the connection; nobody is to see it either way.
    let mut intruder = broker.connect("intruder");
    intruder.publish("$SYS/x", "hidden");
    intruder.finish_sending();
    intruder.expect_closed();
    let mut publisher = broker.connect("publisher");
    publisher.publish_acked("a/y", "seen");
    subscriber.expect_publish("a/y", "seen");
    subscriber.expect_nothing();
}

/// `[MQTT-3.8.4-5]`, `[MQTT-3.8.4-6]`, `[MQTT-3.9.3-1]`
#[test]
fn answers_many_filters_in_one_packet_with_a_code_each() {
    let broker = Broker::start_without_store();
    let mut subscriber = broker.connect("subscriber");
    let filters = [("a/+", 2), ("b/#", 0), ("c", 1), ("d", 2)];
    subscriber.send(&packet::subscribe(0x1234, &filters));
    let codes = filters.map(|(_, qos)| qos);
    subscriber.expect(&packet::suback(0x1234, &codes));
    let mut publisher = broker.connect("publisher");
    for topic in ["d", "a/x", "e", "c", "b"] {
        publisher.publish(topic, topic);
    }
    for topic in ["d", "a/x", "c", "b"] {
        subscriber.expect_publish(topic, topic);
    }
    subscriber.expect_nothing();
}

/// `[MQTT-3.3.4-2]`: one copy, or one for each subscription; not more.
#[test]
fn delivers_for_overlapping_filters() {
    let broker = Broker::start_without_store();
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe_all(&[("a/#", 0), ("a/+", 0), ("a/b", 0)]);
    let mut publisher = broker.connect("publisher");
    publisher.publish_acked("a/b", "x");
    let got = subscriber.take_publishes();
    assert!((1..=3).contains(&got.len()), "{got:?}");
    assert!(
        got.iter()
            .all(|publish| *publish == Publish::new("a/b", "x")),
        "{got:?}"
    );

    subscriber.unsubscribe("a/b");
    subscriber.unsubscribe("a/#");
    publisher.publish_acked("a/b", "y");
    subscriber.expect_publish("a/b", "y");
    subscriber.expect_nothing();
}

/// `[MQTT-3.8.4-3]`
#[test]
fn replaces_a_subscription_to_the_same_filter() {
    let broker = Broker::start_without_store();
    let mut subscriber = broker.connect("subscriber");
    let mut publisher = broker.connect("publisher");
    publisher.publish_retained("a/kept", "old");
    subscriber.subscribe("a/+");
    subscriber.expect_retained("a/kept", "old");
    subscriber.subscribe("a/+");
    subscriber.expect_retained("a/kept", "old");
    publisher.publish_acked("a/b", "once");
    subscriber.expect_publish("a/b", "once");
    subscriber.expect_nothing();
}

/// `[MQTT-3.10.4-1]` to `[MQTT-3.10.4-5]`
#[test]
fn unsubscribes_byte_for_byte() {
    let broker = Broker::start_without_store();
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe_all(&[("a/b", 0), ("c", 0), ("d", 0)]);
    // It matches `a/b` and yet is another filter.
    subscriber.unsubscribe("a/+");
    subscriber.unsubscribe("never/subscribed");
    subscriber.send(&packet::unsubscribe(9, &["c", "unknown", "d"]));
    subscriber.expect(&packet::unsuback(9));
    let mut publisher = broker.connect("publisher");
    for topic in ["c", "d", "a/b"] {
        publisher.publish_acked(topic, "x");
    }
    subscriber.expect_publish("a/b", "x");
    subscriber.expect_nothing();
}

#[test]
fn delivers_to_every_subscriber_and_to_the_publisher_itself() {
    let broker = Broker::start_without_store();
    let mut clients: Vec<_> = (0..30)
        .map(|n| broker.connect(&format!("client {n}")))
        .collect();
    for client in &mut clients {
        client.subscribe("all");
    }
    clients[0].publish("all", "hello");
    for client in &mut clients {
        client.expect_publish("all", "hello");
        client.expect_nothing();
    }
}

#[test]
fn forgets_the_subscriptions_of_a_clean_session() {
    let broker = Broker::start_without_store();
    broker.connect("same").subscribe("a");
    let mut again = broker.connect("same");
    broker.connect("publisher").publish_acked("a", "x");
    again.expect_nothing();
}
