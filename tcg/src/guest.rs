//! What a guest architecture provides so that the back ends can run its blocks.

use crate::{Bus, core::Core, ir::Size};

/// A guest CPU: the neutral [`Core`] plus everything architectural.
pub trait Guest: Sized + 'static {
    /// A synchronous exception, not yet delivered.
    type Fault: std::fmt::Debug;

    /// The architecture-neutral part.
    fn core(&self) -> &Core;
    /// The architecture-neutral part.
    fn core_mut(&mut self) -> &mut Core;

    /// A load the TLB could not answer: refill, device access, page crossing, watchpoint. Zero-extended.
    ///
    /// # Errors
    /// The fault the access raises.
    fn load_slow(&mut self, bus: &mut dyn Bus, addr: u64, size: Size) -> Result<u64, Self::Fault>;

    /// As [`Guest::load_slow`], with a write's permission checks.
    ///
    /// # Errors
    /// The fault the access raises.
    fn load_for_write_slow(&mut self, bus: &mut dyn Bus, addr: u64, size: Size) -> Result<u64, Self::Fault>;

    /// A store the TLB could not answer.
    ///
    /// # Errors
    /// The fault the access raises; memory is then unchanged.
    fn store_slow(&mut self, bus: &mut dyn Bus, addr: u64, size: Size, value: u64)
    -> Result<(), Self::Fault>;

    /// What a jump to `target`, which no code can have as its address, raises.
    fn bad_target(&self, target: u64) -> Self::Fault;

    /// Keeps a fault raised inside a block until the run loop delivers it.
    fn set_fault(&mut self, fault: Self::Fault);
}
