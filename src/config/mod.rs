//! The settings of the server: from the command line, the environment and a file to one checked
//! [`Config`].
//!
//! Each setting stands once, as a row of `table.rs`. From there come the flag `--max-inflight`,
//! the variable `MQTT_SERVER_MAX_INFLIGHT`, the key `max-inflight` of the file, the help, the
//! default and the check. A new setting is a row there and a field of [`Config`].
//!
//! ```text
//! command_line ─┐
//! environment ──┼─ Given (text, place) ── Winners ── Setting::apply ── Config
//! file ─────────┘
//! ```
//!
//! A flag wins over the environment, that over the file, and that over the default. All problems
//! are gathered before they are reported. Nothing here logs: the log is made from these settings.

mod choice;
mod command_line;
mod environment;
mod error;
mod file;
mod given;
mod listen;
mod nearest;
mod passwd;
pub mod rule;
mod secret;
mod setting;
mod table;
mod task;
#[cfg(test)]
mod tests;
mod value;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io};

pub use choice::{
    ClientCertificate, ClientIdentity, InfluxApi, KeepPayload, StoreKind, WhenInfluxIsAway,
    WhenQueueFull,
};
pub use error::{ConfigError, Place, Problem};
pub use listen::{Listen, Scheme};
pub use secret::Secret;
pub use task::{Task, Trial, Which};

use command_line::CommandLine;
use given::{Given, Winners};
use rule::Rule;
use setting::{DefaultValue, Kind, Setting};
use table::{SETTINGS, find};

use crate::auth::passwd::Passwd;

/// What the command line asks the program to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// To serve with this configuration.
    Serve(Box<Config>),
    /// To do this instead with this configuration.
    Task(Box<Config>, Task),
    /// To change a password file, and to end.
    Passwd(Passwd),
    /// To print this text, the help or the version, and to end.
    Print(String),
}

