//! Where batches wait to be written, and when that is done.
//!
//! Packing and writing take a core, and memory's time, that the machine's helpers and whoever it talks to may need at that moment. So what
//! comes is only put down, as long as there is memory at hand for it, and is written when it is to survive an accident, which is once a
//! second, and then little by little. docs/performance.md says what that is worth.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rrvmm_replay::{JournalError, JournalWriter};

use super::Batch;

/// Most weight that waits to be written; the machine waits for the rest. What disks had weighs as much, but takes no memory
/// before it is written.
const MOST: usize = 256 << 20;

/// Weight that waits before it is written without being asked for.
const PLENTY: usize = MOST / 2;

/// Batches that wait before they are written without being asked for, and whose memory is at hand: 64 MiB, in 80 MiB since messages do
/// not end where a batch is full. It is found before it is needed, since each page of it may be one that is new to the host.
const ROOM: usize = 256;

/// How long what is to survive an accident may take until it does.
const SPREAD: Duration = Duration::from_millis(250);

/// By how much the thread is nicer than the machine's.
const NICE: i32 = 10;

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    batches: VecDeque<Batch>,
    /// Of these, and of the one that is being written.
    weight: usize,
    /// So many of these are to be written,
    urgent: usize,
    /// at this pace; none if somebody waits for them.
    pace: Option<Pace>,
    /// Empty ones, whose memory is at hand.
    spare: Vec<Batch>,
    /// Nothing more comes.
    is_closed: bool,
    /// Nothing more is written.
    is_over: bool,
    /// Why, until somebody has been told.
    failed: Option<JournalError>,
}

#[derive(Clone, Copy, Debug)]
struct Pace {
    /// When the next batch is to be written,
    next: Instant,
    /// and when the last one.
    last: Instant,
}

