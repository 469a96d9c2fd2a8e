//! Machine assembly, accelerators, host backends, sessions and the command line.

pub mod host;
pub mod loader;
pub mod memory;
pub mod session;
