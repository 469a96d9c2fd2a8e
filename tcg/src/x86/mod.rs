//! The x86 guest CPU.

pub mod access;
pub mod cpu;
pub mod engine;
pub mod exception;
pub mod mode;
pub mod model;
pub mod sse;
pub mod state;
pub mod system;
pub mod translate;
pub mod x87;

pub use cpu::Cpu;
pub use exception::Exception;
pub use model::Model;
pub use state::State;
