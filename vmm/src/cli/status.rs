//! Exit statuses: how a run ended, for scripts.

use rrvmm::host::StopSignal;
use rrvmm::session::SessionError;
use rrvmm_replay::EndReason;
use std::process::ExitCode;

/// An error, whatever it was.
const ERROR: u8 = 1;
/// The replay is not the recorded run.
pub(super) const DIVERGED: u8 = 112;
/// The engine met something it cannot execute.
const ENGINE_FAULT: u8 = 118;
/// The guest is halted for good.
const HALTED: u8 = 120;
/// The guest's CPU shut down.
const TRIPLE_FAULT: u8 = 122;
/// Out of time; the status of timeout(1).
const TIMEOUT: u8 = 124;

/// The end of the help text.
pub(super) const HELP: &str = "\
Exit status:
  0    the guest powered off or rebooted, the user quit, or --until was reached
  1    an error; 2 a wrong command line
  112  a replay that is not the recorded run
  118  an instruction that the engine cannot execute
  120  a guest that is halted for good
  122  a guest whose CPU shut down (triple fault)
  124  --timeout is over
  130  ended by SIGINT, 143 by SIGTERM
A guest that writes V to the debug exit port 0xF4 ends the run with the status 2 V + 1.";

/// The status for a run that ended for `reason`; `signal` is the one that ended it, if that is the reason.
pub(super) fn of_end(reason: EndReason, signal: Option<StopSignal>) -> u8 {
    match reason {
        EndReason::PowerOff | EndReason::Reset | EndReason::Quit | EndReason::Until => 0,
        EndReason::DebugExit { status } => status as u8,
        EndReason::TripleFault => TRIPLE_FAULT,
        EndReason::HaltedForever => HALTED,
        EndReason::Timeout => TIMEOUT,
        EndReason::EngineFault => ENGINE_FAULT,
        EndReason::Signal => signal.map_or(130, |signal| 128 + signal.number() as u8),
    }
}

/// The status for a command that failed.
pub(super) fn of_error(error: &anyhow::Error) -> ExitCode {
    let diverged = matches!(error.downcast_ref(), Some(SessionError::Divergence(_)));
    ExitCode::from(if diverged { DIVERGED } else { ERROR })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_debug_exit_passes_its_status_on() {
        assert_eq!(of_end(EndReason::DebugExit { status: 0x31 * 2 + 1 }, None), 99);
        assert_eq!(of_end(EndReason::Reset, None), 0);
    }
}
