//! Listeners, a thread for each client, and the end of it all.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use log::{error, info};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::broker::{Broker, WhatIsDue};
use crate::config::{Config, StoreKind};
use crate::connection;
use crate::net::Stream;
use crate::publisher::Publisher;
use crate::shutdown::Shutdown;
use crate::state::{State, StateError};
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
        let listen = |address: &SocketAddr| {
            TcpListener::bind(address).map_err(|error| BindError::Listen {
                address: *address,
                error,
            })
        };
        let listeners = config.listen.iter().map(listen).collect::<Result<_, _>>()?;
        let state = State::open(&config.data_dir).map_err(BindError::State)?;
        let state = Arc::new(Mutex::new(state));
        let store = match config.store {
            StoreKind::Influx => Some(Store::start(&config, &state).map_err(BindError::Store)?),
            StoreKind::Off => None,
        };
        let signals = Signals::new([SIGINT, SIGTERM]).map_err(BindError::Signals)?;
        let broker = Broker::start(config, store, state).map_err(BindError::State)?;
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

    /// Serves until the process gets SIGINT or SIGTERM; then stops: what was accepted is stored and
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
        let shared = Arc::clone(&self.shared);
        thread::Builder::new()
            .name("timers".into())
            .spawn(move || run_timers(&shared.broker))?;
        let signal = self.signals.forever().next();
        info!("stopping: got signal {}", signal.unwrap_or_default());
        let Shared { broker, shutdown } = &*self.shared;
        shutdown.stop(|| broker.sessions.links());
        shutdown.await_the_end();
        info!("stopped");
        Ok(())
    }
}

/// Publishes wills whose delay is over, and ends sessions that expire, for ever.
fn run_timers(broker: &Broker) {
    let mut publisher = Publisher::default();
    loop {
        let due = broker.timers.next_due();
        let will = match due.what {
            WhatIsDue::Will => due.session.take_will(due.attachment),
            WhatIsDue::Expiry if due.session.is_still_detached_after(due.attachment) => {
                broker.end_session(&due.session)
            }
            WhatIsDue::Expiry => None,
        };
        if let Some(will) = will {
            let name = format!("client={:?}", due.session.client_id());
            publisher.publish_will(broker, &will, &name);
            due.session.note_will_is_over();
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
    /// The data folder.
    State(StateError),
    /// The store.
    Store(StartError),
    /// Signals cannot be waited for.
    Signals(io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { address, error } => write!(f, "cannot listen on {address}: {error}"),
            Self::State(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Signals(error) => write!(f, "cannot wait for signals: {error}"),
        }
    }
}

impl std::error::Error for BindError {}
