//! An MQTT client that sends and expects bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::DEADLINE;
use super::packet::{self, ConnAck, Connect, Publish};

/// A raw connection to the broker.
pub(crate) struct Wire {
    stream: TcpStream,
    /// It speaks MQTT 5.0, and not 3.1.1.
    is_v5: bool,
    /// Bytes that came and belong to no whole packet yet.
    buffer: Vec<u8>,
}

/// What came next.
enum Next {
    Packet(Vec<u8>),
    Closed,
    Nothing,
}

impl Wire {
    /// Connects the socket and sends nothing.
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Self {
            stream,
            is_v5: false,
            buffer: Vec::new(),
        }
    }

    /// Sends CONNECT and expects to be accepted without a session.
    pub(crate) fn connect(address: SocketAddr, connect: &Connect<'_>) -> Self {
        let (wire, connack) = Self::shake_hands(address, connect);
        assert_eq!((connack.session_present, connack.code), (false, 0));
        wire
    }

    /// Sends CONNECT and returns the answer to it.
    pub(crate) fn shake_hands(address: SocketAddr, connect: &Connect<'_>) -> (Self, ConnAck) {
        let mut wire = Self::open(address);
        wire.is_v5 = connect.level == 5;
        wire.send(&connect.bytes());
        let got = wire.packet();
        let connack = ConnAck::parse(&got);
        let connack =
            connack.unwrap_or_else(|| panic!("expected CONNACK\n     got {}", show(&got)));
        (wire, connack)
    }

    /// This end of the connection, as the broker logs it: `127.0.0.1:51712`.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// Sends bytes, whatever they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends bytes to a broker that may close the connection meanwhile.
    pub(crate) fn send_to_closing(&mut self, bytes: &[u8]) {
        // The broker's answer, or its absence, is what the test looks at.
        let _ = self.stream.write_all(bytes);
    }

    /// Sends as much as the socket takes right now.
    pub(crate) fn send_without_waiting(&mut self, bytes: &[u8]) {
        self.stream.set_nonblocking(true).unwrap();
        self.send_to_closing(bytes);
        self.stream.set_nonblocking(false).unwrap();
    }

    /// Sends bytes, each in a segment of its own.
    pub(crate) fn send_dribbled(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.send(&[*byte]);
        }
    }

    /// Says that nothing more will be sent, and goes on listening.
    pub(crate) fn finish_sending(&mut self) {
        // The broker may have closed the connection already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Publishes at QoS 0.
    pub(crate) fn publish(&mut self, topic: &str, payload: impl AsRef<[u8]>) {
        self.send_publish(&Publish::new(topic, payload));
    }

    /// Sends a PUBLISH in the version of the connection.
    pub(crate) fn send_publish(&mut self, publish: &Publish) {
        match self.is_v5 {
            true => self.send(&publish.bytes_v5()),
            false => self.send(&publish.bytes()),
        }
    }

    /// Publishes at QoS 1 and waits for the PUBACK: by then all subscribers have been served.
    pub(crate) fn publish_acked(&mut self, topic: &str, payload: impl AsRef<[u8]>) {
        self.send_acked(Publish::new(topic, payload));
    }

    /// Like [`Wire::publish_acked`] with RETAIN 1.
    pub(crate) fn publish_retained(&mut self, topic: &str, payload: impl AsRef<[u8]>) {
        self.send_acked(Publish::new(topic, payload).retained());
    }

    /// Sends a PUBLISH at QoS 1 and waits for the PUBACK.
    pub(crate) fn send_acked(&mut self, publish: Publish) {
        self.send_publish(&publish.qos(1, 0xacc));
        self.expect(&packet::puback(0xacc));
    }

    /// Subscribes to one filter at QoS 0 and waits for the SUBACK.
    pub(crate) fn subscribe(&mut self, filter: &str) {
        self.subscribe_all(&[(filter, 0)]);
    }

    /// Subscribes to filters in one packet, each with the QoS it asks for, and waits for the SUBACK.
    pub(crate) fn subscribe_all(&mut self, filters: &[(&str, u8)]) {
        let codes: Vec<u8> = filters.iter().map(|(_, options)| *options & 3).collect();
        if self.is_v5 {
            return self.subscribe_with(&[], filters);
        }
        self.send(&packet::subscribe(0x5ab, filters));
        self.expect(&packet::suback(0x5ab, &codes));
    }

    /// Subscribes as MQTT 5.0 can, with properties and options, and waits for the SUBACK.
    pub(crate) fn subscribe_with(&mut self, properties: &[u8], filters: &[(&str, u8)]) {
        let codes: Vec<u8> = filters.iter().map(|(_, options)| *options & 3).collect();
        self.send(&packet::subscribe_v5(0x5ab, properties, filters));
        self.expect(&packet::suback_v5(0x5ab, &codes));
    }

    /// Unsubscribes from what it is subscribed to and waits for the UNSUBACK.
    pub(crate) fn unsubscribe(&mut self, filter: &str) {
        if self.is_v5 {
            self.send(&packet::unsubscribe_v5(0x5ac, &[filter]));
            return self.expect(&packet::unsuback_v5(0x5ac, &[0]));
        }
        self.send(&packet::unsubscribe(0x5ac, &[filter]));
        self.expect(&packet::unsuback(0x5ac));
    }

    /// Says goodbye and waits until the connection is closed.
    pub(crate) fn disconnect(mut self) {
        self.send(packet::DISCONNECT);
        self.expect_closed();
    }

    /// Sends PINGREQ and expects PINGRESP as the very next packet: nothing else was on its way.
    pub(crate) fn expect_nothing(&mut self) {
        self.send(packet::PINGREQ);
        self.expect(packet::PINGRESP);
    }

    /// Expects exactly this packet next.
    pub(crate) fn expect(&mut self, expected: &[u8]) {
        let got = self.packet();
        assert!(
            got == expected,
            "expected {}\n     got {}",
            show(expected),
            show(&got)
        );
    }

    /// Expects an ordinary message at QoS 0 next.
    pub(crate) fn expect_publish(&mut self, topic: &str, payload: impl AsRef<[u8]>) {
        assert_eq!(self.take_publish(), Publish::new(topic, payload));
    }

    /// Expects a message at QoS 0 with RETAIN 1 next.
    pub(crate) fn expect_retained(&mut self, topic: &str, payload: impl AsRef<[u8]>) {
        assert_eq!(self.take_publish(), Publish::new(topic, payload).retained());
    }

    /// Expects exactly this PUBLISH next.
    pub(crate) fn expect_message(&mut self, expected: &Publish) {
        assert_eq!(self.take_publish(), *expected);
    }

    /// Expects DISCONNECT of MQTT 5.0 with this reason code, and then the end of the connection.
    pub(crate) fn expect_disconnect(&mut self, code: u8) {
        let got = self.packet();
        let body = packet::body_of(0xe0, &got);
        let body = body.unwrap_or_else(|| panic!("expected DISCONNECT\n     got {}", show(&got)));
        let words = String::from_utf8_lossy(body);
        assert_eq!(body.first(), Some(&code), "{words:?}");
        self.expect_closed();
    }

    /// The next packet, which must be a PUBLISH.
    pub(crate) fn take_publish(&mut self) -> Publish {
        let got = self.packet();
        Publish::parse(&got, self.is_v5)
            .unwrap_or_else(|| panic!("expected PUBLISH\n     got {}", show(&got)))
    }

    /// All messages that were on their way, in order: those before the answer to a PINGREQ.
    pub(crate) fn take_publishes(&mut self) -> Vec<Publish> {
        self.send(packet::PINGREQ);
        let mut publishes = Vec::new();
        loop {
            let got = self.packet();
            if got == packet::PINGRESP {
                return publishes;
            }
            let publish = Publish::parse(&got, self.is_v5);
            publishes.push(publish.unwrap_or_else(|| panic!("unexpected {}", show(&got))));
        }
    }

    /// Expects that the broker closes the connection and sends nothing before.
    pub(crate) fn expect_closed(&mut self) {
        match self.next(DEADLINE) {
            Next::Closed => {}
            Next::Packet(got) => panic!("expected a closed connection\n     got {}", show(&got)),
            Next::Nothing => panic!("the broker does not close the connection"),
        }
    }

    /// Expects that the broker closes the connection, whatever it sends before.
    pub(crate) fn expect_closed_after_anything(&mut self) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        loop {
            match self.next(DEADLINE) {
                Next::Closed => return packets,
                Next::Packet(packet) => packets.push(packet),
                Next::Nothing => panic!("the broker does not close the connection"),
            }
        }
    }

    /// Expects that for so long nothing comes and the connection stays open.
    pub(crate) fn expect_silence(&mut self, duration: Duration) {
        match self.next(duration) {
            Next::Nothing => {}
            Next::Packet(got) => panic!("expected silence\n     got {}", show(&got)),
            Next::Closed => panic!("expected silence, but the broker closed the connection"),
        }
    }

    /// The next packet.
    pub(crate) fn packet(&mut self) -> Vec<u8> {
        match self.next(DEADLINE) {
            Next::Packet(packet) => packet,
            Next::Closed => panic!("expected a packet, but the broker closed the connection"),
            Next::Nothing => panic!("expected a packet, got nothing"),
        }
    }

    fn next(&mut self, wait: Duration) -> Next {
        let end = Instant::now() + wait;
        let mut chunk = vec![0; 0x1_0000];
        loop {
            if let Some(length) = first_packet_length(&self.buffer) {
                return Next::Packet(self.buffer.drain(..length).collect());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Nothing;
            }
            self.stream.set_read_timeout(Some(left)).unwrap();
            match self.stream.read(&mut chunk) {
                Ok(0) => return self.closed(),
                Ok(count) => self.buffer.extend_from_slice(&chunk[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => return self.closed(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => panic!("cannot read from the broker: {error}"),
                },
            }
        }
    }

    fn closed(&self) -> Next {
        assert!(
            self.buffer.is_empty(),
            "closed within a packet: {}",
            show(&self.buffer)
        );
        Next::Closed
    }
}

/// The length of the packet at the start of `bytes`, if all of it is there.
fn first_packet_length(bytes: &[u8]) -> Option<usize> {
    let digits = bytes.get(1..)?;
    let end = digits.iter().position(|digit| digit & 0x80 == 0)?;
    let length = digits[..=end]
        .iter()
        .rev()
        .fold(0, |sum, digit| sum * 128 + usize::from(digit & 0x7f));
    let total = 1 + end + 1 + length;
    (bytes.len() >= total).then_some(total)
}

/// Bytes for a message: what they are, and their beginning in hexadecimal.
fn show(bytes: &[u8]) -> String {
    const NAMES: [&str; 16] = [
        "type 0",
        "CONNECT",
        "CONNACK",
        "PUBLISH",
        "PUBACK",
        "PUBREC",
        "PUBREL",
        "PUBCOMP",
        "SUBSCRIBE",
        "SUBACK",
        "UNSUBSCRIBE",
        "UNSUBACK",
        "PINGREQ",
        "PINGRESP",
        "DISCONNECT",
        "AUTH",
    ];
    let name = bytes
        .first()
        .map_or("nothing", |first| NAMES[usize::from(first >> 4)]);
    let hex: Vec<String> = bytes
        .iter()
        .take(64)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{name}, {} bytes: {}", bytes.len(), hex.join(" "))
}
