//! Moving a machine through a run: forwards step by step, and to any position from the nearest checkpoint.

mod drive;
mod steppable;

use std::collections::BTreeMap;

use crate::seam::{Rewind, SeamError};
use crate::time::{Position, Stamp};

pub use drive::{DriveError, Step, jump, step};
pub use steppable::{Steppable, Stop};

/// Where [`Timeline::seek`] has come to.
#[derive(Debug)]
pub enum Seek {
    /// The position asked for, as the machine first comes to it: before the inputs that arrive there and before any sleep.
    Reached(Stamp),
    /// The run ends before it.
    Ended(Stamp, crate::end::EndReason),
    /// The recording is cut off before it.
    Cut(Stamp, crate::journal::Cut),
}

/// A recorded run that can be moved through in both directions.
///
/// The machine is at one moment of it. Moving forwards runs the machine; moving backwards restores the nearest
/// checkpoint before the target and runs from there.
pub struct Timeline<M: Steppable, S> {
    machine: M,
    seam: S,
    checkpoints: BTreeMap<Position, Checkpoint<M::Snapshot>>,
    /// Whether the machine has gone on from the moment at which it first came to its position.
    beyond_arrival: bool,
}

struct Checkpoint<T> {
    state: T,
    events: u64,
}

impl<M, S> Timeline<M, S>
where
    M: Steppable,
    S: Rewind<Input = M::Input>,
{
    /// A timeline of the run that begins with `machine` as it is now, at power-on, and takes its inputs from `seam`.
    pub fn new(machine: M, seam: S) -> Self {
        let mut timeline = Self { machine, seam, checkpoints: BTreeMap::new(), beyond_arrival: false };
        timeline.checkpoint();
        timeline
    }

    /// The machine, where it is now.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The machine, to be asked for what takes `&mut`, or to be led off the recorded run for a while. Before the timeline is
    /// moved again, the machine must be in the state in which it was found, by [`Steppable::restore`].
    pub fn machine_mut(&mut self) -> &mut M {
        &mut self.machine
    }

    /// Where the machine is now.
    pub fn now(&self) -> Stamp {
        self.machine.now()
    }

    /// Keeps the machine's state, so that later seeks to here or a little further are quick.
    ///
    /// Where the machine has gone on from its first arrival at this position (into a sleep, past an input), nothing is
    /// kept: a checkpoint stands for the arrival.
    pub fn checkpoint(&mut self) {
        if self.beyond_arrival {
            return;
        }
        let checkpoint = Checkpoint { state: self.machine.save(), events: self.seam.events() };
        self.checkpoints.insert(self.machine.now().position, checkpoint);
    }

    /// Forgets the checkpoints before `position`, but for the nearest one at or before it.
    pub fn forget_before(&mut self, position: Position) {
        if let Some((&nearest, _)) = self.checkpoints.range(..=position).next_back() {
            self.checkpoints = self.checkpoints.split_off(&nearest);
        }
    }

    /// Goes to `target`, or to the end of the run if that comes first.
    ///
    /// # Errors
    /// The machine fails, the journal cannot be read, or the run is not the recorded one.
    pub fn seek(&mut self, target: Position) -> Result<Seek, DriveError<M::Error>> {
        self.start_for(target)?;
        loop {
            let step = step(&mut self.machine, &mut self.seam, target)?;
            let now = self.machine.now();
            self.beyond_arrival = !matches!(step, Step::Reached);
            match step {
                Step::Reached => return Ok(Seek::Reached(now)),
                Step::Ended(reason) => return Ok(Seek::Ended(now, reason)),
                Step::Cut(cut) => return Ok(Seek::Cut(now, cut)),
                // A seek goes on past whatever an observer wants.
                Step::Hit(_) => {}
                Step::Idle { until } => {
                    jump(&mut self.machine, &mut self.seam, until)?;
                }
            }
        }
    }

    /// Restores the nearest checkpoint at or before `target`, unless running on from here is nearer.
    fn start_for(&mut self, target: Position) -> Result<(), SeamError> {
        let here = self.machine.now().position;
        let is_ahead = here < target || (here == target && !self.beyond_arrival);
        let Some((&from, checkpoint)) = self.checkpoints.range(..=target).next_back() else { return Ok(()) };
        if is_ahead && from <= here {
            return Ok(());
        }
        self.seam.rewind(checkpoint.events)?;
        self.machine.restore(&checkpoint.state);
        self.beyond_arrival = false;
        Ok(())
    }
}
