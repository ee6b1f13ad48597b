//! The way of the messages of one client: stored, then retained, then delivered.

mod topic_cache;

use std::ops::Range;

use crate::broker::{Broker, FanOut, Session, trim};
use crate::codec::{Publish, PublishProperties, QoS};
use crate::store::StoreError;
use topic_cache::{TopicCache, TopicIndex};

pub(crate) use topic_cache::check_limits;

/// What a client's thread keeps from batch to batch, so that the next one allocates nothing.
#[derive(Debug)]
pub struct Publisher {
    topics: TopicCache,
    fan_out: FanOut,
    lines: Vec<u8>,
}

/// A message that was received and is not stored yet. Small, as a batch has thousands.
#[derive(Debug)]
pub struct Message<'a> {
    /// Where its topic stands in the cache of the publisher that took it in.
    topic_index: TopicIndex,
    topic: &'a str,
    payload: &'a [u8],
    /// Where in the batch the whole packet is, for subscribers that can have it as it came.
    packet: Range<usize>,
    qos: QoS,
    retain: bool,
}

impl Publisher {
    /// With nothing remembered yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            topics: TopicCache::default(),
            fan_out: FanOut::default(),
            lines: Vec::new(),
        }
    }

    /// Makes a message of a PUBLISH, whose bytes are at `packet` in the batch.
    ///
    /// # Errors
    /// The limit that the topic breaks, in words.
    pub fn message<'a>(
        &mut self,
        broker: &Broker,
        publish: &Publish<'a>,
        packet: Range<usize>,
    ) -> Result<Message<'a>, String> {
        let Publish {
            topic,
            qos,
            retain,
            payload,
            ..
        } = *publish;
        let topic_index = self
            .topics
            .index(topic, &broker.config, broker.store.as_ref())?;
        Ok(Message {
            topic_index,
            topic,
            payload,
            packet,
            qos,
            retain,
        })
    }

    /// Whether the client of `session` may publish the message. What it may not is counted, and
    /// logged once for each topic.
    pub fn may_write(&mut self, broker: &Broker, session: &Session, message: &Message<'_>) -> bool {
        self.topics
            .may_write(message.topic_index, message.topic, broker, session)
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
        messages: &[Message<'_>],
    ) -> Result<(), StoreError> {
        self.store(broker, messages)?;
        retain(broker, messages);
        self.deliver(broker, batch, messages);
        Ok(())
    }

    /// Called when a batch is done and none of its messages is in use any more.
    pub fn end_batch(&mut self) {
        self.topics.forget_if_large();
        trim(&mut self.lines);
    }

    fn store(&mut self, broker: &Broker, messages: &[Message<'_>]) -> Result<(), StoreError> {
        let Some(store) = &broker.store else {
            return Ok(());
        };
        let topics = &self.topics;
        let points = messages
            .iter()
            .map(|message| (topics.series(message.topic_index), message.payload));
        store.write(points, &mut self.lines)
    }

    fn deliver(&mut self, broker: &Broker, batch: &[u8], messages: &[Message<'_>]) {
        // Both only grow, so their sum changes whenever one of them does.
        let generation = broker
            .subscriptions
            .generation()
            .wrapping_add(broker.access.epoch());
        for run in messages.chunk_by(|one, next| one.topic_index == next.topic_index) {
            let Some(first) = run.first() else {
                continue;
            };
            let subscribers =
                self.topics
                    .subscribers(first.topic_index, first.topic, generation, broker);
            if subscribers.is_empty() {
                continue;
            }
            for message in run {
                self.fan_out
                    .add_piece(batch, message.packet.clone(), &message.as_delivered());
            }
            self.fan_out.deliver_pieces_to(subscribers);
        }
        self.fan_out.send(batch);
    }
}

impl Default for Publisher {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Message<'a> {
    /// As a subscriber gets it that was there before: RETAIN 0 [MQTT-3.3.1-9 in 3.1.1], and for now
    /// QoS 0.
    fn as_delivered(&self) -> Publish<'a> {
        Publish {
            dup: false,
            qos: QoS::AtMostOnce,
            retain: false,
            topic: self.topic,
            packet_id: None,
            properties: PublishProperties::default(),
            payload: self.payload,
        }
    }
}

fn retain(broker: &Broker, messages: &[Message<'_>]) {
    for message in messages.iter().filter(|message| message.retain) {
        broker
            .retained
            .set(message.topic, message.payload, message.qos);
    }
}
