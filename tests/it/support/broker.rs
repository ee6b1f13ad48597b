//! The program under test.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::thread;

use tempfile::TempDir;

use super::process::{Process, Signal};
use super::{ConnAck, Connect, FakeInflux, Influx, Wire, eventually};

/// What the line begins with that tells the port.
const LISTENING: &str = "[LISTENING] Server is listening on ";

/// Names the folder of the broker's state.
const DATA_DIR: &str = "MQTT_SERVER_DATA_DIR";

/// A running broker.
pub(crate) struct Broker {
    process: Process,
    address: SocketAddr,
    /// How it was started.
    command: Command,
    /// Its state, for as long as it runs.
    data: TempDir,
}

impl Broker {
    /// Starts a broker that stores in `influx`, and waits until it listens.
    pub(crate) fn start(influx: &Influx) -> Self {
        BrokerCommand::storing_at(&influx.url()).start()
    }

    /// Starts a broker that stores in `influx`, and waits until it listens.
    pub(crate) fn start_with_fake(influx: &FakeInflux) -> Self {
        BrokerCommand::storing_at(&influx.url()).start()
    }

    /// Starts a broker that refuses what InfluxDB at `url` does not take, and keeps no journal.
    pub(crate) fn start_refusing(url: &str) -> Self {
        BrokerCommand::storing_at(url)
            .args(&["--when-influx-is-away", "refuse"])
            .start()
    }

    /// Starts a broker without a store, for all that is between client and broker alone.
    pub(crate) fn start_without_store() -> Self {
        BrokerCommand::without_store().start()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens for this scheme: `mqtts`, `ws` or `wss`.
    pub(crate) fn address_of(&self, scheme: &str) -> SocketAddr {
        let suffix = format!(" ({scheme})");
        let is_wanted = |line: &str| line.starts_with(LISTENING) && line.ends_with(&suffix);
        listening_address(&self.process.log.wait_for_match(&suffix, is_wanted))
    }

    /// Opens a connection and sends nothing.
    pub(crate) fn open(&self) -> Wire {
        Wire::open(self.address)
    }

    /// Connects a client of this id with a clean session.
    pub(crate) fn connect(&self, client_id: &str) -> Wire {
        self.connect_with(&Connect::new(client_id))
    }

    /// Connects a client and expects it to be accepted.
    pub(crate) fn connect_with(&self, connect: &Connect<'_>) -> Wire {
        Wire::connect(self.address, connect)
    }

    /// Connects a client of MQTT 5.0 with a clean start.
    pub(crate) fn connect_v5(&self, client_id: &str) -> Wire {
        self.connect_with(&Connect::v5(client_id))
    }

    /// Connects a client and expects that it finds its session again.
    pub(crate) fn resume(&self, connect: &Connect<'_>) -> Wire {
        let (wire, connack) = self.shake_hands(connect);
        assert_eq!((connack.session_present, connack.code), (true, 0));
        wire
    }

    /// Sends a CONNECT and returns the answer to it.
    pub(crate) fn shake_hands(&self, connect: &Connect<'_>) -> (Wire, ConnAck) {
        Wire::shake_hands(self.address, connect)
    }

    /// Waits for a log line with `text`.
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        self.process.log.wait_for(text)
    }

    /// Waits until `count` log lines contain `text`.
    pub(crate) fn wait_for_logs(&self, text: &str, count: usize) {
        eventually(&format!("{count} log lines say {text:?}"), || {
            (self.log_count(text) >= count).then_some(())
        });
    }

    /// How many log lines so far contain `text`.
    pub(crate) fn log_count(&self, text: &str) -> usize {
        self.process.log.count(text)
    }

    /// All of the log so far.
    pub(crate) fn log(&self) -> String {
        self.process.log.lines().join("\n")
    }

    /// Waits for the `[ERROR]` line of a closed connection; there must be one only.
    pub(crate) fn expect_one_error_of(&self, peer: SocketAddr) -> String {
        let peer = format!("peer={peer}");
        // Ports have no fixed length: `:5000` is not `:50001`.
        let is_of_peer = |line: &str| {
            let rest = line.split_once(&peer).map(|(_, rest)| rest);
            line.starts_with("[ERROR]")
                && rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
        };
        let line = self
            .process
            .log
            .wait_for_match(&format!("[ERROR] {peer}"), is_of_peer);
        let lines: Vec<String> = self
            .process
            .log
            .lines()
            .into_iter()
            .filter(|line| is_of_peer(line))
            .collect();
        assert_eq!(lines.len(), 1, "{lines:#?}");
        line
    }