/// Every setting, checked and ready to use.
///
/// The fields have the names of the settings. What each means, why it has its default and which
/// values it takes is told by `--help`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file that settings were read from.
    pub config_file: Option<PathBuf>,
    /// Where to accept clients, and how they talk there; at least one.
    pub listen: Vec<Listen>,
    /// The certificate of encrypted listeners; there is one where there are such.
    pub tls_cert: Option<PathBuf>,
    /// The key of that certificate; there is one where there are encrypted listeners.
    pub tls_key: Option<PathBuf>,
    /// The roots of the clients' certificates; there are some where those are asked for.
    pub tls_client_ca: Option<PathBuf>,
    /// Whether clients of encrypted listeners need a certificate.
    pub tls_client_cert: ClientCertificate,
    /// Which name in a client's certificate says who the client is.
    pub tls_client_identity: ClientIdentity,
    /// The path of WebSockets; begins with a slash.
    pub websocket_path: String,

    /// Who may connect with which password; `None` is anyone who says any name.
    pub password_file: Option<PathBuf>,
    /// Who may publish and read what; `None` is everybody everything.
    pub acl_file: Option<PathBuf>,
    /// Whether clients without a user name may connect.
    pub allow_anonymous: bool,

    /// Where messages are stored.
    pub store: StoreKind,
    /// The root of InfluxDB's HTTP interface: `http://` or `https://`, a host, perhaps a port and a
    /// path; no slash at the end and no user.
    pub influx_url: String,
    /// How points are written.
    pub influx_api: InfluxApi,
    /// The database to write to; not empty.
    pub influx_database: String,
    /// The organization to write to in InfluxDB 2.x.
    pub influx_org: Option<String>,
    /// The bucket to write to in InfluxDB 2.x; `None` is the one with the name of the database.
    pub influx_bucket: Option<String>,
    /// The retention policy to write to; `None` is the default one of the database.
    pub influx_retention_policy: Option<String>,
    /// The user to write as.
    pub influx_username: Option<String>,
    /// The password of that user.
    pub influx_password: Option<Secret>,
    /// The file that the password came from, to be read again.
    pub influx_password_file: Option<PathBuf>,
    /// The token to write with, instead of user and password.
    pub influx_token: Option<Secret>,
    /// The file that the token came from, to be read again.
    pub influx_token_file: Option<PathBuf>,
    /// The roots of InfluxDB's certificate; `None` are those of the system. Only with `https://`.
    pub influx_ca: Option<PathBuf>,
    /// Our own certificate for InfluxDB; there is a key beside it. Only with `https://`.
    pub influx_client_cert: Option<PathBuf>,
    /// The key of that certificate.
    pub influx_client_key: Option<PathBuf>,
    /// Whether writes are compressed.
    pub influx_gzip: bool,
    /// Whether to create the database when it is missing.
    pub influx_create_database: bool,
    /// How long one write may take, 100 ms to 1 h.
    pub influx_timeout: Duration,
    /// Most writes under way at a time, 1 to 64.
    pub influx_connections: usize,
    /// Most points of one write, 1 to 1,000,000.
    pub influx_batch_points: usize,
    /// What happens to messages while InfluxDB does not take points.
    pub when_influx_is_away: WhenInfluxIsAway,

    /// The measurement of the points; not empty.
    pub measurement: String,
    /// When a point carries the exact payload beside its typed fields.
    pub keep_payload: KeepPayload,
    /// What is stored otherwise than by default; the first that is for a topic holds.
    pub rules: Vec<Rule>,
    /// The folder of what must outlive the process. It may not exist yet.
    pub data_dir: PathBuf,
    /// Most bytes of points in the journal, 1 KiB to 16 TiB.
    pub journal_max_size: usize,
    /// Bytes of its file system that the journal leaves free, up to 16 TiB.
    pub journal_disk_reserve: usize,
    /// Most bytes of rejected points that are kept, up to 16 TiB.
    pub rejected_max_size: usize,

    /// Most connections in all, up to 1,000,000; 0 is as many as the system allows.
    pub max_connections: usize,
    /// Most connections of one address, up to 1,000,000; 0 is no limit.
    pub max_connections_per_address: usize,
    /// Most clients of one user name, up to 1,000,000; 0 is no limit.
    pub max_connections_per_user: usize,
    /// Most CONNECTs per second of one address, up to 1,000,000; 0 is no limit.
    pub max_connect_rate: u32,
    /// Largest packet taken from a client, in bytes with its fixed header, 2 to 268,435,460.
    pub max_packet_size: usize,
    /// Longest topic name or filter, in bytes, 1 to 65,535.
    pub max_topic_length: usize,
    /// Most levels of a topic name or filter, 1 to 65,536.
    pub max_topic_levels: usize,
    /// Most subscriptions of one client, 1 to 10,000,000.
    pub max_subscriptions: usize,
    /// Most sessions in all, 1 to 100,000,000.
    pub max_sessions: usize,
    /// Most retained messages in all, 1 to 100,000,000.
    pub max_retained: usize,
    /// How long a new connection may take to send its CONNECT, 100 ms to 1 h.
    pub connect_timeout: Duration,
    /// Longest keep-alive of a client, in seconds; 0 is as the client wishes.
    pub max_keep_alive: u16,
    /// Most messages per second of one client, up to 1,000,000,000; 0 is no limit.
    pub max_message_rate: u32,
    /// Most bytes per second of one client, up to 1 GiB; 0 is no limit.
    pub max_byte_rate: u32,
    /// Most messages of QoS 1 and 2 of one client that are not acknowledged, 1 to 65,535.
    pub max_inflight: u16,
    /// Most bytes that wait to be sent to one client, 1 KiB to 1 GiB.
    pub max_queued_bytes: usize,
    /// Most messages that wait to be sent to one client, 1 to 100,000,000.
    pub max_queued_messages: usize,
    /// What happens to a message for a client whose queue is full.
    pub when_queue_full: WhenQueueFull,

    /// Whether each line of the log begins with its time.
    pub log_timestamps: bool,
    /// Which events are logged, as in `RUST_LOG`.
    pub log_filter: String,
}

impl Config {
    /// Reads the settings of this process.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them, see [`ConfigError`].
    pub fn from_process() -> Result<Invocation, ConfigError> {
        Self::from_sources(env::args_os(), env::vars_os(), |path| {
            fs::read_to_string(path)
        })
    }

    /// Reads the settings from a command line, whose first argument is the name of the program,
    /// from environment variables, and from the files which these name, through `read_file`.
    ///
    /// It asks the system for nothing else but the addresses of host names in `listen`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the settings, each problem with the setting, its value and
    /// where it was set; an error in the command line itself is reported alone.
    pub fn from_sources<A, E, R>(
        args: A,
        environment: E,
        read_file: R,
    ) -> Result<Invocation, ConfigError>
    where
        A: IntoIterator<Item: Into<OsString> + Clone>,
        E: IntoIterator<Item = (OsString, OsString)>,
        R: Fn(&Path) -> io::Result<String>,
    {
        let (flags, task) = match command_line::read(args)? {
            CommandLine::Run(flags, task) => (flags, task),
            CommandLine::Passwd(passwd) => return Ok(Invocation::Passwd(passwd)),
            CommandLine::Print(text) => return Ok(Invocation::Print(text)),
        };
        let variables: Vec<_> = environment.into_iter().collect();
        let mut problems = Vec::new();
        let environment = environment::read(&variables, &mut problems);
        let mut rules = Vec::new();
        let file = settings_file(&flags, &environment, &read_file, &mut rules, &mut problems);

        let mut winners = Winners::default();
        winners.add(file, &mut problems);
        winners.add(environment, &mut problems);
        winners.add(flags, &mut problems);

        let mut config = Self::unset();
        config.rules = rules;
        for setting in SETTINGS {
            config.set(setting, &winners, &read_file, &mut problems);
        }
        config.complete(&winners, &variables, &mut problems);
        config.check_tls(&mut problems);
        config.check_influx_tls(&mut problems);
        ConfigError::unless_empty(problems)?;
        let config = Box::new(config);
        Ok(match task {
            Some(task) => Invocation::Task(config, task),
            None => Invocation::Serve(config),
        })
    }

