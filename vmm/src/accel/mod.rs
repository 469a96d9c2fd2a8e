//! What executes guest instructions, behind one trait: the translator, and whatever else learns to.

mod auto;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod kvm;
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
#[path = "no_kvm.rs"]
mod kvm;
mod stats;
mod tcg;

pub use auto::{Auto, DEAR, auto};

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub use kvm::NEEDED as KVM_NEEDED;
pub use kvm::{KvmError, Overshot};
pub use tcg::{HAS_JIT, TcgAccelerator, TcgEngine, tcg};

use crate::landmark::Least;
use rrvmm_replay::Position;
use rrvmm_tcg::{
    Bus,
    core::Rings,
    phys::Window,
    stops::{Hit, Stops},
    x86::{self, engine::Translations},
};

/// Why [`Accelerator::run_until`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The position asked for.
    Reached,
    /// The interrupt line is up and the CPU takes interrupts now.
    InterruptWindow,
    /// A device wants to be looked at before the next instruction.
    Attention,
    /// The CPU is halted.
    Halted,
    /// The CPU shut down after a triple fault.
    Shutdown,
    /// User code has run as long as it may outside of the translator; nothing is due.
    Paused,
    /// An observer waits for what is here: [`Accelerator::breakpoint`] and [`Accelerator::take_access`] say what.
    Hit,
}

/// CF, PF, AF, ZF, SF and OF (SDM volume 1, 3.4.3.1): some instructions leave some of them undefined.
pub const ARITHMETIC_FLAGS: u64 = 0x8d5;

/// Name of what runs a guest whose user code KVM runs.
pub const KVM: &str = "kvm";

/// What runs a guest, and which CPU it sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuChoice {
    /// The translator's back end.
    pub engine: TcgEngine,
    /// The CPU that the guest sees.
    pub model: x86::Model,
    /// Whether KVM runs user code; only where somebody can do without positions ([`Accelerator::rings`]).
    pub kvm: bool,
}

