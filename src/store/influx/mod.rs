//! InfluxDB over HTTP: writing points, creating the database, and knowing whether it is there.
//!
//! [`Influx::post`] writes by one of the interfaces in `api`, with the `credentials` of now;
//! `answer` says what InfluxDB's answer means, and `presence` remembers whether it is there.

mod answer;
mod api;
mod credentials;
mod failure;
mod presence;
mod transport;

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use influxdb::Query as _;
use log::{error, info};
use reqwest::blocking;
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, HeaderValue};

use super::StoreError;
use crate::config::Config;
use api::{Api, WriteUrls};
use credentials::Credentials;
pub(super) use failure::{Failure, NamedLine};
use presence::{PROBE_PAUSE_MAX, PROBE_PAUSE_MIN, Presence, State};
pub use transport::TransportError;
use transport::chain;

/// An InfluxDB and one database or bucket in it.
///
/// All requests go through `reqwest`, whose answers have a body: in it InfluxDB says what was wrong.
/// The `influxdb` crate makes the queries. Its client makes a `reqwest` client with defaults first,
/// which panics on a system without any root certificates, as containers often are.
pub(super) struct Influx {
    base: String,
    http: blocking::Client,
    urls: WriteUrls,
    credentials: Credentials,
    /// The interface that the operator has chosen.
    chosen: Option<Api>,
    /// The interface of a server that does not tell its version.
    otherwise: Api,
    database: String,
    create_database: bool,
    gzip: bool,
    presence: Presence,
}

/// How much of an answer is read. InfluxDB 3 repeats each bad line of a write.
const ANSWER_READ_MAX: u64 = 16 << 20;

/// Bodies from this size on are compressed, where they are at all: a smaller one is one packet of
/// the network in any case.
const GZIP_LEN_MIN: usize = 1_024;

/// The watcher runs HTTP requests.
const WATCHER_STACK: usize = 1024 * 1024;

impl Influx {
    /// Prepares for the server that `config` names, and looks for it in the background.
    ///
    /// # Errors
    /// When a setting cannot be used; not when the server is away.
    pub(super) fn start(config: &Config) -> Result<Arc<Self>, TransportError> {
        let influx = Arc::new(Self::new(config)?);
        influx.watch(Duration::ZERO);
        Ok(influx)
    }

    /// Asks the server that `config` names once whether it would take points, and changes nothing
    /// there.
    ///
    /// # Errors
    /// Why it would not, or that a setting cannot be used.
    pub(super) fn probe(config: &Config) -> Result<(), StoreError> {
        let influx = Self::new(config).map_err(|error| StoreError::Unavailable {
            reason: error.to_string(),
        })?;
        let influx = Self {
            create_database: false,
            ..influx
        };
        influx.look().map(drop).map_err(|failure| failure.error)
    }

    fn new(config: &Config) -> Result<Self, TransportError> {
        let base = config.influx_url.trim_end_matches('/').to_owned();
        let has_names_of_v2 = config.influx_org.is_some() || config.influx_bucket.is_some();
        Ok(Self {
            http: transport::client(config)?,
            urls: WriteUrls::new(&base, config)?,
            credentials: Credentials::new(config),
            chosen: Api::chosen(config),
            otherwise: match has_names_of_v2 {
                true => Api::V2,
                false => Api::V1,
            },
            database: config.influx_database.clone(),
            create_database: config.influx_create_database,
            gzip: config.influx_gzip,
            presence: Presence::new(base.clone()),
            base,
        })
    }

    /// Writes `lines`, and returns when InfluxDB has acknowledged them all. Blocks, but fails at
    /// once while it is known to be away.
    ///
    /// # Errors
    /// When at least one of the points is not stored; the others may be.
    pub(super) fn post(self: &Arc<Self>, lines: &[u8]) -> Result<(), Failure> {
        let known = match self.presence.state() {
            State::Away(error) => return Err(error.into()),
            State::There(api) => Ok(api),
            // Points that meet a wrong name or a missing right must not look as if it were them.
            State::Unknown => self.look(),
        };
        let started = Instant::now();
        let outcome = known.and_then(|api| self.write(api, lines).map(|()| api));
        log::trace!("write took {:?}: {outcome:?}", started.elapsed());
        match outcome {
            Ok(api) => {
                self.presence.has_stored(api);
                Ok(())
            }
            Err(failure) => {
                if !matches!(failure.error, StoreError::Rejected { .. })
                    && let Some(pause) = self.presence.is_away(&failure)
                {
                    self.watch(pause);
                }
                Err(failure)
            }
        }
    }

    /// Waits until InfluxDB takes points, for ever if it must.
    pub(super) fn wait_until_there(&self) {
        self.presence.wait_until_there();
    }

    /// One write, and what became of it. Creates the database where it is missing.
    fn write(&self, api: Api, lines: &[u8]) -> Result<(), Failure> {
        let outcome = self.send(api, lines);
        match &outcome {
            Err(Failure {
                error:
                    StoreError::Refused {
                        status: 404,
                        answer,
                    },
                ..
            }) if api == Api::V1 && self.create_database => {
                self.create(answer)?;
                self.send(api, lines)
            }
            // The first write into a new shard that itself brings a conflict stores nothing; sent
            // again it stores all but the conflict.
            Err(Failure {
                error: StoreError::Rejected { answer, .. },
                ..
            }) if answer.contains("field type conflict") && !answer.contains("partial write") => {
                match api {
                    Api::V1 | Api::V2 => self.send(api, lines),
                    Api::V3 => outcome,
                }
            }
            _ => outcome,
        }
    }

