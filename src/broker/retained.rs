//! The last retained message of each topic.

use std::sync::{Arc, Mutex};

use super::tree::Tree;
use crate::codec::QoS;
use crate::lock::lock;

/// Retained messages, by topic.
#[derive(Debug, Default)]
pub struct Retained {
    by_topic: Mutex<Tree<Arc<RetainedMessage>>>,
}

/// A message that was published with RETAIN 1.
#[derive(Debug)]
pub struct RetainedMessage {
    /// The topic it was published to.
    pub topic: Box<str>,
    /// Never empty.
    pub payload: Box<[u8]>,
    /// The quality of service it was published with.
    pub qos: QoS,
}

impl Retained {
    /// Keeps `payload` as the topic's message instead of the one before [MQTT-3.3.1-5]. An empty
    /// payload removes that one and is not kept [MQTT-3.3.1-6, MQTT-3.3.1-7].
    pub fn set(&self, topic: &str, payload: &[u8], qos: QoS) {
        if payload.is_empty() {
            lock(&self.by_topic).remove(topic);
            return;
        }
        let message = RetainedMessage {
            topic: topic.into(),
            payload: payload.into(),
            qos,
        };
        *lock(&self.by_topic).slot(topic) = Some(Arc::new(message));
    }

    /// The messages of all topics that `filter` matches.
    pub fn matching(&self, filter: &str) -> Vec<Arc<RetainedMessage>> {
        let mut matching = Vec::new();
        lock(&self.by_topic).matching_names(filter, |message| matching.push(Arc::clone(message)));
        matching
    }
}
