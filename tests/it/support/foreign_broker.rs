//! The real mosquitto broker, whose verdicts ours are compared with.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::packet::first_packet_length;
use super::packet::{self, Connect, Publish};
use super::process::Process;
use super::{DEADLINE, Mosquitto};

/// A running mosquitto, reached through a socket in its own folder: no port can be taken.
pub(crate) struct ForeignBroker {
    _process: Process,
    folder: TempDir,
}

/// A client of it that speaks in bytes.
pub(crate) struct ForeignClient {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl ForeignBroker {
    /// Starts it with these lines in its configuration, and waits until it listens.
    pub(crate) fn start(settings: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let config = folder.path().join("mosquitto.conf");
        let socket = folder.path().join("socket");
        // As root it would become another user, who may not write into the folder.
        let text = format!("user root\nlistener 0 {}\n{settings}\n", socket.display());
        fs::write(&config, text).unwrap();
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(config);
        let process = Process::spawn("mosquitto", "mosquitto", &mut command);
        process.log.wait_for(" running");
        Self {
            _process: process,
            folder,
        }
    }

    /// Connects a client, which must be accepted.
    pub(crate) fn connect(&self, connect: &Connect<'_>) -> ForeignClient {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut client = ForeignClient {
            stream,
            buffer: Vec::new(),
        };
        client.send(&connect.bytes());
        assert_eq!(client.packet(), packet::connack(0));
        client
    }

    /// Runs `mosquitto_pub` against it with these arguments.
    pub(crate) fn mosquitto_pub(&self, args: &[&str]) -> Mosquitto {
        let socket = self.socket();
        let to = ["--unix", socket.to_str().unwrap(), "-V", "311"];
        Mosquitto::run("mosquitto_pub", &[&to, args].concat())
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }
}

impl ForeignClient {
    pub(crate) fn subscribe(&mut self, filters: &[(&str, u8)]) {
        self.send(&packet::subscribe(1, filters));
        let granted: Vec<u8> = filters.iter().map(|(_, qos)| *qos).collect();
        assert_eq!(self.packet(), packet::suback(1, &granted));
    }

    /// Publishes at QoS 0.
    pub(crate) fn publish(&mut self, topic: &str, payload: &str) {
        self.send(&Publish::new(topic, payload).bytes());
    }

    /// All messages that were on their way. The broker is one thread: what others published, and
    /// had answered by a PINGRESP, is among them.
    pub(crate) fn take_publishes(&mut self) -> Vec<Publish> {
        self.send(packet::PINGREQ);
        let mut publishes = Vec::new();
        loop {
            let got = self.packet();
            if got == packet::PINGRESP {
                return publishes;
            }
            publishes.push(Publish::parse(&got, false).unwrap());
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn packet(&mut self) -> Vec<u8> {
        let mut chunk = [0; 0x1000];
        loop {
            if let Some(length) = first_packet_length(&self.buffer) {
                return self.buffer.drain(..length).collect();
            }
            let count = self.stream.read(&mut chunk).unwrap();
            assert!(count > 0, "mosquitto closed the connection");
            self.buffer.extend_from_slice(&chunk[..count]);
        }
    }
}
