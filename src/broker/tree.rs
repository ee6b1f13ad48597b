//! A tree of topic levels, which holds topic filters or topic names.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// Values by topic, one tree level for each topic level.
///
/// It serves both ways: with filters as keys it finds those that match a name (subscriptions), with
/// names as keys those that a filter matches (retained messages). Wildcards in keys stand in the
/// tree as they are written. What a search costs depends on the levels and on the matches, not on
/// the size of the tree. Nodes live in one vector: nothing here recurses, however deep a topic is.
#[derive(Debug)]
pub(super) struct Tree<V> {
    nodes: Vec<Node<V>>,
    free: Vec<NodeId>,
}

type NodeId = usize;

const ROOT: NodeId = 0;

#[derive(Debug)]
struct Node<V> {
    parent: NodeId,
    level: Box<str>,
    children: HashMap<Box<str>, NodeId, RandomState>,
    value: Option<V>,
}

impl<V> Node<V> {
    fn new(parent: NodeId, level: &str) -> Self {
        Self {
            parent,
            level: level.into(),
            children: HashMap::default(),
            value: None,
        }
    }
}

impl<V> Default for Tree<V> {
    fn default() -> Self {
        Self {
            nodes: vec![Node::new(ROOT, "")],
            free: Vec::new(),
        }
    }
}

impl<V> Tree<V> {
    /// The place for the value of `key`, made where it is missing. Fill it, or the node stays for
    /// nothing.
    pub(super) fn slot(&mut self, key: &str) -> &mut Option<V> {
        let mut id = ROOT;
        for level in key.split('/') {
            id = match self.nodes[id].children.get(level) {
                Some(child) => *child,
                None => self.add_child(id, level),
            };
        }
        &mut self.nodes[id].value
    }

    /// The value of exactly `key`.
    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut V> {
        let id = self.find(key)?;
        self.nodes[id].value.as_mut()
    }

    /// Takes out the value of exactly `key`.
    pub(super) fn remove(&mut self, key: &str) -> Option<V> {
        let id = self.find(key)?;
        let value = self.nodes[id].value.take();
        self.prune(id);
        value
    }

    /// Calls `found` with the value of each key, a filter, that matches `name`.
    pub(super) fn matching_filters<'a>(&'a self, name: &str, mut found: impl FnMut(&'a V)) {
        let levels: Vec<&str> = name.split('/').collect();
        // [MQTT-4.7.2-1] wildcards at the first level do not match `$SYS` and its like.
        let wildcards_at_root = !name.starts_with('$');
        let mut to_visit = vec![(ROOT, 0)];
        while let Some((id, depth)) = to_visit.pop() {
            let node = &self.nodes[id];
            let wildcards = depth > 0 || wildcards_at_root;
            // `a/#` matches `a` too, so `#` is looked for at every depth, the last included.
            if wildcards && let Some(rest) = node.children.get("#") {
                self.nodes[*rest].value.iter().for_each(&mut found);
            }
            let Some(level) = levels.get(depth) else {
                node.value.iter().for_each(&mut found);
                continue;
            };
            if let Some(child) = node.children.get(*level) {
                to_visit.push((*child, depth + 1));
            }
            if wildcards && let Some(child) = node.children.get("+") {
                to_visit.push((*child, depth + 1));
            }
        }
    }

    /// Calls `found` with the value of each key, a name, that `filter` matches.
    pub(super) fn matching_names<'a>(&'a self, filter: &str, mut found: impl FnMut(&'a V)) {
        let levels: Vec<&str> = filter.split('/').collect();
        let mut to_visit = vec![(ROOT, 0)];
        while let Some((id, depth)) = to_visit.pop() {
            let node = &self.nodes[id];
            // [MQTT-4.7.2-1], as above.
            let children = node
                .children
                .iter()
                .filter(|(level, _)| id != ROOT || !level.starts_with('$'))
                .map(|(_, child)| *child);
            match levels.get(depth).copied() {
                None => node.value.iter().for_each(&mut found),
                Some("#") => {
                    if id != ROOT {
                        node.value.iter().for_each(&mut found);
                    }
                    // Staying at this depth matches every level below.
                    to_visit.extend(children.map(|child| (child, depth)));
                }
                Some("+") => to_visit.extend(children.map(|child| (child, depth + 1))),
                Some(level) => {
                    to_visit.extend(node.children.get(level).map(|child| (*child, depth + 1)));
                }
            }
        }
    }

