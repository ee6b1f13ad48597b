//! DISCONNECT.

use crate::close_reason::CloseReason;
use crate::codec::{Disconnect, ReasonCode};
use crate::connection::{Connection, SessionExpiry};

impl Connection<'_> {
    /// The client leaves.
    pub(super) fn on_disconnect(&mut self, disconnect: &Disconnect<'_>) -> CloseReason {
        if let Some(expiry) = disconnect.session_expiry_interval.map(SessionExpiry) {
            // [MQTT-3.14.2.2.2] a session that was to end cannot be kept now.
            if self.expiry == SessionExpiry::AT_ONCE && expiry > SessionExpiry::AT_ONCE {
                return CloseReason::Refused {
                    code: ReasonCode::ProtocolError,
                    what: "DISCONNECT: session expiry interval where CONNECT had none".to_owned(),
                };
            }
            self.expiry = expiry;
        }
        match disconnect.reason {
            ReasonCode::NORMAL_DISCONNECTION => CloseReason::Disconnected,
            _ => CloseReason::DisconnectedWithWill,
        }
    }
}
