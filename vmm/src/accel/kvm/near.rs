//! Getting near to a place in user code by the counter: for replaying under KVM.

use super::{KvmError, Round, UserMode};
use crate::pmu::{Aim, Landing, Left, PmuError, Vcpu, approach};
use rrvmm_tcg::{
    Bus,
    block::Backend,
    x86::{Cpu, engine::Engine},
};
use std::time::Duration;

/// Fewest instructions for which KVM is worth it.
const WORTH: u64 = 100_000;
/// Host time after which KVM is left in any case: overflows get lost.
const WATCHDOG: Duration = Duration::from_millis(20);

/// User code has run past the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overshot;

impl UserMode {
    /// Executes at most `instructions` of user code, and tells how many: none where nothing counts them. It ends shortly before
    /// them, or where user code ends.
    ///
    /// # Errors
    /// It were more.
    pub(in crate::accel) fn hurry<B: Backend<Cpu>>(
        &mut self,
        engine: &mut Engine<B>,
        bus: &mut dyn Bus,
        instructions: u64,
    ) -> Result<u64, Overshot> {
        if self.is_off || self.failure.is_some() || instructions < WORTH || !self.may_run(engine) {
            return Ok(0);
        }
        let Some(mut clock) = self.clock.take() else { return Ok(0) };
        let aim = Aim::new(instructions, 0);
        let mut landing = clock.counter.restart().map(|()| None);
        if landing.is_ok() {
            self.kick.arm(WATCHDOG);
            let mut vcpu = Stretch { user: self, engine, bus, is_over: false };
            landing = approach(&mut *clock.counter, &mut vcpu, aim, &mut clock.margins);
            self.kick.disarm();
        }
        let counted = clock.counter.count();
        self.stats.counted += counted.as_ref().copied().unwrap_or(0);
        self.clock = Some(clock);
        match (landing, counted) {
            (Ok(Some(Landing::Overshot { .. })), Ok(_)) => Err(Overshot),
            (Ok(_), Ok(count)) if count <= instructions => Ok(count),
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
    /// Whether it ends here.
    is_over: bool,
}

impl<B: Backend<Cpu>> Vcpu for Stretch<'_, B> {
    type Exit = ();

    fn run(&mut self) -> Result<Left<()>, PmuError> {
        if self.is_over {
            return Ok(Left::Exit(()));
        }
        let round = self.user.round(self.engine, self.bus);
        Ok(match round.map_err(|error| PmuError::Vcpu(Box::new(error)))? {
            Round::Kicked => Left::Interrupted,
            Round::Emulated(_) => Left::Emulated,
            // Here, too, the translator has done one instruction, which counts.
            Round::Kept | Round::Left(_) => {
                self.is_over = true;
                Left::Emulated
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
