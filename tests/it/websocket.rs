//! MQTT over WebSocket: chapter 6, the frames that clients may send, and the clients of browsers.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::certificates::{Authority, text};
use crate::support::link::{self, ACCEPTED, OFFER, WebSocket, frame, read_head, upgrade_request};
use crate::support::process::Process;
use crate::support::{Broker, BrokerCommand, Connect, DEADLINE, Publish, Signal, Wire, packet};

/// A broker with one plain listener and one for WebSocket.
fn broker_with(args: &[&str]) -> Broker {
    BrokerCommand::without_store()
        .args(&["--listen", "ws://127.0.0.1:0"])
        .args(args)
        .start()
}

/// Connects a client through WebSocket.
fn connect(broker: &Broker, client_id: &str) -> Wire {
    open(broker).connected(&Connect::new(client_id))
}

/// Opens a WebSocket and sends nothing.
fn open(broker: &Broker) -> Wire {
    Wire::open_through(broker.address_of("ws"), |socket| {
        WebSocket::open(socket, "/mqtt", OFFER).0
    })
}

fn open_socket(broker: &Broker) -> TcpStream {
    let socket = TcpStream::connect(broker.address_of("ws")).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

/// `[MQTT-6.0.0-3]`
#[test]
fn chooses_the_sub_protocol_that_is_mqtt() {
    let broker = broker_with(&["--websocket-path", "/here"]);
    for (offer, chosen) in [
        ("mqtt", "mqtt"),
        ("chat, mqtt", "mqtt"),
        ("mqttv3.1", "mqttv3.1"),
        ("mqttv3.1,mqtt", "mqtt"),
    ] {
        let offer = format!("Origin: http://elsewhere\r\nSec-WebSocket-Protocol: {offer}\r\n");
        let (_, head) = WebSocket::open(open_socket(&broker), "/here?token=1", &offer);
        let head = head.to_lowercase();
        for line in [
            format!("sec-websocket-protocol: {chosen}\r\n"),
            format!("sec-websocket-accept: {}\r\n", ACCEPTED.to_lowercase()),
            "upgrade: websocket\r\n".to_owned(),
            "connection: upgrade\r\n".to_owned(),
        ] {
            assert_eq!(head.matches(&line).count(), 1, "{line} in {head}");
        }
    }
}

#[test]
fn refuses_what_is_no_request_for_mqtt() {
    let broker = broker_with(&[]);
    let mut witness = connect(&broker, "witness");
    let cookie = format!("Cookie: {}\r\n{OFFER}", "x".repeat(20_000));
    for (request, status) in [
        (upgrade_request("/", OFFER), "404 "),
        (upgrade_request("/mqtt/", OFFER), "404 "),
        (upgrade_request("/mqtt", ""), "400 "),
        (
            upgrade_request("/mqtt", "Sec-WebSocket-Protocol: mqttx\r\n"),
            "400 ",
        ),
        (upgrade_request("/mqtt", &cookie), "431 "),
        (
            upgrade_request("/mqtt", OFFER).replace("Version: 13", "Version: 8"),
            "400 ",
        ),
        (
            upgrade_request("/mqtt", OFFER).replace("GET", "POST"),
            "400 ",
        ),
        ("GET /mqtt HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "400 "),
        ("\x10\x0e\0\x04MQTT".to_owned(), "400 "),
    ] {
        let mut client = Wire::open(broker.address_of("ws"));
        client.send_to_closing(request.as_bytes());
        let answer = String::from_utf8(client.expect_closed_beneath()).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        let peer = client.peer();
        // The broker waits a little for the client to close as well.
        drop(client);
        let line = broker.expect_one_error_of(peer);
        assert!(line.contains(status.trim()), "{line}");
        witness.expect_nothing();
    }
}

/// The time for CONNECT counts from the beginning, however busily the client sends.
#[test]
fn closes_a_request_that_takes_too_long() {
    let broker = broker_with(&["--connect-timeout", "300ms"]);
    let mut client = Wire::open(broker.address_of("ws"));
    client.send(b"GET /mqtt HTTP/1.1\r\nCookie: ");
    client.dribble_beneath_until_closed(b'x', Duration::from_millis(20));
    let line = broker.expect_one_error_of(client.peer());
    assert!(
        line.contains("handshake not finished within 300ms"),
        "{line}"
    );
}

/// Pings are no packets: they keep nobody alive.
#[test]
fn keeps_to_the_keep_alive_while_frames_dribble_in() {
    let broker = broker_with(&[]);
    let mut client = open(&broker).connected(&Connect::new("dribbling").keep_alive(1));
    client.send_beneath(&frame(0x89, b"ping"));
    let long = [&[0x30, 0xff, 0x7f][..], &[0; 10_000]].concat();
    client.send_beneath(&frame(0x82, &long)[..50]);
    client.dribble_beneath_until_closed(0, Duration::from_millis(50));
    let line = broker.expect_one_error_of(client.peer());
    assert!(line.contains("keep alive expired"), "{line}");
}

/// `[MQTT-6.0.0-2]`: packets do not have to be frames.
#[test]
fn takes_packets_however_they_lie_in_frames() {
    let broker = broker_with(&[]);
    let mut subscriber = broker.connect("subscriber");
    subscriber.subscribe("#");
    let publish = |n: u8| Publish::new("a", vec![n; 300]).bytes();
    let mut client = connect(&broker, "client");

    client.send(&[publish(1), publish(2)].concat());
    let (start, end) = (&publish(3)[..100], &publish(3)[100..]);
    client.send(start);
    client.send(end);
    // A message of fragments, with a ping and an empty one among them.
    let parts = [
        frame(0x02, start),
        frame(0x89, b"ping"),
        frame(0x00, b""),
        frame(0x80, end),
    ];
    client.send_beneath(&parts.concat());
    // Byte after byte, header and mask as well.
    for byte in frame(0x82, &publish(5)) {
        client.send_beneath(&[byte]);
    }
    for n in [1, 2, 3, 3, 5] {
        subscriber.expect_publish("a", vec![n; 300]);
    }
}

#[test]
fn answers_pings_and_the_end() {
    let broker = broker_with(&[]);
    let mut socket = open_socket(&broker);
    // The first frames may come right behind the request.
    let request = [
        upgrade_request("/mqtt", OFFER).into_bytes(),
        frame(0x89, b"are you there?"),
        frame(0x82, &Connect::new("client").bytes()),
        frame(0x8a, b"unasked"),
        frame(0x88, b"\x03\xe9bye"),
    ]
    .concat();
    std::io::Write::write_all(&mut socket, &request).unwrap();
    read_head(&mut socket);
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut socket, &mut rest).unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = link::take_frame(&mut rest) {
        frames.push(frame);
    }
    let expected = [
        (0x8a, b"are you there?".to_vec()),
        (0x82, packet::connack(0)),
        (0x88, vec![0x03, 0xe9]),
    ];
    assert_eq!(frames, expected);
}

/// `[MQTT-6.0.0-1]`, RFC 6455 5.1
#[test]
fn closes_only_the_connection_whose_frames_are_wrong() {
    let broker = broker_with(&[]);
    let mut witness = connect(&broker, "witness");
    let endless = [&[0x82, 0xff][..], &[0xff; 8], &[0; 4]].concat();
    for (case, bytes, code) in [
        ("text", frame(0x81, packet::PINGREQ), 1003_u16),
        ("not masked", vec![0x82, 2, 0xc0, 0], 1002),
        ("reserved bit", frame(0xc2, packet::PINGREQ), 1002),
        ("unknown type", frame(0x83, packet::PINGREQ), 1002),
        ("continues nothing", frame(0x80, packet::PINGREQ), 1002),
        ("long ping", frame(0x89, &[0; 126]), 1002),
        ("impossible length", endless, 1002),
    ] {
        let mut client = connect(&broker, case);
        client.send_beneath(&bytes);
        let mut rest = client.expect_closed_beneath();
        let close = (0x88, code.to_be_bytes().to_vec());
        assert_eq!(link::take_frame(&mut rest), Some(close), "{case}");
        let line = broker.expect_one_error_of(client.peer());
        assert!(line.contains(&format!("client={case:?}")), "{case}: {line}");
        assert!(line.contains("WebSocket"), "{case}: {line}");
        witness.expect_nothing();
    }
}

/// 1 MiB has a length of 64 bits.
#[test]
fn carries_large_messages_both_ways() {
    let broker = broker_with(&[]);
    let mut subscriber = connect(&broker, "subscriber");
    subscriber.subscribe("big");
    let mut publisher = connect(&broker, "publisher");
    let payload: Vec<u8> = (0..1_u32 << 20).map(|i| (i % 251) as u8).collect();
    for _ in 0..4 {
        publisher.publish_acked("big", &payload);
        subscriber.expect_publish("big", &payload);
    }
}

/// What does not leave at once is kept, in order, until the client reads: over TCP, and over TLS.
#[test]
fn delivers_all_to_clients_that_pause() {
    const COUNT: usize = 1500;
    let authority = Authority::new();
    let server = authority.server();
    let broker = broker_with(&[
        "--listen",
        "wss://127.0.0.1:0",
        "--tls-cert",
        text(&server.certificate),
        "--tls-key",
        text(&server.key),
        "--max-queued-bytes",
        "64M",
    ]);
    let config = authority.trusting_client().config();
    let over_tls = Wire::open_through(broker.address_of("wss"), |socket| {
        WebSocket::open(link::tls(socket, config), "/mqtt", OFFER).0
    });
    let mut pausing = [
        connect(&broker, "over TCP"),
        over_tls.connected(&Connect::new("over TLS")),
    ];
    for client in &mut pausing {
        client.subscribe("a");
    }
    let mut publisher = broker.connect("publisher");
    let payload = |n: usize| format!("{n:08}").repeat(1000);
    for n in 0..COUNT {
        publisher.publish("a", payload(n));
    }
    publisher.expect_nothing();
    for client in &mut pausing {
        for n in 0..COUNT {
            client.expect_publish("a", payload(n));
        }
        client.expect_nothing();
    }
}

/// Pings without end do not fill the memory when nobody reads the answers.
#[test]
fn bounds_the_answers_to_pings() {
    let broker = broker_with(&[]);
    let mut client = connect(&broker, "pinging");
    let pings = frame(0x89, &[7; 125]).repeat(1000);
    let before = broker.resident_bytes();
    for _ in 0..100 {
        client.send_beneath_to_closing(&pings);
    }
    let line = broker.expect_one_error_of(client.peer());
    assert!(line.contains("pings without end"), "{line}");
    let grown = broker.resident_bytes().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes kept");
}

/// Where `tests/run` puts the packages from npm.
fn mqtt_js() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/npm/node_modules/mqtt");
    assert!(
        folder.is_dir(),
        "MQTT.js is missing; install it: npm install --prefix target/npm mqtt@5.16.0"
    );
    folder
}

