//! The last retained message of each topic.

use std::sync::{Arc, Mutex};

use super::tree::Tree;
use crate::lock::lock;
use crate::message::Message;

/// Retained messages, by topic.
#[derive(Debug, Default)]
pub struct Retained {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_topic: Tree<Arc<Message>>,
    count: usize,
}

impl Retained {
    /// Keeps `message` as its topic's instead of the one before [MQTT-3.3.1-5]. One with an empty
    /// payload removes that one and is not kept [MQTT-3.3.1-6, MQTT-3.3.1-7].
    ///
    /// One that would be the first of its topic, with `max` others there, is not kept either. Returns
    /// `false` then.
    ///
    /// `note` is called before anybody else can set another, so that what it notes of many messages
    /// has their order.
    pub fn set(&self, message: &Arc<Message>, max: usize, note: impl FnOnce()) -> bool {
        let Kept { by_topic, count } = &mut *lock(&self.kept);
        let there = by_topic.get_mut(&message.topic);
        match (there, message.payload.is_empty()) {
            (None, true) => return true,
            (None, false) if *count >= max => return false,
            (None, false) => {
                *count += 1;
                *by_topic.slot(&message.topic) = Some(Arc::clone(message));
            }
            (Some(_), true) => {
                *count -= 1;
                by_topic.remove(&message.topic);
            }
            (Some(there), false) => *there = Arc::clone(message),
        }
        note();
        true
    }

    /// Leaves those of `messages` that have not been replaced since they were found.
    pub fn leave_current(&self, messages: &mut Vec<Arc<Message>>) {
        let by_topic = &mut lock(&self.kept).by_topic;
        messages.retain(|message| {
            let current = by_topic.get_mut(&message.topic);
            current.is_some_and(|current| Arc::ptr_eq(current, message))
        });
    }

    /// The messages of all topics that `filter`, a valid topic filter, matches. Some may have
    /// expired.
    pub fn matching(&self, filter: &str) -> Vec<Arc<Message>> {
        let mut matching = Vec::new();
        lock(&self.kept)
            .by_topic
            .matching_names(filter, |message| matching.push(Arc::clone(message)));
        matching
    }
}
