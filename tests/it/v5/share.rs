//! Chapter 4.8.2: shared subscriptions.

use crate::support::packet::{puback, pubrec};
use crate::support::property;
use crate::support::{Broker, Connect, Publish, Wire};

const ALL: &str = "$share/group/a/#";

fn members(broker: &Broker, count: usize) -> Vec<Wire> {
    let member = |n| {
        let mut member = broker.connect_v5(&format!("member {n}"));
        member.subscribe_all(&[(ALL, 1)]);
        member
    };
    (0..count).map(member).collect()
}

/// What each member got, acknowledged.
fn take(members: &mut [Wire]) -> Vec<Vec<String>> {
    let take_one = |member: &mut Wire| {
        let got = member.take_publishes();
        let acks: Vec<u8> = got.iter().filter_map(|it| it.id).flat_map(puback).collect();
        member.send(&acks);
        got.into_iter()
            .map(|it| String::from_utf8(it.payload).unwrap())
            .collect()
    };
    members.iter_mut().map(take_one).collect()
}

/// `[MQTT-4.8.2-4]`: one member gets each message, all get their part; two groups are two.
#[test]
fn gives_each_message_to_one_member() {
    let broker = Broker::start_without_store();
    let mut members = members(&broker, 3);
    let mut outsider = broker.connect_v5("outsider");
    outsider.subscribe_all(&[("$share/other group/a/#", 0)]);
    let mut publisher = broker.connect_v5("publisher");
    for n in 0..30 {
        publisher.publish_acked("a/b", n.to_string());
    }
    let got = take(&mut members);
    let mut all: Vec<u32> = got.iter().flatten().map(|it| it.parse().unwrap()).collect();
    all.sort_unstable();
    assert_eq!(all, (0..30).collect::<Vec<_>>());
    assert!(got.iter().all(|part| part.len() == 10), "{got:?}");
    assert_eq!(outsider.take_publishes().len(), 30);
}

/// `[MQTT-4.8.2-3]`: the QoS of the member that gets it, and its subscription identifier.
#[test]
fn serves_each_member_by_its_own_subscription() {
    let broker = Broker::start_without_store();
    let mut publisher = broker.connect_v5("publisher");
    let mut members: Vec<Wire> = (0..3_u8)
        .map(|qos| {
            let mut member = broker.connect_v5(&format!("member {qos}"));
            let id = property::var_int(property::SUBSCRIPTION_ID, usize::from(qos) + 1);
            member.subscribe_with(&id, &[(ALL, qos)]);
            member
        })
        .collect();
    for id in 1..=3 {
        publisher.send_publish(&Publish::new("a", "x").qos(2, id));
        publisher.expect(&pubrec(id));
    }
    for (qos, member) in members.iter_mut().enumerate() {
        let got = member.take_publish();
        assert_eq!(usize::from(got.qos), qos);
        assert_eq!(
            got.properties,
            property::var_int(property::SUBSCRIPTION_ID, qos + 1)
        );
    }
}

/// The same client may have an ordinary subscription besides: that one gets every message too.
#[test]
fn stands_apart_from_an_ordinary_subscription() {
    let broker = Broker::start_without_store();
    let mut members = members(&broker, 2);
    members[0].subscribe_all(&[("a/#", 0)]);
    let mut publisher = broker.connect_v5("publisher");
    for n in 0..4 {
        publisher.publish_acked("a", n.to_string());
    }
    let got = take(&mut members);
    assert_eq!((got[0].len(), got[1].len()), (6, 2), "{got:?}");
    members[0].unsubscribe("a/#");
    publisher.publish_acked("a", "x");
    publisher.publish_acked("a", "y");
    assert_eq!(take(&mut members).concat().len(), 2);
}

/// Whoever goes leaves the messages to the others; QoS 1 waits when the last one with a session is away.
#[test]
fn goes_on_with_the_members_that_are_left() {
    let broker = Broker::start_without_store();
    let mut members = members(&broker, 3);
    let durable = Connect::v5("durable")
        .properties(&[property::four(property::SESSION_EXPIRY, 100)])
        .resuming();
    let mut away = broker.connect_with(&durable);
    away.subscribe_all(&[(ALL, 1)]);
    away.disconnect();
    let mut publisher = broker.connect_v5("publisher");
    let mut publish = |count: usize| {
        (0..count).for_each(|n| publisher.publish_acked("a", n.to_string()));
    };
    members.pop().unwrap().disconnect();
    members[1].unsubscribe(ALL);
    publish(6);
    let got = take(&mut members);
    assert_eq!((got[0].len(), got[1].len()), (6, 0), "{got:?}");
    members.swap_remove(0).disconnect();
    publish(2);
    let mut back = [broker.resume(&durable)];
    assert_eq!(take(&mut back), [["0", "1"]]);
}

/// Chapter 4.8.2: no retained messages for a shared subscription.
#[test]
fn sends_no_retained_messages() {
    let broker = Broker::start_without_store();
    let mut publisher = broker.connect_v5("publisher");
    publisher.send_acked(Publish::new("a", "kept").retained());
    let mut members = members(&broker, 1);
    members[0].expect_nothing();
    publisher.publish_acked("a", "live");
    assert_eq!(take(&mut members), [["live"]]);
}

/// The form is also for clients of 3.1.1, and a `$` at the start of the filter behind it keeps its meaning.
#[test]
fn serves_older_clients_and_keeps_the_rule_of_dollar_topics() {
    let broker = Broker::start_without_store();
    let mut old = broker.connect("old");
    old.subscribe_all(&[("$share/g/#", 0)]);
    let mut publisher = broker.connect_v5("publisher");
    publisher.publish_acked("$hidden/a", "x");
    publisher.publish_acked("a", "y");
    old.expect_publish("a", "y");
    old.expect_nothing();
}
