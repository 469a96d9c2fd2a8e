//! Machine code that all blocks share: entry, exits, calls into Rust, the search for a recent block.

use super::{
    asm::{Asm, Fixup, Rm, cc, host::*},
    crossing,
    emit::{ARG, TARGET},
    flags::redo,
    frame::{COUNT, FLAG_C, Frame, LAZY_WORD, MMU, MXCSR, PC, RECENT, SIMD, Shim, TOKENS, VIEW},
    regs::{BASE, LEFT, PINNED, S0, S1, file},
    shims,
};
use crate::{
    ir::{Crossing, Size},
    itlb::Witness,
    lazy::Kind,
    tlb,
};
use std::mem::{offset_of, size_of};

/// Callee-saved registers in the order in which they are pushed.
const SAVED: [u8; 6] = [RBX, RBP, R12, R13, R14, R15];

/// Addresses of the shared pieces.
#[derive(Clone, Copy, Default)]
pub(super) struct Thunks {
    /// `fn(frame, code, left, base) -> exit | id << 8`.
    pub enter: u64,
    /// End of a run whose count follows from what is left; S1 holds the result.
    pub exit: u64,
    /// Jumps to the recent block at S0 in the frame's context, or ends the run there with the result in S1.
    pub lookup: u64,
    /// Makes the host's flags the guest's, whatever pends. Uses S0 and S1.
    pub flags: u64,
    /// Makes the host's CF the guest's, whatever pends. Uses S0 and S1.
    pub carry: u64,
    pub load: u64,
    pub load_for_write: u64,
    pub store: u64,
    pub call: u64,
    /// As `call`, leaving pending flags as they are.
    pub plain: u64,
    pub call_leave: u64,
    /// By [`Crossing`]: goes on behind the instruction, S1 as for `lookup`, or returns to where it is done by `call_leave`.
    pub crossings: [u64; 2],
    pub bad_target: u64,
    pub interpret: u64,
    /// Brings the guest's MXCSR into the host's unless it unmasks exceptions; ZF says whether. Uses S1.
    pub simd: u64,
    /// Whether the host has every instruction of [`super::encodings`].
    pub sse: bool,
    /// Whether the host has POPCNT.
    pub popcnt: bool,
    /// Whether the host has BMI2.
    pub bmi2: bool,
}

impl Thunks {
    pub fn emit(a: &mut Asm) -> Self {
        let popcnt = std::arch::is_x86_feature_detected!("popcnt");
        let bmi2 = std::arch::is_x86_feature_detected!("bmi2");
        let sse = std::arch::is_x86_feature_detected!("sse4.2");
        let mut t = Thunks { enter: place(a), popcnt, bmi2, sse, ..Thunks::default() };
        for r in SAVED {
            a.push(r);
        }
        // Six registers and the return address leave the stack eight bytes short of alignment; the frame pointer fills them.
        a.push(RDI);
        a.mov(BASE, RCX);
        a.mov(LEFT, RDX);
        a.mov(S0, RSI);
        view(a, 0);
        fill(a);
        a.jmp_reg(Rm::Reg(S0));

        t.exit = place(a);
        spill(a);
        frame_slot(a, RCX, 0);
        a.load(Size::Q, RCX, Rm::Base(RCX, offset_of!(Frame, limit) as i32));
        a.alu(5, Size::Q, RCX, Rm::Reg(LEFT));
        a.store(Size::Q, Rm::Base(BASE, COUNT), RCX);
        a.mov(RAX, S1);
        let exit_raw = a.origin + a.here() as u64;
        a.pop(RDI);
        take_mxcsr_back(a);
        for r in SAVED.into_iter().rev() {
            a.pop(r);
        }
        a.ret();

        t.lookup = lookup(a, t.exit);
        t.load = call(a, exit_raw, shims::load, false);
        t.load_for_write = call(a, exit_raw, shims::load_for_write, false);
        t.store = call(a, exit_raw, shims::store, false);
        t.call = call(a, exit_raw, shims::call, true);
        t.plain = call(a, exit_raw, shims::plain, true);
        t.call_leave = call(a, exit_raw, shims::call_leave, true);
        t.bad_target = call(a, exit_raw, shims::bad_target, false);
        t.interpret = call(a, exit_raw, shims::interpret, true);
        let redo;
        (t.flags, redo) = flags(a);
        t.crossings = [Crossing::Syscall, Crossing::Sysret].map(|c| crossing::thunk(a, c, redo, t.lookup));
        t.carry = carry(a, t.flags);
        t.simd = simd(a);
        t
    }
}

