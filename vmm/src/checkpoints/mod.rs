//! Checkpoints beside a recording, in `NAME.rrvm.cache/`: a cache, without which everything takes longer and nothing else.
//!
//! They are taken at digests, where the recording itself says whether what is read back is the machine's state. Written are
//! the pages that differ from the checkpoint before, in blocks, by a thread of its own.

mod error;
mod pace;
mod store;
mod tables;
#[cfg(test)]
mod tests;
mod worker;

use crate::machine::Snapshot;
use crate::session::Setup;
use pace::Pace;
use rrvmm_replay::timeline::Shelf;
use rrvmm_replay::{Digest, Hasher, Position, Stamp};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use worker::{Job, Shared, Worker};

pub use error::CheckpointError;

/// Name of the thread that reads and writes them. It is expected to panic over a damaged database.
pub const THREAD: &str = "checkpoints";

/// Bytes that the checkpoints of a recording may take on disk.
pub const BUDGET: u64 = 2 << 30;

/// Virtual time between two checkpoints, unless the user says otherwise.
pub const EVERY: Duration = Duration::from_secs(1);

/// How long the end of a session waits for a checkpoint that is being written.
/// Tests open them again at once, on a host that may be busy.
const PATIENCE: Duration = Duration::from_millis(if cfg!(test) { 20_000 } else { 300 });

/// Where the checkpoints of `recording` are.
#[must_use]
pub fn directory_of(recording: &Path) -> PathBuf {
    let mut name: OsString = recording.as_os_str().to_owned();
    name.push(".cache");
    PathBuf::from(name)
}

/// Deletes those in `directory`, if there are any.
pub fn discard(directory: &Path) {
    // Without permission they stay, and are found to be of another recording.
    let _ = std::fs::remove_file(directory.join(store::FILE));
    let _ = std::fs::remove_dir(directory);
}

/// What tells one recording from every other: what its machine is built from, and when.
#[must_use]
pub(crate) fn identity(setup: &Setup, wall_clock: i64) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(format!("{:?} {:?} {:?}", setup.pc, setup.source.cmdline, setup.disks).as_bytes());
    for (name, bytes) in setup.files() {
        hasher.update(name.as_bytes());
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    }
    hasher.update(&wall_clock.to_le_bytes());
    hasher.finish()
}

/// The checkpoints of one recording, open.
pub struct Checkpoints {
    shelf: DiskShelf,
    done: Receiver<()>,
}

/// The [`Shelf`] of a timeline or a session. Clones lead to the same checkpoints.
#[derive(Clone)]
pub struct DiskShelf {
    jobs: SyncSender<Job>,
    shared: Arc<Shared>,
    /// None: nothing is written.
    pace: Option<Arc<Mutex<Pace>>>,
}

impl Checkpoints {
    /// Opens those in `directory`, of the recording of a machine of `setup` whose clock was set to `wall_clock`; they are
    /// made when the first one is due. New ones come at least `every` apart, in virtual time, and none without it; all that
    /// can be had if it is zero.
    ///
    /// What is wrong with them, [`trouble`](Self::trouble) says; they are then as good as not there.
    #[must_use]
    pub fn open(directory: PathBuf, setup: &Setup, wall_clock: i64, every: Option<Duration>) -> Self {
        Self::with_budget(directory, setup, wall_clock, every, BUDGET)
    }

    fn with_budget(
        directory: PathBuf,
        setup: &Setup,
        wall_clock: i64,
        every: Option<Duration>,
        budget: u64,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        // One to write while the machine takes the next; a load waits its turn.
        let (jobs, queue) = sync_channel(1);
        let (ready, opened) = channel();
        let (end, done) = channel();
        let worker = Worker {
            directory: directory.clone(),
            recording: identity(setup, wall_clock),
            config: setup.pc.clone(),
            budget,
            shared: Arc::clone(&shared),
            store: None,
        };
        let spawned = std::thread::Builder::new().name(THREAD.to_owned()).spawn(move || {
            // Dropped at the thread's end, however that comes.
            let _end = end;
            worker.work(&queue, &ready);
        });
        match spawned {
            // An error here is a panic there, which has been noted.
            Ok(_) => drop(opened.recv()),
            Err(source) => shared.give_up(CheckpointError::Host { path: directory, source }),
        }
        let pace = every.map(|every| Arc::new(Mutex::new(Pace::new(every))));
        Self { shelf: DiskShelf { jobs, shared, pace }, done }
    }

    /// For a timeline or a session.
    #[must_use]
    pub fn shelf(&self) -> DiskShelf {
        self.shelf.clone()
    }

    /// Where they are, ascending.
    #[must_use]
    pub fn positions(&self) -> Vec<Position> {
        self.shelf.shared.moments().keys().copied().collect()
    }

    /// What has gone wrong with them, once.
    #[must_use]
    pub fn trouble(&self) -> Option<CheckpointError> {
        self.shelf.shared.take_trouble()
    }

    /// Ends the work; what is being written may be finished if that takes no time. Gives what has gone wrong.
    pub fn finish(self) -> Option<CheckpointError> {
        // With a full queue or without a thread it ends by itself, or has.
        let _ = self.shelf.jobs.try_send(Job::End);
        if matches!(self.done.recv_timeout(PATIENCE), Err(std::sync::mpsc::RecvTimeoutError::Timeout)) {
            self.shelf.shared.stop.store(true, Ordering::Relaxed);
        }
        self.trouble()
    }
}

impl DiskShelf {
    /// The same checkpoints, with none added.
    #[must_use]
    pub fn read_only(&self) -> Self {
        Self { pace: None, ..self.clone() }
    }

    fn send(&self, job: Job) -> bool {
        self.shared.pending.fetch_add(1, Ordering::Relaxed);
        let sent = !self.shared.is_over.load(Ordering::Relaxed) && self.jobs.send(job).is_ok();
        if !sent {
            self.shared.pending.fetch_sub(1, Ordering::Relaxed);
        }
        sent
    }
}

impl Shelf<Snapshot> for DiskShelf {
    fn nearest(&self, at: Position) -> Option<Position> {
        self.shared.moments().range(..=at).next_back().map(|(at, _)| *at)
    }

    fn load(&mut self, at: Position) -> Option<(Snapshot, u64)> {
        let (reply, loaded) = channel();
        let loaded = if self.send(Job::Load { at, reply }) { loaded.recv().ok() } else { None };
        if loaded.is_none() {
            self.shared.moments().remove(&at);
        }
        loaded
    }

    fn refuse(&mut self, at: Position) {
        self.shared.moments().remove(&at);
        self.send(Job::Remove(at));
    }

    fn wants(&mut self, at: Stamp) -> bool {
        let Some(pace) = &self.pace else { return false };
        let before = {
            let moments = self.shared.moments();
            let before = moments.range(..=at.position).next_back();
            before.map_or(Stamp::START, |(position, time)| Stamp::new(*position, *time))
        };
        let is_idle = self.shared.pending.load(Ordering::Relaxed) == 0;
        let writing = Duration::from_nanos(self.shared.writing.load(Ordering::Relaxed));
        is_idle
            && !self.shared.is_over.load(Ordering::Relaxed)
            && pace.lock().unwrap_or_else(PoisonError::into_inner).allow(before, at, writing)
    }

    fn put(&mut self, at: Stamp, state: Snapshot, events: u64) {
        if let Some(pace) = &self.pace {
            pace.lock().unwrap_or_else(PoisonError::into_inner).took();
        }
        // Nothing was pending, so this does not wait.
        self.send(Job::Keep { at, events, state });
    }
}
