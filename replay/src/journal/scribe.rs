//! Who takes down what a recording has to keep: the journal itself, or somebody who hands it on to the journal.

use std::io::Write;

use super::{BlockRun, JournalError, JournalWriter};
use crate::time::Stamp;

/// Something that a recording keeps.
pub enum Record {
    /// An event, as [`codec`](crate::codec) encodes it.
    Event {
        /// Its channel.
        source: &'static str,
        /// When it happened.
        at: Stamp,
        /// What happened.
        payload: Vec<u8>,
    },
    /// What disks had where the machine has read them.
    Reads {
        /// When, or later, but before the next event.
        at: Stamp,
        /// What they had.
        reads: Reads,
    },
    /// What has been taken down so far is to survive an accident.
    Flush,
}

impl Record {
    /// Bytes of it in the journal, roughly.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Record::Event { payload, .. } => payload.len(),
            Record::Reads { reads: Reads::Run(_, run), .. } => run.weight(),
            Record::Reads { reads: Reads::Later { bytes, .. }, .. } => *bytes,
            Record::Flush => 0,
        }
    }
}

/// Runs of blocks, now or when they are written.
pub enum Reads {
    /// A run on the disk of this number.
    Run(u32, BlockRun),
    /// Runs that whoever writes them fetches, if need be on another thread.
    Later {
        /// How many runs.
        runs: u64,
        /// Bytes in them.
        bytes: usize,
        /// Fetches them, in order.
        fetch: Fetch,
    },
}

/// Hands out runs of blocks, each with the number of its disk.
pub type Fetch = Box<dyn FnOnce(&mut EachRun<'_>) -> Result<(), JournalError> + Send>;

/// What is done with each run.
pub type EachRun<'a> = dyn FnMut(u32, &BlockRun) -> Result<(), JournalError> + 'a;

impl Reads {
    /// How many runs.
    #[must_use]
    pub fn runs(&self) -> u64 {
        match self {
            Reads::Run(..) => 1,
            Reads::Later { runs, .. } => *runs,
        }
    }
}

/// Takes records down, in order.
pub trait Scribe {
    /// Takes down `record`, at once or soon.
    ///
    /// # Errors
    /// This record, or one before it, cannot be kept.
    fn take(&mut self, record: Record) -> Result<(), JournalError>;

    /// Waits until all that was taken down is written.
    ///
    /// # Errors
    /// Something of it cannot be kept.
    fn sync(&mut self) -> Result<(), JournalError>;
}

impl<W: Write> Scribe for JournalWriter<W> {
    fn take(&mut self, record: Record) -> Result<(), JournalError> {
        match record {
            Record::Event { source, at, payload } => self.event(source, at, &payload),
            Record::Reads { at, reads: Reads::Run(disk, run) } => self.blocks(at, disk, &run),
            Record::Reads { at, reads: Reads::Later { fetch, .. } } => {
                fetch(&mut |disk, run| self.blocks(at, disk, run))
            }
            Record::Flush => self.flush(),
        }
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        Ok(())
    }
}
