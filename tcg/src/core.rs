//! The architecture-neutral part of a running CPU: register file, flags, program counter, count, TLB.

use crate::{flags::Flags, ir::FILE, itlb::Itlb, lazy::Lazy, observer::Observer, phys::PhysMap, tlb::Tlb};

/// What the slow paths of memory accesses met, for `--stats`. Not part of the machine's state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Slow {
    /// Data accesses that the inline look at the TLB did not settle: misses, page crossings, devices, code pages.
    pub data: u64,
    /// Walks for data accesses.
    pub data_walks: u64,
    /// Looks for the translation of an instruction address by the run loop.
    pub fetches: u64,
    /// Walks for instruction addresses.
    pub fetch_walks: u64,
}

/// How often the CPU went from the kernel to user mode and where it came back: what places in a run that was not counted
/// throughout are named by. Part of no state: whoever asks for it starts with the run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rings {
    /// Whether anybody counts. Machine code then leaves every crossing to the helpers.
    pub counted: bool,
    /// Runs end at every crossing from this number of entries on.
    pub stop: u64,
    /// Entries into user mode so far.
    pub entries: u64,
    /// Instructions completed when the CPU last entered the kernel.
    pub kernel_at: u64,
    /// Instructions completed when it last entered user mode.
    pub user_at: u64,
}

/// What the guest has flushed since somebody looked.
#[derive(Clone, Debug, Default)]
pub struct Flushed {
    everything: bool,
    pages: Vec<u64>,
}

impl Flushed {
    /// Single pages that are worth a list.
    const MOST: usize = 64;

    fn all(&mut self) {
        self.everything = true;
        self.pages.clear();
    }

    fn page(&mut self, addr: u64) {
        if self.everything {
        } else if self.pages.len() < Self::MOST {
            self.pages.push(addr);
        } else {
            self.all();
        }
    }

    /// Whether a translation that `has` knows the linear address of was flushed since the last call.
    pub fn take(&mut self, has: impl Fn(u64) -> bool) -> bool {
        let pages = std::mem::take(&mut self.pages);
        std::mem::take(&mut self.everything) || pages.into_iter().any(has)
    }
}

/// Where user code has caused walks since somebody looked.
#[derive(Clone, Debug, Default)]
pub struct Walked(Vec<u64>);

impl Walked {
    /// What comes after these is not noted.
    const MOST: usize = 256;

    /// Notes the linear address `addr`.
    pub fn note(&mut self, addr: u64) {
        if self.0.len() < Self::MOST {
            self.0.push(addr);
        }
    }

    /// The addresses noted since the last call.
    pub fn take(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.0)
    }
}

/// What back ends touch directly. The order is that of declaration: machine code reaches the fields from the register file
/// on, and the first ones by short displacements.
#[repr(C)]
pub struct Core {
    /// The register file (see [`crate::ir::Reg`]).
    pub regs: [u64; FILE],
    /// Arithmetic flags, unless machine code has others pending: then [`Core::flags`] gives them.
    pub(crate) flags: Flags,
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
    /// Set when machine code went on after an instruction that may have changed the mode.
    pub(crate) moved: bool,
    /// Host address of the first TLB entry that data accesses use now, while machine code runs.
    pub(crate) view: u64,
    /// What SYSCALL and SYSRET make of a context, as far as noted; for machine code only.
    pub(crate) crossings: [Crossing; 2],
    /// Address of the run loop's table of recent blocks, for machine code only.
    pub(crate) recent: u64,
    /// Flags that machine code has not settled yet; nothing between runs.
    pub(crate) lazy: Lazy,
    /// Software TLB for data.
    pub tlb: Tlb,
    /// Software TLB for instruction fetches.
    pub itlb: Itlb,
    /// Physical memory.
    pub phys: PhysMap,
    /// Counters.
    pub slow: Slow,
    /// What somebody who watches the run waits for; no part of the state.
    pub observer: Observer,
    /// Entries into user mode, where somebody counts them.
    pub rings: Rings,
    /// What the guest has flushed, for who keeps translations of its own.
    pub flushed: Flushed,
    /// What user code has reached anew, for the same; noted while [`Rings::counted`].
    pub walked: Walked,
}

/// A pair of contexts of the run loop, by number.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Crossing {
    pub from: u32,
    pub to: u32,
}

impl Crossing {
    /// From nowhere.
    pub(crate) const NONE: Crossing = Crossing { from: u32::MAX, to: u32::MAX };
}

impl Core {
    /// The arithmetic flags.
    #[inline]
    #[must_use]
    pub fn flags(&self) -> Flags {
        self.lazy.flags(self.flags)
    }

    /// Sets all arithmetic flags.
    #[inline]
    pub fn set_flags(&mut self, flags: Flags) {
        self.lazy.word = 0;
        self.flags = flags;
    }

    /// The arithmetic flags, to change some.
    #[inline]
    pub fn flags_mut(&mut self) -> &mut Flags {
        self.lazy.settle(&mut self.flags);
        &mut self.flags
    }

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
            moved: false,
            view: 0,
            crossings: [Crossing::NONE; 2],
            recent: 0,
            lazy: Lazy::default(),
            tlb: Tlb::new(),
            itlb: Itlb::new(),
            phys,
            slow: Slow::default(),
            observer: Observer::default(),
            rings: Rings::default(),
            flushed: Flushed::default(),
            walked: Walked::default(),
        }
    }

    /// Forgets every translation.
    pub fn flush_all(&mut self) {
        self.flushed.all();
        self.tlb.flush_all();
        self.itlb.flush_all();
    }

    /// Forgets every translation that is not global.
    pub fn flush_local(&mut self) {
        self.flushed.all();
        self.tlb.flush_local();
        self.itlb.flush_local();
    }

    /// Forgets the guest's page of `addr`, global or not.
    pub fn flush_page(&mut self, addr: u64) {
        self.flushed.page(addr);
        self.tlb.flush_page(addr);
        self.itlb.flush_page(addr);
    }

    /// Instructions completed, also in the middle of a block.
    #[inline(always)]
    #[must_use]
    pub fn now(&self) -> u64 {
        self.count + u64::from(self.insn)
    }
}
