//! InfluxDB over HTTP: writing points, creating the database, and knowing whether it is there.

use std::error::Error;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use log::{error, info};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{StatusCode, Url};

use super::StoreError;
use crate::config::{Config, Secret};
use crate::lock::{lock, wait};

/// An InfluxDB 1.x server and one database in it.
///
/// Points are posted with `reqwest`, whose answers have a body: in it InfluxDB says what was wrong.
/// What is rare, CREATE DATABASE, goes through the `influxdb` crate.
pub(super) struct Influx {
    name: String,
    http: reqwest::blocking::Client,
    write_url: Url,
    admin: influxdb::Client,
    create_database: Option<String>,
    presence: Mutex<Presence>,
    /// It has come to be there.
    came: Condvar,
}

/// Whether InfluxDB takes points, as far as is known.
#[derive(Debug, Default)]
struct Presence {
    state: PresenceState,
    /// How often it was lost since the last points were stored: an InfluxDB that takes the
    /// watcher's probe and then refuses points is asked less and less often.
    losses: u32,
}

#[derive(Debug, Default)]
enum PresenceState {
    /// Nothing was tried yet.
    #[default]
    Unknown,
    /// The last write or probe succeeded.
    There,
    /// It does not take points, for this reason. The watcher looks for it until it does; until
    /// then writes fail at once, so that a server that hangs does not hold up every client for
    /// the length of a timeout.
    Away(StoreError),
}

/// The watcher's pauses between two probes.
const PROBE_PAUSE_MIN: Duration = Duration::from_millis(200);
const PROBE_PAUSE_MAX: Duration = Duration::from_secs(2);

/// How much of an answer is kept for the log: InfluxDB repeats every bad line whole.
const ANSWER_KEPT_MAX: usize = 500;

/// The watcher runs an HTTP request, and the runtime for the `influxdb` crate.
const WATCHER_STACK: usize = 1024 * 1024;

impl Influx {
    /// Prepares for the server that `config` names, and looks for it in the background.
    pub(super) fn start(config: &Config) -> Result<Arc<Self>, StoreError> {
        let influx = Arc::new(Self::new(config)?);
        influx.watch(Duration::ZERO);
        Ok(influx)
    }

    /// Asks the server that `config` names once whether it would take points, and changes nothing
    /// there.
    pub(super) fn probe(config: &Config) -> Result<(), StoreError> {
        Self::new(config)?.send(&[])
    }

    fn new(config: &Config) -> Result<Self, StoreError> {
        let unusable = |error: &dyn Error| StoreError::Unavailable {
            reason: chain(error),
        };
        let mut headers = HeaderMap::new();
        if let Some(user_name) = &config.influx_username {
            headers.insert(
                AUTHORIZATION,
                basic_auth(user_name, config.influx_password.as_ref()),
            );
        }
        let http = reqwest::blocking::Client::builder()
            .default_headers(headers.clone())
            .timeout(config.influx_timeout)
            .connect_timeout(config.influx_timeout)
            .pool_max_idle_per_host(config.influx_connections)
            .tcp_nodelay(true)
            .no_proxy()
            .build()
            .map_err(|error| unusable(&error))?;
        let admin_http = reqwest::Client::builder()
            .default_headers(headers)
            .timeout(config.influx_timeout)
            .no_proxy()
            .build()
            .map_err(|error| unusable(&error))?;
        let base = config.influx_url.trim_end_matches('/');
        let mut write_url =
            Url::parse(&format!("{base}/write")).map_err(|error| unusable(&error))?;
        write_url
            .query_pairs_mut()
            .append_pair("db", &config.influx_database)
            .append_pair("precision", "ns")
            .extend_pairs(
                config
                    .influx_retention_policy
                    .iter()
                    .map(|policy| ("rp", policy)),
            );
        Ok(Self {
            name: base.to_owned(),
            http,
            write_url,
            admin: influxdb::Client::new(base, &config.influx_database)
                .with_http_client(admin_http),
            create_database: config
                .influx_create_database
                .then(|| config.influx_database.clone()),
            presence: Mutex::default(),
            came: Condvar::new(),
        })
    }

    /// Writes `lines`, and returns when InfluxDB has acknowledged them all. Blocks, but fails at
    /// once while it is known to be away.
    ///
    /// # Errors
    /// When at least one of the points is not stored; the others may be.
    pub(super) fn post(self: &Arc<Self>, lines: &[u8]) -> Result<(), StoreError> {
        if let PresenceState::Away(error) = &lock(&self.presence).state {
            return Err(error.clone());
        }
        let started = Instant::now();
        let outcome = self.try_write(lines);
        log::trace!("write took {:?}: {outcome:?}", started.elapsed());
        match &outcome {
            Ok(()) => {
                lock(&self.presence).losses = 0;
                self.is_there();
            }
            Err(error @ (StoreError::Unavailable { .. } | StoreError::Refused { .. })) => {
                self.is_away(error.clone(), FoundBy::Writer);
            }
            Err(StoreError::Rejected { .. } | StoreError::NoRoom { .. }) => {}
        }
        outcome
    }

    /// Waits until InfluxDB takes points, for ever if it must.
    pub(super) fn wait_until_there(&self) {
        let mut presence = lock(&self.presence);
        while !matches!(presence.state, PresenceState::There) {
            presence = wait(&self.came, presence);
        }
    }

