//! One connected client, as the others see it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use super::Outbox;
use crate::auth::{Credential, Principal};
use crate::close_reason::EndedBy;
use crate::codec::ProtocolVersion;

/// What clients share of one another: who it is, and the way to it.
#[derive(Debug)]
pub struct Session {
    number: SessionNumber,
    client_id: Arc<str>,
    principal: Principal,
    version: ProtocolVersion,
    outbox: Arc<Outbox>,
    ended_by: OnceLock<EndedBy>,
}

/// Tells two sessions of one client id apart. Never used twice while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionNumber(u64);

impl Session {
    /// A new session of the client that `outbox` leads to, which has shown `credential`.
    pub fn new(
        client_id: &str,
        credential: Credential,
        version: ProtocolVersion,
        outbox: Arc<Outbox>,
    ) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let client_id: Arc<str> = client_id.into();
        Arc::new(Self {
            number: SessionNumber(NEXT.fetch_add(1, Ordering::Relaxed)),
            principal: Principal::new(credential, Arc::clone(&client_id)),
            client_id,
            version,
            outbox,
            ended_by: OnceLock::new(),
        })
    }

    /// What tells it from all others.
    pub fn number(&self) -> SessionNumber {
        self.number
    }

    /// The client identifier.
    pub fn client_id(&self) -> &Arc<str> {
        &self.client_id
    }

    /// Who it is, for questions about its rights.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The version of MQTT that the client speaks.
    pub fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// The way to the client.
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Ends the session from another thread than its own: that one wakes, finds the end of its
    /// stream, and asks [`Session::ended_by`] why. The first reason stays.
    pub fn end(&self, reason: EndedBy) {
        if self.ended_by.set(reason).is_ok() {
            self.outbox.close();
        }
    }

    /// As [`Session::end`], but what waits for the client is still sent.
    pub fn end_reading(&self, reason: EndedBy) {
        if self.ended_by.set(reason).is_ok() {
            self.outbox.stream().shutdown_read();
        }
    }

    /// Why another thread ended it, if one did.
    pub fn ended_by(&self) -> Option<EndedBy> {
        self.ended_by.get().copied()
    }
}
