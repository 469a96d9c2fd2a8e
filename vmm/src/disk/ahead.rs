//! The disks' blocks in a recording, decoded before the machine wants them, by another thread.
//!
//! A guest reads in a replay what it has read in the recording, in the same order, so most often the next chunk is the one that is wanted next.
//! What is decoded does not depend on the thread, only how long the machine waits for it.

use rrvmm_replay::JournalError;
use rrvmm_replay::journal::{Block, Blocks, Decoded, Decoder};
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Seek};
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Chunks missing one after the other from which on the next ones are decoded ahead.
const IN_ORDER: u32 = 2;

/// Most chunks between two such that hold other things, such as events.
const BETWEEN: usize = 3;

/// How many chunks are decoded ahead: about two megabytes.
const AHEAD: usize = 32;

/// The blocks, and the thread that decodes ahead once it is worth it.
pub(super) struct Ahead<R> {
    blocks: Blocks<R>,
    helper: Option<Helper>,
    /// Chunk that was missing last.
    last: usize,
    /// How many were missing one behind the other.
    in_order: u32,
    /// The first chunk that the helper has not been asked for.
    unasked: usize,
}

impl<R: Read + Seek + Send + 'static> Ahead<R> {
    pub(super) fn new(blocks: Blocks<R>) -> Self {
        Self { blocks, helper: None, last: 0, in_order: 0, unasked: 0 }
    }

    /// All blocks, for somebody who wants them all.
    pub(super) fn blocks(&mut self) -> &mut Blocks<R> {
        &mut self.blocks
    }

    /// As [`Blocks::get`].
    pub(super) fn get(&mut self, disk: u32, block: u64) -> Result<Block<'_>, JournalError> {
        if let Some(chunk) = self.blocks.chunk_of(disk, block)
            && !self.blocks.has(chunk)
        {
            self.fetch(chunk);
        }
        self.blocks.get(disk, block)
    }

    fn fetch(&mut self, chunk: usize) {
        let follows = (self.last + 1..=self.last + 1 + BETWEEN).contains(&chunk);
        self.in_order = if follows { self.in_order.saturating_add(1) } else { 0 };
        self.last = chunk;
        if let Some(helper) = &self.helper
            // Whoever decodes it again finds the same error, and says it.
            && let Some(Ok(decoded)) = helper.take(chunk)
        {
            self.blocks.put(chunk, decoded);
        }
        if self.in_order >= IN_ORDER {
            self.ask(chunk);
        } else {
            self.unasked = 0;
        }
    }

    /// Lets the helper go on behind `chunk`, unless it has enough to do.
    fn ask(&mut self, chunk: usize) {
        let end = self.blocks.chunks().min(chunk + 1 + AHEAD);
        if self.unasked >= end || self.unasked > chunk + AHEAD / 2 {
            return;
        }
        if self.helper.is_none() {
            // Without it things are slower, not wrong.
            self.helper = Helper::start(self.blocks.decoder()).ok();
        }
        if let Some(helper) = &self.helper {
            helper.ask(chunk + 1..end, |n| self.blocks.has(n));
        }
        self.unasked = end;
    }
}

/// The thread that decodes.
struct Helper {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Desk {
    work: Mutex<Work>,
    changed: Condvar,
}

#[derive(Default)]
struct Work {
    wanted: VecDeque<usize>,
    doing: Option<usize>,
    done: BTreeMap<usize, Result<Decoded, JournalError>>,
    /// Nobody wants more.
    is_closed: bool,
}

impl Helper {
    fn start<R: Read + Seek + Send + 'static>(decoder: Decoder<R>) -> std::io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let of = Arc::clone(&desk);
        let thread = thread::Builder::new().name("decode".to_owned()).spawn(move || of.work(decoder))?;
        Ok(Self { desk, thread: Some(thread) })
    }

    /// Decodes these chunks next, and nothing else; what it has of others goes.
    fn ask(&self, chunks: Range<usize>, has: impl Fn(usize) -> bool) {
        let mut work = self.desk.lock();
        work.done.retain(|n, _| chunks.contains(n));
        work.wanted.clear();
        let Work { wanted, doing, done, .. } = &mut *work;
        wanted.extend(chunks.filter(|n| !has(*n) && !done.contains_key(n) && *doing != Some(*n)));
        self.desk.changed.notify_all();
    }

