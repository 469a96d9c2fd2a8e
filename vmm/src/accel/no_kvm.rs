//! Where there is no KVM for x86 guests.

#[path = "kvm/error.rs"]
mod error;

pub use error::KvmError;

use crate::landmark::Least;
use rrvmm_tcg::{
    Bus,
    block::Backend,
    x86::{
        Cpu,
        engine::{self, Engine},
    },
};

/// User code has run past a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overshot;

/// There is none.
pub fn check() -> Result<std::time::Duration, KvmError> {
    Err(KvmError::Host86)
}

/// Why a run came back: here, none does.
#[expect(dead_code, reason = "the same as where there is KVM")]
pub(super) enum Stop {
    /// As the translator's run does.
    Engine(engine::Stop),
    /// User code has run long enough.
    Paused,
}

/// Nothing.
pub(super) struct UserMode(std::convert::Infallible);

impl UserMode {
    pub(super) fn new(_: &Cpu) -> Result<Self, KvmError> {
        Err(KvmError::Host86)
    }

    pub(super) fn run<B: Backend<Cpu>>(
        &mut self,
        _: &mut Engine<B>,
        _: &mut dyn Bus,
        _: u64,
        _: bool,
    ) -> Stop {
        match self.0 {}
    }

    pub(super) fn hurry<B: Backend<Cpu>>(
        &mut self,
        _: &mut Engine<B>,
        _: &mut dyn Bus,
        _: Least,
    ) -> Result<u64, Overshot> {
        match self.0 {}
    }

    pub(super) fn take_retired(&mut self, _: u64) -> Least {
        match self.0 {}
    }

    pub(super) fn set_on(&mut self, _: bool) {
        match self.0 {}
    }

    pub(super) fn has_run_in(&self, _: u64) -> bool {
        match self.0 {}
    }

    pub(super) fn take_written<B: Backend<Cpu>>(&mut self, _: &mut Engine<B>) -> Vec<u64> {
        match self.0 {}
    }

    pub(super) fn take_loss(&mut self) -> Option<KvmError> {
        match self.0 {}
    }

    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        match self.0 {}
    }
}
