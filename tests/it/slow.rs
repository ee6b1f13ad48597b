//! One client never hurts another.

use crate::support::{Broker, BrokerCommand, Publish, packet};

/// 64 MiB go past a client that reads nothing; two others get all of it, and the broker keeps little.
#[test]
fn serves_others_beside_a_client_that_never_reads() {
    const ROUNDS: usize = 1024;
    const ROUND: usize = 64;
    let broker = BrokerCommand::without_store()
        .args(&["--max-queued-bytes", "1000000"])
        .start();
    let mut stuck = broker.connect("stuck");
    stuck.subscribe("a");
    let mut readers = [broker.connect("reader 1"), broker.connect("reader 2")];
    for reader in &mut readers {
        reader.subscribe("a");
    }
    let mut publisher = broker.connect("publisher");
    let publish = Publish::new("a", vec![b'x'; 1024]).bytes();
    let round = publish.repeat(ROUND);
    let before = broker.resident_bytes();
    for _ in 0..ROUNDS {
        publisher.send(&round);
        for reader in &mut readers {
            for _ in 0..ROUND {
                reader.expect(&publish);
            }
        }
    }
    let grown = broker.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "64 MiB published, {grown} bytes kept");
    drop(stuck);
    publisher.expect_nothing();
}

/// A client that floods and never reads its acknowledgements is held back by its own socket.
#[test]
fn bounds_the_acknowledgements_of_a_client_that_never_reads() {
    let broker = BrokerCommand::without_store()
        .args(&["--max-queued-bytes", "1000000"])
        .start();
    let mut other = broker.connect("other");
    let mut flooder = broker.connect("flooder");
    let before = broker.resident_bytes();
    let run = packet::PINGREQ.repeat(500_000);
    for _ in 0..8 {
        // Either it is closed or it is not read any more: both are fine, so nobody waits for it.
        flooder.send_without_waiting(&run);
        other.expect_nothing();
    }
    let grown = broker.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes kept");
}

/// A subscriber who pauses for less than its queue loses nothing.
#[test]
fn delivers_all_to_a_client_that_pauses() {
    const COUNT: usize = 500;
    let broker = Broker::start_without_store();
    let mut pausing = broker.connect("pausing");
    pausing.subscribe("a");
    let mut publisher = broker.connect("publisher");
    let run: Vec<u8> = (0..COUNT)
        .flat_map(|n| Publish::new("a", format!("{n:01000}")).bytes())
        .collect();
    publisher.send(&run);
    publisher.expect_nothing();
    for n in 0..COUNT {
        pausing.expect_publish("a", format!("{n:01000}"));
    }
}
