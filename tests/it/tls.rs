//! MQTT over TLS: the same broker behind it, and one client's handshake is nobody else's trouble.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::support::certificates::{Authority, Identity, text};
use crate::support::link::{self, Dribbling};
use crate::support::mosquitto::Mosquitto;
use crate::support::{
    Broker, BrokerCommand, Connect, DEADLINE, Influx, Publish, Signal, Wire, packet,
};

/// A broker with one plain and one encrypted listener.
fn broker_with(server: &Identity, args: &[&str]) -> Broker {
    with_certificate(BrokerCommand::without_store(), server)
        .args(args)
        .start()
}

fn with_certificate(command: BrokerCommand, server: &Identity) -> BrokerCommand {
    command.args(&[
        "--listen",
        "mqtts://127.0.0.1:0",
        "--tls-cert",
        text(&server.certificate),
        "--tls-key",
        text(&server.key),
    ])
}

/// Connects a client through TLS.
fn connect(broker: &Broker, config: &Arc<ClientConfig>, client_id: &str) -> Wire {
    let config = Arc::clone(config);
    Wire::open_through(broker.address_of("mqtts"), |socket| {
        link::tls(socket, config)
    })
    .connected(&Connect::new(client_id))
}

/// Tries to connect through TLS; says why that failed.
fn refused(broker: &Broker, config: &Arc<ClientConfig>) -> (SocketAddr, std::io::Error) {
    let socket = TcpStream::connect(broker.address_of("mqtts")).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let peer = socket.local_addr().unwrap();
    let mut client = link::tls(socket, Arc::clone(config));
    // In TLS 1.3 a client learns what became of its certificate from the first read.
    let outcome = client
        .write_all(&Connect::new("refused").bytes())
        .and_then(|()| client.read(&mut [0; 4]));
    match outcome {
        Ok(count) => panic!("accepted, got {count} bytes"),
        Err(error) => (peer, error),
    }
}

#[test]
fn carries_messages_of_every_qos() {
    let authority = Authority::new();
    let (server, client) = (authority.server(), authority.client("sensor"));
    let influx = Influx::start();
    let command = BrokerCommand::bare().args(&["--influx-url", &influx.url()]);
    let ca = authority.file();
    let broker = with_certificate(command, &server)
        .args(&[
            "--tls-client-ca",
            text(&ca),
            "--tls-client-cert",
            "required",
        ])
        .start();
    let tls = [
        "--cafile",
        text(&ca),
        "--cert",
        text(&client.certificate),
        "--key",
        text(&client.key),
    ];
    for qos in 0..=2_u8 {
        let topic = format!("room/{qos}");
        let subscriber = {
            let qos = qos.to_string();
            let args = [&tls[..], &["-t", "room/#", "-q", &qos, "-C", "1"]].concat();
            Mosquitto::subscribe_with(&broker, "%t %q %r %p", &args)
        };
        let publish = ["-t", &topic, "-m", "21.50 °C", "-q", &qos.to_string()];
        Mosquitto::publish_with(&broker, &[&publish[..], &tls].concat()).expect_success();
        let messages = subscriber.messages();
        assert_eq!(messages, [format!("{topic} {qos} 0 21.50 °C")]);
        assert_eq!(influx.payloads(&topic), ["21.50 °C"]);
    }
}

#[test]
fn carries_large_messages_both_ways() {
    let authority = Authority::new();
    let broker = broker_with(&authority.server(), &[]);
    let config = authority.trusting_client().config();
    let mut subscriber = connect(&broker, &config, "subscriber");
    subscriber.subscribe("big");
    let mut publisher = connect(&broker, &config, "publisher");
    let payload: Vec<u8> = (0..1_u32 << 20).map(|i| (i % 251) as u8).collect();
    for _ in 0..4 {
        publisher.publish_acked("big", &payload);
        subscriber.expect_publish("big", &payload);
    }
}

#[test]
fn serves_clients_of_tls_1_2() {
    let authority = Authority::new();
    let broker = broker_with(&authority.server(), &[]);
    let config = authority.trusting_client().only_tls12().config();
    let mut client = connect(&broker, &config, "old");
    client.subscribe("a");
    client.publish("a", "b");
    client.expect_publish("a", "b");
}

#[test]
fn serves_a_client_whose_records_come_in_pieces() {
    let authority = Authority::new();
    let broker = broker_with(&authority.server(), &[]);
    let config = authority.trusting_client().config();
    let mut client = Wire::open_through(broker.address_of("mqtts"), |socket| {
        link::tls(Dribbling(socket), config)
    })
    .connected(&Connect::new("dribbling"));
    client.subscribe("a");
    client.publish("a", "b".repeat(1000));
    client.expect_publish("a", "b".repeat(1000));
}