    /// Chunk `n`, if it has been begun; otherwise it is left to who wants it.
    fn take(&self, n: usize) -> Option<Result<Decoded, JournalError>> {
        let mut work = self.desk.lock();
        work.wanted.retain(|wanted| *wanted != n);
        let mut work = self
            .desk
            .changed
            .wait_while(work, |work| work.doing == Some(n))
            .unwrap_or_else(PoisonError::into_inner);
        work.done.remove(&n)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.desk.lock().is_closed = true;
        self.desk.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work<R: Read + Seek>(&self, mut decoder: Decoder<R>) {
        let _over = Over(self);
        loop {
            let work = self.changed.wait_while(self.lock(), |work| work.wanted.is_empty() && !work.is_closed);
            let mut work = work.unwrap_or_else(PoisonError::into_inner);
            if work.is_closed {
                return;
            }
            let Some(n) = work.wanted.pop_front() else { continue };
            work.doing = Some(n);
            drop(work);
            let decoded = decoder.decode(n);
            let mut work = self.lock();
            work.doing = None;
            work.done.insert(n, decoded);
            self.changed.notify_all();
        }
    }
}

/// Says that nothing more is decoded when the thread ends, however it does: nobody waits for it then.
struct Over<'a>(&'a Desk);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.lock().doing = None;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rrvmm_devices::Input;
    use rrvmm_replay::journal::{BLOCK_SIZE, Blob, BlockRun, Contents};
    use rrvmm_replay::{JournalReader, JournalWriter, Manifest, Stamp};
    use std::io::Cursor;

    /// Runs of 16 blocks, each in a chunk of its own, block `n` full of `n % 251`.
    fn blocks(runs: u64) -> Vec<u8> {
        let mut journal = JournalWriter::create::<Input>(Vec::new(), Manifest::default(), &[]).unwrap();
        for run in 0..runs {
            let bytes: Vec<u8> =
                (run * 16..run * 16 + 16).flat_map(|n| [(n % 251) as u8; BLOCK_SIZE]).collect();
            let run = BlockRun { first: run * 16, contents: Contents::Bytes(Blob(bytes)) };
            journal.blocks(Stamp::START, 0, &run).unwrap();
            journal.flush().unwrap();
        }
        journal.finish().unwrap()
    }

    fn open<R: Read + Seek + Send + 'static>(file: R) -> Ahead<R> {
        Ahead::new(JournalReader::open(file).unwrap().blocks())
    }

    fn check<R: Read + Seek + Send + 'static>(ahead: &mut Ahead<R>, n: u64) {
        assert_eq!(ahead.get(0, n).unwrap(), Block::Bytes(&[(n % 251) as u8; BLOCK_SIZE]), "block {n}");
    }

    #[test]
    fn blocks_are_the_same_in_any_order() {
        let mut ahead = open(Cursor::new(blocks(200)));
        for n in (0..3200).chain(0..3200) {
            check(&mut ahead, n);
        }
        for n in (0..450).rev().map(|n| n * 7) {
            check(&mut ahead, n);
        }
        for from in [100, 2000, 50] {
            (from..from + 300).for_each(|n| check(&mut ahead, n));
        }
        assert_eq!(ahead.get(0, 3200).unwrap(), Block::Missing);
        assert_eq!(ahead.get(1, 0).unwrap(), Block::Missing);
    }

    #[test]
    fn only_who_reads_in_order_has_it_decoded_ahead() {
        let mut ahead = open(Cursor::new(blocks(60)));
        for n in [0, 500, 90, 700, 300] {
            check(&mut ahead, n);
        }
        assert!(ahead.helper.is_none());
        (0..160).for_each(|n| check(&mut ahead, n));
        let desk = Arc::clone(&ahead.helper.as_ref().unwrap().desk);
        let idle = |work: &mut Work| !work.wanted.is_empty() || work.doing.is_some();
        let work = desk.changed.wait_while(desk.lock(), idle).unwrap();
        assert!(!work.done.is_empty() && work.done.len() <= AHEAD, "{}", work.done.len());
        drop(work);
        drop(ahead);
        assert!(desk.lock().is_closed);
    }

    /// A recording that the thread which decodes ahead dies of.
    struct Deadly(Cursor<Vec<u8>>);

    impl Read for Deadly {
        fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
            assert_ne!(thread::current().name(), Some("decode"), "as asked for");
            self.0.read(bytes)
        }
    }

    impl Seek for Deadly {
        fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
            self.0.seek(to)
        }
    }

    #[test]
    fn nobody_waits_for_a_thread_that_has_died() {
        let mut ahead = open(Deadly(Cursor::new(blocks(60))));
        // It is asked for more than is wanted so far.
        (0..160).for_each(|n| check(&mut ahead, n));
        let died = ahead.helper.as_mut().unwrap().thread.take().unwrap().join();
        assert!(died.is_err(), "it should have died");
        (160..960).for_each(|n| check(&mut ahead, n));
    }
}
