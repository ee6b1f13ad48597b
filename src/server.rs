//! Listeners, a thread for each client, and the end of it all.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use log::{error, info, warn};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::auth::{Access, FileError};
use crate::broker::{Broker, Clients, Retained, Subscriptions};
use crate::close_reason::EndedBy;
use crate::config::{Config, StoreKind};
use crate::connection;
use crate::net::Stream;
use crate::shutdown::Shutdown;
use crate::store::{StartError, Store};

/// A server whose listeners are open.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<TcpListener>,
    signals: Signals,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    broker: Broker,
    shutdown: Shutdown,
}

/// A client's thread. Only what is touched of it costs memory; the deepest calls are the flattening
/// of JSON and the HTTP client, and a build without optimisation needs several times as much.
const CLIENT_STACK: usize = 512 * 1024;

/// How long a failed `accept` waits. Most often the process has too many open files, and then the
/// end of another connection is all that helps.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Server {
    /// Opens the data folder and the listeners. InfluxDB may be away.
    ///
    /// # Errors
    /// When that cannot be done; the error says which setting to look at.
    pub fn bind(config: Config) -> Result<Self, BindError> {
        let access = Access::open(&config).map_err(BindError::Access)?;
        let listen = |address: &SocketAddr| {
            TcpListener::bind(address).map_err(|error| BindError::Listen {
                address: *address,
                error,
            })
        };
        let listeners = config.listen.iter().map(listen).collect::<Result<_, _>>()?;
        let store = match config.store {
            StoreKind::Influx => Some(Store::start(&config).map_err(BindError::Store)?),
            StoreKind::Off => None,
        };
        let signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(BindError::Signals)?;
        let broker = Broker {
            store,
            access,
            clients: Clients::default(),
            subscriptions: Subscriptions::default(),
            retained: Retained::default(),
            config,
        };
        let shared = Arc::new(Shared {
            broker,
            shutdown: Shutdown::default(),
        });
        Ok(Self {
            listeners,
            signals,
            shared,
        })
    }

    /// Serves until the process gets SIGINT or SIGTERM, and reads the password file and the
    /// access-control file again whenever it gets SIGHUP; then stops: what was accepted is stored and
    /// delivered, and the clients' wills are published.
    ///
    /// # Errors
    /// When a listener's thread cannot be started.
    pub fn run(mut self) -> io::Result<()> {
        let addresses = self
            .listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<io::Result<Vec<_>>>()?;
        for (listener, address) in self.listeners.into_iter().zip(&addresses) {
            let shared = Arc::clone(&self.shared);
            thread::Builder::new()
                .name("accept".into())
                .spawn(move || accept(&listener, &shared))?;
            info!("[LISTENING] Server is listening on {address}");
        }
        let Shared { broker, shutdown } = &*self.shared;
        let is_reachable = addresses.iter().any(|address| !address.ip().is_loopback());
        if let Some(advice) = broker.access.advice(is_reachable) {
            warn!("{advice}");
        }
        for signal in self.signals.forever() {
            if signal == SIGHUP {
                reload(broker);
                continue;
            }
            info!("stopping: got signal {signal}");
            break;
        }
        shutdown.stop(|| broker.clients.all());
        shutdown.await_the_end();
        match broker.access.refused_publishes() {
            0 => info!("stopped"),
            count => info!("stopped: {count} messages were refused by the access-control file"),
        }
        Ok(())
    }
}

/// Reads the access files again, and ends the sessions of users that would not be admitted now.
fn reload(broker: &Broker) {
    if !broker.access.has_files() {
        return info!("got SIGHUP: there is no --password-file and no --acl-file to read again");
    }
    if let Err(error) = broker.access.reload() {
        return error!("{error}: the password file and the access-control file stay as they were");
    }
    info!("[RELOADED] password file and access-control file were read again");
    for session in broker.clients.all() {
        if !broker.access.still_admits(session.principal()) {
            session.end(EndedBy::AccessRevoked);
        }
    }
}

/// Accepts clients for ever: no failure ends it.
fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    // One line for the first failure of many alike: they come ten times a second.
    let mut failing = false;
    loop {
        match listener.accept() {
            Ok((socket, peer)) => {
                failing = false;
                if shared.shutdown.is_stopping() {
                    return;
                }
                start_client(socket, peer, shared);
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

fn start_client(socket: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) {
    let stream = match Stream::tcp(socket) {
        Ok(stream) => stream,
        Err(error) => return info!("peer={peer}: gone before it was served: {error}"),
    };
    let shared = Arc::clone(shared);
    let serve = move || {
        // Whatever panics has been caught inside; this is for what ends a panicking thread.
        let Shared { broker, shutdown } = &*shared;
        let _ = catch_unwind(AssertUnwindSafe(|| {
            connection::serve(stream, peer, broker, shutdown);
        }));
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
    /// The store.
    Store(StartError),
    /// The password file or the access-control file.
    Access(FileError),
    /// Signals cannot be waited for.
    Signals(io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { address, error } => write!(f, "cannot listen on {address}: {error}"),
            Self::Store(error) => error.fmt(f),
            Self::Access(error) => error.fmt(f),
            Self::Signals(error) => write!(f, "cannot wait for signals: {error}"),
        }
    }
}

impl std::error::Error for BindError {}
