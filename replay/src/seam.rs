//! The boundary: everything from outside reaches a device as [`Admitted`], which only this module makes.
//!
//! A session's loop is generic over [`Seam`]. What a seam takes from the host is its [`Seam::Offer`]: the input itself
//! for [`Recorder`] and [`Unrecorded`], [`Infallible`](std::convert::Infallible) for [`Replayer`]. So a replaying
//! session cannot be given a source of host inputs: no value of the type it would have to produce exists.

mod recorder;
mod replayer;
mod unrecorded;

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::MachineDigest;
use crate::divergence::Divergence;
use crate::end::EndReason;
use crate::journal::{Cut, JournalError};
use crate::time::{Position, Stamp, VirtualTime};

pub use recorder::{DigestSchedule, FirstReads, Recorder};
pub use replayer::{Replayer, Rewind};
pub use unrecorded::Unrecorded;

/// An input that has crossed the boundary: already in the journal (recording) or out of it (replaying).
#[derive(Debug)]
pub struct Admitted<I> {
    input: I,
    at: Stamp,
}

impl<I> Admitted<I> {
    fn new(input: I, at: Stamp) -> Self {
        Self { input, at }
    }

    /// Where in the run the input arrives.
    pub fn at(&self) -> Position {
        self.at.position
    }

    /// When in the run the input arrives: in a sleep the guest's clock goes on while the position stands still.
    pub fn stamp(&self) -> Stamp {
        self.at
    }

    /// The input, to look at.
    pub fn input(&self) -> &I {
        &self.input
    }

    /// The input, for the device it is meant for.
    pub fn into_input(self) -> I {
        self.input
    }
}

/// What a board takes from outside: a plain value with a source and a line to show to people.
///
/// The encoding is part of the recording format: variants and fields are only added, at the end.
pub trait Input: Serialize + DeserializeOwned + fmt::Debug {
    /// Every source there is; each becomes a channel of the journal.
    const SOURCES: &'static [&'static str];

    /// Where this input comes from: one of [`Input::SOURCES`].
    fn source(&self) -> &'static str;

    /// One line for people, without the source.
    fn summary(&self) -> String {
        format!("{self:?}")
    }
}

/// What a seam has for the machine at a moment.
#[derive(Debug)]
pub enum Due<I> {
    /// Nothing: the machine may run up to [`Seam::next_stop`].
    Nothing,
    /// The machine must be asleep here, and an input cuts its sleep at this time.
    Sleep(VirtualTime),
    /// An input arrives.
    Input(Admitted<I>),
    /// The digest of the machine is wanted: answer with [`Seam::digest`].
    Digest,
    /// The host ended the run here: answer with [`Seam::end`]. A guest that ends its run does so by itself.
    End(EndReason),
    /// The recording is cut off here: nothing is known about what followed.
    Cut(Cut),
}

/// Why a seam cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SeamError {
    /// The journal cannot be written or read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// This run is not the recorded one.
    #[error(transparent)]
    Divergence(#[from] Box<Divergence>),
}

/// The boundary as one session sees it: recording, replaying, or neither.
pub trait Seam {
    /// What the machine takes.
    type Input;
    /// What the host may offer; a type without values where it may offer nothing.
    type Offer;

    /// The input as an offer, where there can be any.
    fn offer(input: Self::Input) -> Option<Self::Offer>;

    /// How many events the machine has had.
    fn events(&self) -> u64;

    /// The next position at which [`Seam::due`] has something, if it is known.
    fn next_stop(&self) -> Option<Position>;

    /// What is due now. Called again until it is [`Due::Nothing`] before the machine runs on.
    ///
    /// # Errors
    /// The journal cannot be read, or the machine is not where the recording has it.
    fn due(&mut self, now: Stamp) -> Result<Due<Self::Input>, SeamError>;

    /// Takes note of the place where the machine is, from one that cannot count how far it has come: before anything else
    /// that happens there.
    ///
    /// # Errors
    /// The journal cannot be written.
    fn landmark(&mut self, _now: Stamp, _place: Vec<u8>) -> Result<(), SeamError> {
        Ok(())
    }

    /// Keeps a part of the machine's state where a digest was just taken, from one that cannot count how far it has come.
    ///
    /// # Errors
    /// The journal cannot be written.
    fn state(&mut self, _now: Stamp, _part: Vec<u8>) -> Result<(), SeamError> {
        Ok(())
    }

    /// Takes an input from the host.
    ///
    /// # Errors
    /// The journal cannot be written: the input must not reach the machine.
    fn admit(&mut self, offer: Self::Offer, now: Stamp) -> Result<Admitted<Self::Input>, SeamError>;

    /// Takes the digest of the machine that [`Due::Digest`] asked for.
    ///
    /// # Errors
    /// The journal cannot be written, or the digest is not the recorded one.
    fn digest(&mut self, now: Stamp, digest: &MachineDigest) -> Result<(), SeamError>;

    /// Takes note that the machine is halted for good: nothing armed will wake it.
    ///
    /// # Errors
    /// The recording has it go on.
    fn halted_forever(&mut self, now: Stamp) -> Result<(), SeamError>;

    /// Takes note that the machine is awake where [`Due::Sleep`] needs it asleep.
    ///
    /// # Errors
    /// Always, where a recording has the machine asleep.
    fn awake(&mut self, now: Stamp) -> Result<(), SeamError>;

    /// Takes the end of the run and the digest there: the guest's doing, or what [`Due::End`] gave.
    ///
    /// # Errors
    /// The journal cannot be written, or the recorded run does not end here, so, with this digest.
    fn end(&mut self, now: Stamp, reason: EndReason, digest: &MachineDigest) -> Result<(), SeamError>;

    /// Takes note that the host stops the session here. For a recording this is its end; a replay just stops.
    ///
    /// # Errors
    /// The journal cannot be written.
    fn stop(&mut self, now: Stamp, reason: EndReason, digest: &MachineDigest) -> Result<(), SeamError>;

    /// Makes the run up to `now` survive an accident of this process, if need be by making a digest due now.
    ///
    /// # Errors
    /// The journal cannot be written.
    fn flush(&mut self, now: Stamp) -> Result<(), SeamError>;

    /// Waits until all that was flushed can be read by others.
    ///
    /// # Errors
    /// The journal cannot be written.
    fn sync(&mut self) -> Result<(), SeamError>;
}
