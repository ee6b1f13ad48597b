//! The clients that people use, end to end.

use crate::support::mosquitto::Mosquitto;
use crate::support::{Broker, Influx, Publish, property};

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

/// Of MQTT 5.0: user properties in their order, content type, expiry, and the others.
#[test]
fn carries_properties() {
    let broker = Broker::start_without_store();
    for qos in ["0", "1", "2"] {
        let args = ["-V", "5", "-t", "a", "-q", qos, "-C", "1"];
        let subscriber = Mosquitto::subscribe_with(&broker, "%p|%C|%E|%F|%P", &args);
        let mut args = vec!["-V", "5", "-t", "a", "-m", "x", "-q", qos];
        let properties = [
            ["user-property", "b", "2"].as_slice(),
            &["user-property", "a", "1"],
            &["content-type", "text/plain"],
            &["message-expiry-interval", "100"],
            &["payload-format-indicator", "1"],
        ];
        for property in properties {
            args.extend(["-D", "publish"]);
            args.extend(property);
        }
        Mosquitto::publish_with(&broker, &args).expect_success();
        assert_eq!(subscriber.messages(), ["x|text/plain|100|1|b:2 a:1"]);
    }
}

/// Request and response: the question names where the answer is awaited.
#[test]
fn carries_questions_and_answers() {
    let broker = Broker::start_without_store();
    let mut answerer = broker.connect_v5("answerer");
    answerer.subscribe("question");
    let args = [
        "-V",
        "5",
        "-t",
        "question",
        "-e",
        "answers/here",
        "-m",
        "why?",
    ];
    let asker = Mosquitto::ask(&broker, &args);
    let question = answerer.take_publish();
    assert_eq!(question.payload, b"why?");
    let properties = property::parse(&question.properties).unwrap();
    let (_, topic) = properties
        .iter()
        .find(|(id, _)| *id == property::RESPONSE_TOPIC)
        .unwrap();
    let topic = str::from_utf8(topic).unwrap();
    answerer.send_acked(Publish::new(topic, "because"));
    assert_eq!(asker.messages(), ["answers/here because"]);
}

/// A shared subscription: each of two gets half.
#[test]
fn shares_a_subscription() {
    let broker = Broker::start_without_store();
    let args = ["-V", "5", "-t", "$share/group/a", "-q", "1", "-C", "5"];
    let members = [(); 2].map(|()| Mosquitto::subscribe_with(&broker, "%p", &args));
    let args = ["-V", "5", "-t", "a", "-m", "x", "-q", "1", "--repeat", "10"];
    Mosquitto::publish_with(&broker, &args).expect_success();
    for member in members {
        assert_eq!(member.messages(), ["x"; 5]);
    }
}

/// A session that expires later than its client is back, in both versions.
#[test]
fn keeps_a_session() {
    let broker = Broker::start_without_store();
    for version in [["-V", "311"].as_slice(), &["-V", "5", "-x", "100"]] {
        let session = ["-c", "-i", "durable", "-t", "a", "-q", "2"];
        let args = [version, &session].concat();
        Mosquitto::subscribe_with(&broker, "%p", &[args.as_slice(), &["-E"]].concat())
            .expect_success();
        for qos in 1..=2 {
            Mosquitto::publish(&broker, "a", &qos.to_string(), qos).expect_success();
        }
        let args = [args.as_slice(), &["-C", "2"]].concat();
        assert_eq!(
            Mosquitto::subscribe_with(&broker, "%p %q", &args).messages(),
            ["1 1", "2 2"]
        );
        // The next version begins anew.
        broker.connect("durable").disconnect();
    }
}
