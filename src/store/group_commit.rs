//! One write for the points of many clients.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::StoreError;
use super::points::Points;
use crate::lock::{lock, wait};

/// Where whole writes go: safe keeping, or a test's script.
pub(super) trait Sink {
    /// Stores all of `points`, and returns when they are safe. Blocks.
    fn post(&self, points: &Points<'_>) -> Result<(), StoreError>;
}

/// Joins the points that many threads have at the same moment into few writes.
///
/// A write slot is the right to have one write under way. A thread that comes while a slot is free
/// and nobody waits takes it and writes its points at once, alone: no timer delays them. Those who
/// come while all slots are taken put their points together in a group, and wait. A slot that
/// becomes free goes to the oldest group, whose first thread leads: it writes for all of them, on
/// its own thread, and tells them what became of it.
///
/// Lock order: `slots`, then a group's `state`. Neither is held across a write.
#[derive(Debug)]
pub(super) struct GroupCommit<S> {
    sink: S,
    /// Points beyond which a group takes nobody in any more.
    group_points_max: usize,
    slots: Mutex<Slots>,
}

#[derive(Debug)]
struct Slots {
    free: usize,
    /// Groups that wait for a slot, the oldest first; only the last one still takes others in.
    waiting: VecDeque<Arc<Group>>,
}

#[derive(Debug, Default)]
struct Group {
    state: Mutex<GroupState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct GroupState {
    lines: Vec<u8>,
    points: usize,
    parts: Vec<Part>,
    /// The group has a slot, and its first member may lead.
    has_slot: bool,
    /// What became of each part, once written.
    outcomes: Vec<Result<(), StoreError>>,
}

/// What one member has in a group.
#[derive(Debug)]
struct Part {
    /// Where in the group's lines it ends.
    end: usize,
    count: usize,
    first_ns: i64,
    last_ns: i64,
}

/// Bytes beyond which a group takes nobody in any more: InfluxDB refuses bodies of 25 MB, and one
/// client's part alone may have several.
const GROUP_BYTES_MAX: usize = 8_000_000;

impl<S: Sink> GroupCommit<S> {
    pub(super) fn new(sink: S, slots: usize, group_points_max: usize) -> Self {
        let slots = Mutex::new(Slots {
            free: slots,
            waiting: VecDeque::new(),
        });
        Self {
            sink,
            group_points_max,
            slots,
        }
    }

    /// Where the writes go.
    pub(super) fn sink(&self) -> &S {
        &self.sink
    }

    /// Stores `points` and returns when they are safe or refused. Blocks.
    pub(super) fn write(&self, points: &Points<'_>) -> Result<(), StoreError> {
        let mut slots = lock(&self.slots);
        if slots.free > 0 && slots.waiting.is_empty() {
            slots.free -= 1;
            drop(slots);
            let _slot = TakenSlot(self);
            return self.sink.post(points);
        }
        let (group, part) = self.join(&mut slots, points);
        drop(slots);

        let mut state = lock(&group.state);
        if part == 0 {
            while !state.has_slot {
                state = wait(&group.changed, state);
            }
            self.lead(&group, state);
            state = lock(&group.state);
        }
        while state.outcomes.is_empty() {
            state = wait(&group.changed, state);
        }
        state.outcomes[part].clone()
    }

    /// Adds a part to the group that still takes others in, or to a new one.
    fn join(&self, slots: &mut Slots, points: &Points<'_>) -> (Arc<Group>, usize) {
        let open = slots.waiting.back().filter(|group| {
            let state = lock(&group.state);
            state.points + points.count <= self.group_points_max
                && state.lines.len() + points.lines.len() <= GROUP_BYTES_MAX
        });
        let group = match open {
            Some(group) => Arc::clone(group),
            None => {
                let group = Arc::new(Group::default());
                slots.waiting.push_back(Arc::clone(&group));
                group
            }
        };
        let part = group.add(points);
        (group, part)
    }