/// What does not leave at once is kept, in order, until the client reads.
#[test]
fn delivers_all_to_a_client_that_pauses() {
    const COUNT: usize = 2000;
    let authority = Authority::new();
    let broker = broker_with(&authority.server(), &["--max-queued-bytes", "64M"]);
    let config = authority.trusting_client().config();
    let mut pausing = connect(&broker, &config, "pausing");
    pausing.subscribe("a");
    let mut publisher = broker.connect("publisher");
    let payload = |n: usize| format!("{n:08}").repeat(1000);
    for n in 0..COUNT {
        publisher.publish("a", payload(n));
    }
    publisher.expect_nothing();
    for n in 0..COUNT {
        pausing.expect_publish("a", payload(n));
    }
    pausing.expect_nothing();
}

/// 64 MiB go past a client that reads nothing; another gets all of it, and the broker keeps little.
#[test]
fn serves_others_beside_a_client_that_never_reads() {
    const ROUNDS: usize = 1024;
    let authority = Authority::new();
    let broker = broker_with(&authority.server(), &["--max-queued-bytes", "1000000"]);
    let config = authority.trusting_client().config();
    let mut stuck = connect(&broker, &config, "stuck");
    stuck.subscribe("a");
    let mut reader = connect(&broker, &config, "reader");
    reader.subscribe("a");
    let mut publisher = broker.connect("publisher");
    let publish = Publish::new("a", vec![b'x'; 64 * 1024]).bytes();
    let before = broker.resident_bytes();
    for _ in 0..ROUNDS {
        publisher.send(&publish);
        reader.expect(&publish);
    }
    let grown = broker.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "64 MiB published, {grown} bytes kept");
    drop(stuck);
    publisher.expect_nothing();
}

#[test]
fn closes_only_the_connection_that_does_not_speak_tls() {
    let authority = Authority::new();
    let broker = broker_with(&authority.server(), &[]);
    let config = authority.trusting_client().config();
    let mut witness = connect(&broker, &config, "witness");
    let plain = Connect::new("plain").bytes();
    for garbage in [
        &plain[..],
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x16, 3, 1, 0, 4, 0xff, 0, 0, 0],
    ] {
        let mut client = Wire::open(broker.address_of("mqtts"));
        client.send(garbage);
        client.expect_closed_beneath();
        let peer = client.peer();
        // The broker waits a little for the client to close as well.
        drop(client);
        let line = broker.expect_one_error_of(peer);
        assert!(line.contains("TLS handshake failed"), "{line}");
        witness.expect_nothing();
    }
}

/// A client that breaks the rules of TLS later on.
#[test]
fn closes_the_connection_whose_records_are_forged() {
    let authority = Authority::new();
    let broker = broker_with(&authority.server(), &[]);
    let config = authority.trusting_client().config();
    let mut client = connect(&broker, &config, "forged");
    client.send_beneath(
        &[0x17, 3, 3, 0, 20]
            .iter()
            .copied()
            .chain([0; 20])
            .collect::<Vec<_>>(),
    );
    let line = broker.expect_one_error_of(client.peer());
    assert!(line.contains("client=\"forged\""), "{line}");
}

/// The handshake comes out of the time for CONNECT, however busily the client sends.
#[test]
fn closes_a_handshake_that_takes_too_long() {
    let authority = Authority::new();
    let broker = broker_with(&authority.server(), &["--connect-timeout", "300ms"]);
    let mut client = Wire::open(broker.address_of("mqtts"));
    // The beginning of a record of 16 KiB, of which a byte comes now and then.
    client.send(&[0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc]);
    client.dribble_beneath_until_closed(3, Duration::from_millis(20));
    let line = broker.expect_one_error_of(client.peer());
    assert!(
        line.contains("handshake not finished within 300ms"),
        "{line}"
    );
}

/// The time for CONNECT goes on after the handshake, and a record that never ends does not stop it.
#[test]
fn closes_a_client_that_sends_no_connect() {
    let authority = Authority::new();
    let broker = broker_with(&authority.server(), &["--connect-timeout", "1s"]);
    let config = authority.trusting_client().config();
    let mut client = Wire::open_through(broker.address_of("mqtts"), |socket| {
        link::tls(socket, config)
    });
    client.send(&[0x10]);
    client.expect_closed();
    let line = broker.expect_one_error_of(client.peer());
    assert!(line.contains("sent no CONNECT within 1s"), "{line}");
}

