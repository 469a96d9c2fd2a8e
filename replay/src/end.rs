//! Why a run ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a run ended. The order is part of the recording format: new reasons go at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// The guest switched the machine off (ACPI S5).
    PowerOff,
    /// The guest reset the machine (reset register, keyboard controller, port 92).
    Reset,
    /// The guest's CPU shut down after a fault in the double-fault handler.
    TripleFault,
    /// The guest wrote to the debug-exit port.
    DebugExit {
        /// The exit status that the write asks for.
        status: u32,
    },
    /// Every vCPU is halted, no timer is armed and no input can come.
    HaltedForever,
    /// The user asked for the end at the console or monitor.
    Quit,
    /// The host asked for the end with a signal.
    Signal,
    /// The time allowed on the host was over.
    Timeout,
    /// The position asked for was reached.
    Until,
    /// The engine met something it cannot execute faithfully.
    EngineFault,
}

impl EndReason {
    /// Whether the guest itself ended the run, so that every replay must end there for the same reason.
    #[must_use]
    pub fn is_the_guests(self) -> bool {
        match self {
            EndReason::PowerOff | EndReason::Reset | EndReason::TripleFault | EndReason::DebugExit { .. } => {
                true
            }
            EndReason::HaltedForever
            | EndReason::Quit
            | EndReason::Signal
            | EndReason::Timeout
            | EndReason::Until
            | EndReason::EngineFault => false,
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndReason::PowerOff => f.write_str("the guest powered off"),
            EndReason::Reset => f.write_str("the guest reset the machine"),
            EndReason::TripleFault => f.write_str("the guest's CPU shut down (triple fault)"),
            EndReason::DebugExit { status } => {
                write!(f, "the guest left through the debug-exit port, status {status}")
            }
            EndReason::HaltedForever => f.write_str("the guest is halted and nothing can wake it"),
            EndReason::Quit => f.write_str("ended by the user"),
            EndReason::Signal => f.write_str("ended by a signal"),
            EndReason::Timeout => f.write_str("out of time"),
            EndReason::Until => f.write_str("reached the position asked for"),
            EndReason::EngineFault => f.write_str("the engine cannot execute the guest any further"),
        }
    }
}
