//! The way of the messages of one client: stored, then retained, then delivered.

mod topic_cache;

use std::ops::Range;
use std::sync::Arc;

use log::{error, info};

use crate::broker::{Broker, FanOut, Publication, SessionNumber, trim};
use crate::codec::{ProtocolVersion, Publish, PublishProperties, next_frame};
use crate::store::StoreError;
use topic_cache::TopicCache;

pub(crate) use topic_cache::check_limits;

/// What a client's thread keeps from batch to batch, so that the next one allocates nothing.
#[derive(Debug, Default)]
pub struct Publisher {
    /// Whose messages these are, for subscriptions that are no-local.
    session: Option<SessionNumber>,
    topics: TopicCache,
    fan_out: FanOut,
    lines: Vec<u8>,
}

impl Publisher {
    /// With nothing remembered yet. Its messages are those of `session`, if of any.
    #[must_use]
    pub fn new(session: Option<SessionNumber>) -> Self {
        Self {
            session,
            ..Self::default()
        }
    }

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
            kept: None,
        })
    }

    /// Stores, retains and delivers `messages`, whose packets lie in `batch`: first all are stored,
    /// and then they go on in the order they came. When it returns the caller may acknowledge them.
    ///
    /// # Errors
    /// When the store failed. Then nobody gets any of them, and they must not be acknowledged.
    pub fn publish(
        &mut self,
        broker: &Broker,
        batch: &[u8],
        messages: &mut [Publication<'_>],
    ) -> Result<(), StoreError> {
        self.store(broker, messages)?;
        self.retain(broker, messages);
        self.deliver(broker, batch, messages);
        Ok(())
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
            self.publish(broker, packet, &mut [publication])
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

    fn store(&mut self, broker: &Broker, messages: &[Publication<'_>]) -> Result<(), StoreError> {
        let Some(store) = &broker.store else {
            return Ok(());
        };
        let topics = &self.topics;
        let points = messages
            .iter()
            .map(|message| (topics.series(message.topic_index), message.payload));
        store.write(points, &mut self.lines)
    }

    fn retain(&self, broker: &Broker, messages: &mut [Publication<'_>]) {
        for message in messages.iter_mut().filter(|message| message.retain) {
            let topic = self.topics.name(message.topic_index);
            broker.retained.set(Arc::clone(message.kept(topic)));
        }
    }

    fn deliver(&mut self, broker: &Broker, batch: &[u8], messages: &mut [Publication<'_>]) {
        let generation = broker.subscriptions.generation();
        for run in messages.chunk_by_mut(|one, next| one.topic_index == next.topic_index) {
            let Some(first) = run.first() else {
                continue;
            };
            let (topic, matching) = self.topics.matching(first.topic_index, generation, broker);
            if !matching.is_empty() {
                self.fan_out.add(run, topic, matching, self.session);
            }
        }
        self.fan_out.send(batch);
    }
}