/// The six exception masks of MXCSR (SDM volume 1, 10.2.3).
const MASKS: i32 = 0x1f80;

fn simd(a: &mut Asm) -> u64 {
    let at = place(a);
    a.load(Size::D, S1, Rm::Base(BASE, MXCSR));
    a.alu_imm(4, Size::D, Rm::Reg(S1), MASKS);
    a.alu_imm(7, Size::D, Rm::Reg(S1), MASKS);
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

pub(super) fn place(a: &mut Asm) -> u64 {
    while !a.here().is_multiple_of(16) {
        a.code.push(0xcc);
    }
    a.origin + a.here() as u64
}

/// `[rsp + above]` of the stack frame: the run's [`Frame`].
pub(super) fn frame_slot(a: &mut Asm, to: u8, above: i32) {
    a.load(Size::Q, to, Rm::Base(RSP, above));
}

/// Writes the pinned registers to the register file.
fn spill(a: &mut Asm) {
    for (r, h) in PINNED {
        a.store(Size::Q, file(r), h);
    }
}

/// Reads the pinned registers from the register file.
fn fill(a: &mut Asm) {
    for (r, h) in PINNED {
        a.load(Size::Q, h, file(r));
    }
}

/// Notes which TLB view is in use; `above` is the distance of the frame slot from the stack pointer. Uses RCX and RDX.
fn view(a: &mut Asm, above: i32) {
    a.load(Size::Q, RDX, Rm::Base(BASE, MMU));
    a.imul_imm(Size::Q, RDX, Rm::Reg(RDX), (tlb::ENTRIES * size_of::<tlb::Entry>()) as i32);
    frame_slot(a, RCX, above);
    a.alu(0, Size::Q, RDX, Rm::Base(RCX, offset_of!(Frame, tlb) as i32));
    a.store(Size::Q, Rm::Base(BASE, VIEW), RDX);
}

/// A call of `shim` with S0, the argument register, S1 (the site) and the target register, after the frame and before the
/// instructions left. The answer's value comes back in S0; the run ends when the answer says so.
fn call(a: &mut Asm, exit_raw: u64, shim: Shim, may_switch_view: bool) -> u64 {
    let at = place(a);
    spill(a);
    frame_slot(a, RDI, 8);
    take_mxcsr_back(a);
    a.mov(RSI, S0);
    a.mov(RDX, ARG);
    a.mov(RCX, S1);
    a.mov(R8, LEFT);
    a.mov(R9, TARGET);
    a.alu_imm(5, Size::Q, Rm::Reg(RSP), 8);
    a.mov_imm(RAX, shim as usize as u64);
    a.call_reg(RAX);
    a.alu_imm(0, Size::Q, Rm::Reg(RSP), 8);
    a.test(Size::D, Rm::Reg(RDX), RDX);
    let out = a.jcc(cc::NE);
    a.mov(S0, RAX);
    if may_switch_view {
        view(a, 8);
    }
    fill(a);
    a.ret();
    a.bind(out);
    a.alu_imm(0, Size::Q, Rm::Reg(RSP), 8);
    a.load(Size::D, RAX, Rm::Reg(RDX));
    a.jmp_abs(exit_raw);
    at
}

/// See [`Thunks::flags`]: a table of what to do again by what pends, and a call for the rest.
fn flags(a: &mut Asm) -> (u64, Redo) {
    const KINDS: [Kind; 10] = [
        Kind::Add,
        Kind::Sub,
        Kind::Sum,
        Kind::Difference,
        Kind::Adc,
        Kind::Sbb,
        Kind::Logic,
        Kind::Inc,
        Kind::Dec,
        Kind::Test,
    ];
    const SIZES: [Size; 4] = [Size::B, Size::W, Size::D, Size::Q];
    let slow = place(a);
    spill(a);
    a.push(R11);
    frame_slot(a, RDI, 16);
    a.mov_imm(RAX, shims::eflags as *const () as usize as u64);
    a.call_reg(RAX);
    a.mov(S0, RAX);
    fill(a);
    a.pop(R11);
    a.push(S0);
    a.popf();
    a.ret();
    let mut table = [slow; 64];
    for kind in KINDS {
        for size in SIZES {
            table[kind.word(size) as usize] = place(a);
            redo(a, kind, size, 0);
            a.ret();
        }
    }
    let entries = place(a);
    for entry in table {
        a.code.extend_from_slice(&entry.to_le_bytes());
    }
    let at = place(a);
    a.load(Size::D, S1, Rm::Base(BASE, LAZY_WORD));
    a.lea_abs(S0, slow);
    a.alu_imm(7, Size::D, Rm::Reg(S1), table.len() as i32);
    let rare = a.jcc(cc::AE);
    a.lea_abs(S0, entries);
    a.load(Size::Q, S0, Rm::Index(S0, S1, 3, 0));
    a.bind(rare);
    a.jmp_reg(Rm::Reg(S0));
    (at, Redo { table: entries, entries: table.len(), slow })
}

/// What does pending operations again for their flags: a table of code by pending word. It uses S0, and returns.
#[derive(Clone, Copy)]
pub(super) struct Redo {
    pub table: u64,
    pub entries: usize,
    /// The entry of words for which there is no short way; only for calls from blocks.
    pub slow: u64,
}

/// See [`Thunks::carry`]: the words tell it at once.
fn carry(a: &mut Asm, flags: u64) -> u64 {
    let at = place(a);
    a.alu_imm(7, Size::D, Rm::Base(BASE, LAZY_WORD), 0);
    let pending = a.jcc(cc::NE);
    a.bit_imm(4, Size::Q, Rm::Base(BASE, FLAG_C), 63);
    a.ret();
    a.bind(pending);
    a.jmp_abs(flags);
    at
}

fn lookup(a: &mut Asm, exit: u64) -> u64 {
    let at = place(a);
    for miss in search(a, None) {
        a.bind(miss);
    }
    a.store(Size::Q, Rm::Base(BASE, PC), S0);
    a.jmp_abs(exit);
    at
}

/// Jumps to the recent block at S0 in `context` (by default, the one in the frame), or takes one of the ways it returns.
/// Uses the pool's registers and the flags.
pub(super) fn search(a: &mut Asm, context: Option<u32>) -> [Fixup; 4] {
    use crate::x86::engine::Recent;
    const CONTEXT: i32 = offset_of!(Recent, context) as i32;
    const WITNESS: i32 = offset_of!(Recent, witness) as i32;
    const SLOT: i32 = WITNESS + offset_of!(Witness, slot) as i32;
    const TOKEN: i32 = WITNESS + offset_of!(Witness, token) as i32;
    let (word, entry) = (ARG, TARGET);
    a.mov(entry, S0);
    a.shift_imm(5, Size::Q, entry, Recent::HASH_SHIFT);
    a.alu(6, Size::D, entry, Rm::Reg(S0));
    a.alu_imm(4, Size::D, Rm::Reg(entry), Recent::SLOTS as i32 - 1);
    a.shift_imm(4, Size::D, entry, size_of::<Recent>().trailing_zeros() as u8);
    a.alu(0, Size::Q, entry, Rm::Base(BASE, RECENT));
    a.alu(7, Size::Q, S0, Rm::Base(entry, offset_of!(Recent, pc) as i32));
    let other_pc = a.jcc(cc::NE);
    match context {
        Some(c) => a.alu_imm(7, Size::D, Rm::Base(entry, CONTEXT), c as i32),
        None => {
            frame_slot(a, word, 0);
            a.load(Size::D, word, Rm::Base(word, offset_of!(Frame, context) as i32));
            a.alu(7, Size::D, word, Rm::Base(entry, CONTEXT));
        }
    }
    let other_context = a.jcc(cc::NE);
    // The same pc in the same context has the same slot.
    a.load(Size::D, word, Rm::Base(entry, SLOT));
    a.load(Size::D, word, Rm::Index(BASE, word, 2, TOKENS));
    a.alu(7, Size::D, word, Rm::Base(entry, TOKEN));
    let other_page = a.jcc(cc::NE);
    a.load(Size::Q, entry, Rm::Base(entry, offset_of!(Recent, code) as i32));
    a.test(Size::Q, Rm::Reg(entry), entry);
    let no_code = a.jcc(cc::E);
    a.jmp_reg(Rm::Reg(entry));
    [other_pc, other_context, other_page, no_code]
}