    /// One write, and what became of it. Creates the database where it is missing.
    fn try_write(&self, lines: &[u8]) -> Result<(), StoreError> {
        match self.send(lines) {
            Err(StoreError::Refused {
                status: 404,
                answer,
            }) => {
                let Some(database) = &self.create_database else {
                    return Err(StoreError::Refused {
                        status: 404,
                        answer,
                    });
                };
                self.create(database, &answer)?;
                self.send(lines)
            }
            // The first write into a new shard that itself brings a conflict stores nothing; sent
            // again it stores all but the conflict.
            Err(StoreError::Rejected { answer, .. })
                if answer.starts_with("field type conflict") =>
            {
                self.send(lines)
            }
            outcome => outcome,
        }
    }

    fn send(&self, lines: &[u8]) -> Result<(), StoreError> {
        let broken = |error: reqwest::Error| StoreError::Unavailable {
            reason: chain(&error.without_url()),
        };
        let response = self
            .http
            .post(self.write_url.clone())
            .body(lines.to_vec())
            .send()
            .map_err(broken)?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let answer = explanation(&response.text().map_err(broken)?);
        let rejected = matches!(
            status,
            StatusCode::BAD_REQUEST
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::UNPROCESSABLE_ENTITY
        );
        let status = status.as_u16();
        Err(match rejected {
            true => StoreError::Rejected { status, answer },
            false => StoreError::Refused { status, answer },
        })
    }

    fn create(&self, database: &str, answer: &str) -> Result<(), StoreError> {
        let failed = |reason: &str| StoreError::Refused {
            status: 404,
            answer: format!("{answer}; and CREATE DATABASE failed: {reason}"),
        };
        let quoted = database.replace('\\', "\\\\").replace('"', "\\\"");
        let query = influxdb::ReadQuery::new(format!("CREATE DATABASE \"{quoted}\""));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(&error.to_string()))?;
        runtime
            .block_on(self.admin.query(query))
            .map_err(|error| failed(&error.to_string()))?;
        info!("[INFLUXDB] created database {database:?} at {}", self.name);
        Ok(())
    }

    /// Starts the watcher, which probes until InfluxDB takes points.
    fn watch(self: &Arc<Self>, pause: Duration) {
        let influx = Arc::clone(self);
        let watcher = thread::Builder::new()
            .name("influxdb-watcher".into())
            .stack_size(WATCHER_STACK);
        if let Err(error) = watcher.spawn(move || influx.watch_until_there(pause)) {
            error!("cannot start the thread that looks for InfluxDB: {error}");
            // The next write tries again instead.
            lock(&self.presence).state = PresenceState::Unknown;
        }
    }

    fn watch_until_there(self: &Arc<Self>, mut pause: Duration) {
        loop {
            thread::sleep(pause);
            // An empty write asks everything that a write with points asks: is it there, may we,
            // is there such a database. It is also how the database comes to be at the start.
            match self.try_write(&[]) {
                Ok(()) => return self.is_there(),
                Err(error) => self.is_away(error, FoundBy::Watcher),
            }
            pause = (pause * 2).clamp(PROBE_PAUSE_MIN, PROBE_PAUSE_MAX);
        }
    }

    fn is_there(&self) {
        let mut presence = lock(&self.presence);
        if !matches!(presence.state, PresenceState::There) {
            presence.state = PresenceState::There;
            self.came.notify_all();
            info!("[INFLUXDB] InfluxDB at {} is available", self.name);
        }
    }

    fn is_away(self: &Arc<Self>, error: StoreError, found_by: FoundBy) {
        let mut presence = lock(&self.presence);
        if matches!(presence.state, PresenceState::Away(_)) {
            return;
        }
        error!("InfluxDB at {} is not available: {error}", self.name);
        presence.state = PresenceState::Away(error);
        presence.losses += 1;
        let pause = PROBE_PAUSE_MIN
            .saturating_mul(presence.losses)
            .min(PROBE_PAUSE_MAX);
        drop(presence);
        if found_by == FoundBy::Writer {
            self.watch(pause);
        }
    }
}

/// Who found that InfluxDB is away. The watcher goes on; a writer starts it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FoundBy {
    Watcher,
    Writer,
}

impl std::fmt::Debug for Influx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the HTTP clients: their default headers hold the password.
        f.debug_struct("Influx")
            .field("name", &self.name)
            .field("presence", &self.presence)
            .finish_non_exhaustive()
    }
}

fn basic_auth(user_name: &str, password: Option<&Secret>) -> HeaderValue {
    let pair = format!("{user_name}:{}", password.map_or("", Secret::expose));
    let mut encoded = b"Basic ".to_vec();
    super::base64::push_base64(pair.as_bytes(), &mut encoded);
    // Base64 has no character that a header may not have.
    let mut value =
        HeaderValue::from_bytes(&encoded).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

/// The text of `{"error":"..."}`, or the whole answer where it is not that.
fn explanation(body: &str) -> String {
    let error = serde_json::from_str::<serde_json::Value>(body)
        .ok()
        .and_then(|answer| Some(answer.get("error")?.as_str()?.to_owned()));
    let text = error.unwrap_or_else(|| body.trim().to_owned());
    match text.char_indices().nth(ANSWER_KEPT_MAX) {
        Some((end, _)) => format!("{} ...", text.split_at(end).0),
        None => text,
    }
}

/// An error with what caused it: `reqwest` alone says little more than "error sending request".
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
