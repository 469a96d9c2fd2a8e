//! Sessions: a machine run without a recording, recorded, replayed, verified; and what a recording tells without running.
//!
//! A session is given the machine, not asked to build it. [`Setup`] is what a machine is built from, and what a recording
//! keeps of it.

mod attendant;
mod consoles;
mod drive;
mod error;
mod events;
mod follow;
pub mod host;
mod info;
mod live;
mod machine;
mod outcome;
mod recording;
mod resolve;
mod setup;
mod slice;
mod stretches;
mod under_kvm;
mod writing;

use std::time::Duration;

use rrvmm_replay::Position;

use crate::host::Pace;

pub use attendant::{Aides, Attendant, Save, Wish};
pub use consoles::{LiveConsoles, ReplayConsoles};
pub use error::SessionError;
pub use events::{Detail, Event, events, some_events};
pub use follow::{Gap, ResolveError};
pub use host::{Host, Nobody, Polled};
pub use info::Info;
pub use live::{Past, Start, record, record_from, run, run_from};
pub use machine::{FullPorts, MOST_CONSOLE_PORTS, MOST_NICS, Machine};
pub use outcome::{Finish, Outcome};
pub use recording::{Recording, replay, replay_aided, replay_with, verify};
pub use resolve::{is_of, is_unresolved, resolve};
pub use setup::{MachineConfig, Setup};
pub use stretches::{BadStretch, Stretch, find_in_stretch, stretches, verify_stretches};
pub use under_kvm::{Replayed, replay_under_kvm};

/// How long a session lasts and how it passes the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Stop at this position.
    pub until: Option<Position>,
    /// Stop after this much host time.
    pub timeout: Option<Duration>,
    /// Whether a sleeping guest lets the host's time pass. A replay needs no pace.
    pub pace: Pace,
    /// Host time between two states that a recording keeps of a machine which does not count its instructions.
    pub states: Option<Duration>,
}

impl Default for Options {
    /// To the end, without a timeout, as fast as it goes.
    fn default() -> Self {
        Self { until: None, timeout: None, pace: Pace::Free, states: None }
    }
}

#[cfg(test)]
mod tests;
