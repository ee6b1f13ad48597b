//! An InfluxDB that does what a test says. Faults come from here, truth from [`super::Influx`].

use std::collections::VecDeque;
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use super::{DEADLINE, http};

/// What happens to one write.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// This status with this error text.
    Status(u16, &'static str),
    /// Nothing, until the client gives up.
    Hang,
    /// 204, once [`FakeInflux::release`] is called.
    Hold,
    /// The connection is closed without an answer.
    Drop,
}

/// Takes every write and keeps it, unless told otherwise. Pings, queries and empty writes always
/// succeed.
pub(crate) struct FakeInflux {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// For the next writes, in order.
    script: VecDeque<Answer>,
    bodies: Vec<String>,
    /// Those that were answered with 204.
    stored: Vec<String>,
    /// Larger bodies get 413, and the connection is closed.
    body_len_max: Option<usize>,
    released: bool,
    /// Set when the test is over, for those who wait.
    over: bool,
}

impl FakeInflux {
    /// Listens on a free port and answers 204 to every write.
    pub(crate) fn start() -> Self {
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
                // A broker that goes away in the middle is none of this thread's business.
                thread::spawn(move || shared.serve(&stream));
            }
        });
        Self { address, shared }
    }

    /// What the next write gets, after those that were already told; later ones are stored again.
    pub(crate) fn next(&self, answer: Answer) {
        self.shared.lock().script.push_back(answer);
    }

    /// From now on larger bodies get 413, as influxd has it.
    pub(crate) fn refuse_bodies_above(&self, body_len_max: usize) {
        self.shared.lock().body_len_max = Some(body_len_max);
    }

    /// The bodies of all writes that were answered with 204.
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
        format!("http://{}", self.address)
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
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        while let Some(request) = http::read_request(&mut reader)? {
            if !request.target.starts_with("/write") {
                respond(stream, 200, r#"{"results":[{"statement_id":0}]}"#)?;
                continue;
            }
            // An empty write asks whether a write would be welcome. It always is.
            if request.body.is_empty() {
                respond(stream, 204, "")?;
                continue;
            }
            let answer = {
                let mut state = self.lock();
                let body = String::from_utf8_lossy(&request.body).into_owned();
                state.bodies.push(body.clone());
                let is_too_large = state.body_len_max.is_some_and(|max| body.len() > max);
                let answer = match is_too_large {
                    true => Some(Answer::Status(413, "Request Entity Too Large")),
                    false => state.script.pop_front(),
                };
                if matches!(answer, None | Some(Answer::Hold)) {
                    state.stored.push(body);
                }
                answer
            };
            self.changed.notify_all();
            match answer {
                None => respond(stream, 204, "")?,
                Some(Answer::Status(status, error)) => {
                    respond(stream, status, &format!("{{\"error\":\"{error}\"}}"))?;
                    if status == 413 {
                        return Ok(());
                    }
                }
                // Ends when the client closes the connection.
                Some(Answer::Hang) => _ = reader.read(&mut [0]),
                Some(Answer::Hold) => {
                    let waits = |state: &mut State| !state.released && !state.over;
                    let released = self.changed.wait_while(self.lock(), waits);
                    drop(released);
                    respond(stream, 204, "")?;
                }
                Some(Answer::Drop) => return Ok(()),
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn respond(mut stream: &TcpStream, status: u16, body: &str) -> io::Result<()> {
    let length = match status {
        // A 204 has no body, and says no length.
        204 => String::new(),
        _ => format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        ),
    };
    let response =
        format!("HTTP/1.1 {status} Scripted\r\nX-Influxdb-Version: 1.6.7\r\n{length}\r\n{body}");
    stream.write_all(response.as_bytes())
}
