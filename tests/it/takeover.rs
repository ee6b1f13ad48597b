//! Two connections with one client id: the later wins.

use crate::support::{Broker, Connect};

/// `[MQTT-3.1.4-3]`
#[test]
fn closes_the_old_connection_and_serves_the_new_one() {
    let broker = Broker::start_without_store();
    let mut old = broker.connect("same");
    old.subscribe("old/#");
    let mut new = broker.connect("same");
    old.expect_closed();
    new.subscribe("new/#");
    let mut publisher = broker.connect("publisher");
    publisher.publish_acked("old/a", "nobody");
    publisher.publish_acked("new/a", "somebody");
    new.expect_publish("new/a", "somebody");
    new.expect_nothing();
}

/// `[MQTT-3.1.2-8]`: the old connection ended without DISCONNECT.
#[test]
fn publishes_the_will_of_the_old_connection() {
    let broker = Broker::start_without_store();
    let mut watcher = broker.connect("watcher");
    watcher.subscribe("will/#");
    let _old = broker.connect_with(&Connect::new("same").will("will/old", b"gone"));
    let mut new = broker.connect_with(&Connect::new("same").will("will/new", b"gone"));
    watcher.expect_publish("will/old", "gone");
    new.expect_nothing();
    watcher.expect_nothing();
}

#[test]
fn leaves_one_of_many_who_fight_over_an_id() {
    let broker = Broker::start_without_store();
    let mut clients: Vec<_> = (0..20).map(|_| broker.connect("fought over")).collect();
    let mut last = clients.pop().unwrap();
    for client in &mut clients {
        client.expect_closed();
    }
    last.subscribe("a");
    broker.connect("publisher").publish_acked("a", "b");
    last.expect_publish("a", "b");
}
