//! Who may connect, and who may publish and read what: a password file and an access-control file,
//! both in the formats of Mosquitto.
//!
//! ```text
//! CONNECT ── Access::admit ── Credential ─┐
//!                                         ├─ Principal ── may_write(topic), may_read(topic)
//!                        client identifier┘
//! SIGHUP ─── Access::reload ── new files for everybody, or the old ones and an error
//! ```
//!
//! [`Access`] holds the files as they are now and is shared by all clients; a [`Principal`] is one
//! client and what the files let it do, compiled once and again after a reload. A PUBLISH is
//! checked where it comes in, a message for a subscriber where it would be delivered.
//!
//! This module knows no packet and no session, and it reads no socket.

mod access;
mod acl_file;
mod error;
mod gate;
pub mod passwd;
mod password_file;
mod password_hash;
mod principal;
mod rights;
mod terminal;

pub use access::{Access, Refusal};
pub use acl_file::{Acl, Identity};
pub use error::FileError;
pub use password_file::PasswordFile;
pub use password_hash::{Algorithm, PasswordHash};
pub use principal::{Credential, Principal};
pub use rights::Rights;
