//! The thread that writes a recording: the machine does not wait for compression and files.

mod queue;

use std::io::Write;
use std::thread;

use rrvmm_replay::journal::{Encode, Reads, Scribe, write_message};
use rrvmm_replay::{JournalError, JournalWriter, Stamp};

use self::queue::Queue;

/// Weight that is handed over at once.
const BATCH: usize = 256 << 10;

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
        (done, queue.failure().map_or(written, Err))
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
    /// An empty one, whose memory the host has found already.
    fn with_room() -> Self {
        // Zeros the host would promise, and find when they are written to.
        let mut messages = vec![1; BATCH + BATCH / 4];
        messages.clear();
        Self { messages, ..Self::default() }
    }

    /// Whether its memory is worth keeping: no more than a batch takes in general.
    fn is_handy(&self) -> bool {
        (BATCH..=2 * BATCH).contains(&self.messages.capacity())
    }

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
        self.hand_over()?;
        self.queue.secure();
        Ok(())
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
        self.queue.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rrvmm_devices::Input;
    use rrvmm_replay::Manifest;
    use std::io;
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    /// Bytes of a message, packed or not.
    const LENGTH: usize = 64 << 10;

    #[derive(Clone, Default)]
    struct File(Arc<Mutex<Vec<u8>>>);

    impl File {
        fn length(&self) -> usize {
            self.0.lock().unwrap().len()
        }
    }

    impl Write for File {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn record<T>(work: impl FnOnce(&mut Desk<'_>, &File) -> T) -> (T, File) {
        let file = File::default();
        let journal = JournalWriter::create::<Input>(file.clone(), Manifest::default(), &[]).unwrap();
        let (done, written) = beside(journal, |mut desk| work(&mut desk, &file));
        written.unwrap();
        (done, file)
    }

    fn put_down(desk: &mut Desk<'_>, messages: usize) {
        for n in 0..messages as u64 {
            let words =
                (n << 32..).take(LENGTH / 8).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).swap_bytes());
            desk.event("serial0", Stamp::START, |out: &mut Vec<u8>| {
                out.extend(words.flat_map(|word| (word ^ word >> 29).to_le_bytes()));
                Ok(())
            })
            .unwrap();
        }
    }

    fn wait_for(file: &File, length: usize) {
        let start = Instant::now();
        while file.length() < length {
            assert!(start.elapsed() < Duration::from_secs(60), "{} bytes of {length}", file.length());
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn what_is_put_down_is_written_when_it_is_flushed_and_not_before() {
        let ((), file) = record(|desk, file| {
            let beginning = file.length();
            put_down(desk, 100);
            thread::sleep(Duration::from_millis(50));
            assert_eq!(file.length(), beginning);
            desk.flush().unwrap();
            wait_for(file, beginning + 100 * LENGTH);
            put_down(desk, 100);
            desk.sync().unwrap();
            assert!(file.length() > beginning + 199 * LENGTH, "{}", file.length());
            put_down(desk, 1);
        });
        assert!(file.length() > 201 * LENGTH);
    }

    #[test]
    fn what_nobody_flushes_is_written_when_there_is_no_more_room() {
        record(|desk, file| {
            let beginning = file.length();
            put_down(desk, 3000);
            wait_for(file, beginning + 1000 * LENGTH);
        });
    }
}
