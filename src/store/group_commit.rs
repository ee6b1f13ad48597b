//! One write for the points of many clients.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::StoreError;
use super::pace::{ENOUGH_POINTS, Pace, WAIT_MAX};
use super::points::Points;
use crate::lock::{lock, wait, wait_timeout};

/// Where whole writes go: safe keeping, or a test's script.
pub(super) trait Sink {
    /// Stores all of `points`, and returns when they are safe. Blocks.
    fn post(&self, points: &Points<'_>) -> Result<(), StoreError>;
}

/// Joins the points that many threads have at the same moment into few writes.
///
/// A write slot is the right to have one write under way. A thread that comes while a slot is free
/// and nobody waits takes it and writes its points at once, alone. Those who come while all slots are
/// taken put their points together in a group, and wait. A slot that becomes free goes to the oldest
/// group, whose first thread leads: it writes for all of them, on its own thread, and tells them what
/// became of it.
///
/// No timer delays a write, but for one case, which [`Pace`] tells: many quiet clients with little to
/// write each. They gather in a group before it asks for a slot, until it has enough points or its
/// first thread has waited for some milliseconds.
///
/// Lock order: `slots`, then a group's `state`. Neither is held across a write.
#[derive(Debug)]
pub(super) struct GroupCommit<S> {
    sink: S,
    /// Points beyond which a group takes nobody in any more.
    group_points_max: usize,
    slots: Mutex<Slots>,
}

thread_local! {
    /// When this thread's last write was done. Each client has a thread of its own.
    static LAST_DONE: Cell<Option<Instant>> = const { Cell::new(None) };
}

#[derive(Debug)]
struct Slots {
    free: usize,
    pace: Pace,
    /// The group that takes in those who wait for others, and does not ask for a slot yet.
    gathering: Option<Arc<Group>>,
    /// Groups that wait for a slot, the oldest first; only the last one still takes others in.
    waiting: VecDeque<Arc<Group>>,
}

#[derive(Debug, Default)]
struct Group {
    state: Mutex<GroupState>,
    /// For the first member: the group is due, or has a slot.
    turn: Condvar,
    /// For the others: the outcomes are there.
    done: Condvar,
}

#[derive(Debug, Default)]
struct GroupState {
    lines: Vec<u8>,
    points: usize,
    parts: Vec<Part>,
    /// The group is to gather no longer.
    is_due: bool,
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
            pace: Pace::new(WAIT_MAX, ENOUGH_POINTS.min(group_points_max)),
            gathering: None,
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
        let now = Instant::now();
        let quiet = LAST_DONE.get().map_or(Duration::MAX, |done| now - done);
        let outcome = self.write_after(now, quiet, points);
        LAST_DONE.set(Some(Instant::now()));
        outcome
    }

    /// As [`Self::write`], for a client that had no write under way for as long as `quiet`.
    fn write_after(
        &self,
        now: Instant,
        quiet: Duration,
        points: &Points<'_>,
    ) -> Result<(), StoreError> {
        let mut slots = lock(&self.slots);
        let (group, part) = if let Some(wait_max) = slots.pace.wait(now, quiet, points) {
            self.gather(slots, points, now + wait_max)
        } else if slots.has_one_for_a_newcomer() {
            slots.free -= 1;
            drop(slots);
            let _slot = TakenSlot(self);
            return self.sink.post(points);
        } else {
            let joined = self.join(&mut slots, points);
            drop(slots);
            joined
        };

        let mut state = lock(&group.state);
        if part == 0 {
            while !state.has_slot {
                state = wait(&group.turn, state);
            }
            self.lead(&group, state);
            state = lock(&group.state);
        }
        while state.outcomes.is_empty() {
            state = wait(&group.done, state);
        }
        state.outcomes[part].clone()
    }

