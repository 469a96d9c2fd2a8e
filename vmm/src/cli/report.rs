//! What a session says when it is over, on standard error.

use super::output::grouped;
use super::status;
use rrvmm::host::{Signals, Stopwatch};
use rrvmm::machine::PcMachine;
use rrvmm::session::{Finish, Outcome};
use rrvmm::tell;
use rrvmm_replay::EndReason;
use std::process::ExitCode;

/// The end of a session.
pub(super) struct End<'a> {
    pub outcome: &'a Outcome,
    pub signals: &'a Signals,
    /// Since the machine was switched on.
    pub clock: Stopwatch,
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
        let seconds = self.clock.elapsed().as_secs_f64();
        let instructions = self.outcome.at.position.count();
        let speed = instructions as f64 / 1e6 / seconds.max(1e-9);
        let mut lines = vec![
            ("engine", machine.engine().to_owned()),
            ("instructions", grouped(instructions)),
            ("guest time", self.outcome.at.time.to_string()),
            ("host time", format!("{seconds:.3} s, {speed:.1} million instructions a second")),
        ];
        lines.extend(machine.stats().into_iter().map(|(name, value)| (name, readable(value))));
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in lines {
            tell!("{name:width$}  {value}");
        }
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

/// A plain number in groups of digits; anything else as it is.
fn readable(value: String) -> String {
    value.parse().map_or(value, grouped)
}
