//! Listeners, a thread for each client, and the end of it all.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use log::{error, info, warn};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::auth::{Access, FileError};
use crate::broker::{Broker, WhatIsDue};
use crate::close_reason::EndedBy;
use crate::config::{Config, Listen, Scheme, StoreKind};
use crate::connection;
use crate::limits::{Seat, capacity};
use crate::net::{Acceptor, Certificates, TlsFileError, TlsFiles};
use crate::publisher::Publisher;
use crate::shutdown::Shutdown;
use crate::state::{State, StateError};
use crate::store::{StartError, Store};

/// A server whose listeners are open.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Listener>,
    signals: Signals,
    on_hangup: Reloads,
    shared: Arc<Shared>,
}

/// An open port, and what connections there begin with.
#[derive(Debug)]
struct Listener {
    tcp: TcpListener,
    scheme: Scheme,
    acceptor: Acceptor,
}

/// What SIGHUP does, one after the other. Each logs by itself what came of it.
#[derive(Default)]
struct Reloads(Vec<Box<dyn Fn() + Send>>);

impl fmt::Debug for Reloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reloads").field(&self.0.len()).finish()
    }
}

#[derive(Debug)]
struct Shared {
    broker: Broker,
    shutdown: Shutdown,
}

/// A client's thread. Only what is touched of it costs memory; the deepest calls are the flattening
/// of JSON and the HTTP client, and a build without optimisation needs several times as much.
const CLIENT_STACK: usize = 512 * 1024;

/// How many connections may wait to be accepted; the system may allow fewer.
const BACKLOG: i32 = 4096;

/// How long a failed `accept` waits. Most often the process has too many open files, and then the
/// end of another connection is all that helps.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Server {
    /// Reads the certificates and opens the data folder and the listeners. InfluxDB may be away.
    ///
    /// # Errors
    /// When that cannot be done; the error says which setting to look at.
    pub fn bind(config: Config) -> Result<Self, BindError> {
        capacity::prepare(config.max_connections);
        let access = Access::open(&config).map_err(BindError::Access)?;
        let certificates = certificates(&config).map_err(BindError::Tls)?;
        let websocket_path: Arc<str> = config.websocket_path.as_str().into();
        let listen = |&Listen { scheme, address }: &Listen| {
            let tcp =
                TcpListener::bind(address).map_err(|error| BindError::Listen { address, error })?;
            // The standard library lets 128 connections wait to be accepted; the next of a burst would
            // try again a second later.
            rustix::net::listen(&tcp, BACKLOG).map_err(|error| BindError::Listen {
                address,
                error: error.into(),
            })?;
            let acceptor = Acceptor {
                tls: certificates.clone().filter(|_| scheme.is_encrypted()),
                websocket_path: scheme.is_websocket().then(|| Arc::clone(&websocket_path)),
            };
            Ok(Listener {
                tcp,
                scheme,
                acceptor,
            })
        };
        let listeners = config.listen.iter().map(listen).collect::<Result<_, _>>()?;
        let mut on_hangup = Reloads::default();
        if let Some(certificates) = certificates {
            on_hangup.0.push(Box::new(move || reload(&certificates)));
        }
        let state = State::open(&config.data_dir).map_err(BindError::State)?;
        let state = Arc::new(Mutex::new(state));
        let store = match config.store {
            StoreKind::Influx => Some(Store::start(&config, &state).map_err(BindError::Store)?),
            StoreKind::Off => None,
        };
        let signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(BindError::Signals)?;
        let broker = Broker::start(config, access, store, state).map_err(BindError::State)?;
        let shared = Arc::new(Shared {
            broker,
            shutdown: Shutdown::default(),
        });
        Ok(Self {
            listeners,
            signals,
            on_hangup,
            shared,
        })
    }

    /// Serves until the process gets SIGINT or SIGTERM; then stops: what was accepted is stored and
    /// delivered, and the clients' wills are published. SIGHUP reads the certificates again, for
    /// new connections.
    ///
    /// # Errors
    /// When a listener's thread cannot be started.
    pub fn run(mut self) -> io::Result<()> {
        let addresses = self
            .listeners
            .iter()
            .map(|listener| listener.tcp.local_addr())
            .collect::<io::Result<Vec<_>>>()?;
        for (listener, address) in self.listeners.into_iter().zip(&addresses) {
            let shared = Arc::clone(&self.shared);
            let scheme = listener.scheme;
            thread::Builder::new()
                .name("accept".into())
                .spawn(move || accept(&listener, &shared))?;
            match scheme {
                Scheme::Mqtt => info!("[LISTENING] Server is listening on {address}"),
                Scheme::Mqtts | Scheme::Ws | Scheme::Wss => {
                    info!("[LISTENING] Server is listening on {address} ({scheme})");
                }
            }
        }
        let shared = Arc::clone(&self.shared);
        thread::Builder::new()
            .name("timers".into())
            .spawn(move || run_timers(&shared.broker))?;
        let is_reachable = addresses.iter().any(|address| !address.ip().is_loopback());
        let Shared { broker, shutdown } = &*self.shared;
        if let Some(advice) = broker.access.advice(is_reachable) {
            warn!("{advice}");
        }
        let signal = await_the_end(&mut self.signals, &self.on_hangup, broker);
        info!("stopping: got signal {signal}");
        shutdown.stop(|| broker.sessions.links());
        shutdown.await_the_end();
        if let Err(error) = broker.keeper.keep(None) {
            error!("the last changes of sessions are not on disk: {error}");
        }
        if let Some(summary) = broker.limits.bites.summary() {
            info!("limits were reached: {summary}");
        }
        match broker.access.refused_publishes() {
            0 => info!("stopped"),
            count => info!("stopped: {count} messages were refused by the access-control file"),
        }
        Ok(())
    }
}

