//! Where batches wait to be written, and when that is done.
//!
//! Packing and writing take a core, and memory's time, that the machine's helpers and whoever it talks to may need at that moment. So what
//! comes is only put down, as long as there is memory at hand for it, and is written when it is to survive an accident, which is once a
//! second. docs/performance.md says what that is worth.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rrvmm_replay::{JournalError, JournalWriter};

use super::Batch;

/// Most weight that waits to be written; the machine waits for the rest. What disks had weighs as much, but takes no memory
/// before it is written.
const MOST: usize = 256 << 20;

/// Weight that waits before it is written without being asked for.
const PLENTY: usize = MOST / 2;

/// Batches that wait before they are written without being asked for, and whose memory is at hand: 64 MiB, and a quarter for what does
/// not end with a batch. It is found before it is needed, since each page of it may be one that is new to the host.
const ROOM: usize = 256;

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
    /// So many of these somebody waits for, or wants to survive an accident.
    urgent: usize,
    /// Empty ones, whose memory is at hand.
    spare: Vec<Batch>,
    /// Nothing more comes.
    is_closed: bool,
    /// Nothing more is written.
    is_over: bool,
    /// Why, until somebody has been told.
    failed: Option<JournalError>,
}

impl Queue {
    /// Takes `batch` and leaves an empty one.
    pub(super) fn put(&self, batch: &mut Batch) -> Result<(), JournalError> {
        let mut state = self.wait_while(|state| state.weight > MOST && !state.is_over);
        state.check()?;
        state.weight += batch.weight;
        let empty = state.spare.pop().unwrap_or_default();
        state.batches.push_back(std::mem::replace(batch, empty));
        if state.is_due() {
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Lets what there is be written now.
    pub(super) fn hurry(&self) {
        let mut state = self.state();
        state.urgent = state.batches.len();
        self.changed.notify_all();
    }

    /// Waits until everything is written.
    pub(super) fn settle(&self) -> Result<(), JournalError> {
        self.hurry();
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
            match state.step() {
                Step::End => return None,
                Step::Write => {
                    state.urgent = state.urgent.saturating_sub(1);
                    return state.batches.pop_front();
                }
                Step::MakeRoom => {
                    drop(state);
                    let empty = Batch::with_room();
                    state = self.state();
                    state.spare.push(empty);
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
    /// Waits until there is something to do.
    Sleep,
    /// Nothing: all is written, and nothing more comes.
    End,
}

impl State {
    fn step(&self) -> Step {
        match self.batches.is_empty() {
            true if self.is_closed => Step::End,
            false if self.is_due() => Step::Write,
            _ if self.lacks_room() => Step::MakeRoom,
            _ => Step::Sleep,
        }
    }

    /// Whether the next batch is to be written, however busy everything is.
    fn is_due(&self) -> bool {
        self.is_closed || self.urgent > 0 || self.batches.len() >= ROOM || self.weight > PLENTY
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
