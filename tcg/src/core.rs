//! The architecture-neutral part of a running CPU: register file, flags, program counter, count, TLB.

use crate::{flags::Flags, ir::FILE, lazy::Lazy, phys::PhysMap, tlb::Tlb};

/// What back ends touch directly.
pub struct Core {
    /// The register file (see [`crate::ir::Reg`]).
    pub regs: [u64; FILE],
    /// Arithmetic flags, deferred.
    pub flags: Flags,
    /// Program counter; exact only between blocks and for helpers that leave the block.
    pub pc: u64,
    /// Instructions completed before the current block.
    pub count: u64,
    /// Index of the current instruction in its block; with `count` this is the exact position for devices and helpers.
    pub insn: u32,
    /// Set by a slow path when the block must be left at the end of this instruction (device attention, code was written).
    pub leave: bool,
    /// Set by a helper that left its instruction in the middle on purpose (one iteration of a REP): it does not count.
    pub unfinished: bool,
    /// Ops left of the run when it ended with [`crate::block::Exit::Attention`].
    pub rest: usize,
    /// Which TLB half data accesses use now.
    pub mmu: usize,
    /// Flags that machine code has not settled yet; nothing between runs.
    pub(crate) lazy: Lazy,
    /// Software TLB.
    pub tlb: Tlb,
    /// Physical memory.
    pub phys: PhysMap,
}

impl Core {
    /// A core with everything zero over `phys`.
    #[must_use]
    pub fn new(phys: PhysMap) -> Self {
        Self {
            regs: [0; FILE],
            flags: Flags::default(),
            pc: 0,
            count: 0,
            insn: 0,
            leave: false,
            unfinished: false,
            rest: 0,
            mmu: 0,
            lazy: Lazy::default(),
            tlb: Tlb::new(),
            phys,
        }
    }

    /// Instructions completed, also in the middle of a block.
    #[inline(always)]
    #[must_use]
    pub fn now(&self) -> u64 {
        self.count + u64::from(self.insn)
    }
}