    /// Adds a part to the group that gathers. Where there is none, opens one, waits with it for
    /// others at most until `due`, and then asks for a slot.
    fn gather(
        &self,
        mut slots: MutexGuard<'_, Slots>,
        points: &Points<'_>,
        due: Instant,
    ) -> (Arc<Group>, usize) {
        let group = match slots.gathering.take() {
            Some(group) if self.has_room(&group, points) => group,
            before => {
                if let Some(full) = before {
                    full.hurry();
                }
                Arc::default()
            }
        };
        let part = group.add(points);
        if group.has_enough(&slots.pace) {
            group.hurry();
        } else {
            slots.gathering = Some(Arc::clone(&group));
        }
        drop(slots);
        if part == 0 {
            group.await_others(due);
            self.queue(&group);
        }
        (group, part)
    }

    /// Closes a group that has gathered, and gives it a slot or has it wait for one.
    fn queue(&self, group: &Arc<Group>) {
        let mut slots = lock(&self.slots);
        slots
            .gathering
            .take_if(|gathering| Arc::ptr_eq(gathering, group));
        if slots.has_one_for_a_newcomer() {
            slots.free -= 1;
            lock(&group.state).has_slot = true;
        } else {
            slots.waiting.push_back(Arc::clone(group));
        }
    }

    /// Adds a part to the group that still takes others in, or to a new one.
    fn join(&self, slots: &mut Slots, points: &Points<'_>) -> (Arc<Group>, usize) {
        let open = slots
            .waiting
            .back()
            .filter(|group| self.has_room(group, points));
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

    /// Whether a group can take `points` in.
    fn has_room(&self, group: &Group, points: &Points<'_>) -> bool {
        let state = lock(&group.state);
        state.points + points.count <= self.group_points_max
            && state.lines.len() + points.lines.len() <= GROUP_BYTES_MAX
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
                group.turn.notify_one();
            }
            None => slots.free += 1,
        }
    }
}

