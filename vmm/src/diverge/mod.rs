//! Where two runs part: the first instruction after which their machines differ, found by bisection.
//!
//! The runs may be of one recording on two engines, of two recordings of one machine, or of one recording on one engine that
//! is stopped at other places. Each is a [`Timeline`], so a probe costs the way from the nearest equal moment.

mod report;
mod search;
mod short_steps;

pub use report::{MemoryDifference, Report, Side};
pub use search::{Found, find, find_between};
pub use short_steps::ShortSteps;

use rrvmm_replay::{MachineDigest, Steppable};

/// A machine that can be looked at without being changed in anything, not even in what a digest tidies up.
pub trait Inspect: Steppable {
    /// As [`Steppable::digest`], from scratch.
    fn fingerprint(&self) -> MachineDigest;

    /// The instruction that comes next: address, disassembly, bytes.
    fn instruction(&self) -> String;

    /// Names and values of everything in the CPU that has a name. Names and their order never change.
    fn registers(&self) -> Vec<(String, String)>;

    /// Number of RAM pages.
    fn pages(&self) -> usize;

    /// Physical address and bytes of a RAM page below [`Inspect::pages`].
    fn page(&self, page: usize) -> (u64, &[u8; 4096]);
}

#[cfg(test)]
pub(crate) mod tests;
