//! Running off the recording: a fork of the state for whoever writes to registers or memory.

use rrvmm_devices::Input;
use rrvmm_replay::timeline::{Step, jump, step};
use rrvmm_replay::{EndReason, Position, Stamp, Steppable, Unrecorded};
use rrvmm_tcg::stops::Stops;

use super::machine::Explored;
use super::motion::Halt;
use super::{ExploreError, Explorer};

/// Instructions between two looks at whether someone wants to interrupt: a few milliseconds.
const SLICE: u64 = 1 << 21;

/// A run of its own that began at a moment of the recorded one.
pub(super) struct Diversion {
    /// The machine as the recording has it, where the diversion began.
    home: <Explored as Steppable>::Snapshot,
    began: Stamp,
    ended: Option<EndReason>,
}

impl Diversion {
    pub(super) fn began(&self) -> Stamp {
        self.began
    }
}

impl Explorer {
    /// Leaves the recorded run here, unless that has happened already.
    pub(super) fn diverge(&mut self) {
        if self.diversion.is_some() {
            return;
        }
        let machine = self.timeline.machine_mut();
        let (home, began) = (machine.save(), machine.now());
        machine.divert(true);
        self.diversion = Some(Diversion { home, began, ended: None });
        self.notices.push(format!(
            "registers or memory are changed: what follows is a diversion from position {}, without recorded inputs; the \
             next reverse command or seek returns to the recording",
            began.position
        ));
    }

    /// Goes back to where the diversion began. Whether there was one.
    pub fn return_to_recording(&mut self) -> bool {
        let Some(diversion) = self.diversion.take() else { return false };
        let machine = self.timeline.machine_mut();
        machine.restore(&diversion.home);
        machine.divert(false);
        self.notices.push(format!("back in the recording, at position {}", diversion.began.position));
        true
    }

    /// Runs the diversion on to `limit`.
    pub(super) fn run_diversion(&mut self, limit: Position, stops: &Stops) -> Result<Halt, ExploreError> {
        let Some(diversion) = &mut self.diversion else { return Ok(Halt::Reached) };
        if let Some(reason) = diversion.ended {
            return Ok(Halt::Ended(reason));
        }
        let machine = self.timeline.machine_mut();
        machine.set_stops(stops);
        let halt = run(machine, limit, || self.progress.is_interrupted());
        machine.set_stops(&Stops::default());
        if let Ok(Halt::Ended(reason)) = halt {
            diversion.ended = Some(reason);
        }
        halt
    }
}

/// Runs to `limit`, in slices between which `is_interrupted` is asked.
fn run(
    machine: &mut Explored,
    limit: Position,
    is_interrupted: impl Fn() -> bool,
) -> Result<Halt, ExploreError> {
    let mut seam = Unrecorded::<Input>::new();
    loop {
        let slice = Position::from_count(machine.now().position.count().saturating_add(SLICE));
        match step(machine, &mut seam, slice.min(limit))? {
            Step::Reached if machine.now().position >= limit => return Ok(Halt::Reached),
            Step::Reached | Step::Digested { .. } => {}
            Step::Hit(hit) => return Ok(Halt::Hit(hit)),
            Step::Ended(reason) => return Ok(Halt::Ended(reason)),
            // Nobody can wake it: there are no inputs here.
            Step::Idle { until: None } => return Ok(Halt::Ended(EndReason::HaltedForever)),
            Step::Idle { until } => jump(machine, &mut seam, until)?,
            Step::Cut(_) => unreachable!("nothing is recorded here"),
        }
        if is_interrupted() {
            return Ok(Halt::Interrupted);
        }
    }
}