    /// A configuration to begin with, in which nothing counts yet: every field is overwritten,
    /// by the default of its setting if by nothing else.
    fn unset() -> Self {
        Self {
            config_file: None,
            listen: Vec::new(),
            tls_cert: None,
            tls_key: None,
            tls_client_ca: None,
            tls_client_cert: ClientCertificate::None,
            tls_client_identity: ClientIdentity::None,
            websocket_path: String::new(),
            password_file: None,
            acl_file: None,
            allow_anonymous: false,
            store: StoreKind::Off,
            influx_url: String::new(),
            influx_api: InfluxApi::Auto,
            influx_database: String::new(),
            influx_org: None,
            influx_bucket: None,
            influx_retention_policy: None,
            influx_username: None,
            influx_password: None,
            influx_password_file: None,
            influx_token: None,
            influx_token_file: None,
            influx_ca: None,
            influx_client_cert: None,
            influx_client_key: None,
            influx_gzip: false,
            influx_create_database: false,
            influx_timeout: Duration::ZERO,
            influx_connections: 0,
            influx_batch_points: 0,
            when_influx_is_away: WhenInfluxIsAway::Refuse,
            measurement: String::new(),
            keep_payload: KeepPayload::Never,
            rules: Vec::new(),
            data_dir: PathBuf::new(),
            journal_max_size: 0,
            journal_disk_reserve: 0,
            rejected_max_size: 0,
            max_connections: 0,
            max_connections_per_address: 0,
            max_connections_per_user: 0,
            max_connect_rate: 0,
            max_packet_size: 0,
            max_topic_length: 0,
            max_topic_levels: 0,
            max_subscriptions: 0,
            max_sessions: 0,
            max_retained: 0,
            connect_timeout: Duration::ZERO,
            max_keep_alive: 0,
            max_message_rate: 0,
            max_byte_rate: 0,
            max_inflight: 0,
            max_queued_bytes: 0,
            max_queued_messages: 0,
            when_queue_full: WhenQueueFull::Disconnect,
            log_timestamps: false,
            log_filter: String::new(),
        }
    }

    /// Checks and takes what counts for one setting: what was given, or else its default.
    fn set(
        &mut self,
        setting: &Setting,
        winners: &Winners,
        read_file: &dyn Fn(&Path) -> io::Result<String>,
        problems: &mut Vec<Problem>,
    ) {
        let (place, values): (&Place, Vec<&str>) = match winners.of(setting) {
            Some(given) => (
                &given.place,
                given.values.iter().map(String::as_str).collect(),
            ),
            None if winners.has_rival_of(setting) => return,
            None => match setting.default {
                DefaultValue::Text(value) => (&Place::Default, vec![value]),
                DefaultValue::Unset | DefaultValue::Computed(_) => return,
            },
        };
        if values.is_empty() {
            problems.push(Problem::Value {
                place: place.clone(),
                name: setting.name,
                value: None,
                reason: "the list is empty".to_owned(),
            });
        }
        for value in values {
            let outcome = match setting.kind {
                Kind::SecretFile => secret_in(value, read_file)
                    .and_then(|secret| (setting.apply)(self, secret.expose()))
                    .map(|()| (setting.keep_file)(self, PathBuf::from(value))),
                _ => (setting.apply)(self, value),
            };
            if let Err(reason) = outcome {
                problems.push(Problem::Value {
                    place: place.clone(),
                    name: setting.name,
                    value: (setting.kind != Kind::Secret).then(|| value.to_owned()),
                    reason,
                });
            }
        }
    }

