//! Machine code that all blocks share: entry, exits, calls into Rust, the search for a recent block.

use super::{
    asm::{Asm, Rm, cc, host::*},
    frame::{BIAS, COUNT, Frame, MMU, MXCSR, PC, SIMD, Shim, TOKENS},
    shims,
};
use crate::{ir::Size, itlb::Witness, tlb};
use std::mem::{offset_of, size_of};

/// Holds the register file's address (see [`BIAS`]).
pub(super) const BASE: u8 = RBX;
/// Holds the address of the TLB view in use.
pub(super) const TLB: u8 = RBP;
/// Holds the instructions left after the current block.
pub(super) const LEFT: u8 = R13;

/// Callee-saved registers in the order in which they are pushed.
const SAVED: [u8; 6] = [RBX, RBP, R12, R13, R14, R15];

/// Addresses of the shared pieces.
#[derive(Clone, Copy, Default)]
pub(super) struct Thunks {
    /// `fn(frame, code, left, base) -> exit | id << 8`.
    pub enter: u64,
    /// End of a run whose count follows from what is left; eax holds the result.
    pub exit: u64,
    /// End of a run whose count is set.
    pub exit_raw: u64,
    /// Jumps to the recent block at pc (in rax), or ends the run with the result in edx.
    pub lookup: u64,
    pub load: u64,
    pub load_for_write: u64,
    pub store: u64,
    pub call: u64,
    pub vector: u64,
    pub call_leave: u64,
    pub bad_target: u64,
    pub settle: u64,
    pub interpret: u64,
    /// Brings the guest's MXCSR into the host's unless it unmasks exceptions; ZF says whether. Uses RCX.
    pub simd: u64,
}

/// `[rsp + disp]` of the stack frame: the run's [`Frame`].
fn frame_slot(a: &mut Asm, to: u8, above: i32) {
    a.load(Size::Q, to, Rm::Base(RSP, above));
}

impl Thunks {
    pub fn emit(a: &mut Asm) -> Self {
        let mut t = Thunks { enter: place(a), ..Thunks::default() };
        for r in SAVED {
            a.push(r);
        }
        // Six registers and the return address leave the stack eight bytes short of alignment; the frame pointer fills them.
        a.push(RDI);
        a.mov(BASE, RCX);
        a.mov(LEFT, RDX);
        a.mov(R12, RSI);
        view(a, 0);
        a.jmp_reg(Rm::Reg(R12));

        t.exit = place(a);
        frame_slot(a, RCX, 0);
        a.load(Size::Q, RCX, Rm::Base(RCX, offset_of!(Frame, limit) as i32));
        a.alu(5, Size::Q, RCX, Rm::Reg(LEFT));
        a.store(Size::Q, Rm::Base(BASE, COUNT), RCX);
        t.exit_raw = a.origin + a.here() as u64;
        a.pop(RDI);
        take_mxcsr_back(a);
        for r in SAVED.into_iter().rev() {
            a.pop(r);
        }
        a.ret();

        t.lookup = lookup(a, t.exit);
        t.load = call(a, t.exit_raw, shims::load, false);
        t.load_for_write = call(a, t.exit_raw, shims::load_for_write, false);
        t.store = call(a, t.exit_raw, shims::store, false);
        t.call = call(a, t.exit_raw, shims::call, true);
        t.vector = call(a, t.exit_raw, shims::vector, false);
        t.call_leave = call(a, t.exit_raw, shims::call_leave, false);
        t.bad_target = call(a, t.exit_raw, shims::bad_target, false);
        t.settle = call_with(a, t.exit_raw, shims::settle, false, false);
        t.interpret = call(a, t.exit_raw, shims::interpret, true);
        t.simd = simd(a);
        t
    }
}

/// The six exception masks of MXCSR (SDM volume 1, 10.2.3).
const MASKS: i32 = 0x1f80;

fn simd(a: &mut Asm) -> u64 {
    let at = place(a);
    a.load(Size::D, RCX, Rm::Base(BASE, MXCSR));
    a.alu_imm(4, Size::D, Rm::Reg(RCX), MASKS);
    a.alu_imm(7, Size::D, Rm::Reg(RCX), MASKS);
    let unmasked = a.jcc(cc::NE);
    a.ldmxcsr(Rm::Base(BASE, MXCSR));
    a.store_imm(Size::B, Rm::Base(BASE, SIMD), 1);
    a.bind(unmasked);
    a.ret();
    at
}

