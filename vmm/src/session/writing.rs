//! The thread that writes a recording: the machine does not wait for compression and files.

use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rrvmm_replay::journal::{Record, Scribe};
use rrvmm_replay::{JournalError, JournalWriter};

/// Weight that is handed over at once.
const BATCH: usize = 256 << 10;

/// Most weight that waits to be written; the machine waits for the rest. What disks had weighs as much, but takes no memory
/// before it is written.
const MOST: usize = 256 << 20;

/// By how much the thread is nicer than the machine's.
const NICE: i32 = 10;

/// What one record weighs beside its contents.
const RECORD: usize = size_of::<Record>();

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
        let done = work(Desk { queue: &queue, batch: Vec::new(), weight: 0 });
        let written = writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let failed = queue.state().failed.take();
        (done, failed.map_or(written, Err))
    })
}

/// Where the machine's side leaves what is to be written.
pub(super) struct Desk<'a> {
    queue: &'a Queue,
    batch: Vec<Record>,
    weight: usize,
}

impl Desk<'_> {
    fn hand_over(&mut self) -> Result<(), JournalError> {
        self.queue.put(&mut self.batch, std::mem::take(&mut self.weight))
    }
}

impl Scribe for Desk<'_> {
    fn take(&mut self, record: Record) -> Result<(), JournalError> {
        self.weight += RECORD + record.weight();
        let is_flush = matches!(record, Record::Flush);
        self.batch.push(record);
        if is_flush || self.weight >= BATCH { self.hand_over() } else { Ok(()) }
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
    records: Vec<Record>,
    /// Of the records, and of those that are being written.
    weight: usize,
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

    fn put(&self, records: &mut Vec<Record>, weight: usize) -> Result<(), JournalError> {
        let mut state = self.wait_while(|state| state.weight > MOST && !state.is_over);
        state.check()?;
        state.records.append(records);
        state.weight += weight;
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
            let mut state = self.wait_while(|state| state.records.is_empty() && !state.is_closed);
            let (records, weight) = (std::mem::take(&mut state.records), state.weight);
            drop(state);
            if records.is_empty() {
                return journal.finish();
            }
            if let Err(error) = records.into_iter().try_for_each(|record| journal.take(record)) {
                self.state().failed = Some(error);
                // Keep what there is; the first error is the one to report.
                return journal.finish();
            }
            self.state().weight -= weight;
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
