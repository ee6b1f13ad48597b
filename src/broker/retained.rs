//! The last retained message of each topic.

use std::sync::{Arc, Mutex};

use super::tree::Tree;
use crate::lock::lock;
use crate::message::Message;

/// Retained messages, by topic.
#[derive(Debug, Default)]
pub struct Retained {
    by_topic: Mutex<Tree<Arc<Message>>>,
}

impl Retained {
    /// Keeps `message` as its topic's instead of the one before [MQTT-3.3.1-5]. One with an empty
    /// payload removes that one and is not kept [MQTT-3.3.1-6, MQTT-3.3.1-7].
    ///
    /// `note` is called before anybody else can set another, so that what it notes of many messages
    /// has their order.
    pub fn set(&self, message: Arc<Message>, note: impl FnOnce()) {
        let mut by_topic = lock(&self.by_topic);
        note();
        if message.payload.is_empty() {
            by_topic.remove(&message.topic);
        } else {
            let slot = by_topic.slot(&message.topic);
            *slot = Some(message);
        }
    }

    /// Leaves those of `messages` that have not been replaced since they were found.
    pub fn leave_current(&self, messages: &mut Vec<Arc<Message>>) {
        let mut by_topic = lock(&self.by_topic);
        messages.retain(|message| {
            let current = by_topic.get_mut(&message.topic);
            current.is_some_and(|current| Arc::ptr_eq(current, message))
        });
    }

    /// The messages of all topics that `filter`, a valid topic filter, matches. Some may have
    /// expired.
    pub fn matching(&self, filter: &str) -> Vec<Arc<Message>> {
        let mut matching = Vec::new();
        lock(&self.by_topic).matching_names(filter, |message| matching.push(Arc::clone(message)));
        matching
    }
}
