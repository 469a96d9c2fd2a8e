//! The thread that writes a recording: the machine does not wait for compression and files.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rrvmm_replay::journal::{Encode, Reads, Scribe, write_message};
use rrvmm_replay::{JournalError, JournalWriter, Stamp};

/// Weight that is handed over at once.
const BATCH: usize = 256 << 10;

/// Most weight that waits to be written; the machine waits for the rest. What disks had weighs as much, but takes no memory
/// before it is written.
const MOST: usize = 256 << 20;

/// Batches whose memory is kept for later ones.
const SPARE: usize = 16;

/// By how much the thread is nicer than the machine's.
const NICE: i32 = 10;

/// Does `work`, with someone who writes down for it on another thread. Gives the writer back once everything is written.
///
/// # Errors
/// Something could not be written, and `work` has not been told.
pub(super) fn beside<W, T>(
    journal: JournalWriter<W>,
    work: impl FnOnce(Desk<'_>) -> T,
) -> (T, Result<W, JournalError>)
where
    W: Write + Send,
{
    let queue = Queue::default();
    thread::scope(|scope| {
        let writing = scope.spawn(|| queue.write(journal));
        let done = work(Desk { queue: &queue, batch: Batch::default() });
        let written = writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let failed = queue.state().failed.take();
        (done, failed.map_or(written, Err))
    })
}

/// What is to be written, in order.
#[derive(Default)]
struct Batch {
    records: Vec<Record>,
    /// The messages of the events, one behind the other.
    messages: Vec<u8>,
    /// Bytes of all that.
    weight: usize,
}

enum Record {
    /// Its message ends there in those of the batch.
    Event { source: &'static str, at: Stamp, end: usize },
    /// See [`Scribe::reads`].
    Reads { at: Stamp, reads: Reads },
    /// See [`Scribe::flush`].
    Flush,
}

impl Batch {
    fn push(&mut self, record: Record, weight: usize) {
        self.records.push(record);
        self.weight += size_of::<Record>() + weight;
    }

    /// Writes everything and is empty then, whatever happens.
    fn write<W: Write>(&mut self, journal: &mut JournalWriter<W>) -> Result<(), JournalError> {
        let mut begin = 0;
        let written = self.records.drain(..).try_for_each(|record| match record {
            Record::Event { source, at, end } => {
                journal.message(source, at, &self.messages[std::mem::replace(&mut begin, end)..end])
            }
            Record::Reads { at, reads } => journal.reads(at, reads),
            Record::Flush => journal.flush(),
        });
        self.messages.clear();
        self.weight = 0;
        written
    }
}

/// Where the machine's side leaves what is to be written.
pub(super) struct Desk<'a> {
    queue: &'a Queue,
    batch: Batch,
}

impl Desk<'_> {
    fn push(&mut self, record: Record, weight: usize) -> Result<(), JournalError> {
        self.batch.push(record, weight);
        if self.batch.weight >= BATCH { self.hand_over() } else { Ok(()) }
    }

    fn hand_over(&mut self) -> Result<(), JournalError> {
        self.queue.put(&mut self.batch)
    }
}

impl Scribe for Desk<'_> {
    fn event(&mut self, source: &'static str, at: Stamp, event: impl Encode) -> Result<(), JournalError> {
        let messages = &mut self.batch.messages;
        let begin = messages.len();
        if let Err(error) = write_message(at, event, messages) {
            messages.truncate(begin);
            return Err(error.into());
        }
        let end = messages.len();
        self.push(Record::Event { source, at, end }, end - begin)
    }

    fn reads(&mut self, at: Stamp, reads: Reads) -> Result<(), JournalError> {
        let weight = reads.weight();
        self.push(Record::Reads { at, reads }, weight)
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        self.batch.push(Record::Flush, 0);
        self.hand_over()
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        self.hand_over()?;
        self.queue.settle()
    }
}

impl Drop for Desk<'_> {
    fn drop(&mut self) {
        // Whoever waits for the thread hears of what went wrong.
        let _ = self.hand_over();
        self.queue.state().is_closed = true;
        self.queue.changed.notify_all();
    }
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    batches: VecDeque<Batch>,
    /// Of these, and of the one that is being written.
    weight: usize,
    /// Has been written: its memory is at hand.
    spare: Vec<Batch>,
    /// Nothing more comes.
    is_closed: bool,
    /// Nothing more is written.
    is_over: bool,
    /// Why, until somebody has been told.
    failed: Option<JournalError>,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, condition: impl FnMut(&mut State) -> bool) -> MutexGuard<'_, State> {
        let state = self.state();
        self.changed.wait_while(state, condition).unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `batch` and leaves an empty one.
    fn put(&self, batch: &mut Batch) -> Result<(), JournalError> {
        let mut state = self.wait_while(|state| state.weight > MOST && !state.is_over);
        state.check()?;
        state.weight += batch.weight;
        let empty = state.spare.pop().unwrap_or_default();
        state.batches.push_back(std::mem::replace(batch, empty));
        self.changed.notify_all();
        Ok(())
    }

    fn settle(&self) -> Result<(), JournalError> {
        self.wait_while(|state| state.weight > 0 && !state.is_over).check()
    }

    /// Writes all that comes, until nothing more does.
    fn write<W: Write>(&self, mut journal: JournalWriter<W>) -> Result<W, JournalError> {
        let _over = Over(self);
        // Behind the machine, and behind what its network talks to. Without it things are slower, not wrong.
        let _ = rustix::process::nice(NICE);
        // For top and perf.
        let _ = rustix::thread::set_name(c"recording");
        loop {
            let mut state = self.wait_while(|state| state.batches.is_empty() && !state.is_closed);
            let Some(mut batch) = state.batches.pop_front() else {
                drop(state);
                return journal.finish();
            };
            drop(state);
            let weight = batch.weight;
            if let Err(error) = batch.write(&mut journal) {
                self.state().failed = Some(error);
                // Keep what there is; the first error is the one to report.
                return journal.finish();
            }
            let mut state = self.state();
            state.weight -= weight;
            if state.spare.len() < SPARE {
                state.spare.push(batch);
            }
            drop(state);
            self.changed.notify_all();
        }
    }
}

impl State {
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
