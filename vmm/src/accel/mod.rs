//! What executes guest instructions, behind one trait: the translator, and whatever else learns to.

mod stats;
mod tcg;

pub use tcg::{HAS_JIT, TcgAccelerator, TcgEngine, tcg};

use rrvmm_replay::Position;
use rrvmm_tcg::{Bus, phys::Window, x86};

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
}

/// One vCPU and the memory it sees. Its state at a position does not depend on how many calls led there.
pub trait Accelerator {
    /// Short name for people and for the recording's manifest.
    fn name(&self) -> &'static str;

    /// Runs to exactly `target`, or until something needs the machine. `interrupt` is the level of the interrupt line.
    fn run_until(&mut self, bus: &mut dyn Bus, target: Position, interrupt: bool) -> Stop;

    /// Instructions completed.
    fn position(&self) -> Position;

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

    /// Takes over a CPU state.
    fn load(&mut self, state: &x86::State);

    /// Opens or closes the A20 gate.
    fn set_a20(&mut self, open: bool);

    /// Says which physical ranges are not plain RAM.
    fn set_windows(&mut self, windows: Vec<Window>);

    /// RAM pages written since the last call, ascending page numbers.
    fn take_dirty(&mut self) -> Vec<usize>;

    /// Number of RAM pages.
    fn pages(&self) -> usize;

    /// The bytes of a RAM page below [`Accelerator::pages`].
    fn page(&self, page: usize) -> &[u8; 4096];

    /// Overwrites a RAM page below [`Accelerator::pages`].
    fn set_page(&mut self, page: usize, bytes: &[u8; 4096]);

    /// Physical address of a RAM page below [`Accelerator::pages`].
    fn page_address(&self, page: usize) -> u64;

    /// The byte at linear address `addr` as the guest's page tables have it, without any effect on the guest; `None` where
    /// nothing or a device is.
    fn peek(&self, addr: u64) -> Option<u8>;

    /// The physical address at which the guest's page tables have linear address `addr`, without any effect on the guest;
    /// `None` where nothing is mapped.
    fn translate(&self, addr: u64) -> Option<u64>;

    /// Measures how long translation takes, from now on, by a clock that counts nanoseconds.
    fn measure(&mut self, clock: fn() -> u64);

    /// What `--stats` says of it: name and value of each line.
    fn stats(&self) -> Vec<(&'static str, String)>;
}
