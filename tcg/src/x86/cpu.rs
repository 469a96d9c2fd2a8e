//! The running x86 CPU: neutral core, system registers, FPU and SSE.

use super::{
    exception::Exception,
    mode::Mode,
    model::Model,
    state::{Segment, State, System, bits, seg},
    x87::X87,
};
use crate::{core::Core, flags::Flags, ir::Reg, phys::PhysMap};

/// TLB view numbers (see [`crate::tlb`]).
pub mod view {
    /// Supervisor, user pages forbidden when SMAP is on.
    pub const SUPERVISOR: usize = 0;
    /// User.
    pub const USER: usize = 1;
    /// Supervisor with EFLAGS.AC set: SMAP does not apply.
    pub const SUPERVISOR_AC: usize = 2;
}

/// The x86 CPU.
pub struct Cpu {
    /// Registers, flags, pc, count, TLB, memory.
    pub core: Core,
    /// Everything else architectural; CS base and the like go through [`Cpu::set_segment`].
    pub sys: System,
    /// XMM registers.
    pub xmm: [u128; 16],
    /// SSE control and status.
    pub mxcsr: u32,
    /// Whether machine code has it in the host's register; never outside of machine code.
    #[cfg_attr(not(all(target_arch = "x86_64", unix)), expect(dead_code))]
    pub(crate) mxcsr_in_host: bool,
    /// x87 and MMX.
    pub x87: X87,
    /// What kind of CPU it is: no part of its state.
    pub model: Model,
    /// Raised inside a block, waiting for the run loop.
    pub(crate) fault: Option<Exception>,
    /// How often the guest touched MSRs and opcodes that do not exist (reported, not state).
    pub unknown: Unknown,
}

/// Counters of what the guest tried and the CPU does not have.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unknown {
    /// RDMSR or WRMSR that raised #GP for want of such a register.
    pub msrs: u64,
    /// Page walks, for data and for fetches.
    pub walks: u64,
    /// Instructions that raised #UD because no such opcode exists in the model.
    pub opcodes: u64,
}

impl Cpu {
    /// A CPU after RESET over `phys`.
    #[must_use]
    pub fn new(phys: PhysMap) -> Self {
        let mut cpu = Self {
            core: Core::new(phys),
            sys: System::reset(),
            xmm: [0; 16],
            mxcsr: 0x1f80,
            mxcsr_in_host: false,
            x87: X87::reset(),
            model: Model::default(),
            fault: None,
            unknown: Unknown::default(),
        };
        cpu.reset();
        cpu
    }

    /// RESET: everything but count and memory.
    pub fn reset(&mut self) {
        self.sys = System::reset();
        self.core.regs = [0; crate::ir::FILE];
        // Family 6, model 0x1C, stepping 10, as CPUID reports it.
        self.core.regs[super::state::gpr::RDX] = 0x106ca;
        self.core.set_flags(Flags::from_eflags(0));
        self.core.pc = 0xfff0;
        self.xmm = [0; 16];
        self.mxcsr = 0x1f80;
        self.x87 = X87::reset();
        self.fault = None;
        self.after_load();
    }

    /// General register `n`.
    #[inline]
    #[must_use]
    pub fn reg(&self, n: usize) -> u64 {
        self.core.regs[n]
    }

    /// Sets all 64 bits of general register `n`.
    #[inline]
    pub fn set_reg(&mut self, n: usize, value: u64) {
        self.core.regs[n] = value;
    }

    /// Current mode.
    #[must_use]
    pub fn mode(&self) -> Mode {
        Mode::of(&self.sys)
    }

    /// Current privilege level.
    #[must_use]
    pub fn cpl(&self) -> u8 {
        self.sys.cpl()
    }

    /// All of RFLAGS.
    #[must_use]
    pub fn rflags(&self) -> u64 {
        self.sys.eflags | self.core.flags().to_eflags()
    }

    /// Sets all of RFLAGS; the caller has applied privilege rules. Reserved bits are forced.
    pub fn set_rflags(&mut self, v: u64) {
        self.core.set_flags(Flags::from_eflags(v));
        self.sys.eflags = v & bits::WRITABLE | 2;
        self.update_view();
    }

    /// Loads a segment register with its hidden part.
    pub fn set_segment(&mut self, n: usize, s: Segment) {
        self.sys.segs[n] = s;
        self.core.regs[Reg::SEG.0 as usize + n] = s.base;
        if n == seg::SS || n == seg::CS {
            self.update_view();
        }
    }

    /// Recomputes the data TLB view; after any change of CPL, EFLAGS.AC, CR4.SMAP.
    pub fn update_view(&mut self) {
        let view = self.view_for(self.cpl());
        if self.core.rings.counted && (view == view::USER) != (self.core.mmu == view::USER) {
            self.cross(view == view::USER);
        }
        self.core.mmu = view;
    }

    /// The CPU enters user mode, or the kernel.
    #[cold]
    fn cross(&mut self, user: bool) {
        let now = self.core.now();
        let rings = &mut self.core.rings;
        if user {
            rings.entries += 1;
            rings.user_at = now;
        } else {
            rings.kernel_at = now;
        }
        self.core.leave |= rings.entries >= rings.stop;
    }

    /// The view an explicit access at privilege `cpl` uses.
    #[must_use]
    pub fn view_for(&self, cpl: u8) -> usize {
        if cpl == 3 {
            view::USER
        } else if self.sys.cr4 & bits::CR4_SMAP != 0 && self.sys.eflags & bits::AC != 0 {
            view::SUPERVISOR_AC
        } else {
            view::SUPERVISOR
        }
    }

    fn after_load(&mut self) {
        for n in 0..6 {
            self.core.regs[Reg::SEG.0 as usize + n] = self.sys.segs[n].base;
        }
        self.core.regs[Reg::ZERO.0 as usize] = 0;
        self.core.flush_all();
        self.core.mmu = self.view_for(self.cpl());
    }

    /// The x87 as the guest can see it: without its pointers to the last instruction if the model has none. Machine code
    /// notes them all the same.
    pub(crate) fn visible_x87(&self) -> X87 {
        let mut x87 = self.x87.clone();
        if !self.model.has_x87_pointers() {
            x87.forget_pointers();
        }
        x87
    }

    /// Everything architectural as plain data. Only between instructions.
    #[must_use]
    pub fn save(&self) -> State {
        let mut regs = [0; 16];
        regs.copy_from_slice(&self.core.regs[..16]);
        State {
            count: self.core.count,
            regs,
            rip: self.core.pc,
            rflags: self.rflags(),
            system: self.sys.clone(),
            xmm: self.xmm,
            mxcsr: self.mxcsr,
            x87: self.visible_x87(),
        }
    }

    /// Takes over a saved state; memory is the caller's.
    pub fn load(&mut self, s: &State) {
        self.core.count = s.count;
        self.core.regs[..16].copy_from_slice(&s.regs);
        self.core.pc = s.rip;
        self.sys = s.system.clone();
        self.xmm = s.xmm;
        self.mxcsr = s.mxcsr;
        self.x87 = s.x87.clone();
        self.fault = None;
        self.core.set_flags(Flags::from_eflags(s.rflags));
        self.sys.eflags = s.rflags & bits::WRITABLE | 2;
        self.after_load();
    }
}
