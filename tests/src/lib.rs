//! What the tests share: Debian guests fetched by package name, bare-metal payloads of this repository, and ways to
//! run a machine (rrvmm or QEMU) and look at what it printed.

pub mod guests;
pub mod payloads;
pub mod run;