    /// Posts `lines`; once more with another secret, if there is another by now and the first was
    /// wrong.
    fn send(&self, api: Api, lines: &[u8]) -> Result<(), Failure> {
        let post = |authorization: Option<&HeaderValue>| {
            let request = self.http.post(self.urls.of(api).clone());
            let request = match self.gzip && lines.len() >= GZIP_LEN_MIN {
                true => request.header(CONTENT_ENCODING, "gzip").body(
                    compressed(lines).map_err(|error| Failure::unavailable(error.to_string()))?,
                ),
                false => request.body(lines.to_vec()),
            };
            ask(api, request, authorization).map(drop)
        };
        self.authorized(api, post)
    }

    /// Does `ask` with the credentials of now, and again if they turn out to be yesterday's.
    fn authorized<T>(
        &self,
        api: Api,
        ask: impl Fn(Option<&HeaderValue>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let authorization = self.credentials.header(api);
        let outcome = ask(authorization.as_ref());
        let is_unauthorized = matches!(
            &outcome,
            Err(Failure {
                error: StoreError::Refused { status: 401, .. },
                ..
            })
        );
        if is_unauthorized
            && self
                .credentials
                .are_others_than(authorization.as_ref(), api)
        {
            return ask(self.credentials.header(api).as_ref());
        }
        outcome
    }

    /// Finds out how InfluxDB wants to be written to, and whether it would take points: an empty
    /// write asks everything that one with points asks. Is it there, may we, is there such a
    /// database. It is also how the database comes to be at the start.
    fn look(&self) -> Result<Api, Failure> {
        let api = match self.chosen {
            Some(api) => api,
            None => self.find_out()?,
        };
        match self.write(api, &[]) {
            Ok(()) => Ok(api),
            Err(failure) if answer::is_about_emptiness(&failure.error) => Ok(api),
            // There is no point yet that could be at fault.
            Err(Failure {
                error: StoreError::Rejected { status, answer },
                ..
            }) => Err(StoreError::Refused { status, answer }.into()),
            Err(failure) => Err(failure),
        }
    }

    /// The interface of the server's version.
    fn find_out(&self) -> Result<Api, Failure> {
        // 3.x wants a token already for this, and understands it like 1.x.
        let asked = self.authorized(Api::V1, |authorization| {
            let request = self.http.get(format!("{}/ping", self.base));
            ask(Api::V1, request, authorization)
        });
        let told = match &asked {
            Ok(response) => response
                .headers()
                .get("x-influxdb-version")
                .and_then(|version| Api::of_version(version.to_str().ok()?)),
            // A compatible server need not have a ping.
            Err(Failure {
                error:
                    StoreError::Rejected { .. }
                    | StoreError::Refused {
                        status: 404 | 405, ..
                    },
                ..
            }) => None,
            Err(failure) => return Err(failure.clone()),
        };
        Ok(told.unwrap_or(self.otherwise))
    }

    fn create(&self, answer: &str) -> Result<(), Failure> {
        let failed = |reason: &dyn fmt::Display| {
            Failure::from(StoreError::Refused {
                status: 404,
                answer: format!("{answer}; and CREATE DATABASE failed: {reason}"),
            })
        };
        let quoted = self.database.replace('\\', "\\\\").replace('"', "\\\"");
        let query = influxdb::ReadQuery::new(format!("CREATE DATABASE \"{quoted}\""))
            .build()
            .map_err(|error| failed(&error))?
            .get();
        let asked = self.authorized(Api::V1, |authorization| {
            let request = self.http.post(format!("{}/query", self.base));
            ask(Api::V1, request.query(&[("q", &query)]), authorization)
        });
        let response = asked.map_err(|failure| failed(&failure.error))?;
        // A statement that fails is an answer of success with an error in it.
        if let Some(error) = answer::statement_error(&body_of(response)?) {
            return Err(failed(&error));
        }
        info!(
            "[INFLUXDB] created database {:?} at {}",
            self.database, self.base
        );
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
            self.presence.forget();
        }
    }

    fn watch_until_there(&self, first_pause: Duration) {
        let mut pause = first_pause;
        loop {
            thread::sleep(pause);
            pause = (pause * 2).clamp(PROBE_PAUSE_MIN, PROBE_PAUSE_MAX);
            match self.look() {
                Ok(api) => return self.presence.is_there(api),
                Err(failure) => {
                    // This thread is the one that looks, so the pause is its own to choose.
                    self.presence.is_away(&failure);
                    pause = pause.max(failure.retry_after.unwrap_or_default());
                }
            }
        }
    }
}

/// Sends a request and returns an answer of success.
fn ask(
    api: Api,
    request: blocking::RequestBuilder,
    authorization: Option<&HeaderValue>,
) -> Result<blocking::Response, Failure> {
    let request = match authorization {
        Some(value) => request.header(AUTHORIZATION, value),
        None => request,
    };
    let response = request
        .send()
        .map_err(|error| Failure::unavailable(chain(&error.without_url())))?;
    if response.status().is_success() {
        return Ok(response);
    }
    let (status, headers) = (response.status(), response.headers().clone());
    let body = body_of(response)?;
    Err(answer::failure(
        api,
        status,
        &headers,
        &body,
        SystemTime::now(),
    ))
}

fn body_of(response: blocking::Response) -> Result<String, Failure> {
    let mut body = Vec::new();
    response
        .take(ANSWER_READ_MAX)
        .read_to_end(&mut body)
        .map_err(|error| Failure::unavailable(chain(&error)))?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn compressed(lines: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(lines)?;
    encoder.finish()
}

impl fmt::Debug for Influx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Influx")
            .field("presence", &self.presence)
            .finish_non_exhaustive()
    }
}