/// Gives the host its MXCSR back, and the guest its own. The frame's address is in RDI.
fn take_mxcsr_back(a: &mut Asm) {
    a.alu_imm(7, Size::B, Rm::Base(BASE, SIMD), 0);
    let has = a.jcc(cc::E);
    a.stmxcsr(Rm::Base(BASE, MXCSR));
    a.ldmxcsr(Rm::Base(RDI, offset_of!(Frame, mxcsr) as i32));
    a.store_imm(Size::B, Rm::Base(BASE, SIMD), 0);
    a.bind(has);
}

fn place(a: &mut Asm) -> u64 {
    while !a.here().is_multiple_of(16) {
        a.code.push(0xcc);
    }
    a.origin + a.here() as u64
}

/// Points the TLB register at the view in use; `above` is the distance of the frame slot from the stack pointer.
fn view(a: &mut Asm, above: i32) {
    a.load(Size::Q, TLB, Rm::Base(BASE, MMU));
    a.mov_imm(RCX, (tlb::ENTRIES * size_of::<tlb::Entry>()) as u64);
    a.imul(Size::Q, TLB, Rm::Reg(RCX));
    frame_slot(a, RCX, above);
    a.alu(0, Size::Q, TLB, Rm::Base(RCX, offset_of!(Frame, tlb) as i32));
}

/// A call of `shim` with frame and instructions left added; ends the run when the answer says so.
fn call(a: &mut Asm, exit_raw: u64, shim: Shim, may_switch_view: bool) -> u64 {
    call_with(a, exit_raw, shim, may_switch_view, true)
}

/// As [`call`]; `floats` unless what is called neither computes with floating-point numbers nor looks at MXCSR.
fn call_with(a: &mut Asm, exit_raw: u64, shim: Shim, may_switch_view: bool, floats: bool) -> u64 {
    let at = place(a);
    frame_slot(a, RDI, 8);
    if floats {
        take_mxcsr_back(a);
    }
    a.mov(R8, LEFT);
    a.alu_imm(5, Size::Q, Rm::Reg(RSP), 8);
    a.mov_imm(RAX, shim as usize as u64);
    a.call_reg(RAX);
    a.alu_imm(0, Size::Q, Rm::Reg(RSP), 8);
    a.test(Size::D, Rm::Reg(RDX), RDX);
    let out = a.jcc(cc::NE);
    if may_switch_view {
        view(a, 8);
    }
    a.ret();
    a.bind(out);
    a.alu_imm(0, Size::Q, Rm::Reg(RSP), 8);
    a.load(Size::D, RAX, Rm::Reg(RDX));
    a.jmp_abs(exit_raw);
    at
}

fn lookup(a: &mut Asm, exit: u64) -> u64 {
    use crate::x86::engine::Recent;
    let at = place(a);
    const { assert!(PC != 0 && BIAS != 0) };
    frame_slot(a, RSI, 0);
    a.mov(RCX, RAX);
    a.shift_imm(5, Size::Q, RCX, 13);
    a.alu(6, Size::D, RCX, Rm::Reg(RAX));
    a.alu_imm(4, Size::D, Rm::Reg(RCX), Recent::SLOTS as i32 - 1);
    a.shift_imm(4, Size::D, RCX, size_of::<Recent>().trailing_zeros() as u8);
    a.alu(0, Size::Q, RCX, Rm::Base(RSI, offset_of!(Frame, recent) as i32));
    let mut misses = Vec::new();
    a.alu(7, Size::Q, RAX, Rm::Base(RCX, offset_of!(Recent, pc) as i32));
    misses.push(a.jcc(cc::NE));
    a.load(Size::D, RAX, Rm::Base(RSI, offset_of!(Frame, context) as i32));
    a.alu(7, Size::D, RAX, Rm::Base(RCX, offset_of!(Recent, context) as i32));
    misses.push(a.jcc(cc::NE));
    // The same pc in the same context has the same slot.
    const WITNESS: i32 = offset_of!(Recent, witness) as i32;
    a.load(Size::D, RSI, Rm::Base(RCX, WITNESS + offset_of!(Witness, slot) as i32));
    a.load(Size::D, RAX, Rm::Base(RCX, WITNESS + offset_of!(Witness, token) as i32));
    a.alu(7, Size::D, RAX, Rm::Index(BASE, RSI, 2, TOKENS));
    misses.push(a.jcc(cc::NE));
    a.load(Size::Q, RAX, Rm::Base(RCX, offset_of!(Recent, code) as i32));
    a.test(Size::Q, Rm::Reg(RAX), RAX);
    misses.push(a.jcc(cc::E));
    a.jmp_reg(Rm::Reg(RAX));
    for m in misses {
        a.bind(m);
    }
    a.load(Size::D, RAX, Rm::Reg(RDX));
    a.jmp_abs(exit);
    at
}