    /// Memory that the broker occupies, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024
    }

    /// Sends a signal and returns at once.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after it has ended, with the same settings and data. Its port and its log
    /// are new.
    pub(crate) fn restart(&mut self) {
        self.process = Process::spawn("mqtt-server", "util-linux", &mut self.command);
        self.address = listening_address(&self.process.log.wait_for(LISTENING));
    }

    /// Runs a subcommand on its data folder, which must succeed, and returns what it printed.
    pub(crate) fn tool(&self, args: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_mqtt-server"))
            .env_clear()
            .env(DATA_DIR, self.data.path())
            .args(args)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until the broker ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.process.kill();
        // A panic ends one thread and might pass unseen; it is a fault in every test.
        if !thread::panicking() {
            self.process.log.wait_for_end();
            assert_eq!(self.process.log.count("panicked at"), 0, "{}", self.log());
        }
    }
}

/// A broker that is to be started.
pub(crate) struct BrokerCommand {
    command: Command,
    data: TempDir,
}

impl BrokerCommand {
    /// Listens on a free port of 127.0.0.1 and stores in the InfluxDB at `url`.
    pub(crate) fn storing_at(url: &str) -> Self {
        Self::bare().args(&["--listen", "127.0.0.1:0", "--influx-url", url])
    }

    /// Listens on a free port of 127.0.0.1 and stores nothing.
    pub(crate) fn without_store() -> Self {
        Self::bare().args(&["--listen", "127.0.0.1:0", "--store", "off"])
    }

    /// No flag but a data folder of its own, and none of the variables of whoever runs the tests.
    pub(crate) fn bare() -> Self {
        Self::run_by(Command::new(env!("CARGO_BIN_EXE_mqtt-server")))
    }

    /// Like [`BrokerCommand::without_store`], with so many open files at most: a number, or the
    /// soft limit, a colon and the hard one.
    pub(crate) fn with_open_files_max(count: &str) -> Self {
        let mut command = Command::new("prlimit");
        command
            .arg(format!("--nofile={count}"))
            .arg(env!("CARGO_BIN_EXE_mqtt-server"));
        Self::run_by(command).args(&["--listen", "127.0.0.1:0", "--store", "off"])
    }

    fn run_by(mut command: Command) -> Self {
        let data = TempDir::new().unwrap();
        let path = std::env::var_os("PATH").unwrap_or_default();
        command
            .env_clear()
            .env("PATH", path)
            .env(DATA_DIR, data.path());
        Self { command, data }
    }

    /// With more flags and their values.
    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    /// With an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// With its state in another folder than one of its own.
    pub(crate) fn data_in(mut self, folder: &Path) -> Self {
        self.data = TempDir::new_in(folder).unwrap();
        self.command.env(DATA_DIR, self.data.path());
        self
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(mut self) -> Broker {
        // util-linux has prlimit; the broker itself comes with the tests.
        let process = Process::spawn("mqtt-server", "util-linux", &mut self.command);
        let address = listening_address(&process.log.wait_for(LISTENING));
        Broker {
            process,
            address,
            command: self.command,
            data: self.data,
        }
    }

    /// Starts it and expects that it ends with an error; returns the exit code and the lines it printed.
    pub(crate) fn fail(mut self) -> (Option<i32>, Vec<String>) {
        let mut process = Process::spawn("mqtt-server", "util-linux", &mut self.command);
        let status = process.wait();
        let lines = process.log.lines();
        (
            status.code(),
            lines.into_iter().filter(|line| !line.is_empty()).collect(),
        )
    }
}

/// The address in a `[LISTENING]` line, as a client can use it.
pub(crate) fn listening_address(line: &str) -> SocketAddr {
    let address = line
        .split_once(LISTENING)
        .and_then(|(_, address)| address.split_whitespace().next());
    let address = address.and_then(|address| address.parse::<SocketAddr>().ok());
    let address = address.unwrap_or_else(|| panic!("no address: {line:?}"));
    match address.ip().is_unspecified() {
        true => SocketAddr::from(([127, 0, 0, 1], address.port())),
        false => address,
    }
}
