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
