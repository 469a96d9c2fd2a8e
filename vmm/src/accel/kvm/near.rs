//! Getting near to a place in user code by the counter: for replaying under KVM.

use super::{KvmError, Round, UserMode, next::at_branch};
use crate::landmark::Least;
use crate::pmu::{Aim, Event, Landing, Left, PmuError, Vcpu, approach};
use rrvmm_tcg::{
    Bus,
    block::Backend,
    x86::{Cpu, engine::Engine},
};
use std::time::Duration;

/// Fewest instructions, or conditional branches, of which programs have one in five to ten, for which KVM is worth it.
const WORTH: (u64, u64) = (100_000, 10_000);
/// Host time after which KVM is left in any case: overflows get lost.
const WATCHDOG: Duration = Duration::from_millis(20);

/// User code has run past the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overshot;

impl UserMode {
    /// As [`super::super::Accelerator::hurry`]. It ends shortly before what is `away`, or where user code ends.
    ///
    /// # Errors
    /// It was more.
    pub(in crate::accel) fn hurry<B: Backend<Cpu>>(
        &mut self,
        engine: &mut Engine<B>,
        bus: &mut dyn Bus,
        away: Least,
    ) -> Result<u64, Overshot> {
        let Some(event) = self.clock.as_ref().map(|clock| clock.event) else { return Ok(away.instructions) };
        let (events, worth) = match event {
            Event::Instructions => (away.instructions, WORTH.0),
            Event::ConditionalBranches => (away.branches, WORTH.1),
        };
        if self.is_off || self.failure.is_some() || events < worth || !self.may_run(engine) {
            return Ok(away.instructions);
        }
        let Some(mut clock) = self.clock.take() else { return Ok(away.instructions) };
        let aim = Aim::new(events, 0);
        let mut landing = clock.counter.restart().map(|()| None);
        if landing.is_ok() {
            self.kick.arm(WATCHDOG);
            let mut vcpu = Stretch { user: self, engine, bus, event, is_over: false };
            landing = approach(&mut *clock.counter, &mut vcpu, aim, &mut clock.margins);
            self.kick.disarm();
        }
        let counted = clock.counter.count();
        self.stats.counted += counted.as_ref().copied().unwrap_or(0);
        self.clock = Some(clock);
        match (landing, counted) {
            (Ok(Some(Landing::Overshot { .. })), Ok(_)) => Err(Overshot),
            // Each branch that is left is an instruction, too.
            (Ok(_), Ok(count)) if count <= events => Ok(events - count),
            (Ok(_), Ok(_)) => Err(Overshot),
            (Err(error), _) | (_, Err(error)) => {
                let failure = KvmError::of_counting(error);
                if !matches!(failure, KvmError::Lost(_)) {
                    crate::tell!("rrvmm: {failure}; the translator goes on alone");
                }
                self.failure = Some(failure);
                Err(Overshot)
            }
        }
    }
}

impl KvmError {
    /// What a vCPU of ours has failed by while it was counted.
    fn of_counting(error: PmuError) -> Self {
        match error {
            PmuError::Vcpu(error) => match error.downcast::<Self>() {
                Ok(own) => *own,
                Err(other) => Self::Counter(PmuError::Vcpu(other)),
            },
            error => Self::Counter(error),
        }
    }
}

/// User code, as what is counted.
struct Stretch<'a, B: Backend<Cpu>> {
    user: &'a mut UserMode,
    engine: &'a mut Engine<B>,
    bus: &'a mut dyn Bus,
    /// What is counted.
    event: Event,
    /// Whether it ends here.
    is_over: bool,
}

impl<B: Backend<Cpu>> Vcpu for Stretch<'_, B> {
    type Exit = ();

    fn run(&mut self) -> Result<Left<()>, PmuError> {
        if self.is_over {
            return Ok(Left::Exit(()));
        }
        let failed = |error| PmuError::Vcpu(Box::new(error));
        let left = self.user.enter(self.engine, self.bus).map_err(failed)?;
        // The translator does what comes next, if anything has to be done.
        let events = match self.event {
            Event::Instructions => 1,
            Event::ConditionalBranches => u64::from(at_branch(&self.engine.cpu)),
        };
        Ok(match self.user.serve(self.engine, self.bus, left).map_err(failed)? {
            Round::Kicked => Left::Interrupted,
            Round::Emulated(_) => Left::Emulated(events),
            // Here, too, it has done one instruction.
            Round::Kept | Round::Left(_) => {
                self.is_over = true;
                Left::Emulated(events)
            }
        })
    }

    /// The translator goes the last steps, and not so.
    fn step(&mut self) -> Result<Left<()>, PmuError> {
        Ok(Left::Exit(()))
    }

    /// Wherever the count is right is near enough.
    fn arrived(&mut self) -> Result<bool, PmuError> {
        Ok(true)
    }
}