/// Publishes wills whose delay is over, and ends sessions that expire, for ever.
fn run_timers(broker: &Broker) {
    let mut publisher = Publisher::default();
    loop {
        let due = broker.timers.next_due();
        let Some(session) = due.session.upgrade() else {
            continue;
        };
        let will = match due.what {
            WhatIsDue::Will => session.take_will(due.attachment),
            WhatIsDue::Expiry => match session.expire(due.attachment) {
                true => broker.end_session(&session),
                false => None,
            },
        };
        if let Some(will) = will {
            let name = format!("client={:?}", session.client_id());
            publisher.publish_will(broker, &will, &name);
            session.note_will_is_over(due.attachment);
        }
    }
}

/// Serves the signals until one of them is to end the server; returns it.
fn await_the_end(signals: &mut Signals, on_hangup: &Reloads, broker: &Broker) -> i32 {
    for signal in signals.forever() {
        if signal != SIGHUP {
            return signal;
        }
        info!("got SIGHUP: reading files again");
        on_hangup.0.iter().for_each(|reload| reload());
        reload_access(broker);
    }
    // There is always one more signal to wait for.
    0
}

/// Reads the access files again, and ends the connections of users that would not be admitted now.
fn reload_access(broker: &Broker) {
    if !broker.access.has_files() {
        return info!("there is no --password-file and no --acl-file to read again");
    }
    if let Err(error) = broker.access.reload() {
        return error!("{error}: the password file and the access-control file stay as they were");
    }
    info!("[RELOADED] password file and access-control file were read again");
    for link in broker.sessions.links() {
        if !broker.access.still_admits(link.principal()) {
            link.end(EndedBy::AccessRevoked);
        }
    }
}

/// What encrypted listeners need, if there are any.
fn certificates(config: &Config) -> Result<Option<Arc<Certificates>>, TlsFileError> {
    let (Some(certificate), Some(key)) = (&config.tls_cert, &config.tls_key) else {
        return Ok(None);
    };
    let files = TlsFiles {
        certificate: certificate.clone(),
        key: key.clone(),
        client_ca: config.tls_client_ca.clone(),
        client_certificate: config.tls_client_cert,
        client_identity: config.tls_client_identity,
    };
    Certificates::load(files).map(|loaded| Some(Arc::new(loaded)))
}

fn reload(certificates: &Certificates) {
    match certificates.reload() {
        Ok(()) => info!("new connections get the certificates as they are now"),
        Err(error) => error!("{error}: new connections get the certificates as they were"),
    }
}

/// Accepts clients for ever: no failure ends it.
fn accept(listener: &Listener, shared: &Arc<Shared>) {
    // One line for the first failure of many alike: they come ten times a second.
    let mut failing = false;
    loop {
        match listener.tcp.accept() {
            Ok((socket, peer)) => {
                failing = false;
                if shared.shutdown.is_stopping() {
                    return;
                }
                let limits = &shared.broker.limits;
                match limits.admission.enter(peer.ip()) {
                    Ok(seat) => start_client(socket, peer, seat, &listener.acceptor, shared),
                    // Closed by being dropped: a thread to tell the client why is what it must
                    // not get.
                    Err(exceeded) => limits.note(&exceeded, &format!("peer={peer}")),
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    error!("cannot accept a connection: {error}: trying again until it succeeds");
                }
                thread::sleep(ACCEPT_PAUSE);
            }
        }
    }
}

fn start_client(
    socket: TcpStream,
    peer: SocketAddr,
    seat: Seat,
    acceptor: &Acceptor,
    shared: &Arc<Shared>,
) {
    let acceptor = acceptor.clone();
    let shared = Arc::clone(shared);
    let serve = move || {
        // Whatever panics has been caught inside; this is for what ends a panicking thread.
        let Shared { broker, shutdown } = &*shared;
        let _ = catch_unwind(AssertUnwindSafe(|| {
            match acceptor.accept(socket, broker.config.connect_timeout) {
                Ok(stream) => connection::serve(stream, peer, broker, shutdown),
                Err(error) => error.log(peer),
            }
        }));
        drop(seat);
    };
    let thread = thread::Builder::new()
        .name("client".into())
        .stack_size(CLIENT_STACK);
    if let Err(error) = thread.spawn(serve) {
        error!("peer={peer}: cannot start its thread: {error}");
    }
}

/// Why the server cannot start.
#[derive(Debug)]
pub enum BindError {
    /// A listener.
    Listen {
        /// Where it should be.
        address: SocketAddr,
        /// Why it is not.
        error: io::Error,
    },
    /// The password file or the access-control file.
    Access(FileError),
    /// The data folder.
    State(StateError),
    /// The files for TLS.
    Tls(TlsFileError),
    /// The store.
    Store(StartError),
    /// Signals cannot be waited for.
    Signals(io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { address, error } => write!(f, "cannot listen on {address}: {error}"),
            Self::Access(error) => error.fmt(f),
            Self::State(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Signals(error) => write!(f, "cannot wait for signals: {error}"),
        }
    }
}

impl std::error::Error for BindError {}
