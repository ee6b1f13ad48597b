//! Section 3.3.1.3: the last message of a topic is kept for those who come later.

use crate::support::{Broker, Publish};

/// `[MQTT-3.3.1-5]`, `[MQTT-3.3.1-8]` and `[MQTT-3.3.1-9]` (3.1.1)
#[test]
fn marks_a_kept_message_and_not_a_live_one() {
    let broker = Broker::start_without_store();
    let mut live = broker.connect("live");
    live.subscribe("a");
    let mut publisher = broker.connect("publisher");
    publisher.publish_retained("a", "kept");
    live.expect_publish("a", "kept");
    let mut later = broker.connect("later");
    later.subscribe("a");
    later.expect_retained("a", "kept");
    later.expect_nothing();
}

#[test]
fn keeps_the_last_message_only() {
    let broker = Broker::start_without_store();
    let mut publisher = broker.connect("publisher");
    publisher.publish_retained("a", "first");
    publisher.publish_retained("a", "second");
    let mut later = broker.connect("later");
    later.subscribe("a");
    later.expect_retained("a", "second");
    later.expect_nothing();
}

/// `[MQTT-3.3.1-6]`, `[MQTT-3.3.1-7]`: forwarded like any other, and not kept itself.
#[test]
fn forgets_on_an_empty_payload() {
    let broker = Broker::start_without_store();
    let mut live = broker.connect("live");
    live.subscribe("a");
    let mut publisher = broker.connect("publisher");
    publisher.publish_retained("a", "kept");
    publisher.publish_retained("a", "");
    publisher.publish_retained("never/kept", "");
    live.expect_publish("a", "kept");
    live.expect_publish("a", "");
    let mut later = broker.connect("later");
    later.subscribe("#");
    later.expect_nothing();
}

/// `[MQTT-3.3.1-8]`: RETAIN 0 neither replaces nor clears.
#[test]
fn leaves_the_kept_message_alone_when_retain_is_0() {
    let broker = Broker::start_without_store();
    let mut publisher = broker.connect("publisher");
    publisher.publish_retained("a", "kept");
    publisher.publish_acked("a", "passing");
    publisher.publish_acked("a", "");
    let mut later = broker.connect("later");
    later.subscribe("a");
    later.expect_retained("a", "kept");
    later.expect_nothing();
}

/// `[MQTT-3.1.2-7]` (3.1.1)
#[test]
fn outlives_its_publisher() {
    let broker = Broker::start_without_store();
    broker.connect("publisher").publish_retained("a", "kept");
    let mut publisher = broker.connect("publisher");
    publisher.subscribe("a");
    publisher.expect_retained("a", "kept");
}

#[test]
fn is_found_by_wildcards() {
    let cases: [(&str, &[&str]); 8] = [
        ("#", &["/a", "a", "a/b", "a/b/c", "b/b"]),
        ("a/#", &["a", "a/b", "a/b/c"]),
        ("+/b", &["a/b", "b/b"]),
        ("+/+/+", &["a/b/c"]),
        ("+", &["a"]),
        ("/+", &["/a"]),
        ("$app/#", &["$app/x"]),
        ("+/x", &[]),
    ];
    let broker = Broker::start_without_store();
    let mut publisher = broker.connect("publisher");
    for topic in ["a", "a/b", "a/b/c", "b/b", "/a", "$app/x"] {
        publisher.publish_retained(topic, topic);
    }
    for (filter, topics) in cases {
        let mut later = broker.connect("later");
        later.subscribe(filter);
        let mut got = later.take_publishes();
        got.sort_by(|a, b| a.topic.cmp(&b.topic));
        let expected: Vec<_> = topics
            .iter()
            .map(|topic| Publish::new(topic, topic).retained())
            .collect();
        assert_eq!(got, expected, "{filter}");
    }
}
