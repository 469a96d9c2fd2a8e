//! Machine assembly, accelerators, host backends, sessions and the command line.

pub mod accel;
pub mod demo;
pub mod diverge;
pub mod host;
pub mod loader;
pub mod machine;
pub mod memory;
pub mod session;
