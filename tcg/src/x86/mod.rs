//! The x86 guest CPU, model `rrvmm-x86-v1`.

pub mod access;
pub mod cpu;
pub mod engine;
pub mod exception;
pub mod mode;
pub mod sse;
pub mod state;
pub mod system;
pub mod translate;
pub mod x87;

pub use cpu::Cpu;
pub use exception::Exception;
pub use state::State;

/// Name and version of the guest-visible CPU; goes into every recording.
pub const MODEL: &str = "rrvmm-x86-v1";
