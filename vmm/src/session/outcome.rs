use rrvmm_replay::journal::Cut;
use rrvmm_replay::{EndReason, MachineDigest, Stamp};

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The run ended: the guest ended it, or a replay has come to where the host had ended the recording.
    Ended(EndReason),
    /// The host stopped the session here.
    Stopped(EndReason),
    /// The recording is cut off here.
    Cut(Cut),
}

impl Finish {
    /// The process's exit status for it: 0 for power-off, reset and what the user asked for, the guest's own status for
    /// the debug-exit port, 124 for a timeout (as `timeout` has it), 130 for a signal, others above 64.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Finish::Ended(reason) | Finish::Stopped(reason) => match reason {
                EndReason::PowerOff | EndReason::Reset | EndReason::Quit | EndReason::Until => 0,
                EndReason::DebugExit { status } => *status as u8,
                EndReason::TripleFault => 70,
                EndReason::HaltedForever => 71,
                EndReason::EngineFault => 72,
                EndReason::Timeout => 124,
                EndReason::Signal => 130,
            },
            Finish::Cut(_) => 0,
        }
    }
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Why.
    pub finish: Finish,
    /// Where.
    pub at: Stamp,
    /// Digest of the machine there.
    pub digest: MachineDigest,
    /// The vCPUs' registers, where they tell what happened: triple fault, halt for good, engine fault.
    pub cpus: Option<String>,
}
