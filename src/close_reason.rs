//! Why a connection ends.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use log::{Level, log};

use crate::codec::{DecodeError, ReasonCode};
use crate::limits::Exceeded;
use crate::publisher::PublishError;
use crate::state::StateError;
use crate::store::StoreError;

/// Why a connection ends. Some reasons are nobody's fault.
#[derive(Debug)]
pub enum CloseReason {
    /// The client sent DISCONNECT.
    Disconnected,
    /// The client sent DISCONNECT, and wants its will to be published [MQTT-3.14.4-3].
    DisconnectedWithWill,
    /// The client closed its connection without DISCONNECT.
    ClosedByPeer,
    /// The connection broke.
    Io(io::Error),
    /// Another thread ended the session.
    Ended(EndedBy),
    /// No whole packet came for one and a half times the keep alive.
    KeepAliveExpired {
        /// How long the client was waited for.
        after: Duration,
    },
    /// No CONNECT came in time.
    ConnectTimeout {
        /// How long it was waited for.
        after: Duration,
    },
    /// The client sent bytes that are no packet, or not one it may send.
    Decode(DecodeError),
    /// The client sent a valid packet at the wrong time, or one beyond a limit.
    Refused {
        /// For the client, where its version of MQTT has a place for it.
        code: ReasonCode,
        /// For the log: what was wrong.
        what: String,
    },
    /// It would be one too many, or came too fast. That is counted and logged elsewhere, for all
    /// that are refused together.
    OverLimit(Exceeded),
    /// What the client sent could not be stored, or not kept on disk. It is not acknowledged.
    NotSafe(PublishError),
    /// Its thread panicked, which is our fault.
    Panicked,
}

/// Why another thread ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// The same client identifier connected once more.
    TakeOver,
    /// Its user is gone from the password file, or has another password.
    AccessRevoked,
    /// The server stops.
    Shutdown,
    /// Its queue is full, and the settings say that it is to be disconnected.
    QueueFull,
    /// Its connection failed while sending.
    Outbox,
}

impl CloseReason {
    /// Whether the client's will is to be published: always, but after a DISCONNECT
    /// [MQTT-3.1.2-8 and 3.14.4-3 in 3.1.1].
    #[must_use]
    pub fn publishes_will(&self) -> bool {
        !matches!(self, Self::Disconnected)
    }

    /// What a client of MQTT 5.0 is told; `None` if the end was its own doing or its connection is
    /// gone.
    #[must_use]
    pub fn reason_code(&self) -> Option<ReasonCode> {
        Some(match self {
            Self::Disconnected
            | Self::DisconnectedWithWill
            | Self::ClosedByPeer
            | Self::Io(_)
            | Self::ConnectTimeout { .. }
            | Self::Ended(EndedBy::Outbox) => return None,
            Self::Ended(EndedBy::TakeOver) => ReasonCode::SessionTakenOver, // [MQTT-3.1.4-3]
            Self::Ended(EndedBy::Shutdown) => ReasonCode::ServerShuttingDown,
            Self::Ended(EndedBy::QueueFull) => ReasonCode::QuotaExceeded,
            Self::Ended(EndedBy::AccessRevoked) => ReasonCode::NotAuthorized,
            Self::KeepAliveExpired { .. } => ReasonCode::KeepAliveTimeout,
            Self::Decode(error) => error.reason_code(),
            Self::Refused { code, .. } => *code,
            Self::OverLimit(exceeded) => exceeded.reason_code(),
            Self::NotSafe(error) => not_safe_code(error),
            Self::Panicked => ReasonCode::UnspecifiedError,
        })
    }

    /// Logs the end of the connection of `who`, in one line.
    pub fn log(&self, who: &str) {
        match self {
            Self::Decode(DecodeError::UnknownPacketType(_)) => {
                log!(Level::Error, "[UNKNOWN PACKET TYPE] {who}: {self}");
            }
            Self::Decode(_)
            | Self::Refused { .. }
            | Self::NotSafe(_)
            | Self::ConnectTimeout { .. }
            | Self::KeepAliveExpired { .. }
            | Self::Panicked => log!(Level::Error, "{who}: {self}"),
            Self::OverLimit(_) => log!(Level::Debug, "{who}: {self}"),
            // The client broke the rules of TLS or WebSocket.
            Self::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                log!(Level::Error, "{who}: {self}");
            }
            Self::Disconnected
            | Self::DisconnectedWithWill
            | Self::ClosedByPeer
            | Self::Io(_)
            | Self::Ended(_) => {
                log!(Level::Info, "{who}: closed: {self}");
            }
        }
    }
}

/// What a client of MQTT 5.0 is told of a message that is not safe.
#[must_use]
pub fn not_safe_code(error: &PublishError) -> ReasonCode {
    match error {
        PublishError::NotStored(StoreError::Rejected { .. }) => {
            ReasonCode::ImplementationSpecificError
        }
        // Nowhere to keep it: later there may be.
        PublishError::NotStored(
            StoreError::Unavailable { .. } | StoreError::Refused { .. } | StoreError::NoRoom { .. },
        )
        | PublishError::NotKept(_) => ReasonCode::QuotaExceeded,
    }
}

impl From<DecodeError> for CloseReason {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<Exceeded> for CloseReason {
    fn from(exceeded: Exceeded) -> Self {
        Self::OverLimit(exceeded)
    }
}

impl From<PublishError> for CloseReason {
    fn from(error: PublishError) -> Self {
        Self::NotSafe(error)
    }
}

impl From<Arc<StateError>> for CloseReason {
    fn from(error: Arc<StateError>) -> Self {
        Self::NotSafe(PublishError::NotKept(error))
    }
}

impl From<io::Error> for CloseReason {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected => f.write_str("client disconnected"),
            Self::DisconnectedWithWill => {
                f.write_str("client disconnected, and its will stands if it has one")
            }
            Self::ClosedByPeer => f.write_str("client closed the connection without DISCONNECT"),
            Self::Io(error) => write!(f, "connection failed: {error}"),
            Self::Ended(EndedBy::TakeOver) => {
                f.write_str("another connection took over its client identifier")
            }
            Self::Ended(EndedBy::AccessRevoked) => {
                f.write_str("its user is gone from the password file, or has another password")
            }
            Self::Ended(EndedBy::Shutdown) => f.write_str("server stops"),
            Self::Ended(EndedBy::QueueFull) => f.write_str("its queue is full"),
            Self::Ended(EndedBy::Outbox) => f.write_str("could not be sent to"),
            Self::KeepAliveExpired { after } => {
                write!(f, "keep alive expired: no packet for {after:?}")
            }
            Self::ConnectTimeout { after } => write!(f, "sent no CONNECT within {after:?}"),
            Self::Decode(error) => write!(f, "{error}"),
            Self::Refused { what, .. } => f.write_str(what),
            Self::OverLimit(exceeded) => write!(f, "CONNECT: {exceeded}"),
            Self::NotSafe(error) => write!(f, "closed, as what it sent {error}"),
            Self::Panicked => f.write_str("its thread panicked, see the message above"),
        }
    }
}