impl Slots {
    /// Whether a slot is free, and nobody was here before.
    fn has_one_for_a_newcomer(&self) -> bool {
        self.free > 0 && self.waiting.is_empty()
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

    fn has_enough(&self, pace: &Pace) -> bool {
        let state = lock(&self.state);
        pace.is_enough(state.points, state.lines.len())
    }

    /// Ends the gathering early.
    fn hurry(&self) {
        lock(&self.state).is_due = true;
        self.turn.notify_one();
    }

    /// Returns when the group is told to hurry, or at `due`.
    fn await_others(&self, due: Instant) {
        let mut state = lock(&self.state);
        while !state.is_due {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = wait_timeout(&self.turn, state, left);
        }
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
        self.group.done.notify_all();
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

    const DEADLINE: Duration = Duration::from_secs(20);

    type Writer = thread::JoinHandle<Result<(), StoreError>>;

    fn write(group_commit: &Arc<GroupCommit<Script>>, lines: &'static str) -> Writer {
        let group_commit = Arc::clone(group_commit);
        thread::spawn(move || group_commit.write(&points(lines)))
    }

    fn points(lines: &str) -> Points<'_> {
        Points {
            lines: lines.as_bytes(),
            count: lines.lines().count(),
            first_ns: 0,
            last_ns: 0,
        }
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

    /// One whose writes come in a crowd, at `now`: they wait for `wait_max`, or for `enough_points`.
    fn crowded(
        group_commit: &Arc<GroupCommit<Script>>,
        now: Instant,
        wait_max: Duration,
        enough_points: usize,
    ) {
        let mut pace = Pace::new(wait_max, enough_points);
        let points = points("a\n");
        while pace.wait(now, Duration::MAX, &points).is_none() {}
        lock(&group_commit.slots).pace = pace;
    }

    /// Starts a quiet client's write at `now`.
    fn write_at(
        group_commit: &Arc<GroupCommit<Script>>,
        now: Instant,
        lines: &'static str,
    ) -> Writer {
        let group_commit = Arc::clone(group_commit);
        thread::spawn(move || group_commit.write_after(now, Duration::MAX, &points(lines)))
    }

    /// Waits until the group that gathers is as told; `None` if there is to be none.
    fn await_gathering(group_commit: &Arc<GroupCommit<Script>>, expected: Option<&str>) {
        until(|| {
            let slots = lock(&group_commit.slots);
            match (&slots.gathering, expected) {
                (Some(group), Some(lines)) => lock(&group.state).lines == lines.as_bytes(),
                (gathering, lines) => gathering.is_none() && lines.is_none(),
            }
        });
    }

    fn until(condition: impl Fn() -> bool) {
        let begin = Instant::now();
        while !condition() {
            assert!(begin.elapsed() < DEADLINE, "it never came to that");
            thread::yield_now();
        }
    }

    fn next(posts: &Posts) -> (String, Sender<Result<(), StoreError>>) {
        let (lines, answer) = posts.recv_timeout(DEADLINE).unwrap();
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

    #[test]
    fn gathers_a_crowd_until_there_is_enough() {
        let (group_commit, posts) = group_commit(2, 100);
        let now = Instant::now();
        crowded(&group_commit, now, 2 * DEADLINE, 3);
        let mut writers = vec![write_at(&group_commit, now, "a\n")];
        await_gathering(&group_commit, Some("a\n"));
        writers.push(write_at(&group_commit, now, "b\n"));
        await_gathering(&group_commit, Some("a\nb\n"));
        writers.push(write_at(&group_commit, now, "c\n"));
        let (lines, answer) = next(&posts);
        assert_eq!(lines, "a\nb\nc\n");
        answer.send(Ok(())).unwrap();
        for writer in writers {
            assert_eq!(writer.join().unwrap(), Ok(()));
        }
        await_gathering(&group_commit, None);
        assert_eq!(lock(&group_commit.slots).free, 2);
    }

    #[test]
    fn gathers_no_longer_than_the_pace_says() {
        let (group_commit, posts) = group_commit(1, 100);
        let now = Instant::now();
        crowded(&group_commit, now, Duration::from_millis(1), 3);
        let writer = write_at(&group_commit, now, "a\n");
        let (lines, answer) = next(&posts);
        assert_eq!(lines, "a\n");
        await_gathering(&group_commit, None);
        answer.send(Ok(())).unwrap();
        assert_eq!(writer.join().unwrap(), Ok(()));
    }

    #[test]
    fn who_has_gathered_waits_for_a_slot_that_a_large_write_took_at_once() {
        let (group_commit, posts) = group_commit(1, 100);
        let now = Instant::now();
        crowded(&group_commit, now, 2 * DEADLINE, 2);
        let first = write_at(&group_commit, now, "a\n");
        await_gathering(&group_commit, Some("a\n"));
        let large = write_at(&group_commit, now, "large\nlarge\n");
        let (lines, answer) = next(&posts);
        assert_eq!(lines, "large\nlarge\n");
        let second = write_at(&group_commit, now, "b\n");
        until(|| !lock(&group_commit.slots).waiting.is_empty());
        answer.send(Ok(())).unwrap();
        let (lines, answer) = next(&posts);
        assert_eq!(lines, "a\nb\n");
        answer.send(Err(rejected())).unwrap();
        for outcome in [Ok(()), Err(rejected())] {
            next(&posts).1.send(outcome).unwrap();
        }
        assert_eq!(large.join().unwrap(), Ok(()));
        assert_eq!(first.join().unwrap(), Ok(()));
        assert_eq!(second.join().unwrap(), Err(rejected()));
    }

    #[test]
    fn bounds_a_group_that_gathers() {
        let (group_commit, posts) = group_commit(1, 3);
        let now = Instant::now();
        crowded(&group_commit, now, 2 * DEADLINE, 3);
        let first = write_at(&group_commit, now, "a\nb\n");
        await_gathering(&group_commit, Some("a\nb\n"));
        let second = write_at(&group_commit, now, "c\nd\n");
        let (lines, answer) = next(&posts);
        assert_eq!(lines, "a\nb\n");
        answer.send(Ok(())).unwrap();
        assert_eq!(first.join().unwrap(), Ok(()));
        await_gathering(&group_commit, Some("c\nd\n"));
        let third = write_at(&group_commit, now, "e\n");
        let (lines, answer) = next(&posts);
        assert_eq!(lines, "c\nd\ne\n");
        answer.send(Ok(())).unwrap();
        assert!(second.join().unwrap().is_ok() && third.join().unwrap().is_ok());
    }
}