/// Why a CPU cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum AccelError {
    /// No memory for machine code, or no JIT.
    #[error("the engine cannot start; --engine interp runs on every host")]
    Engine(#[source] std::io::Error),
    /// No KVM.
    #[error(transparent)]
    Kvm(#[from] KvmError),
}

/// One vCPU and the memory it sees. Its state at a position does not depend on how many calls led there.
pub trait Accelerator {
    /// Short name for people and for the recording's manifest.
    fn name(&self) -> &'static str;

    /// Runs to exactly `target`, or until something needs the machine. `interrupt` is the level of the interrupt line.
    fn run_until(&mut self, bus: &mut dyn Bus, target: Position, interrupt: bool) -> Stop;

    /// Instructions completed; under KVM those of the kernel, and some of user code.
    fn position(&self) -> Position;

    /// The crossings between kernel and user mode, once [`Accelerator::count_rings`] was called.
    fn rings(&self) -> Rings;

    /// Counts crossings from now on. Runs end with [`Stop::Attention`] at each crossing from user entry number `stop` on.
    fn count_rings(&mut self, stop: u64);

    /// Says what the crossings were when the CPU's state was as it is now.
    fn set_rings(&mut self, rings: Rings);

    /// Whether user code comes next.
    fn is_in_user_mode(&self) -> bool;

    /// Whether all instructions since the last entry into user mode are counted.
    fn is_counted(&self) -> bool;

    /// Physical addresses of pages of RAM that uncounted user code may have written: all since the last call if they are
    /// [`MOST_WRITTEN`](crate::landmark::MOST_WRITTEN) at most, now and in the calls before.
    fn take_uncounted_writes(&mut self) -> Vec<u64>;

    /// At least so much that is in no position has run since the last call, or the last entry into user mode.
    fn take_uncounted(&mut self) -> Least;

    /// Executes user code outside of the translator, where nothing is due and something counts what is `away`, and ends before
    /// that. At least how many instructions are left.
    ///
    /// # Errors
    /// It was more.
    fn hurry(&mut self, bus: &mut dyn Bus, away: Least) -> Result<u64, Overshot>;

    /// Has user code run outside of the translator, where it may, or not for now.
    fn set_outside(&mut self, on: bool);

    /// Sets CF, PF, AF, ZF, SF and OF as in `flags`.
    fn set_arithmetic_flags(&mut self, flags: u64);

    /// Why the CPU's state is not what the guest's instructions have made it any more, once: the run is over then.
    fn take_loss(&mut self) -> Option<KvmError> {
        None
    }

    /// Whether the CPU executes nothing until an interrupt comes.
    fn is_halted(&self) -> bool;

    /// Whether a maskable interrupt would be taken before the next instruction.
    fn interruptible(&self) -> bool;

    /// Delivers the maskable interrupt `vector`; only when [`Accelerator::interruptible`].
    fn interrupt(&mut self, bus: &mut dyn Bus, vector: u8);

    /// Delivers a non-maskable interrupt unless one is in progress. Whether it did.
    fn nmi(&mut self, bus: &mut dyn Bus) -> bool;

    /// The CPU's state as plain data.
    fn save(&self) -> x86::State;

    /// Takes over a CPU state. Translations of addresses are forgotten; code that was made from memory stays.
    fn load(&mut self, state: &x86::State);

    /// The translations of addresses that the CPU remembers, which a guest can tell: the part of its state that
    /// [`Accelerator::save`] leaves out. Of use in this process only.
    fn translations(&self) -> Translations;

    /// Takes over translations, once CPU state, memory, windows and A20 gate are what they were then.
    fn set_translations(&mut self, translations: &Translations);

    /// Says where to stop from now on, instead of what was said before. What the guest does is the same. The instruction at
    /// which the CPU is now counts as seen.
    fn set_stops(&mut self, stops: &Stops);

    /// The observer has seen the CPU where it is now, and its breakpoint there too if `breakpoint`: a run from here goes on
    /// past it.
    fn see(&mut self, breakpoint: bool);

    /// The breakpoint before which the CPU stands, or else the event just delivered, unless the observer has seen it there.
    fn breakpoint(&self) -> Option<Hit>;

    /// The watched access of what has just completed, once.
    fn take_access(&mut self) -> Option<Hit>;

    /// Opens or closes the A20 gate.
    fn set_a20(&mut self, open: bool);

    /// Says which physical ranges are not plain RAM.
    fn set_windows(&mut self, windows: Vec<Window>);

    /// RAM pages written since the last call, ascending page numbers.
    fn take_dirty(&mut self) -> Vec<usize>;

    /// RAM pages written since the last call of this function, ascending page numbers, whoever has taken them as dirty
    /// meanwhile. All that were ever written at first.
    fn take_written(&mut self) -> Vec<usize>;

    /// Linear pages of which instructions may have run since the last call, ascending.
    fn take_executed(&mut self) -> Vec<u64>;

    /// Linear pages written since the last call, ascending; none when they were too many to note. Exact as long as
    /// [`Accelerator::take_written`] is called just before.
    fn take_linear_writes(&mut self) -> Option<Vec<u64>>;

    /// Linear and physical pages of which bytes were read or written since the last call, ascending; none when they were too
    /// many to note, or at the first call.
    fn take_accesses(&mut self) -> Option<Vec<(u64, u64)>>;

    /// Number of RAM pages.
    fn pages(&self) -> usize;

    /// The bytes of a RAM page below [`Accelerator::pages`].
    fn page(&self, page: usize) -> &[u8; 4096];

    /// Overwrites a RAM page below [`Accelerator::pages`]. It counts as written if it was not the same.
    fn set_page(&mut self, page: usize, bytes: &[u8; 4096]);

    /// Physical address of a RAM page below [`Accelerator::pages`].
    fn page_address(&self, page: usize) -> u64;

    /// The byte at linear address `addr` as the guest's page tables have it, without any effect on the guest; `None` where
    /// nothing or a device is.
    fn peek(&self, addr: u64) -> Option<u8> {
        let mut byte = [0];
        (self.peek_range(addr, &mut byte) == 1).then_some(byte[0])
    }

    /// As [`Accelerator::peek`], for as many bytes from `addr` on as there are and `bytes` has room for. Returns how many.
    fn peek_range(&self, addr: u64, bytes: &mut [u8]) -> usize;

    /// Where the guest's page tables lead for linear address `addr` now, without any effect; `None` where nothing is mapped.
    fn translate(&self, addr: u64) -> Option<u64>;

    /// Reads RAM (or firmware) at physical address `addr`, as many bytes as there are and `bytes` has room for. Returns how
    /// many.
    fn read_physical(&self, addr: u64, bytes: &mut [u8]) -> usize;

    /// Overwrites RAM at physical address `addr`, as many bytes as there are; code made from it goes. Returns how many.
    fn write_physical(&mut self, addr: u64, bytes: &[u8]) -> usize;

    /// As [`Accelerator::read_physical`], by a device between two instructions: an observer who watches the bytes is told.
    fn dma_read(&mut self, device: u16, addr: u64, bytes: &mut [u8]) -> usize;

    /// As [`Accelerator::write_physical`], by a device between two instructions: the bytes count as written though they are
    /// the same, and an observer who watches them is told.
    fn dma_write(&mut self, device: u16, addr: u64, bytes: &[u8]) -> usize;

    /// As [`Accelerator::write_physical`] at linear address `addr`, whatever its rights.
    fn poke(&mut self, addr: u64, bytes: &[u8]) -> usize;

    /// Measures how long translation takes, from now on, by a clock that counts nanoseconds.
    fn measure(&mut self, clock: fn() -> u64);

    /// What `--stats` says of it: name and value of each line.
    fn stats(&self) -> Vec<(&'static str, String)>;
}
