//! The way of the messages of one client: stored, then retained, then delivered.

mod topic_cache;

use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use log::{error, info};

use crate::broker::{Broker, FanOut, Link, Publication, Session, trim};
use crate::codec::{ProtocolVersion, Publish, PublishProperties, QoS, next_frame};
use crate::state::{Change, StateError};
use crate::store::StoreError;
use crate::store::rules::Message;
use topic_cache::TopicCache;

pub(crate) use topic_cache::check_limits;

/// What a client's thread keeps from batch to batch, so that the next one allocates nothing.
#[derive(Debug, Default)]
pub struct Publisher {
    topics: TopicCache,
    fan_out: FanOut,
    lines: Vec<u8>,
}

impl Publisher {
    /// Takes in a PUBLISH, whose bytes are at `packet` in the batch. `topic` is its topic name, or
    /// what its alias stands for.
    ///
    /// # Errors
    /// The limit that the topic breaks, in words.
    pub fn take_in<'a>(
        &mut self,
        broker: &Broker,
        publish: &Publish<'a>,
        topic: &str,
        version: ProtocolVersion,
        packet: Range<usize>,
    ) -> Result<Publication<'a>, String> {
        let topic_index = self
            .topics
            .index(topic, &broker.config, broker.store.as_ref())?;
        let has_properties = publish.properties != PublishProperties::default();
        let has_alias = publish.properties.topic_alias.is_some();
        Ok(Publication {
            topic_index,
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            properties: has_properties.then(|| Box::new(publish.properties)),
            packet,
            verbatim_in: (!has_alias).then_some(version),
            timestamp_ns: None,
            at_least_once: None,
            exactly_once: None,
            kept: None,
        })
    }

    /// Whether the client that `link` leads to may publish the message. What it may not is counted,
    /// and logged once for each topic.
    pub fn may_write(&mut self, broker: &Broker, link: &Link, message: &Publication<'_>) -> bool {
        self.topics.may_write(message.topic_index, broker, link)
    }

    /// Stores, retains and delivers `messages`, whose packets lie in `batch`: first all are stored,
    /// and then they go on in the order they came. When it returns the caller may acknowledge them.
    ///
    /// `session` is that of the publisher, which knows the messages of QoS 2. `changes` are to be on
    /// disk before any acknowledgement; those that are there are taken out.
    ///
    /// # Errors
    /// When the messages are not safe: they must not be acknowledged. If they are not stored, nobody
    /// got any of them.
    pub fn publish(
        &mut self,
        broker: &Broker,
        batch: &[u8],
        messages: &mut [Publication<'_>],
        session: Option<&Session>,
        changes: &mut Vec<Change>,
    ) -> Result<(), PublishError> {
        self.store(broker, messages, session, changes)?;
        let must_be_kept = self.retain(broker, messages);
        self.deliver(broker, batch, messages, session, changes, must_be_kept)
    }

    /// Publishes a will, which is a PUBLISH packet of MQTT 5.0, and logs it under `name`.
    pub fn publish_will(&mut self, broker: &Broker, packet: &[u8], name: &str) {
        let version = ProtocolVersion::V5;
        let decoded = next_frame(packet, Some(version), packet.len()).and_then(|frame| {
            frame
                .map(|frame| Publish::decode(&frame, version))
                .transpose()
        });
        // We have encoded it ourselves.
        let Ok(Some(publish)) = decoded else {
            return error!("{name}: its will is no packet");
        };
        let taken = self.take_in(broker, &publish, publish.topic, version, 0..packet.len());
        let outcome = taken.and_then(|publication| {
            self.publish(broker, packet, &mut [publication], None, &mut Vec::new())
                .map_err(|error| error.to_string())
        });
        match outcome {
            Ok(()) => info!("{name}: published its will to {:?}", publish.topic),
            Err(reason) => error!("{name}: its will to {:?} is lost: {reason}", publish.topic),
        }
        self.end_batch();
    }

    /// Called when a batch is done and none of its messages is in use any more.
    pub fn end_batch(&mut self) {
        self.topics.forget_if_large();
        trim(&mut self.lines);
    }

    fn store(
        &mut self,
        broker: &Broker,
        messages: &mut [Publication<'_>],
        session: Option<&Session>,
        changes: &mut Vec<Change>,
    ) -> Result<(), PublishError> {
        if let Some(store) = &broker.store {
            let needs =
                |message: &Publication<'_>| self.topics.mapping(message.topic_index).timestamps();
            let count = messages.iter().map(needs).sum();
            let mut next = store.take_timestamps(count);
            for message in messages.iter_mut() {
                let needed = needs(message);
                // One that comes again is the same point again.
                message.timestamp_ns.get_or_insert(next);
                next = next.saturating_add_unsigned(needed as u64);
            }
        }
        if let Some(session) = session {
            let begun = messages.iter().filter_map(|message| {
                Some(
                    session
                        .begin_receiving(message.exactly_once?, message.timestamp_ns.unwrap_or(1)),
                )
            });
            let begun: Vec<_> = begun.collect();
            let remembered = messages.iter().filter_map(|message| {
                let (packet_id, fingerprint) = message.at_least_once?;
                Some((packet_id, fingerprint, message.timestamp_ns?))
            });
            if messages
                .iter()
                .any(|message| message.at_least_once.is_some())
            {
                session.remember_sent(remembered);
            }
            if !begun.is_empty() && session.is_kept() {
                // Should the process end between InfluxDB's answer and ours, then the client sends
                // the message again, and it is the same point.
                broker.keeper.keep(changes.iter().cloned().chain(begun))?;
                changes.clear();
            }
        }
        if let Some(store) = &broker.store {
            let topics = &self.topics;
            let link = session.and_then(Session::link);
            let user_name = link.as_ref().and_then(|link| link.principal().user_name());
            let client_id = session.map_or("", |session| session.client_id());
            let stored = messages.iter().map(|message| {
                let stored = Message {
                    payload: message.payload,
                    retain: message.retain,
                    client_id,
                    user_name: user_name.unwrap_or_default(),
                    timestamp_ns: message.timestamp_ns.unwrap_or_default(),
                };
                (topics.mapping(message.topic_index), stored)
            });
            store.write(stored, &mut self.lines)?;
        }
        Ok(())
    }

    /// Returns whether a retained message must be on disk before it is acknowledged.
    fn retain(&self, broker: &Broker, messages: &mut [Publication<'_>]) -> bool {
        let mut somebody_waits = false;
        for message in messages.iter_mut().filter(|message| message.retain) {
            let topic = self.topics.name(message.topic_index);
            somebody_waits |= message.qos > QoS::AtMostOnce;
            broker.retain(message.kept(topic));
        }
        somebody_waits
    }

    fn deliver(
        &mut self,
        broker: &Broker,
        batch: &[u8],
        messages: &mut [Publication<'_>],
        session: Option<&Session>,
        changes: &mut Vec<Change>,
        must_be_kept: bool,
    ) -> Result<(), PublishError> {
        // Both only grow, so their sum changes whenever one of them does.
        let generation = broker
            .subscriptions
            .generation()
            .wrapping_add(broker.access.epoch());
        let publisher = session.map(Session::number);
        for run in messages.chunk_by_mut(|one, next| one.topic_index == next.topic_index) {
            let Some(first) = run.first() else {
                continue;
            };
            let (topic, matching) = self.topics.matching(first.topic_index, generation, broker);
            if !matching.is_empty() {
                self.fan_out.add(run, topic, matching, publisher);
            }
        }
        let exactly_once = || messages.iter().filter_map(|message| message.exactly_once);
        let mut all = changes.clone();
        if let Some(session) = session.filter(|session| session.is_kept()) {
            all.extend(exactly_once().map(|id| Change::Complete(session.number().0, id)));
        }
        self.fan_out
            .send(batch, all, must_be_kept, &broker.keeper)?;
        changes.clear();
        if let Some(session) = session {
            exactly_once().for_each(|packet_id| session.complete_receiving(packet_id));
        }
        Ok(())
    }
}

/// Why messages are not safe.
#[derive(Clone, Debug)]
pub enum PublishError {
    /// They could not be stored.
    NotStored(StoreError),
    /// They are stored, but could not be kept on disk for those who are to get them later.
    NotKept(Arc<StateError>),
}

impl From<StoreError> for PublishError {
    fn from(error: StoreError) -> Self {
        Self::NotStored(error)
    }
}

impl From<Arc<StateError>> for PublishError {
    fn from(error: Arc<StateError>) -> Self {
        Self::NotKept(error)
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStored(error) => write!(f, "could not be stored: {error}"),
            Self::NotKept(error) => write!(f, "could not be kept on disk: {error}"),
        }
    }
}

impl Error for PublishError {}
