//! The thread that reads and writes checkpoints, so that no machine waits for a disk; and that dies alone if the database
//! library finds something that it holds to be impossible.

use super::error::{CheckpointError, Fault};
use super::store::Store;
use crate::host::thread_time;
use crate::machine::Snapshot;
use rrvmm_devices::PcConfig;
use rrvmm_replay::{Digest, Position, Stamp, VirtualTime};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is asked of the thread.
pub(super) enum Job {
    Keep { at: Stamp, events: u64, state: Snapshot },
    Load { at: Position, reply: Sender<(Snapshot, u64)> },
    Remove(Position),
    End,
}

/// What both sides see.
#[derive(Default)]
pub(super) struct Shared {
    moments: Mutex<BTreeMap<Position, VirtualTime>>,
    trouble: Mutex<Option<CheckpointError>>,
    /// Set once; nothing is read or written any more.
    pub(super) is_over: AtomicBool,
    /// Whoever waits for the thread's end has waited long enough.
    pub(super) stop: AtomicBool,
    /// Nanoseconds of processor time spent on writing.
    pub(super) writing: AtomicU64,
    /// Jobs that were sent and are not done.
    pub(super) pending: AtomicUsize,
}

impl Shared {
    pub(super) fn moments(&self) -> MutexGuard<'_, BTreeMap<Position, VirtualTime>> {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it all, for this reason unless there is one already.
    pub(super) fn give_up(&self, reason: CheckpointError) {
        self.is_over.store(true, Ordering::Relaxed);
        self.moments().clear();
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
    }

    pub(super) fn take_trouble(&self) -> Option<CheckpointError> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The thread's state.
pub(super) struct Worker {
    pub(super) directory: PathBuf,
    pub(super) recording: Digest,
    pub(super) config: PcConfig,
    pub(super) budget: u64,
    pub(super) shared: Arc<Shared>,
    pub(super) store: Option<Store>,
}

/// Says so if the thread ends before its time.
struct Alarm<'a>(&'a Shared, PathBuf);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let what = "its reader gave up".to_owned();
            self.0.give_up(CheckpointError::Damaged { path: self.1.clone(), what });
        }
    }
}

impl Worker {
    /// Opens what there is, says so through `ready`, and works until [`Job::End`] or a fault.
    pub(super) fn work(mut self, jobs: &Receiver<Job>, ready: &Sender<()>) {
        let shared = Arc::clone(&self.shared);
        let alarm = Alarm(&shared, self.directory.clone());
        let opened = if Store::is_in(&self.directory) { self.open().map(|_| ()) } else { Ok(()) };
        // Whoever waits until they are open can then ask what is wrong.
        let is_open = opened.map_err(|fault| shared.give_up(fault.at(self.directory.clone()))).is_ok();
        // Nobody may wait for it.
        let _ = ready.send(());
        let mut fault = None;
        while is_open && fault.is_none() {
            let job = match jobs.recv() {
                Ok(Job::End) | Err(_) => break,
                Ok(job) => job,
            };
            fault = self.do_job(job).err();
            shared.pending.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(fault) = fault {
            shared.give_up(fault.at(self.directory.clone()));
        }
        drop(alarm);
    }

    fn open(&mut self) -> Result<&mut Store, Fault> {
        if self.store.is_none() {
            let store = Store::open(&self.directory, self.recording, self.budget)?;
            *self.shared.moments() = store.moments()?;
            self.store = Some(store);
        }
        self.store.as_mut().ok_or_else(|| Fault::damaged("nothing is open"))
    }

    fn do_job(&mut self, job: Job) -> Result<(), Fault> {
        let shared = Arc::clone(&self.shared);
        match job {
            Job::Keep { at, events, state } => {
                let begun = thread_time();
                let store = self.open()?;
                if store.keep(at, events, &state, &shared.stop)? {
                    *shared.moments() = store.moments()?;
                }
                let spent = thread_time().saturating_sub(begun).as_nanos();
                shared.writing.fetch_add(u64::try_from(spent).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
            Job::Load { at, reply } => {
                let (state, events) = self.open()?.load(at)?;
                if !state.core().fits(&self.config) {
                    return Err(Fault::damaged("a state of another machine"));
                }
                // Whoever asked may have gone.
                let _ = reply.send((state, events));
            }
            Job::Remove(at) => {
                shared.moments().remove(&at);
                self.open()?.remove(at)?;
            }
            Job::End => {}
        }
        Ok(())
    }
}