/// What both tests of MQTT.js do: subscribe at QoS 1, publish at every QoS, and publish `ok` to `done` when all of it
/// came back and was as it should be.
const SCENE: &str = r#"
const expected = ["zero 0", "one 1", "\u00b0 2", "x".repeat(100000) + " 3"];
const received = [];
const client = mqtt.connect(url, { protocolVersion: 4, reconnectPeriod: 0 });
client.on("error", error => { throw error; });
client.on("message", (topic, payload) => {
    received.push(payload.toString());
    if (received.length === expected.length) {
        const ok = JSON.stringify(received.sort()) === JSON.stringify(expected.slice().sort());
        client.publish("done", ok ? "ok" : "wrong", { qos: 1 }, () => client.end());
    }
});
client.on("connect", () => client.subscribe("room/#", { qos: 1 }, () => {
    expected.forEach((text, n) => client.publish("room/" + n, text, { qos: n % 3 }));
}));
"#;

#[test]
fn serves_mqtt_js_under_node() {
    let authority = Authority::new();
    let server = authority.server();
    let broker = broker_with(&[
        "--listen",
        "wss://127.0.0.1:0",
        "--tls-cert",
        text(&server.certificate),
        "--tls-key",
        text(&server.key),
    ]);
    let folder = TempDir::new().unwrap();
    let script = folder.path().join("scene.js");
    let import = "const mqtt = require(process.argv[2]); const url = process.argv[3];";
    fs::write(&script, format!("{import}\n{SCENE}")).unwrap();
    for scheme in ["ws", "wss"] {
        let mut witness = broker.connect("witness");
        witness.subscribe("done");
        let mut command = Command::new("node");
        command
            .arg(&script)
            .arg(mqtt_js())
            .arg(format!("{scheme}://{}/mqtt", broker.address_of(scheme)))
            .env("NODE_EXTRA_CA_CERTS", authority.file());
        let mut node = Process::spawn("node", "nodejs", &mut command);
        witness.expect_publish("done", "ok");
        let status = node.wait();
        assert!(status.success(), "{status}");
    }
}

#[test]
fn serves_mqtt_js_in_a_browser() {
    let broker = broker_with(&[]);
    let mut witness = broker.connect("witness");
    witness.subscribe("done");
    let folder = TempDir::new().unwrap();
    let page = folder.path().join("page.html");
    fs::copy(
        mqtt_js().join("dist/mqtt.min.js"),
        folder.path().join("mqtt.js"),
    )
    .unwrap();
    let url = format!("ws://{}/mqtt", broker.address_of("ws"));
    let html = format!(
        "<!doctype html><meta charset=\"utf-8\"><script src=\"mqtt.js\"></script>\
         <script>const url = \"{url}\";\n{SCENE}</script>"
    );
    fs::write(&page, html).unwrap();
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--remote-debugging-port=0",
    ]);
    command
        .arg(format!(
            "--user-data-dir={}",
            folder.path().join("profile").display()
        ))
        .arg(format!("file://{}", page.display()));
    let mut browser = Process::spawn("chromium", "chromium", &mut command);
    witness.expect_publish("done", "ok");
    // Killed, it would leave its own processes behind.
    browser.signal(Signal::Terminate);
    browser.wait();
}