impl Queue {
    /// Takes `batch` and leaves an empty one.
    pub(super) fn put(&self, batch: &mut Batch) -> Result<(), JournalError> {
        let mut state = self.wait_while(|state| state.weight > MOST && !state.is_over);
        state.check()?;
        let empty = state.spare.pop().unwrap_or_default();
        state.put(std::mem::replace(batch, empty));
        if state.is_due() {
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Lets what there is be written soon.
    pub(super) fn secure(&self) {
        self.state().secure(Instant::now());
        self.changed.notify_all();
    }

    /// Waits until everything is written.
    pub(super) fn settle(&self) -> Result<(), JournalError> {
        self.state().hurry();
        self.changed.notify_all();
        self.wait_while(|state| state.weight > 0 && !state.is_over).check()
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.changed.notify_all();
    }

    /// What went wrong, unless somebody has been told.
    pub(super) fn failure(&self) -> Option<JournalError> {
        self.state().failed.take()
    }

    /// Writes all that comes, until nothing more does.
    pub(super) fn write<W: Write>(&self, mut journal: JournalWriter<W>) -> Result<W, JournalError> {
        let _over = Over(self);
        // Behind the machine, and behind what its network talks to. Without it things are slower, not wrong.
        let _ = rustix::process::nice(NICE);
        // For top and perf.
        let _ = rustix::thread::set_name(c"recording");
        while let Some(mut batch) = self.next() {
            let weight = batch.weight;
            if let Err(error) = batch.write(&mut journal) {
                self.state().failed = Some(error);
                // Keep what there is; the first error is the one to report.
                break;
            }
            let mut state = self.state();
            state.weight -= weight;
            if state.lacks_room() && batch.is_handy() {
                state.spare.push(batch);
            }
            drop(state);
            self.changed.notify_all();
        }
        journal.finish()
    }

    /// What is to be written next, once it is time; none if nothing more comes.
    fn next(&self) -> Option<Batch> {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            match state.step(now) {
                Step::End => return None,
                Step::Write => return state.take(now),
                Step::MakeRoom => {
                    drop(state);
                    let empty = Batch::with_room();
                    state = self.state();
                    state.spare.push(empty);
                }
                Step::Rest(time) => {
                    let rested = self.changed.wait_timeout(state, time);
                    state = rested.unwrap_or_else(PoisonError::into_inner).0;
                }
                Step::Sleep => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, condition: impl FnMut(&mut State) -> bool) -> MutexGuard<'_, State> {
        let state = self.state();
        self.changed.wait_while(state, condition).unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread does next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Writes a batch.
    Write,
    /// Finds memory for one.
    MakeRoom,
    /// Waits for this long, or until there is something else to do.
    Rest(Duration),
    /// Waits until there is something to do.
    Sleep,
    /// Nothing: all is written, and nothing more comes.
    End,
}

impl State {
    fn put(&mut self, batch: Batch) {
        self.weight += batch.weight;
        self.batches.push_back(batch);
    }

    /// Everything is to be written soon.
    fn secure(&mut self, now: Instant) {
        // What has not been written of what was to be is late, or somebody waits for it.
        if self.urgent == 0 {
            self.pace = Some(Pace { next: now, last: now + SPREAD });
        }
        self.urgent = self.batches.len();
    }

    /// Somebody waits for everything.
    fn hurry(&mut self) {
        self.urgent = self.batches.len();
        self.pace = None;
    }

    /// The next batch, which is written now.
    fn take(&mut self, now: Instant) -> Option<Batch> {
        self.urgent = self.urgent.saturating_sub(1);
        if let Some(pace) = &mut self.pace {
            let left = u32::try_from(self.urgent).unwrap_or(u32::MAX);
            pace.next = now + pace.last.saturating_duration_since(now) / left.max(1);
        }
        self.batches.pop_front()
    }

    fn step(&self, now: Instant) -> Step {
        let rest = self.pace.map_or(Duration::ZERO, |pace| pace.next.saturating_duration_since(now));
        match self.batches.is_empty() {
            true if self.is_closed => Step::End,
            false if self.is_due() || self.urgent > 0 && rest.is_zero() => Step::Write,
            _ if self.lacks_room() => Step::MakeRoom,
            false if self.urgent > 0 => Step::Rest(rest),
            _ => Step::Sleep,
        }
    }

    /// Whether the next batch is to be written at once, however busy everything is.
    fn is_due(&self) -> bool {
        self.is_closed
            || self.urgent > 0 && self.pace.is_none()
            || self.batches.len() >= ROOM
            || self.weight > PLENTY
    }

    fn lacks_room(&self) -> bool {
        self.spare.len() + self.batches.len() < ROOM
    }

    fn check(&mut self) -> Result<(), JournalError> {
        match self.failed.take() {
            Some(error) => Err(error),
            None if self.is_over => Err(JournalError::Ended),
            None => Ok(()),
        }
    }
}

/// Says that nothing more is written when the thread ends, however it does.
struct Over<'a>(&'a Queue);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.state().is_over = true;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> State {
        let mut state = State::default();
        for _ in 0..ROOM {
            state.spare.push(Batch::default());
        }
        state
    }

    #[test]
    fn batches_wait_until_they_are_wanted_or_too_many() {
        let (mut state, now) = (State::default(), Instant::now());
        assert_eq!(state.step(now), Step::MakeRoom);
        state.put(Batch::default());
        assert_eq!(state.step(now), Step::MakeRoom);
        for n in 1..ROOM {
            state.put(Batch::default());
            assert_eq!(state.step(now), if n + 1 < ROOM { Step::MakeRoom } else { Step::Write });
        }
        assert!(state.take(now).is_some());
        state.spare.push(Batch::default());
        assert_eq!(state.step(now), Step::Sleep);
        state.put(Batch { weight: PLENTY + 1, ..Batch::default() });
        assert_eq!(state.step(now), Step::Write);
    }

    #[test]
    fn what_is_to_survive_is_written_little_by_little_and_in_time() {
        let (mut state, start) = (full(), Instant::now());
        assert_eq!(state.step(start), Step::Sleep);
        for _ in 0..4 {
            state.put(Batch::default());
        }
        assert_eq!(state.step(start), Step::Sleep);
        state.secure(start);
        state.put(Batch::default());
        let mut now = start;
        for left in (0..4).rev() {
            assert_eq!(state.step(now), Step::Write);
            assert!(state.take(now).is_some());
            let Step::Rest(rest) = state.step(now) else {
                assert_eq!((left, state.step(now)), (0, Step::Sleep));
                break;
            };
            now += rest;
        }
        assert!(now <= start + SPREAD && now > start + SPREAD / 2, "{:?}", now - start);
        assert_eq!(state.batches.len(), 1);
    }

    #[test]
    fn what_is_late_or_waited_for_is_written_at_once() {
        let (mut state, start) = (full(), Instant::now());
        for _ in 0..9 {
            state.put(Batch::default());
        }
        state.secure(start);
        assert!(state.take(start).is_some());
        assert!(matches!(state.step(start), Step::Rest(_)));
        // The next wish does not put off what is late already.
        state.secure(start + SPREAD);
        assert_eq!(state.step(start + SPREAD), Step::Write);
        assert!(state.take(start + SPREAD).is_some());
        assert_eq!(state.step(start + SPREAD), Step::Write);
        let (mut state, start) = (full(), Instant::now());
        for _ in 0..9 {
            state.put(Batch::default());
        }
        state.secure(start);
        state.hurry();
        for _ in 0..9 {
            assert_eq!(state.step(start), Step::Write);
            assert!(state.take(start).is_some());
        }
        assert_eq!(state.step(start), Step::Sleep);
        state.is_closed = true;
        assert_eq!(state.step(start), Step::End);
    }
}