    fn find(&self, key: &str) -> Option<NodeId> {
        key.split('/').try_fold(ROOT, |id, level| {
            self.nodes[id].children.get(level).copied()
        })
    }

    fn add_child(&mut self, parent: NodeId, level: &str) -> NodeId {
        let node = Node::new(parent, level);
        let id = match self.free.pop() {
            Some(id) => {
                self.nodes[id] = node;
                id
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        };
        self.nodes[parent].children.insert(level.into(), id);
        id
    }

    /// Removes `id` and those above it that hold nothing any more.
    fn prune(&mut self, mut id: NodeId) {
        while id != ROOT && self.nodes[id].value.is_none() && self.nodes[id].children.is_empty() {
            let parent = self.nodes[id].parent;
            let level = std::mem::take(&mut self.nodes[id].level);
            self.nodes[parent].children.remove(&level);
            self.nodes[id].children = HashMap::default();
            self.free.push(id);
            id = parent;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::topic::{TopicFilter, TopicName};

    const LEVELS: [&str; 5] = ["", "a", "b", "$S", "é"];

    /// All names of one to three levels, and all filters over them.
    fn names_and_filters() -> (Vec<String>, Vec<String>) {
        let mut names = Vec::new();
        let mut filters = vec!["#".to_owned()];
        let extend = |prefixes: &[String], levels: &[&str]| -> Vec<String> {
            let longer = |prefix: &String| {
                levels
                    .iter()
                    .map(move |level| format!("{prefix}/{level}"))
                    .collect::<Vec<_>>()
            };
            prefixes.iter().flat_map(longer).collect()
        };
        let with_plus: Vec<&str> = LEVELS.iter().copied().chain(["+"]).collect();
        let mut last_names: Vec<String> = LEVELS.map(String::from).into();
        let mut last_filters: Vec<String> =
            with_plus.iter().map(|level| (*level).to_owned()).collect();
        for _ in 0..3 {
            names.extend(last_names.iter().filter(|name| !name.is_empty()).cloned());
            filters.extend(
                last_filters
                    .iter()
                    .filter(|filter| !filter.is_empty())
                    .cloned(),
            );
            filters.extend(extend(&last_filters, &["#"]));
            last_names = extend(&last_names, &LEVELS);
            last_filters = extend(&last_filters, &with_plus);
        }
        (names, filters)
    }

    #[test]
    fn agrees_with_the_rule_for_every_short_name_and_filter() {
        let (names, filters) = names_and_filters();
        let mut by_filter = Tree::default();
        let mut by_name = Tree::default();
        filters
            .iter()
            .for_each(|filter| *by_filter.slot(filter) = Some(filter.clone()));
        names
            .iter()
            .for_each(|name| *by_name.slot(name) = Some(name.clone()));

        let matches = |filter: &String, name: &String| {
            TopicFilter::new(filter)
                .unwrap()
                .matches(TopicName::new(name).unwrap())
        };
        for name in &names {
            let mut found = Vec::new();
            by_filter.matching_filters(name, |filter| found.push(filter.clone()));
            let mut expected: Vec<_> = filters
                .iter()
                .filter(|filter| matches(filter, name))
                .cloned()
                .collect();
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "filters that match {name:?}");
        }
        for filter in &filters {
            let mut found = Vec::new();
            by_name.matching_names(filter, |name| found.push(name.clone()));
            let mut expected: Vec<_> = names
                .iter()
                .filter(|name| matches(filter, name))
                .cloned()
                .collect();
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "names that {filter:?} matches");
        }
    }

    #[test]
    fn gives_back_what_is_empty() {
        let (_, filters) = names_and_filters();
        let mut tree = Tree::default();
        for round in 0..2 {
            filters
                .iter()
                .for_each(|filter| *tree.slot(filter) = Some(round));
            let grown = tree.nodes.len();
            for filter in &filters {
                assert_eq!(tree.remove(filter), Some(round));
                assert_eq!(tree.remove(filter), None);
            }
            assert_eq!(tree.free.len(), grown - 1, "all but the root are free");
            assert!(tree.nodes[ROOT].children.is_empty());
        }
    }
}
