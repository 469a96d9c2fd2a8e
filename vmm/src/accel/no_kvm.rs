//! Where there is no KVM for x86 guests.

#[path = "kvm/error.rs"]
mod error;

pub use error::KvmError;

use rrvmm_tcg::{
    Bus,
    block::Backend,
    x86::{
        Cpu,
        engine::{self, Engine},
    },
};

/// Why a run came back.
pub(super) enum Stop {
    /// As the translator's run does.
    Engine(engine::Stop),
    /// Never here.
    #[expect(dead_code, reason = "the same as where there is KVM")]
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

    pub(super) fn lines(&self) -> Vec<(&'static str, String)> {
        match self.0 {}
    }
}