    /// Fills in what depends on other settings, or on variables that are not ours alone.
    fn complete(
        &mut self,
        winners: &Winners,
        variables: &[(OsString, OsString)],
        problems: &mut Vec<Problem>,
    ) {
        let variable = |wanted: &str| {
            let found = variables.iter().find(|(name, _)| name == wanted);
            found
                .map(|(_, value)| value.as_os_str())
                .filter(|value| !value.is_empty())
        };
        // Everyone expects RUST_LOG to win.
        if let Some(filter) = variable("RUST_LOG") {
            self.log_filter = filter.to_string_lossy().into_owned();
        }
        if find("allow-anonymous").is_some_and(|setting| winners.of(setting).is_none()) {
            self.allow_anonymous = self.password_file.is_none();
        }
        if find("data-dir").is_some_and(|setting| winners.of(setting).is_none()) {
            match default_data_dir(variable) {
                Some(data_dir) => self.data_dir = data_dir,
                None => problems.push(Problem::Missing {
                    name: "data-dir",
                    reason: "none of STATE_DIRECTORY, XDG_STATE_HOME and HOME is set",
                }),
            }
        }
    }

    /// Checks that the settings for TLS make sense together: nobody is to believe that something
    /// is checked which is not.
    fn check_tls(&self, problems: &mut Vec<Problem>) {
        let mut missing = |name, reason| problems.push(Problem::Missing { name, reason });
        if self.listen.iter().any(|it| it.scheme.is_encrypted()) {
            let reason = "a listener with mqtts:// or wss:// needs it";
            if self.tls_cert.is_none() {
                missing("tls-cert", reason);
            }
            if self.tls_key.is_none() {
                missing("tls-key", reason);
            }
        }
        if self.tls_client_cert != ClientCertificate::None {
            if self.tls_client_ca.is_none() {
                missing("tls-client-ca", "--tls-client-cert needs it");
            }
        } else if self.tls_client_ca.is_some() {
            missing("tls-client-cert", "--tls-client-ca does nothing without it");
        } else if self.tls_client_identity != ClientIdentity::None {
            let reason = "--tls-client-identity does nothing without it";
            missing("tls-client-cert", reason);
        }
    }

    /// The same for the connections to InfluxDB.
    fn check_influx_tls(&self, problems: &mut Vec<Problem>) {
        let mut missing = |name, reason| problems.push(Problem::Missing { name, reason });
        match (&self.influx_client_cert, &self.influx_client_key) {
            (Some(_), None) => missing("influx-client-key", "--influx-client-cert needs it"),
            (None, Some(_)) => missing("influx-client-cert", "--influx-client-key needs it"),
            _ => {}
        }
        let is_plain = !self.influx_url.starts_with("https://");
        if is_plain && (self.influx_ca.is_some() || self.influx_client_cert.is_some()) {
            let reason = "--influx-ca and --influx-client-cert do nothing without it";
            missing("influx-url https://", reason);
        }
    }
}

/// The settings in the file that a flag or else the environment names; puts its rules into `rules`.
fn settings_file(
    flags: &[Given],
    environment: &[Given],
    read_file: &dyn Fn(&Path) -> io::Result<String>,
    rules: &mut Vec<Rule>,
    problems: &mut Vec<Problem>,
) -> Vec<Given> {
    let named = flags.iter().chain(environment);
    let Some(given) = named
        .into_iter()
        .find(|given| given.setting.kind == Kind::SettingsFile)
    else {
        return Vec::new();
    };
    let Some(path) = given.values.first() else {
        return Vec::new();
    };
    match read_file(Path::new(path)) {
        Ok(text) => file::read(Path::new(path), &text, rules, problems),
        Err(error) => {
            problems.push(Problem::Value {
                place: given.place.clone(),
                name: given.setting.name,
                value: Some(path.clone()),
                reason: format!("cannot be read: {error}"),
            });
            Vec::new()
        }
    }
}

/// The secret in the file at `path`.
fn secret_in(
    path: &str,
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Secret, String> {
    let text = read_file(Path::new(path)).map_err(|error| format!("cannot be read: {error}"))?;
    Secret::in_text(&text).ok_or_else(|| "the file is empty".to_owned())
}

/// The folder that systemd gives a service, or else the user's folder for state.
fn default_data_dir<'a>(variable: impl Fn(&str) -> Option<&'a OsStr>) -> Option<PathBuf> {
    if let Some(folders) = variable("STATE_DIRECTORY") {
        // A unit may have several, with colons between them; the first is ours.
        return env::split_paths(folders).next();
    }
    // The XDG specification says to ignore a relative path.
    let xdg = variable("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let state =
        xdg.or_else(|| variable("HOME").map(|home| Path::new(home).join(".local/state")))?;
    Some(state.join("mqtt-server"))
}

/// The filter of the log for so many `-v`: they are for our own events, as those of libraries
/// would drown them.
fn log_filter(verbose: u8) -> String {
    let level = match verbose {
        0 => "info",
        1 => "debug",
        2.. => "trace",
    };
    format!("warn,mqtt_server={level}")
}
