//! The brokers that are compared, and how each is started.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::client::Client;
use crate::influx::Influx;
use crate::process::{Process, free_address};
use crate::usage::Usage;

/// A broker that can be started.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// As it stands in the table.
    pub(crate) name: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// A build of ours.
    Ours(PathBuf),
    Mosquitto,
    Nats,
    Rumqttd(PathBuf),
    /// Started by somebody else.
    Running(SocketAddr),
}

/// The version of rumqttd that is installed for the bench.
const RUMQTTD_VERSION: &str = "0.20.0";

impl Peer {
    /// The build of this run.
    pub(crate) fn ours() -> Self {
        Self::build("mqtt-server", env!("CARGO_BIN_EXE_mqtt-server").into())
    }

    /// Another build of ours.
    pub(crate) fn build(name: &str, binary: PathBuf) -> Self {
        Self {
            name: name.to_owned(),
            kind: Kind::Ours(binary),
        }
    }

    /// A broker that runs already.
    pub(crate) fn running(name: &str, address: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            kind: Kind::Running(address),
        }
    }

    /// The others that the bench knows how to start.
    pub(crate) fn others() -> Vec<Self> {
        let rumqttd = peers_folder().join("bin/rumqttd");
        [
            ("mosquitto", Kind::Mosquitto),
            ("nats-server", Kind::Nats),
            ("rumqttd", Kind::Rumqttd(rumqttd)),
        ]
        .map(|(name, kind)| Self {
            name: name.to_owned(),
            kind,
        })
        .into()
    }

    /// Whether it is a build of ours, which alone stores.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Ours(_))
    }

    /// Its version for the head of the table. Installs what only cargo can install.
    ///
    /// # Errors
    /// What is missing, and how to get it.
    pub(crate) fn prepare(&self) -> Result<String, String> {
        let (program, argument) = match &self.kind {
            Kind::Ours(binary) => (binary.clone(), "--version"),
            Kind::Mosquitto => (daemon("mosquitto"), "-h"),
            Kind::Nats => (daemon("nats-server"), "--version"),
            Kind::Rumqttd(binary) => {
                if !binary.exists() {
                    install_rumqttd()?;
                }
                (binary.clone(), "--version")
            }
            Kind::Running(address) => return Ok(format!("running at {address}")),
        };
        let output = Command::new(&program).arg(argument).output();
        let output = output.map_err(|error| {
            let name = &self.name;
            format!(
                "cannot run {name}: {error}: `tests/run` installs it, or apt-get install {name}"
            )
        })?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }

    /// Starts it with empty folders and waits until it accepts a client. Ours stores in `influx`
    /// where there is one.
    ///
    /// # Errors
    /// When it does not get so far.
    pub(crate) fn start(&self, influx: Option<&Influx>) -> io::Result<Broker> {
        let directory = TempDir::new()?;
        let address = match self.kind {
            Kind::Running(address) => address,
            Kind::Ours(_) | Kind::Mosquitto | Kind::Nats | Kind::Rumqttd(_) => free_address()?,
        };
        let command = match &self.kind {
            Kind::Ours(binary) => Some(ours(binary, address, directory.path(), influx)),
            Kind::Mosquitto => Some(mosquitto(address, directory.path())?),
            Kind::Nats => Some(nats(address, directory.path())?),
            Kind::Rumqttd(binary) => Some(rumqttd(binary, address, directory.path())?),
            Kind::Running(_) => None,
        };
        let serves = || Client::connect(address, "probe").map(drop);
        let process = match command {
            Some(command) => Some(Process::start(&command, directory, serves)?),
            None => None,
        };
        Ok(Broker { address, process })
    }
}

/// A broker that serves.
#[derive(Debug)]
pub(crate) struct Broker {
    /// Where.
    pub(crate) address: SocketAddr,
    /// `None` for one that somebody else started.
    process: Option<Process>,
}

