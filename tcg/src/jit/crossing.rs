//! SYSCALL, SYSRET and SWAPGS without a call into Rust, where nothing is unusual.
//!
//! What such an instruction makes of a context (see the run loop's cache) depends on that context alone, as long as neither
//! TF nor AC is set: the shims note it when the helper has done the instruction once, and from then on the thunks here
//! recognise the context.

use super::{
    asm::{Asm, Fixup, Rm, cc, host::RCX},
    emit::{ARG, Emit, TARGET},
    frame::{
        CROSSINGS, EFER, EFLAGS, FLAG_A, FLAG_C, FLAG_S, FLAG_Z, FMASK, Frame, KERNEL_GS, LAZY_WORD, LSTAR,
        MMU, MOVED, PC, STAR, VIEW, attributes, base, limit, selector,
    },
    regs::{BASE, LEFT, S0, S1, file},
    thunks::{Redo, frame_slot, place},
};
use crate::{
    core::Crossing,
    flags::{AF, ARITH},
    ir::{Crossing as Kind, Reg, Size},
    lazy, tlb,
    x86::{
        cpu::view,
        state::{bits, seg},
        system::syscall,
    },
};
use std::mem::{offset_of, size_of};

/// Guest R11.
const R11: Reg = Reg(11);

/// Flags with which an instruction that crosses is unusual.
pub(super) const UNUSUAL: u64 = bits::TF | bits::RF | bits::VM | bits::AC;

fn at(disp: i32) -> Rm {
    Rm::Base(BASE, disp)
}

fn crossing(kind: Kind, field: usize) -> Rm {
    at(CROSSINGS + (kind as usize * size_of::<Crossing>() + field) as i32)
}

/// What a crossing makes of code and stack segment, and of the data TLB's view.
struct Target {
    dpl: u16,
    view: usize,
}

/// A thunk that goes on behind the instruction, or returns with everything as it was. S1 is for `lookup`.
pub(super) fn thunk(a: &mut Asm, kind: Kind, redo: Redo, lookup: u64) -> u64 {
    let begin = place(a);
    let mut slow = usual(a, kind);
    match kind {
        Kind::Syscall => {
            slow.extend(rflags(a, redo));
            a.store(Size::Q, file(R11), S0);
            a.load(Size::Q, RCX, at(PC));
            a.load(Size::Q, TARGET, at(FMASK));
            a.unary(2, Size::Q, Rm::Reg(TARGET));
            a.alu(4, Size::Q, S0, Rm::Reg(TARGET));
            set_rflags(a);
            a.load(Size::Q, TARGET, at(STAR));
            a.shift_imm(5, Size::Q, TARGET, 32);
            a.alu_imm(4, Size::D, Rm::Reg(TARGET), 0xfffc);
            a.store(Size::W, at(selector(seg::CS)), TARGET);
            a.alu_imm(0, Size::D, Rm::Reg(TARGET), 8);
            a.store(Size::W, at(selector(seg::SS)), TARGET);
            arrive(a, kind, &Target { dpl: 0, view: view::SUPERVISOR });
            a.load(Size::Q, S0, at(LSTAR));
        }
        Kind::Sysret => {
            a.load(Size::Q, S0, file(R11));
            a.test_imm(Size::D, Rm::Reg(S0), (UNUSUAL & !bits::RF) as i32);
            slow.push(a.jcc(cc::NE));
            // A canonical address has the same bit from 47 up.
            a.mov(TARGET, RCX);
            a.shift_imm(7, Size::Q, TARGET, 47);
            a.step(0, Size::Q, Rm::Reg(TARGET));
            a.alu_imm(7, Size::Q, Rm::Reg(TARGET), 1);
            slow.push(a.jcc(cc::A));
            set_rflags(a);
            a.load(Size::Q, TARGET, at(STAR));
            a.shift_imm(5, Size::Q, TARGET, 48);
            for (segment, above) in [(seg::CS, 16), (seg::SS, 8)] {
                a.lea(Size::D, ARG, Rm::Base(TARGET, above));
                a.alu_imm(1, Size::D, Rm::Reg(ARG), 3);
                a.store(Size::W, at(selector(segment)), ARG);
            }
            arrive(a, kind, &Target { dpl: 3, view: view::USER });
            a.mov(S0, RCX);
        }
    }
    // The site does not go on.
    a.pop(TARGET);
    a.jmp_abs(lookup);
    for way in slow {
        a.bind(way);
    }
    a.ret();
    begin
}

/// The ways out unless the run may go on in the context that is noted for the one it is in.
fn usual(a: &mut Asm, kind: Kind) -> Vec<Fixup> {
    let mut slow = Vec::new();
    a.test(Size::Q, Rm::Reg(LEFT), LEFT);
    slow.push(a.jcc(cc::E));
    frame_slot(a, ARG, 8);
    a.alu_imm(7, Size::B, Rm::Base(ARG, offset_of!(Frame, moves) as i32), 0);
    slow.push(a.jcc(cc::E));
    a.load(Size::D, TARGET, Rm::Base(ARG, offset_of!(Frame, context) as i32));
    a.alu(7, Size::D, TARGET, crossing(kind, offset_of!(Crossing, from)));
    slow.push(a.jcc(cc::NE));
    a.test_imm(Size::D, at(EFLAGS), UNUSUAL as i32);
    slow.push(a.jcc(cc::NE));
    a.test_imm(Size::B, at(EFER), bits::EFER_SCE as i32);
    slow.push(a.jcc(cc::E));
    slow
}

