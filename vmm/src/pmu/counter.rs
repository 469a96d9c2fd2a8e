//! What a counter of guest events and the vCPU it counts can do.

use std::error::Error;
use std::io;

/// Least number of events that an overflow may be ahead: some PMUs lose shorter periods, or stretch them.
pub const MIN_PERIOD: u64 = 32;

/// Why a counter cannot be had, or failed.
#[derive(Debug, thiserror::Error)]
pub enum PmuError {
    /// The host has no such counter: no PMU, or one hidden from this (virtual) machine.
    #[error("this host has no hardware counter of {0}; virtual machines often have none")]
    None(&'static str),
    /// This user may not count.
    #[error(
        "this user may not use performance counters; lower /proc/sys/kernel/perf_event_paranoid to 2 or give CAP_PERFMON"
    )]
    Denied,
    /// The counter is not on a hardware register: someone else has them all, or the thread moved to a core of another kind.
    #[error(
        "the counter has no hardware register any more: another user of the PMU has it (the NMI watchdog takes one: \
         sysctl kernel.nmi_watchdog=0), or the thread moved to a core of another kind"
    )]
    Displaced,
    /// An overflow was asked for that is nearer than [`MIN_PERIOD`].
    #[error("an overflow after {0} events is too near for performance counters")]
    PeriodTooShort(u64),
    /// A call of the host failed.
    #[error("cannot {doing}")]
    Host {
        /// What was to be done.
        doing: &'static str,
        /// What the host said.
        #[source]
        source: io::Error,
    },
    /// What runs the guest failed.
    #[error("the vCPU cannot be run")]
    Vcpu(#[source] Box<dyn Error + Send + Sync>),
}

impl PmuError {
    /// For `map_err`: the last step was `doing`.
    pub fn host(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Host { doing, source }
    }
}

/// How a counter is given another overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Rearming {
    /// By telling it the new period (`PERF_EVENT_IOC_PERIOD`).
    #[default]
    Period,
    /// By opening it anew with that period, for kernels on which a new period only begins after the next overflow of the old one.
    Reopen,
}

/// Counts events of one kind that the guest has retired in user mode, since [`Counter::restart`].
///
/// The counter is that of the thread which runs the vCPU, and only that thread may use it.
pub trait Counter {
    /// The count becomes 0, and no overflow is ahead.
    fn restart(&mut self) -> Result<(), PmuError>;

    /// Events so far: those that the hardware counted, and what [`Counter::note_unretired`] added. Not to be trusted further than
    /// [`Quality`](super::Quality) says.
    fn count(&mut self) -> Result<u64, PmuError>;

    /// Has [`Vcpu::run`] interrupted when the hardware has counted `events` more, at least [`MIN_PERIOD`], or some time after
    /// that (skid). Replaces the overflow asked for before. The interruption may be lost.
    fn arm(&mut self, events: u64) -> Result<(), PmuError>;

    /// No overflow is ahead any more. One that has just happened may still interrupt once.
    fn disarm(&mut self) -> Result<(), PmuError>;

    /// Says how [`Counter::arm`] has to be done on this host.
    fn set_rearming(&mut self, how: Rearming);

    /// The VMM completed instructions for the guest that would have caused so many events ([`Left::Emulated`]): they left the
    /// guest before they retired, so the hardware has not counted them.
    ///
    /// What the host's kernel completes by itself (CPUID) is not seen here. Such instructions count nothing, in every run the same.
    fn note_unretired(&mut self, events: u64);
}

/// Why the guest was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left<E> {
    /// A signal came, of the counter or any other. The stretch goes on.
    Interrupted,
    /// From [`Vcpu::step`] only: an instruction completed, or one iteration of a string instruction.
    Stepped,
    /// An instruction left the guest and the VMM has completed it (an access to a port, to memory of a device, to a page that
    /// has to be mapped first): it never retires, and would have caused so many events. The stretch goes on.
    Emulated(u64),
    /// The stretch is over, in this way.
    Exit(E),
}

/// A vCPU within a stretch of guest user code.
///
/// Whoever implements this has a watchdog besides the counter: another signal that interrupts [`Vcpu::run`] after a time on the
/// host, because overflows can be lost.
pub trait Vcpu {
    /// How a stretch ends.
    type Exit;

    /// Runs until a signal or an exit. A signal that came before the call counts as well; one that is told of here is used up.
    fn run(&mut self) -> Result<Left<Self::Exit>, PmuError>;

    /// Runs for one instruction, or one iteration of a string instruction.
    fn step(&mut self) -> Result<Left<Self::Exit>, PmuError>;

    /// Whether the guest is in the state of the place sought: registers, and what else the caller needs to tell it from others.
    ///
    /// Places with the same count must be told apart by this (before and after an instruction that does not retire, within a
    /// string instruction), and where the counter is not exact, all places whose counts differ by no more than twice the slack.
    fn arrived(&mut self) -> Result<bool, PmuError>;
}
