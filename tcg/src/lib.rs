//! The translator: guest CPU state, front ends, one IR, its interpreter, the soft MMU, exact instruction counting.
//!
//! A guest front end ([`x86`]) lowers instructions to [`ir`]; a back end ([`interp`], and `jit` on
//! x86-64 hosts) turns IR into something that runs.
//! Devices are reached through [`Bus`] only.

pub mod block;
pub mod bus;
pub mod core;
pub mod flags;
pub mod guest;
pub mod interp;
pub mod ir;
pub mod itlb;
#[cfg(all(target_arch = "x86_64", unix))]
pub mod jit;
#[cfg_attr(not(all(target_arch = "x86_64", unix)), allow(dead_code, reason = "for machine code only"))]
mod lazy;
pub mod mem;
pub mod observer;
pub mod phys;
pub mod softfloat;
pub mod stops;
pub mod tlb;
pub mod x86;

pub use bus::{Bus, Width};
