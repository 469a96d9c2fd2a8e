//! Machine assembly, accelerators, host backends, sessions and the command line.

pub mod loader;
pub mod memory;
