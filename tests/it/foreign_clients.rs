//! The clients that people use, end to end.

use crate::support::mosquitto::Mosquitto;
use crate::support::{Broker, Influx};

#[test]
fn carries_messages_of_every_qos() {
    let influx = Influx::start();
    let broker = Broker::start(&influx);
    for qos in 0..=2 {
        let topic = format!("room/{qos}");
        let subscriber = Mosquitto::subscribe(&broker, "room/#", qos, 1);
        Mosquitto::publish(&broker, &topic, "21.50 °C", qos).expect_success();
        let messages = subscriber.messages();
        assert_eq!(messages, [format!("{topic} {qos} 0 21.50 °C")]);
        assert_eq!(influx.payloads(&topic), ["21.50 °C"]);
    }
}

#[test]
fn carries_many_messages_in_order() {
    const COUNT: usize = 500;
    let influx = Influx::start();
    let broker = Broker::start(&influx);
    let count = COUNT.to_string();
    for qos in ["0", "1", "2"] {
        let subscriber = Mosquitto::subscribe(&broker, "many", 0, COUNT);
        let args = ["-t", "many", "-m", "7", "-q", qos, "--repeat", &count];
        Mosquitto::publish_with(&broker, &args).expect_success();
        assert_eq!(subscriber.messages(), vec!["many 0 0 7"; COUNT]);
    }
    assert_eq!(influx.count("value"), 3 * COUNT as u64);
}

#[test]
fn keeps_a_retained_message() {
    let broker = Broker::start_without_store();
    Mosquitto::publish_with(&broker, &["-t", "state", "-m", "on", "-r"]).expect_success();
    // QoS 0 is not acknowledged: the subscriber may be first, and then gets it live.
    let mut later = broker.connect("later");
    later.subscribe("state");
    assert_eq!(later.take_publish().payload, b"on");
    assert_eq!(
        Mosquitto::subscribe(&broker, "state", 0, 1).messages(),
        ["state 0 1 on"]
    );
}

#[test]
fn publishes_the_will_of_a_client_that_is_killed() {
    let broker = Broker::start_without_store();
    let subscriber = Mosquitto::subscribe(&broker, "will", 0, 1);
    let mut arrived = broker.connect("arrived");
    arrived.subscribe("hello");
    let args = [
        "-t",
        "hello",
        "-m",
        "x",
        "--repeat",
        "2",
        "--repeat-delay",
        "60",
    ];
    let will = ["--will-topic", "will", "--will-payload", "gone"];
    let client = Mosquitto::publish_with(&broker, &[&args[..], &will].concat());
    arrived.expect_publish("hello", "x");
    drop(client);
    assert_eq!(subscriber.messages(), ["will 0 0 gone"]);
}
