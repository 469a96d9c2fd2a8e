//! Who takes down what a recording has to keep: the journal itself, or somebody who hands it on to the journal.

use std::io::Write;

use super::{BlockRun, JournalError, JournalWriter};
use crate::codec::{self, CodecError};
use crate::time::Stamp;

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

    /// Bytes in them, roughly.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Reads::Run(_, run) => run.weight(),
            Reads::Later { bytes, .. } => *bytes,
        }
    }
}

/// Appends an event to a message, as [`codec`](crate::codec) encodes it.
pub trait Encode: FnOnce(&mut Vec<u8>) -> Result<(), CodecError> {}

impl<F: FnOnce(&mut Vec<u8>) -> Result<(), CodecError>> Encode for F {}

/// Takes down what happens, in order, at once or soon. Who is told of an error may be told of an earlier one.
pub trait Scribe {
    /// Takes down an event of channel `source`.
    ///
    /// # Errors
    /// Something cannot be kept.
    fn event(&mut self, source: &'static str, at: Stamp, event: impl Encode) -> Result<(), JournalError>;

    /// Takes down what disks had where the machine has read them, at `at` or before, but after the last event.
    ///
    /// # Errors
    /// Something cannot be kept.
    fn reads(&mut self, at: Stamp, reads: Reads) -> Result<(), JournalError>;

    /// What has been taken down so far is to survive an accident.
    ///
    /// # Errors
    /// Something cannot be kept.
    fn flush(&mut self) -> Result<(), JournalError>;

    /// Waits until all that was taken down is written.
    ///
    /// # Errors
    /// Something cannot be kept.
    fn sync(&mut self) -> Result<(), JournalError>;
}

/// The bytes of a message: the position, then the event. The virtual time is the container's `log_time`.
///
/// # Errors
/// The event cannot be encoded.
pub fn write_message(at: Stamp, event: impl Encode, out: &mut Vec<u8>) -> Result<(), CodecError> {
    codec::write_to(&at.position, out)?;
    event(out)
}

impl<W: Write> Scribe for JournalWriter<W> {
    fn event(&mut self, source: &'static str, at: Stamp, event: impl Encode) -> Result<(), JournalError> {
        self.encode(source, at, event)
    }

    fn reads(&mut self, at: Stamp, reads: Reads) -> Result<(), JournalError> {
        match reads {
            Reads::Run(disk, run) => self.blocks(at, disk, &run),
            Reads::Later { fetch, .. } => fetch(&mut |disk, run| self.blocks(at, disk, run)),
        }
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        JournalWriter::flush(self)
    }

    fn sync(&mut self) -> Result<(), JournalError> {
        Ok(())
    }
}
