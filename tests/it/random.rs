//! Chance, the same in every run: what is wrong never kills the broker, what is right is answered.

use std::thread;

use crate::support::packet::{self, PINGREQ, ack, packet};
use crate::support::property::{self, section};
use crate::support::random::Random;
use crate::support::{Broker, Connect, Publish, Wire};

/// Random bytes, a million in all: half of them as they fall, half as the body of a packet whose type, flags and
/// length are right, so that they reach the decoders.
#[test]
fn survives_a_million_random_bytes() {
    const THREADS: u32 = 2;
    const CONNECTIONS: usize = 4_000;
    const BYTES: usize = 125;
    const FIRST: [u8; 14] = [
        0x30, 0x31, 0x32, 0x34, 0x3d, 0x40, 0x50, 0x62, 0x70, 0x82, 0xa2, 0xc0, 0xe0, 0xf0,
    ];
    let broker = Broker::start_without_store();
    let mut witness = broker.connect_v5("witness");
    let before = broker.resident_bytes();
    thread::scope(|scope| {
        for seed in 0..THREADS {
            let broker = &broker;
            scope.spawn(move || {
                let mut random = Random::seeded(seed);
                for number in 0..CONNECTIONS {
                    let level = 4 + u8::from(number % 2 == 0);
                    let connect = Connect {
                        level,
                        ..Connect::new("")
                    };
                    // Whoever waits for CONNACK cannot overrun the queue of the listener.
                    let mut client = broker.connect_with(&connect);
                    if number % 4 < 2 {
                        client.send_to_closing(&random.bytes(BYTES));
                    } else {
                        let first = FIRST[random.below(FIRST.len())];
                        let mut body = random.bytes(BYTES - 2);
                        // Short lengths, so that strings lie within the packet.
                        for high in body.iter_mut().step_by(2) {
                            *high = 0;
                        }
                        client.send_to_closing(&packet(first, &body));
                    }
                }
            });
        }
    });
    witness.expect_nothing();
    let grown = broker.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes kept");
}

/// Valid packets of MQTT 5.0, one after another, with any of the properties they may have: each gets its answer.
#[test]
fn answers_random_valid_packets() {
    let broker = Broker::start_without_store();
    for seed in 0..4 {
        let mut random = Random::seeded(seed);
        let mut client = broker.connect_v5("client");
        for number in 0..500 {
            let id = u16::try_from(number + 1).unwrap();
            let (request, answer) = random_request(&mut random, id);
            client.send(&request);
            let got = await_answer(&mut client);
            let expected = &answer[..];
            assert_eq!(
                got, expected,
                "seed {seed}, packet {number}: {request:02x?}"
            );
        }
    }
}

/// A valid packet that is answered, and the answer.
fn random_request(random: &mut Random, id: u16) -> (Vec<u8>, Vec<u8>) {
    match random.below(5) {
        0 => (PINGREQ.to_vec(), packet::PINGRESP.to_vec()),
        1 => {
            let filters = random_filters(random);
            let names: Vec<(&str, u8)> = filters
                .iter()
                .map(|(name, options)| (name.as_str(), *options))
                .collect();
            let mut properties = random_user_properties(random);
            if random.below(2) == 0 {
                properties.extend(property::var_int(
                    property::SUBSCRIPTION_ID,
                    1 + random.below(60_000) * random.below(4_000),
                ));
            }
            let codes: Vec<u8> = filters.iter().map(|(_, options)| options & 3).collect();
            (
                packet::subscribe_v5(id, &properties, &names),
                packet::suback_v5(id, &codes),
            )
        }
        2 => {
            // Never subscribed to: what is there is not known here.
            (
                packet::unsubscribe_v5(id, &["never", "never/#"]),
                packet::unsuback_v5(id, &[0x11, 0x11]),
            )
        }
        3 => (
            random_publish(random).qos(1, id).bytes_v5(),
            packet::puback(id),
        ),
        _ => {
            let parts = [
                random_publish(random).qos(2, id).bytes_v5(),
                packet::pubrel(id),
            ];
            (parts.concat(), packet::pubcomp(id))
        }
    }
}

fn random_filters(random: &mut Random) -> Vec<(String, u8)> {
    const NAMES: [&str; 9] = [
        "#",
        "+",
        "a",
        "a/#",
        "a/+",
        "+/b",
        "/",
        "$share/g/a/+",
        "$share/h/#",
    ];
    let filter = |random: &mut Random| {
        let name = NAMES[random.below(NAMES.len())];
        let no_local = random.below(2) * usize::from(!name.starts_with("$share"));
        let options = random.below(3) | no_local << 2 | random.below(2) << 3 | random.below(3) << 4;
        (name.to_owned(), u8::try_from(options).unwrap())
    };
    (0..=random.below(3)).map(|_| filter(random)).collect()
}

fn random_publish(random: &mut Random) -> Publish {
    const TOPICS: [&str; 5] = ["a", "a/b", "a/", "/", "c/d/ü"];
    let length = random.below(300);
    let mut publish = Publish::new(TOPICS[random.below(TOPICS.len())], "x".repeat(length));
    publish.retain = random.below(4) == 0;
    publish.dup = random.below(4) == 0;
    let binary = random.bytes(9);
    let possible = [
        property::byte(property::PAYLOAD_FORMAT, 1),
        property::four(property::MESSAGE_EXPIRY, 1_000_000),
        property::text(property::CONTENT_TYPE, "text/plain"),
        property::text(property::RESPONSE_TOPIC, "answers"),
        property::text(property::CORRELATION_DATA, binary),
        property::two(property::TOPIC_ALIAS, 1 + u16::from(random.byte() % 64)),
        random_user_properties(random),
    ];
    let start = random.below(possible.len());
    let rotated = possible.iter().cycle().skip(start).take(possible.len());
    publish.properties = rotated
        .filter(|_| random.below(2) == 0)
        .flatten()
        .copied()
        .collect();
    publish
}

fn random_user_properties(random: &mut Random) -> Vec<u8> {
    let count = random.below(4);
    (0..count)
        .flat_map(|n| property::user(&"k".repeat(n), &n.to_string()))
        .collect()
}

/// The next packet that is neither a message nor part of its delivery; those are seen to.
fn await_answer(client: &mut Wire) -> Vec<u8> {
    loop {
        let got = client.packet();
        let id = |at: usize| u16::from_be_bytes([got[at], got[at + 1]]);
        match got[0] >> 4 {
            3 => {
                let publish = Publish::parse(&got, true).unwrap();
                assert!(
                    property::parse(&publish.properties).is_some(),
                    "{publish:?}"
                );
                match (publish.qos, publish.id) {
                    (1, Some(id)) => client.send(&packet::puback(id)),
                    (2, Some(id)) => client.send(&ack(0x50, id, &section(&[]))),
                    _ => {}
                }
            }
            5 => {} // PUBREC: the PUBREL is on its way.
            6 => client.send(&packet::pubcomp(id(2))),
            _ => return got,
        }
    }
}
