//! A client's connection, as the other clients' threads see it.

use std::sync::{Arc, OnceLock};

use super::Outbox;
use crate::auth::{Access, Principal};
use crate::close_reason::EndedBy;
use crate::codec::ProtocolVersion;

/// The way to a connected client, and the terms on which it takes packets.
#[derive(Debug)]
pub struct Link {
    outbox: Arc<Outbox>,
    terms: Terms,
    principal: Principal,
    access: Arc<Access>,
    ended_by: OnceLock<EndedBy>,
}

/// What a client said in CONNECT about the packets it takes.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The version of MQTT that it speaks.
    pub version: ProtocolVersion,
    /// The longest packet it takes, in bytes with the fixed header [MQTT-3.1.2-24].
    pub packet_len_max: usize,
    /// Most messages of QoS 1 and 2 in flight towards it [MQTT-3.3.4-9]; not 0.
    pub receive_max: u16,
    /// The highest topic alias it takes [MQTT-3.1.2-26]; 0 is none.
    pub topic_alias_max: u16,
    /// Whether it wants reason strings [MQTT-3.1.2-29].
    pub wants_reasons: bool,
}

impl Link {
    /// The way through `outbox` to the client that `principal` is, by the files of `access`.
    pub fn new(
        outbox: Arc<Outbox>,
        terms: Terms,
        principal: Principal,
        access: &Arc<Access>,
    ) -> Arc<Self> {
        Arc::new(Self {
            outbox,
            terms,
            principal,
            access: Arc::clone(access),
            ended_by: OnceLock::new(),
        })
    }

    /// Where what is for the client goes.
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// What it takes.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Who it is.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Whether the client may publish to `topic`, by the files as they are now.
    pub fn may_write(&self, topic: &str) -> bool {
        !self.access.restricts() || self.principal.may_write(&self.access, topic)
    }

    /// Whether a message for `topic` may be delivered to the client, by the files as they are now.
    pub fn may_read(&self, topic: &str) -> bool {
        !self.access.restricts() || self.principal.may_read(&self.access, topic)
    }

    /// Ends the connection from another thread than its own: that one wakes, finds the end of its
    /// stream, and asks [`Link::ended_by`] why. What waits for the client is still sent. The first
    /// reason stays.
    pub fn end(&self, reason: EndedBy) {
        if self.ended_by.set(reason).is_ok() {
            self.outbox.stream().shutdown_read();
        }
    }

    /// Why another thread ended it, if one did.
    pub fn ended_by(&self) -> Option<EndedBy> {
        self.ended_by.get().copied()
    }
}
