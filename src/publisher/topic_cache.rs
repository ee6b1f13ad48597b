//! What a publisher remembers of the topics it publishes to.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use log::warn;

use crate::broker::{Broker, Session, Subscription};
use crate::config::Config;
use crate::store::Store;
use crate::store::series::Series;

/// Topics that were checked against the limits, with what their points begin with and who gets
/// their messages. Bounded: a client that invents topics makes it forget, not grow.
#[derive(Debug, Default)]
pub(super) struct TopicCache {
    by_name: HashMap<Box<str>, TopicIndex, RandomState>,
    topics: Vec<CachedTopic>,
    /// Roughly what all of it takes, in bytes.
    weight: usize,
}

/// Where a topic stands; valid until the end of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TopicIndex(u32);

#[derive(Debug)]
struct CachedTopic {
    series: Option<Series>,
    /// Whether the publisher may publish to it.
    writable: Option<Writable>,
    /// Of the subscription table and the access files when `subscribers` were looked up; `None`
    /// before.
    generation: Option<u64>,
    subscribers: Vec<Subscription>,
}

/// What the access files said.
#[derive(Debug)]
struct Writable {
    /// Of the access files when they were asked.
    epoch: u64,
    may: bool,
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
        let series = store.map(|store| store.series(topic));
        self.weight += 2 * topic.len() + size_of::<CachedTopic>() + 64;
        self.topics.push(CachedTopic {
            series,
            writable: None,
            generation: None,
            subscribers: Vec::new(),
        });
        self.by_name.insert(topic.into(), index);
        Ok(index)
    }

    /// What the topic's points begin with.
    ///
    /// # Panics
    /// If the topic was entered without a store: then nothing is stored.
    pub(super) fn series(&self, index: TopicIndex) -> &Series {
        self.topics[index.0 as usize]
            .series
            .as_ref()
            .expect("entered with the store that asks")
    }

    /// Whether the client of `session` may publish to the topic. If not, that is counted, and logged
    /// when it is new.
    pub(super) fn may_write(
        &mut self,
        index: TopicIndex,
        topic: &str,
        broker: &Broker,
        session: &Session,
    ) -> bool {
        let access = &broker.access;
        let cached = &mut self.topics[index.0 as usize];
        let epoch = access.epoch();
        let may = match &cached.writable {
            Some(there) if there.epoch == epoch => there.may,
            before => {
                let may = session.principal().may_write(access, topic);
                if !may && before.as_ref().is_none_or(|before| before.may) {
                    warn!(
                        "{}: may not publish to {topic:?}: neither stored nor delivered",
                        session.outbox().name()
                    );
                }
                cached.writable = Some(Writable { epoch, may });
                may
            }
        };
        if !may {
            access.count_refused_publish();
        }
        may
    }

    /// Who gets messages of the topic and may read it, as of `generation` or later.
    pub(super) fn subscribers(
        &mut self,
        index: TopicIndex,
        topic: &str,
        generation: u64,
        broker: &Broker,
    ) -> &[Subscription] {
        let cached = &mut self.topics[index.0 as usize];
        if cached.generation != Some(generation) {
            self.weight -= size_of_val(cached.subscribers.as_slice());
            cached.subscribers = broker.subscriptions.matching(topic);
            cached.subscribers.retain(|subscription| {
                let principal = subscription.session.principal();
                principal.may_read(&broker.access, topic)
            });
            cached.generation = Some(generation);
            self.weight += size_of_val(cached.subscribers.as_slice());
        }
        &cached.subscribers
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