impl Broker {
    /// What it has used so far; `None` for one that somebody else started.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn usage(&self) -> io::Result<Option<Usage>> {
        self.process
            .as_ref()
            .map(|process| Usage::of(process.id()))
            .transpose()
    }

    /// The end of what it printed.
    pub(crate) fn last_output(&self) -> String {
        self.process
            .as_ref()
            .map(Process::last_output)
            .unwrap_or_default()
    }
}

fn ours(binary: &Path, address: SocketAddr, directory: &Path, influx: Option<&Influx>) -> Command {
    let mut command = Command::new(binary);
    command
        .args(["--listen", &address.to_string()])
        .arg("--data-dir")
        .arg(directory)
        // A line for each of 10,000 clients would be part of what is measured of us alone.
        .env("RUST_LOG", "warn");
    match influx {
        Some(influx) => command.args(["--influx-url", &influx.url()]),
        None => command.args(["--store", "off"]),
    };
    command
}

/// Unbounded queues and messages in flight: it must not have to drop, and with 1,000 in flight it
/// closes the connections of publishers at QoS 2 that have just as many.
fn mosquitto(address: SocketAddr, directory: &Path) -> io::Result<Command> {
    let config = directory.join("mosquitto.conf");
    let text = format!(
        "listener {} {}\nallow_anonymous true\nlog_type error\nmax_queued_messages 0\n\
         max_inflight_messages 0\n",
        address.port(),
        address.ip(),
    );
    fs::write(&config, text)?;
    let mut command = Command::new(daemon("mosquitto"));
    command.arg("-c").arg(config);
    Ok(command)
}

fn nats(address: SocketAddr, directory: &Path) -> io::Result<Command> {
    let config = directory.join("nats.conf");
    let text = format!(
        "listen: \"{}\"\nserver_name: bench\nmax_connections: 100000\n\
         jetstream {{ store_dir: \"{}\" }}\n\
         mqtt {{ listen: \"{address}\", max_ack_pending: 1000 }}\n",
        free_address()?,
        directory.display(),
    );
    fs::write(&config, text)?;
    let mut command = Command::new(daemon("nats-server"));
    command.arg("-c").arg(config);
    Ok(command)
}

/// Its own example of a configuration, without the servers for other protocols and with as many
/// messages in flight as our own default.
fn rumqttd(binary: &Path, address: SocketAddr, directory: &Path) -> io::Result<Command> {
    let config = directory.join("rumqttd.toml");
    let text = format!(
        "id = 0\n[router]\nid = 0\nmax_connections = 20000\nmax_outgoing_packet_count = 200\n\
         max_segment_size = 104857600\nmax_segment_count = 10\n\
         [v4.1]\nname = \"v4-1\"\nlisten = \"{address}\"\nnext_connection_delay_ms = 0\n\
         [v4.1.connections]\nconnection_timeout_ms = 60000\nmax_payload_size = 1048576\n\
         max_inflight_count = 1000\ndynamic_filters = true\n",
    );
    fs::write(&config, text)?;
    let mut command = Command::new(binary);
    command.arg("--quiet").arg("--config").arg(config);
    Ok(command)
}

/// Built once into the target folder. Without its lock file, which pins a release of `metrics` that
/// today's compiler refuses.
fn install_rumqttd() -> Result<(), String> {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["install", "rumqttd", "--version", RUMQTTD_VERSION, "--root"])
        .arg(peers_folder())
        .env("CARGO_TARGET_DIR", peers_folder().join("build"));
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("cannot build rumqttd {RUMQTTD_VERSION}: {status}")),
        Err(error) => Err(format!("cannot run cargo to build rumqttd: {error}")),
    }
}

fn peers_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers")
}

/// Debian puts daemons where ordinary users do not look.
fn daemon(name: &str) -> PathBuf {
    let in_sbin = Path::new("/usr/sbin").join(name);
    if in_sbin.exists() {
        in_sbin
    } else {
        name.into()
    }
}