/// Bytes of a record that is never finished do not keep a client alive.
#[test]
fn keeps_to_the_keep_alive_while_a_record_dribbles_in() {
    let authority = Authority::new();
    let broker = broker_with(&authority.server(), &[]);
    let config = authority.trusting_client().config();
    let mut client = Wire::open_through(broker.address_of("mqtts"), |socket| {
        link::tls(socket, config)
    })
    .connected(&Connect::new("dribbling").keep_alive(1));
    client.send_beneath(&[0x17, 3, 3, 0x40, 0]);
    client.dribble_beneath_until_closed(0, Duration::from_millis(50));
    let line = broker.expect_one_error_of(client.peer());
    assert!(line.contains("keep alive expired"), "{line}");
}

#[test]
fn asks_for_a_certificate_where_one_is_required() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let ca = authority.file();
    let args = ["--tls-client-ca", text(&ca), "--tls-client-cert"];
    let without = || authority.trusting_client().config();
    let with = |identity: Identity| authority.trusting_client().with(identity).config();

    let broker = broker_with(&authority.server(), &[&args[..], &["required"]].concat());
    connect(&broker, &with(authority.client("sensor")), "good").expect_nothing();
    for config in [without(), with(stranger.client("intruder"))] {
        let (peer, error) = refused(&broker, &config);
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        let line = broker.expect_one_error_of(peer);
        assert!(line.contains("TLS handshake failed"), "{line}");
    }

    let broker = broker_with(&authority.server(), &[&args[..], &["optional"]].concat());
    connect(&broker, &with(authority.client("sensor")), "good").expect_nothing();
    connect(&broker, &without(), "anonymous").expect_nothing();
    refused(&broker, &with(stranger.client("intruder")));
}

#[test]
fn reads_certificates_again_on_sighup() {
    let (old, new) = (Authority::new(), Authority::new());
    let (server, next) = (old.server(), new.server());
    let broker = broker_with(&server, &[]);
    let (trusts_old, trusts_new) = (
        old.trusting_client().config(),
        new.trusting_client().config(),
    );
    let mut existing = connect(&broker, &trusts_old, "existing");

    server.replace_by(&next);
    broker.signal(Signal::Hangup);
    broker.wait_for_log("new connections get the certificates as they are now");
    connect(&broker, &trusts_new, "new").expect_nothing();
    refused(&broker, &trusts_old);
    existing.expect_nothing();

    fs::write(&server.key, "nonsense").unwrap();
    broker.signal(Signal::Hangup);
    let line = broker.wait_for_log("new connections get the certificates as they were");
    assert!(
        line.starts_with("[ERROR]") && line.contains(text(&server.key)),
        "{line}"
    );
    connect(&broker, &trusts_new, "newer").expect_nothing();
    existing.expect_nothing();
}

#[test]
fn names_the_file_that_is_wrong() {
    let authority = Authority::new();
    let (server, other) = (authority.server(), authority.client("other"));
    let missing = authority.file().with_file_name("missing.pem");
    let nonsense = authority.file().with_file_name("nonsense.pem");
    fs::write(&nonsense, "nonsense").unwrap();
    let start = |certificate: PathBuf, key: PathBuf, ca: Option<PathBuf>| {
        let files = Identity { certificate, key };
        let command = with_certificate(BrokerCommand::without_store(), &files);
        match &ca {
            None => command.fail(),
            Some(ca) => command
                .args(&["--tls-client-ca", text(ca), "--tls-client-cert", "required"])
                .fail(),
        }
    };
    let (good, key) = (&server.certificate, &server.key);
    for (certificate, key, ca, wrong) in [
        (&missing, key, None, &missing),
        (good, &missing, None, &missing),
        (&nonsense, key, None, &nonsense),
        (good, &nonsense, None, &nonsense),
        (good, &other.key, None, &other.key),
        (good, key, Some(missing.clone()), &missing),
        (good, key, Some(nonsense.clone()), &nonsense),
    ] {
        let (code, lines) = start(certificate.clone(), key.clone(), ca);
        assert_eq!(code, Some(1), "{lines:#?}");
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].starts_with("[ERROR] --tls-"), "{lines:#?}");
        assert!(lines[0].contains(text(wrong)), "{lines:#?}");
    }
}

#[test]
fn warns_of_an_expired_certificate() {
    let authority = Authority::new();
    let server = authority.expired_server();
    let broker = broker_with(&server, &[]);
    let line = broker.wait_for_log("the certificate expired at 2020-02-29");
    assert!(
        line.starts_with("[WARN]") && line.contains(text(&server.certificate)),
        "{line}"
    );
    broker.connect("plain").expect_nothing();
}

/// A client that leaves says so, and is told so.
#[test]
fn ends_connections_with_the_alert_of_tls() {
    let authority = Authority::new();
    let broker = broker_with(&authority.server(), &[]);
    let mut client = connect(&broker, &authority.trusting_client().config(), "leaving");
    client.send(packet::DISCONNECT);
    // An end without the alert would be an error here.
    client.expect_closed();
}