    /// Writes for all members of the group, which has a slot and is closed to others.
    fn lead(&self, group: &Group, mut state: MutexGuard<'_, GroupState>) {
        let _slot = TakenSlot(self);
        let lines = std::mem::take(&mut state.lines);
        let parts = std::mem::take(&mut state.parts);
        drop(state);
        // Whatever happens below, the others must not wait for ever.
        let mut told = Told {
            group,
            outcomes: vec![Err(lost_leader()); parts.len()],
        };
        let all = Points {
            lines: &lines,
            count: parts.iter().map(|part| part.count).sum(),
            first_ns: parts.iter().map(|part| part.first_ns).min().unwrap_or(0),
            last_ns: parts.iter().map(|part| part.last_ns).max().unwrap_or(0),
        };
        match self.sink.post(&all) {
            // There is no room to keep a bad point aside. One member's bad point is not the
            // others' fault; points are idempotent, so all may be written again.
            Err(StoreError::Rejected { .. }) if parts.len() > 1 => {
                let mut start = 0;
                for (outcome, part) in told.outcomes.iter_mut().zip(&parts) {
                    *outcome = self.sink.post(&Points {
                        lines: lines.get(start..part.end).unwrap_or_default(),
                        count: part.count,
                        first_ns: part.first_ns,
                        last_ns: part.last_ns,
                    });
                    start = part.end;
                }
            }
            outcome => told.outcomes.fill(outcome),
        }
    }

    fn release_slot(&self) {
        let mut slots = lock(&self.slots);
        match slots.waiting.pop_front() {
            Some(group) => {
                drop(slots);
                lock(&group.state).has_slot = true;
                group.changed.notify_all();
            }
            None => slots.free += 1,
        }
    }
}

impl Group {
    /// Returns the number of the part.
    fn add(&self, points: &Points<'_>) -> usize {
        let mut state = lock(&self.state);
        state.lines.extend_from_slice(points.lines);
        state.points += points.count;
        let part = Part {
            end: state.lines.len(),
            count: points.count,
            first_ns: points.first_ns,
            last_ns: points.last_ns,
        };
        state.parts.push(part);
        state.parts.len() - 1
    }
}

/// A slot in use; dropping it passes it on, also when the write panics.
struct TakenSlot<'a, S: Sink>(&'a GroupCommit<S>);

impl<S: Sink> Drop for TakenSlot<'_, S> {
    fn drop(&mut self) {
        self.0.release_slot();
    }
}

/// What the members will be told, when this is dropped.
struct Told<'a> {
    group: &'a Group,
    outcomes: Vec<Result<(), StoreError>>,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        lock(&self.group.state).outcomes = std::mem::take(&mut self.outcomes);
        self.group.changed.notify_all();
    }
}

