//! An InfluxDB that does what a test says. Faults come from here, truth from [`super::Influx`].

use std::collections::VecDeque;
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::http::Request;
use super::influx_version::{Reply, Version};
use super::{DEADLINE, http};

/// What happens to one write.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// This status with this error text.
    Status(u16, &'static str),
    /// This status with a header `Retry-After` of this text.
    RetryAfter(u16, &'static str),
    /// Nothing, until the client gives up.
    Hang,
    /// 204, once [`FakeInflux::release`] is called.
    Hold,
    /// The connection is closed without an answer.
    Drop,
}

/// Takes every write and keeps it, unless told otherwise. It is a 1.6.7 unless told otherwise, too.
pub(crate) struct FakeInflux {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    version: Version,
    /// Who has another is not authorized.
    token: Option<&'static str>,
    /// Nobody has created what points are to be written to.
    lacks_bucket: bool,
    /// For the next writes, in order.
    script: VecDeque<Answer>,
    bodies: Vec<String>,
    /// How the writes came that `bodies` holds.
    writes: Vec<Seen>,
    /// What was stored of the writes.
    stored: Vec<String>,
    /// Larger bodies get 413, and the connection is closed.
    body_len_max: Option<usize>,
    /// Since somebody was asked to wait.
    asked_to_wait: Option<Instant>,
    /// How long nothing came after that.
    waited: Option<Duration>,
    released: bool,
    /// Set when the test is over, for those who wait.
    over: bool,
}

/// How a write came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Path and query.
    pub(crate) target: String,
    /// The header `Authorization`.
    pub(crate) authorization: Option<String>,
    pub(crate) is_compressed: bool,
}

impl FakeInflux {
    /// Listens on a free port and answers 204 to every write.
    pub(crate) fn start() -> Self {
        Self::listen(None)
    }

    /// The same over TLS.
    pub(crate) fn start_tls(tls: Arc<ServerConfig>) -> Self {
        Self::listen(Some(tls))
    }

    fn listen(tls: Option<Arc<ServerConfig>>) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let acceptor = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if acceptor.lock().over {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&acceptor);
                let tls = tls.clone();
                // A broker that goes away in the middle is none of this thread's business.
                thread::spawn(move || match tls {
                    None => shared.serve(stream),
                    Some(tls) => {
                        let connection = ServerConnection::new(tls).map_err(io::Error::other)?;
                        shared.serve(StreamOwned::new(connection, stream))
                    }
                });
            }
        });
        Self {
            address,
            scheme,
            shared,
        }
    }

    /// From now on it is of this version.
    pub(crate) fn become_version(&self, version: Version) {
        self.shared.lock().version = version;
    }

    /// From now on only those who have `token` may write.
    pub(crate) fn ask_for_token(&self, token: &'static str) {
        self.shared.lock().token = Some(token);
    }

    /// Whether there is nothing to write to yet.
    pub(crate) fn lack_bucket(&self, lacks_bucket: bool) {
        self.shared.lock().lacks_bucket = lacks_bucket;
    }

    /// What the next write gets, after those that were already told; later ones are stored again.
    pub(crate) fn next(&self, answer: Answer) {
        self.shared.lock().script.push_back(answer);
    }

    /// From now on larger bodies get 413, as influxd has it.
    pub(crate) fn refuse_bodies_above(&self, body_len_max: usize) {
        self.shared.lock().body_len_max = Some(body_len_max);
    }

    /// How all writes came, those that were refused too.
    pub(crate) fn writes(&self) -> Vec<Seen> {
        self.shared.lock().writes.clone()
    }

    /// How long nothing came after [`Answer::RetryAfter`].
    pub(crate) fn waited(&self) -> Option<Duration> {
        self.shared.lock().waited
    }

    /// The bodies of all writes that were answered with 204, and the good lines of others.
    pub(crate) fn stored(&self) -> Vec<String> {
        self.shared.lock().stored.clone()
    }

    /// Answers every held write.
    pub(crate) fn release(&self) {
        self.shared.lock().released = true;
        self.shared.changed.notify_all();
    }

    /// Waits until `count` writes have arrived, answered or not, and returns the bodies of all.
    pub(crate) fn wait_for_writes(&self, count: usize) -> Vec<String> {
        let end = Instant::now() + DEADLINE;
        let mut state = self.shared.lock();
        while state.bodies.len() < count {
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "expected {count} writes, got {:?}",
                state.bodies
            );
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.bodies.clone()
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }
}

impl Drop for FakeInflux {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.changed.notify_all();
        // Wakes the acceptor, so that it sees that all is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(&self, stream: impl Read + Write) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        while let Some(request) = http::read_request(&mut reader)? {
            let reply = self.reply(&request)?;
            self.changed.notify_all();
            let reply = match reply {
                Ok(reply) => reply,
                // Ends when the client closes the connection.
                Err(Answer::Hang) => {
                    _ = reader.read(&mut [0]);
                    continue;
                }
                Err(Answer::Hold) => {
                    let waits = |state: &mut State| !state.released && !state.over;
                    let released = self.changed.wait_while(self.lock(), waits);
                    drop(released);
                    Reply::no_content()
                }
                Err(Answer::Drop) => return Ok(()),
                Err(Answer::Status(status, error)) => Reply::error(status, error),
                Err(Answer::RetryAfter(status, when)) => Reply {
                    retry_after: Some(when),
                    ..Reply::error(status, "wait")
                },
            };
            let version = self.lock().version;
            reader.get_mut().write_all(&version.response(&reply))?;
            reader.get_mut().flush()?;
            if reply.status == 413 {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What a request is answered with, or what happens instead.
    fn reply(&self, request: &Request) -> io::Result<Result<Reply, Answer>> {
        let mut state = self.lock();
        let since = state.asked_to_wait.take();
        state.waited = since.map(|it| it.elapsed()).or(state.waited);
        let authorization = request.header("authorization");
        let is_authorized = state.token.is_none_or(|token| {
            authorization == Some(format!("{} {token}", state.version.scheme()).as_str())
        });
        let is_write = state.version.is_write(&request.target);
        let reply = match is_write {
            false => Some(
                state
                    .version
                    .other_than_write(&request.target, is_authorized),
            ),
            true if !is_authorized => Some(state.version.unauthorized()),
            true if state.lacks_bucket => Some(state.version.no_bucket()),
            true if request.body.is_empty() => Some(state.version.empty_write()),
            true => None,
        };
        if let Some(reply) = reply {
            return Ok(Ok(reply));
        }
        let is_compressed = request.header("content-encoding") == Some("gzip");
        let mut body = request.body.clone();
        if is_compressed {
            body.clear();
            GzDecoder::new(request.body.as_slice()).read_to_end(&mut body)?;
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        state.bodies.push(body.clone());
        state.writes.push(Seen {
            target: request.target.clone(),
            authorization: authorization.map(str::to_owned),
            is_compressed,
        });
        let is_too_large = state.body_len_max.is_some_and(|max| body.len() > max);
        let answer = match is_too_large {
            true => Some(Answer::Status(413, "Request Entity Too Large")),
            false => state.script.pop_front(),
        };
        Ok(match answer {
            None => {
                let (reply, stored) = state.version.write(&body);
                if !stored.is_empty() {
                    state.stored.push(stored);
                }
                Ok(reply)
            }
            Some(Answer::Hold) => {
                state.stored.push(body);
                Err(Answer::Hold)
            }
            Some(answer) => {
                if matches!(answer, Answer::RetryAfter(..)) {
                    state.asked_to_wait = Some(Instant::now());
                }
                Err(answer)
            }
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
