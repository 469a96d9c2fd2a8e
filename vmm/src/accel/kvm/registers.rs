//! User state between the translator and KVM.

use kvm_bindings::{kvm_regs, kvm_segment, kvm_sregs, kvm_xsave};
use rrvmm_tcg::x86::{
    Cpu,
    state::{Segment, bits, gpr, seg},
};

/// Where user code is: the rest is in the registers.
pub(super) struct Frame {
    pub(super) rip: u64,
    pub(super) rflags: u64,
    pub(super) rsp: u64,
}

pub(super) fn segment(s: &Segment) -> kvm_segment {
    let bit = |n: u16| (s.attr >> n & 1) as u8;
    kvm_segment {
        base: s.base,
        limit: s.limit,
        selector: s.selector,
        type_: s.kind(),
        present: bit(7),
        dpl: s.dpl(),
        db: bit(14),
        s: bit(4),
        l: bit(13),
        g: bit(15),
        avl: bit(12),
        unusable: u8::from(!s.present()),
        padding: 0,
    }
}

pub(super) fn of_kvm(s: &kvm_segment) -> Segment {
    if s.unusable != 0 || s.present == 0 {
        return Segment { selector: s.selector, base: 0, limit: 0, attr: 0 };
    }
    let low = s.type_ | s.s << 4 | s.dpl << 5 | s.present << 7;
    let high = s.avl | s.l << 1 | s.db << 2 | s.g << 3;
    let attr = u16::from(low) | u16::from(high) << 12;
    Segment { selector: s.selector, base: s.base, limit: s.limit, attr }
}

pub(super) fn to_sregs(cpu: &Cpu, to: &mut kvm_sregs) {
    let s = &cpu.sys;
    for (n, to) in
        [&mut to.es, &mut to.cs, &mut to.ss, &mut to.ds, &mut to.fs, &mut to.gs].into_iter().enumerate()
    {
        *to = segment(&s.segs[n]);
    }
    // RDTSC faults, where the host can make it: the translator answers it.
    let cr4 = bits::CR4_OSFXSR | bits::CR4_OSXMMEXCPT;
    to.cr4 = s.cr4 & cr4 | bits::CR4_PAE | bits::CR4_TSD;
    let cr0 = bits::CR0_MP | bits::CR0_NE | bits::CR0_AM;
    to.cr0 = s.cr0 & cr0 | bits::CR0_PE | bits::CR0_PG | bits::CR0_WP | bits::CR0_ET;
    to.efer = bits::EFER_SCE | bits::EFER_LME | bits::EFER_LMA | bits::EFER_NXE;
}

pub(super) fn to_regs(cpu: &Cpu) -> kvm_regs {
    let r = |n: usize| cpu.core.regs[n];
    kvm_regs {
        rax: r(gpr::RAX),
        rbx: r(gpr::RBX),
        rcx: r(gpr::RCX),
        rdx: r(gpr::RDX),
        rsi: r(gpr::RSI),
        rdi: r(gpr::RDI),
        rsp: r(gpr::RSP),
        rbp: r(gpr::RBP),
        r8: r(8),
        r9: r(9),
        r10: r(10),
        r11: r(11),
        r12: r(12),
        r13: r(13),
        r14: r(14),
        r15: r(15),
        rip: cpu.core.pc,
        rflags: cpu.rflags(),
    }
}

/// The general registers by number.
pub(super) fn general(regs: &kvm_regs) -> [u64; 16] {
    [
        regs.rax, regs.rcx, regs.rdx, regs.rbx, regs.rsp, regs.rbp, regs.rsi, regs.rdi, regs.r8, regs.r9,
        regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15,
    ]
}

/// Takes over what user code has made of its registers.
pub(super) fn from_kvm(cpu: &mut Cpu, regs: &kvm_regs, sregs: &kvm_sregs, frame: &Frame) {
    cpu.core.regs[..16].copy_from_slice(&general(regs));
    cpu.core.regs[gpr::RSP] = frame.rsp;
    cpu.core.pc = frame.rip;
    // RF is the event's, which the translator does not have.
    cpu.set_rflags(frame.rflags & !bits::RF);
    for (n, now) in [(seg::ES, &sregs.es), (seg::DS, &sregs.ds), (seg::FS, &sregs.fs), (seg::GS, &sregs.gs)] {
        let had = cpu.sys.segs[n];
        if now.selector != had.selector || now.base != had.base {
            cpu.set_segment(n, of_kvm(now));
        }
    }
}

/// FPU and SSE registers, as FXSAVE stores them.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Fpu([u8; LEGACY]);

/// Bytes of them, with what XSAVE puts behind (SDM volume 1, 13.4).
const LEGACY: usize = 416;
/// Where MXCSR and XMM0 are.
const MXCSR: usize = 24;
const XMM: usize = 160;
/// Where XSAVE says which components are there: x87 and SSE.
const HEADER: usize = 512;
const COMPONENTS: u32 = 3;

impl Fpu {
    pub(super) fn of(cpu: &Cpu) -> Self {
        let mut image = [0; LEGACY];
        image[..XMM].copy_from_slice(&cpu.x87.fxsave(true));
        forget_pointers(&mut image);
        image[MXCSR..MXCSR + 4].copy_from_slice(&cpu.mxcsr.to_le_bytes());
        for (n, xmm) in cpu.xmm.iter().enumerate() {
            image[XMM + 16 * n..XMM + 16 * (n + 1)].copy_from_slice(&xmm.to_le_bytes());
        }
        Self(image)
    }

    pub(super) fn of_kvm(xsave: &kvm_xsave) -> Self {
        let mut image = [0; LEGACY];
        for (bytes, word) in image.chunks_exact_mut(4).zip(xsave.region) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        forget_pointers(&mut image);
        // The mask of MXCSR, and what lies behind the registers of the x87.
        image[MXCSR + 4..MXCSR + 8].fill(0);
        for register in 0..8 {
            image[42 + 16 * register..48 + 16 * register].fill(0);
        }
        // A component that is not there is as at first.
        let there = xsave.region[HEADER / 4];
        if there & 1 == 0 {
            image[..MXCSR].fill(0);
            image[..2].copy_from_slice(&0x37f_u16.to_le_bytes());
            image[32..XMM].fill(0);
        }
        if there & 2 == 0 {
            image[XMM..].fill(0);
        }
        Self(image)
    }

    pub(super) fn to_kvm(&self) -> kvm_xsave {
        let mut xsave = kvm_xsave::default();
        for (word, bytes) in xsave.region.iter_mut().zip(self.0.chunks_exact(4)) {
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        xsave.region[HEADER / 4] = COMPONENTS;
        xsave
    }

    /// Puts it into the translator's CPU.
    pub(super) fn put(&self, cpu: &mut Cpu) {
        let mut x87 = [0; XMM];
        x87.copy_from_slice(&self.0[..XMM]);
        cpu.x87.fxrstor(&x87, true);
        cpu.mxcsr = u32::from_le_bytes([self.0[24], self.0[25], self.0[26], self.0[27]]);
        for (xmm, bytes) in cpu.xmm.iter_mut().zip(self.0[XMM..].as_chunks::<16>().0) {
            *xmm = u128::from_le_bytes(*bytes);
        }
    }
}

/// Clears FOP, FIP and FDP, which the CPU model has not.
fn forget_pointers(image: &mut [u8; LEGACY]) {
    image[6..MXCSR].fill(0);
}