fn lost_leader() -> StoreError {
    StoreError::Unavailable {
        reason: "the thread that wrote for several clients failed".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Hands each write to the test, which answers it when it likes.
    struct Script {
        posts: Mutex<Sender<Post>>,
    }

    type Post = (Vec<u8>, Sender<Result<(), StoreError>>);
    type Posts = Receiver<Post>;

    impl Sink for Script {
        fn post(&self, points: &Points<'_>) -> Result<(), StoreError> {
            let (answer, answered) = channel();
            lock(&self.posts)
                .send((points.lines.to_vec(), answer))
                .unwrap();
            answered
                .recv()
                .unwrap_or_else(|_| panic!("the script wants this write to panic"))
        }
    }

    fn group_commit(slots: usize, group_points_max: usize) -> (Arc<GroupCommit<Script>>, Posts) {
        let (sender, posts) = channel();
        let script = Script {
            posts: Mutex::new(sender),
        };
        (
            Arc::new(GroupCommit::new(script, slots, group_points_max)),
            posts,
        )
    }

    type Writer = thread::JoinHandle<Result<(), StoreError>>;

    fn write(group_commit: &Arc<GroupCommit<Script>>, lines: &'static str) -> Writer {
        let group_commit = Arc::clone(group_commit);
        let points = Points {
            lines: lines.as_bytes(),
            count: lines.lines().count(),
            first_ns: 0,
            last_ns: 0,
        };
        thread::spawn(move || group_commit.write(&points))
    }

    /// Starts writers one after another, so that the test knows who comes first in the group.
    fn write_waiting(
        group_commit: &Arc<GroupCommit<Script>>,
        lines: &[&'static str],
    ) -> Vec<Writer> {
        let start = |line: &&'static str| {
            let waiting = |line: &str| {
                let slots = lock(&group_commit.slots);
                let waits = |group: &Arc<Group>| {
                    String::from_utf8_lossy(&lock(&group.state).lines).contains(line)
                };
                slots.waiting.iter().any(waits)
            };
            let writer = write(group_commit, line);
            while !waiting(line) {
                thread::yield_now();
            }
            writer
        };
        lines.iter().map(start).collect()
    }

    fn next(posts: &Posts) -> (String, Sender<Result<(), StoreError>>) {
        let (lines, answer) = posts.recv_timeout(Duration::from_secs(20)).unwrap();
        (String::from_utf8(lines).unwrap(), answer)
    }

    fn rejected() -> StoreError {
        StoreError::Rejected {
            status: 400,
            answer: "field type conflict".to_owned(),
        }
    }

    #[test]
    fn writes_at_once_while_a_slot_is_free() {
        let (group_commit, posts) = group_commit(2, 100);
        let writers = [write(&group_commit, "a\n"), write(&group_commit, "b\n")];
        let (first, answer_first) = next(&posts);
        let (second, answer_second) = next(&posts);
        assert_eq!(first.len() + second.len(), 4, "each alone");
        answer_second.send(Ok(())).unwrap();
        answer_first.send(Ok(())).unwrap();
        assert!(
            writers
                .into_iter()
                .all(|writer| writer.join().unwrap().is_ok())
        );
        assert_eq!(lock(&group_commit.slots).free, 2);
    }

    #[test]
    fn joins_those_who_wait_and_keeps_their_order() {
        let (group_commit, posts) = group_commit(1, 100);
        let alone = write(&group_commit, "a\n");
        let (_, answer) = next(&posts);
        let together = write_waiting(&group_commit, &["b\n", "c\nd\n", "e\n"]);
        answer.send(Ok(())).unwrap();
        assert_eq!(alone.join().unwrap(), Ok(()));
        let (lines, answer) = next(&posts);
        assert_eq!(lines, "b\nc\nd\ne\n");
        let failure = StoreError::Unavailable {
            reason: "gone".to_owned(),
        };
        answer.send(Err(failure.clone())).unwrap();
        for writer in together {
            assert_eq!(writer.join().unwrap(), Err(failure.clone()));
        }
        assert_eq!(lock(&group_commit.slots).free, 1);
    }

    #[test]
    fn bounds_a_group() {
        let (group_commit, posts) = group_commit(1, 2);
        let alone = write(&group_commit, "a\n");
        let (_, answer) = next(&posts);
        let writers = write_waiting(&group_commit, &["b\n", "c\n", "d\n"]);
        answer.send(Ok(())).unwrap();
        for expected in ["b\nc\n", "d\n"] {
            let (lines, answer) = next(&posts);
            assert_eq!(lines, expected);
            answer.send(Ok(())).unwrap();
        }
        assert!(
            writers
                .into_iter()
                .chain([alone])
                .all(|writer| writer.join().unwrap().is_ok())
        );
    }

    #[test]
    fn one_members_bad_point_is_not_the_others_fault() {
        let (group_commit, posts) = group_commit(1, 100);
        let alone = write(&group_commit, "a\n");
        let (_, answer) = next(&posts);
        let writers = write_waiting(&group_commit, &["b\n", "bad\n", "c\n"]);
        answer.send(Ok(())).unwrap();
        assert!(alone.join().unwrap().is_ok());
        for (expected, outcome) in [
            ("b\nbad\nc\n", Err(rejected())),
            ("b\n", Ok(())),
            ("bad\n", Err(rejected())),
            ("c\n", Ok(())),
        ] {
            let (lines, answer) = next(&posts);
            assert_eq!(lines, expected);
            answer.send(outcome).unwrap();
        }
        let outcomes: Vec<_> = writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect();
        assert_eq!(outcomes, [Ok(()), Err(rejected()), Ok(())]);
    }

    #[test]
    fn a_leader_that_panics_leaves_nobody_waiting() {
        let (group_commit, posts) = group_commit(1, 100);
        let alone = write(&group_commit, "a\n");
        let (_, answer) = next(&posts);
        let mut writers = write_waiting(&group_commit, &["b\n", "c\n"]);
        answer.send(Ok(())).unwrap();
        assert!(alone.join().unwrap().is_ok());
        let (_, answer) = next(&posts);
        drop(answer);
        assert_eq!(writers.pop().unwrap().join().unwrap(), Err(lost_leader()));
        assert!(writers.pop().unwrap().join().is_err(), "the leader itself");
        let after = write(&group_commit, "d\n");
        next(&posts).1.send(Ok(())).unwrap();
        assert!(after.join().unwrap().is_ok());
    }
}
