//! What a publisher remembers of the topics it publishes to.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use crate::broker::{Broker, Matching, TopicIndex};
use crate::config::Config;
use crate::store::Store;
use crate::store::rules::TopicMapping;

/// Topics that were checked against the limits, with how they become points and who gets
/// their messages. Bounded: a client that invents topics makes it forget, not grow.
#[derive(Debug, Default)]
pub(super) struct TopicCache {
    by_name: HashMap<Arc<str>, TopicIndex, RandomState>,
    topics: Vec<CachedTopic>,
    /// Roughly what all of it takes, in bytes.
    weight: usize,
}

#[derive(Debug)]
struct CachedTopic {
    name: Arc<str>,
    mapping: Option<TopicMapping>,
    /// Of the subscription table when `matching` was looked up; `None` before.
    generation: Option<u64>,
    matching: Matching,
}

/// Enough for some thousand topics; a client thread that uses so many holds this much.
const WEIGHT_MAX: usize = 1024 * 1024;

impl TopicCache {
    /// Finds the topic, or checks it against the limits and enters it.
    pub(super) fn index(
        &mut self,
        topic: &str,
        limits: &Config,
        store: Option<&Store>,
    ) -> Result<TopicIndex, String> {
        if let Some(index) = self.by_name.get(topic) {
            return Ok(*index);
        }
        check_limits(topic, limits)?;
        // A batch is far smaller than 4 GiB, and the cache is emptied between batches.
        let index = TopicIndex(u32::try_from(self.topics.len()).map_err(|_| "too many topics")?);
        let mapping = store.map(|store| store.bind(topic));
        self.weight += 4 * topic.len() + size_of::<CachedTopic>() + 64;
        let name: Arc<str> = topic.into();
        let matching = Matching::default();
        self.by_name.insert(Arc::clone(&name), index);
        self.topics.push(CachedTopic {
            name,
            mapping,
            generation: None,
            matching,
        });
        Ok(index)
    }

    /// How the topic's messages become points.
    ///
    /// # Panics
    /// If the topic was entered without a store: then nothing is stored.
    pub(super) fn mapping(&self, index: TopicIndex) -> &TopicMapping {
        self.topics[index.0 as usize]
            .mapping
            .as_ref()
            .expect("entered with the store that asks")
    }

    /// The topic's name.
    pub(super) fn name(&self, index: TopicIndex) -> &Arc<str> {
        &self.topics[index.0 as usize].name
    }

    /// The topic's name, and who gets its messages, as of `generation` or later.
    pub(super) fn matching(
        &mut self,
        index: TopicIndex,
        generation: u64,
        broker: &Broker,
    ) -> (&Arc<str>, &Matching) {
        let cached = &mut self.topics[index.0 as usize];
        if cached.generation != Some(generation) {
            self.weight -= size_of_val(cached.matching.receivers.as_slice());
            cached.matching = broker.subscriptions.matching(&cached.name);
            cached.generation = Some(generation);
            self.weight += size_of_val(cached.matching.receivers.as_slice());
        }
        (&cached.name, &cached.matching)
    }

    /// Between batches: forgets everything once it takes too much.
    pub(super) fn forget_if_large(&mut self) {
        if self.weight > WEIGHT_MAX {
            *self = Self::default();
        }
    }
}

/// The limits for a topic name or filter that a client may send.
pub(crate) fn check_limits(topic: &str, limits: &Config) -> Result<(), String> {
    if topic.len() > limits.max_topic_length {
        let (len, max) = (topic.len(), limits.max_topic_length);
        return Err(format!(
            "topic of {len} bytes is longer than max-topic-length {max}"
        ));
    }
    let levels = topic.split('/').count();
    if levels > limits.max_topic_levels {
        let max = limits.max_topic_levels;
        return Err(format!(
            "topic of {levels} levels has more than max-topic-levels {max}"
        ));
    }
    Ok(())
}
