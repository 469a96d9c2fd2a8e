//! A clock for stretches that run on the host's CPU: how many events (instructions, or conditional branches) the guest has retired
//! since the stretch began.
//!
//! Under KVM an asynchronous event has its place by what the guest's state is there. The host's performance counters make such
//! a place cheap to find again: let the guest run until shortly before, then step. They are not what makes it exact. [`run_to`]
//! takes a place for the right one only where both the count and [`Vcpu::arrived`] say so; whatever the counter does wrong ends
//! as an answer other than [`Landing::There`].
//!
//! - [`Counter`], [`Vcpu`]: what the algorithm needs of a counter and of what it counts;
//! - [`run_to`](run_to()), [`run_past`]: bring a vCPU to a place, or past a count; [`Margins`]: how far ahead to stop;
//! - [`measure`]: what a counter of this host is worth, measured and never assumed; [`most_reliable`]: which of two to take;
//! - [`PerfCounter`]: the host's counters, through Linux's `perf_event_open(2)`;
//! - [`KvmRig`]: a small guest whose loops are known, to measure them with;
//! - [`sim`]: a counter with every known fault, simulated, which all of this is tested against.
//!
//! So far [`PerfCounter`] has run on no hardware that has counters: [`ONLY_SIMULATED`].

mod choice;
mod counter;
mod event;
mod histogram;
mod margins;
mod perf;
mod quality;
#[cfg(target_arch = "x86_64")]
mod rig;
mod run_to;
pub mod sim;
#[cfg(test)]
mod tests;

pub use choice::most_reliable;
#[cfg(target_arch = "x86_64")]
pub use choice::try_out;
pub use counter::{Counter, Left, MIN_PERIOD, PmuError, Rearming, Vcpu};
pub use event::{Event, HostCpu, IntelCore};
pub use histogram::{Histogram, Skids};
pub use margins::Margins;
pub use perf::{OverflowSignal, PerfCounter};
pub use quality::{Fault, Quality, Rig, Verdict, measure};
#[cfg(target_arch = "x86_64")]
pub use rig::{KvmRig, KvmRigVcpu, set_guest_signal_mask};
pub use run_to::{Aim, Landing, Past, approach, run_past, run_to};

/// What has to be said wherever the PMU clock is offered.
pub const ONLY_SIMULATED: &str = "the PMU clock has only been run against simulated counters";