/// S0 = RFLAGS, when what pends can be done again here; else one of the ways out.
fn rflags(a: &mut Asm, redo: Redo) -> [Fixup; 2] {
    a.load(Size::D, TARGET, at(LAZY_WORD));
    a.alu_imm(7, Size::D, Rm::Reg(TARGET), redo.entries as i32);
    let apart = a.jcc(cc::AE);
    a.lea_abs(S0, redo.table);
    a.load(Size::Q, S0, Rm::Index(S0, TARGET, 3, 0));
    a.lea_abs(ARG, redo.slow);
    a.alu(7, Size::Q, S0, Rm::Reg(ARG));
    let rare = a.jcc(cc::E);
    a.call_reg(S0);
    a.pushf();
    a.pop(S0);
    a.alu_imm(4, Size::D, Rm::Reg(S0), ARITH as i32);
    // The host leaves AF undefined after logic.
    a.shift_imm(5, Size::D, TARGET, 2);
    for kind in [lazy::Kind::Logic, lazy::Kind::Test] {
        a.alu_imm(7, Size::D, Rm::Reg(TARGET), kind as i32);
        let other = a.jcc(cc::NE);
        a.alu_imm(4, Size::D, Rm::Reg(S0), !AF as i32);
        a.bind(other);
    }
    a.alu(1, Size::Q, S0, at(EFLAGS));
    [apart, rare]
}

/// RFLAGS = S0 but for RF. Uses the pool's registers.
fn set_rflags(a: &mut Asm) {
    let (t, u) = (TARGET, ARG);
    let bit = |a: &mut Asm, to: u8, n: u8| {
        a.load(Size::D, to, Rm::Reg(S0));
        a.shift_imm(5, Size::D, to, n);
    };
    a.load(Size::D, t, Rm::Reg(S0));
    a.alu_imm(4, Size::D, Rm::Reg(t), (bits::WRITABLE & !bits::RF) as i32);
    a.alu_imm(1, Size::D, Rm::Reg(t), 2);
    a.store(Size::Q, at(EFLAGS), t);
    // The words, as `Flags` has them: z is zero for ZF;
    bit(a, t, 6);
    a.alu_imm(4, Size::D, Rm::Reg(t), 1);
    a.alu_imm(6, Size::D, Rm::Reg(t), 1);
    a.store(Size::Q, at(FLAG_Z), t);
    // s has SF in bit 63, and even parity for PF;
    bit(a, t, 2);
    a.alu_imm(4, Size::D, Rm::Reg(t), 1);
    a.alu_imm(6, Size::D, Rm::Reg(t), 1);
    bit(a, u, 7);
    a.shift_imm(4, Size::Q, u, 63);
    a.alu(1, Size::Q, t, Rm::Reg(u));
    a.store(Size::Q, at(FLAG_S), t);
    // c has CF in bit 63, and in bit 62 whether OF is another;
    bit(a, t, 11);
    a.alu(6, Size::D, t, Rm::Reg(S0));
    a.alu_imm(4, Size::D, Rm::Reg(t), 1);
    a.shift_imm(4, Size::Q, t, 62);
    a.mov(u, S0);
    a.shift_imm(4, Size::Q, u, 63);
    a.alu(1, Size::Q, t, Rm::Reg(u));
    a.store(Size::Q, at(FLAG_C), t);
    // a has AF in its place.
    a.load(Size::D, t, Rm::Reg(S0));
    a.alu_imm(4, Size::D, Rm::Reg(t), AF as i32);
    a.store(Size::Q, at(FLAG_A), t);
    a.store_imm(Size::D, at(LAZY_WORD), 0);
}

/// Loads what is constant, and changes the view and the context. The selectors are there. Uses the pool's registers.
fn arrive(a: &mut Asm, kind: Kind, to: &Target) {
    let flat = syscall::flat(to.dpl, true);
    for (segment, attr) in [(seg::CS, flat.0), (seg::SS, flat.1)] {
        a.store_imm(Size::Q, at(base(segment)), 0);
        a.store_imm(Size::D, at(limit(segment)), -1);
        a.store_imm(Size::W, at(attributes(segment)), i32::from(attr));
        a.store_imm(Size::Q, file(Reg(Reg::SEG.0 + segment as u8)), 0);
    }
    a.store_imm(Size::Q, at(MMU), to.view as i32);
    frame_slot(a, ARG, 8);
    a.load(Size::Q, TARGET, Rm::Base(ARG, offset_of!(Frame, tlb) as i32));
    a.alu_imm(0, Size::Q, Rm::Reg(TARGET), (to.view * tlb::ENTRIES * size_of::<tlb::Entry>()) as i32);
    a.store(Size::Q, at(VIEW), TARGET);
    a.load(Size::D, TARGET, crossing(kind, offset_of!(Crossing, to)));
    a.store(Size::Q, Rm::Base(ARG, offset_of!(Frame, context) as i32), TARGET);
    a.store_imm(Size::B, at(MOVED), 1);
}

impl Emit<'_> {
    /// SWAPGS at CPL 0 in 64-bit code. Emits moves.
    pub(super) fn swap_gs(&mut self) {
        let gs = file(Reg(Reg::SEG.0 + seg::GS as u8));
        let (new, old) = (S1, S0);
        (self.open, self.near) = (None, None);
        self.a.load(Size::Q, old, gs);
        self.a.load(Size::Q, new, at(KERNEL_GS));
        self.a.store(Size::Q, gs, new);
        self.a.store(Size::Q, at(base(seg::GS)), new);
        self.a.store(Size::Q, at(KERNEL_GS), old);
    }
}
