//! One client, and what the files let it do.

use std::sync::{Arc, Mutex};

use super::{Access, Identity, PasswordHash, Rights};
use crate::lock::lock;

/// A user name that was checked: [`Access::admit`] gives it out.
#[derive(Clone, Debug)]
pub struct Credential {
    /// `None` is an anonymous client.
    pub(super) user_name: Option<Box<str>>,
    /// What the user's password was checked against; `None` where names are not checked.
    pub(super) proof: Option<Arc<PasswordHash>>,
    /// The name is that of its certificate, which needs no password.
    pub(super) is_certified: bool,
}

impl Credential {
    /// Of a client whose certificate was verified, and names it so.
    #[must_use]
    pub fn certified(user_name: &str) -> Self {
        Self {
            user_name: Some(user_name.into()),
            proof: None,
            is_certified: true,
        }
    }
}

/// A client that was admitted: who it is, and what it may do.
#[derive(Debug)]
pub struct Principal {
    credential: Credential,
    client_id: Arc<str>,
    compiled: Mutex<Option<Compiled>>,
}

#[derive(Debug)]
struct Compiled {
    /// Of the files that the rights were made from.
    epoch: u64,
    rights: Rights,
}

impl Principal {
    /// The client of this identifier, which has shown `credential`.
    #[must_use]
    pub fn new(credential: Credential, client_id: Arc<str>) -> Self {
        Self {
            credential,
            client_id,
            compiled: Mutex::default(),
        }
    }

    /// The user name; `None` is an anonymous client.
    #[must_use]
    pub fn user_name(&self) -> Option<&str> {
        self.credential.user_name.as_deref()
    }

    /// Whether the client may publish to `topic`, by the files as they are now.
    #[must_use]
    pub fn may_write(&self, access: &Access, topic: &str) -> bool {
        self.ask(access, |rights| rights.may_write(topic))
    }

    /// Whether a message for `topic` may be delivered to the client, by the files as they are now.
    #[must_use]
    pub fn may_read(&self, access: &Access, topic: &str) -> bool {
        self.ask(access, |rights| rights.may_read(topic))
    }

    pub(super) fn identity(&self) -> Identity<'_> {
        Identity {
            user_name: self.user_name(),
            client_id: &self.client_id,
        }
    }

    pub(super) fn is_certified(&self) -> bool {
        self.credential.is_certified
    }

    pub(super) fn proof(&self) -> Option<&Arc<PasswordHash>> {
        self.credential.proof.as_ref()
    }

    fn ask(&self, access: &Access, question: impl FnOnce(&Rights) -> bool) -> bool {
        // Read first: the rights are then at least as new.
        let epoch = access.epoch();
        let mut compiled = lock(&self.compiled);
        match &*compiled {
            Some(there) if there.epoch == epoch => question(&there.rights),
            _ => {
                let rights = access.rights(self);
                let answer = question(&rights);
                *compiled = Some(Compiled { epoch, rights });
                answer
            }
        }
    }
}
