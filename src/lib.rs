//! An MQTT broker that stores every message in InfluxDB before it delivers or acknowledges it.
//!
//! This page is the map. It says what a message goes through, who may wait for whom, and what holds
//! everywhere.
//!
//! # The way of a PUBLISH
//!
//! ```text
//! socket --read--> bytes --decode--> a batch --check--> messages --map--> points --write--> InfluxDB
//!                                                                            '- away? -> journal (fsync)
//!       <--one send per subscriber-- outboxes <--match filters-- the same messages, in order
//!       <--PUBACK / PUBREC-- to the publisher
//! ```
//!
//! 1. [`server`] accepts a connection and gives it a thread; `connection` reads batches on it. A
//!    batch is what one read brought: one packet of a quiet client, thousands of a loud one.
//! 2. [`codec`] decodes, and `handlers` take each packet. PUBLISH packets gather in a run.
//! 3. [`publisher`] takes the run: [`publisher::Publisher::publish`] is where messages are stored,
//!    then retained, then delivered; what they are acknowledged with is sent after it has returned.
//! 4. [`store`] makes points and finds them a safe place. The points of many clients share a write.
//! 5. [`broker`] finds who gets the messages, and each client's outbox sends them, on the
//!    publisher's thread and without waiting for anybody.
//!
//! # Words
//!
//! A *packet* is what is on the wire, a *message* is what was published, a *delivery* is a message on
//! its way to one subscriber, a *point* is what InfluxDB has of it. A *session* is what the broker
//! keeps for a client; a *link* is the way to it while it is connected.
//!
//! # Threads
//!
//! One accepts for each listener, one serves each client, blocking. A client that reads too slowly
//! has a drainer, only until it has caught up. One keeps sessions on disk, one looks after timers;
//! one looks for InfluxDB only while it is away, and one replays the journal only while there is
//! something in it. There is no async runtime of ours (the HTTP client brings its own).
//!
//! # Lock order
//!
//! A lock further down may be taken while one further up is held, never the other way round. None is
//! held while a peer or InfluxDB is waited for. The state file's is held while it is written, and that
//! of an encrypted or WebSocket stream over a send that does not wait, as records must leave in the
//! order they were made.
//!
//! 1. `broker::sessions`, the table of sessions; `broker::timers`
//! 2. a session's state
//! 3. `broker::keeper`'s queue, or the outbox's state
//! 4. the state file
//!
//! The retained messages come before the keeper's queue. The subscription table and the slots and groups of the store's group
//! commit are taken alone.
//!
//! # Invariants
//!
//! - A message is delivered or acknowledged only after [`store::Store::write`] has returned for it.
//! - What a session on disk is to get is on disk before it is sent, and before the publisher's
//!   acknowledgement.
//! - A timestamp is given out once; a message that is stored again has the one it had.
//! - Nothing a peer sends makes a thread panic; should one, it ends that client alone.
//! - Everything a peer can make grow has a limit, and each limit is a setting or a constant with its
//!   reason. The queues have one for each client, not yet one for all together.
//! - [`codec`], [`session`] and [`topic`] know no socket, thread, lock, clock or log. [`store`] knows
//!   no sessions, [`broker`] no InfluxDB beyond the store's name.
//! - Text of clients is logged quoted and escaped; payloads and passwords never are.
//!
//! # Log levels
//!
//! | level | what |
//! |---|---|
//! | error | a promise is in danger, or a connection was closed for a fault |
//! | warn | something cost a client something: dropped messages, refused subscriptions |
//! | info | the life of the server and its clients |
//! | debug | a line for each packet: its type and length |
//!
//! # Modules, in reading order
//!
//! [`config`], [`server`], `connection`, `handlers`, [`publisher`], [`broker`], [`session`],
//! [`message`], [`store`], [`state`], [`codec`], [`topic`], [`auth`], [`net`], and the small ones.

pub mod auth;
pub mod broker;
pub mod close_reason;
pub mod codec;
pub mod config;
mod connection;
mod handlers;
pub mod limits;
mod lock;
pub mod logging;
pub mod message;
pub mod net;
pub mod publisher;
pub mod server;
pub mod session;
mod shutdown;
pub mod state;
pub mod store;
pub mod task;
pub mod topic;
