//! Virtio devices (OASIS Virtual I/O Device specification 1.2; section numbers in this module are its).
//!
//! Rings are read and written only through [`dma::Memory`](crate::dma::Memory), in [`Pc::serve`](crate::Pc::serve):
//! between two guest instructions, never within one.

pub mod block;
pub mod chain;
pub mod console;
pub mod device;
pub mod fault;
#[cfg(test)]
mod fuzz;
pub mod input;
pub mod mmio;
pub mod net;
#[cfg(test)]
mod oracle;
pub mod pci;
pub mod queue;
pub mod rng;
#[cfg(test)]
pub(crate) mod tests;
pub mod transport;

pub use chain::{Chain, Cursor, Segment};
pub use device::{Device, Io, Kind};
pub use fault::Fault;
pub use mmio::VirtioMmio;
pub use pci::VirtioPci;
pub use queue::Queue;
pub use transport::Transport;
