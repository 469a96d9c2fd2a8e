//! A replay that is not the recorded run: where, in what, and what was around it.

use std::fmt;

use crate::digest::{MachineDigest, Part};
use crate::end::EndReason;
use crate::time::Stamp;

/// What differs between the recorded run and this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The machine's state is not the recorded one.
    State {
        /// What the recording has.
        expected: MachineDigest,
        /// What the machine has.
        actual: MachineDigest,
    },
    /// The machine has gone past the moment of the next recorded event without stopping there.
    Overrun {
        /// Moment of the next recorded event.
        expected: Stamp,
    },
    /// The recording has the machine asleep until the next event, but here it is awake.
    Awake {
        /// Moment of the next recorded event.
        expected: Stamp,
    },
    /// The machine is halted for good, while the recording goes on.
    HaltedForever {
        /// Moment of the next recorded event.
        expected: Stamp,
    },
    /// The run ended here, for another reason or at another moment than recorded.
    End {
        /// What the recording has next: its end, or none when another event comes first.
        expected: Option<(Stamp, EndReason)>,
        /// Why the machine ended.
        actual: EndReason,
    },
}

/// A replay that left the recorded run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Where the difference was seen; it arose here or since the last digest that was equal.
    pub at: Stamp,
    /// The last digest that was equal, if any.
    pub last_equal: Option<Stamp>,
    /// What differs.
    pub difference: Difference,
    /// Recorded events just before, oldest first.
    pub before: Vec<String>,
    /// Recorded events from here on.
    pub after: Vec<String>,
}

impl Divergence {
    /// The parts of the machine that differ; empty when the difference is in the course of events.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        match &self.difference {
            Difference::State { expected, actual } => expected.differing(actual),
            Difference::Overrun { .. }
            | Difference::Awake { .. }
            | Difference::HaltedForever { .. }
            | Difference::End { .. } => Vec::new(),
        }
    }
}

impl std::error::Error for Divergence {}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the replay differs from the recording at {}", self.at)?;
        match &self.difference {
            Difference::State { expected, actual } => {
                for part in self.parts() {
                    write!(f, "\n  {part}: expected {}, got {}", expected.part(part), actual.part(part))?;
                }
            }
            Difference::Overrun { expected } => {
                write!(
                    f,
                    "\n  the next recorded event is at {expected}, and the machine did not stop there"
                )?;
            }
            Difference::Awake { expected } => {
                write!(f, "\n  the machine runs, the recording has it asleep until {expected}")?;
            }
            Difference::HaltedForever { expected } => {
                write!(f, "\n  the machine is halted for good, the recording goes on at {expected}")?;
            }
            Difference::End { expected: Some((at, reason)), actual } => {
                write!(f, "\n  expected: {reason}, at {at}\n  got: {actual}")?;
            }
            Difference::End { expected: None, actual } => {
                write!(f, "\n  expected: the run goes on\n  got: {actual}")?;
            }
        }
        match self.last_equal {
            Some(stamp) => write!(f, "\n  last equal digest: {stamp}")?,
            None => write!(f, "\n  no digest was equal before")?,
        }
        for event in &self.before {
            write!(f, "\n  before: {event}")?;
        }
        for event in &self.after {
            write!(f, "\n  next: {event}")?;
        }
        Ok(())
    }
}
