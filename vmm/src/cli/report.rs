//! What a session says when it is over, on standard error.

use super::output::grouped;
use super::status;
use rrvmm::host::Signals;
use rrvmm::machine::PcMachine;
use rrvmm::session::{Finish, Outcome};
use rrvmm::tell;
use rrvmm_replay::EndReason;
use std::process::ExitCode;
use std::time::Instant;

/// When the machine was switched on, in host time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }
}

/// The end of a session.
pub(super) struct End<'a> {
    pub outcome: &'a Outcome,
    pub signals: &'a Signals,
    pub clock: Clock,
}

impl End<'_> {
    /// Says how the session ended, and `more`.
    pub(super) fn tell(&self, more: &str) {
        let at = self.outcome.at;
        let why = match &self.outcome.finish {
            Finish::Ended(reason) | Finish::Stopped(reason) => reason.to_string(),
            Finish::Cut(cut) => format!("{cut}; this is as far as it can be replayed"),
        };
        let comma = if more.is_empty() { "" } else { "; " };
        tell!(
            "rrvmm: {why} after {} instructions, {} of guest time{comma}{more}",
            grouped(at.position.count()),
            at.time
        );
        if let Some(cpus) = &self.outcome.cpus {
            tell!("{}", cpus.trim_end());
        }
    }

    /// Says how the session ended, unless the guest switched the machine off or reset it.
    pub(super) fn tell_unless_usual(&self) {
        match self.outcome.finish {
            Finish::Ended(EndReason::PowerOff | EndReason::Reset | EndReason::DebugExit { .. }) => {}
            Finish::Ended(_) | Finish::Stopped(_) | Finish::Cut(_) => self.tell(""),
        }
    }

    /// Says how much was executed, if that is wanted.
    pub(super) fn tell_stats(&self, wanted: bool, machine: &PcMachine) {
        if !wanted {
            return;
        }
        let seconds = self.clock.0.elapsed().as_secs_f64();
        let instructions = self.outcome.at.position.count();
        let speed = instructions as f64 / 1e6 / seconds.max(1e-9);
        tell!("instructions           {}", grouped(instructions));
        tell!("guest time             {}", self.outcome.at.time);
        tell!("host time              {seconds:.3} s, {speed:.1} million instructions a second");
        tell!("{}", machine.stats().trim_end());
    }

    /// The exit status of a live session.
    pub(super) fn status(&self) -> ExitCode {
        ExitCode::from(match &self.outcome.finish {
            Finish::Ended(reason) | Finish::Stopped(reason) => {
                status::of_end(*reason, self.signals.stop_requested())
            }
            Finish::Cut(_) => 0,
        })
    }

    /// The exit status of a replay: the recorded run's, except that what ended the recording from outside is just its end.
    pub(super) fn replay_status(&self) -> ExitCode {
        match &self.outcome.finish {
            Finish::Ended(EndReason::Quit | EndReason::Signal | EndReason::Timeout | EndReason::Until) => {
                ExitCode::SUCCESS
            }
            Finish::Ended(_) | Finish::Stopped(_) | Finish::Cut(_) => self.status(),
        }
    }
}
