//! x87 by the host's x87, one instruction at a time: the guest's registers stay in memory, the host's stack is empty between.
//!
//! Native while the control word is FNINIT's (all exceptions masked, round to nearest, full precision: the host's too),
//! no exception is pending and the registers concerned are in use or free as they must be; else the helper does it. The
//! host's exception flags are sticky: when they show one that the guest has not, it may be old, and the operation is
//! repeated with them clear.

use super::{
    asm::{Asm, Fixup, Rm, cc, host::*},
    emit::Emit,
    frame::{X87_CW, X87_FCS, X87_FDP, X87_FDS, X87_FIP, X87_FOP, X87_ST, X87_SW, X87_TAG, selector},
    regs::{BASE, S0, S1},
    sse::ColdVector,
};
use crate::{
    ir::{Helper, Mem, Reg, Size},
    x86::{
        Cpu,
        state::seg,
        translate::x87::{ADDRESS, Packed},
        x87::{Arith, Constant, Memory, Operand, X87Op, decode},
    },
};

/// The control word after FNINIT.
const INITIAL: i32 = 0x37f;
const FLAGS: i32 = 0x3f;
const PENDING: u8 = 0x80;
const C1: i32 = 1 << 9;
const CODES: i32 = 1 << 8 | 1 << 10 | 1 << 14;
const TOP: i32 = 7 << 11;

/// A register of the guest's stack, by the scratch register that has its place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// RCX: ST(0), or what will be.
    Zero,
    /// RDX: ST(i).
    Other,
}

/// The instruction in the middle.
#[derive(Clone, Copy)]
enum Middle {
    None,
    /// With the memory operand at RAX.
    Memory(u8, u8),
    /// With registers.
    Plain([u8; 2]),
}

/// Loads onto the host's stack, then an instruction.
#[derive(Clone, Copy)]
struct Compute {
    loads: [Option<Place>; 2],
    middle: Middle,
    /// Whether a result is left on the host's stack.
    result: bool,
    /// Number of the other register.
    other: u8,
}

/// What becomes of the stack and the status word afterwards.
#[derive(Clone, Copy)]
struct Effect {
    /// Where the result goes.
    to: Option<Place>,
    /// Registers that must be in use, by their distance from the top.
    used: u8,
    /// 7 to push, else how often to pop.
    top: u8,
    /// Status word bits from the host besides the flags; `None` when C1 is cleared and no flag can be new.
    status: Option<i32>,
}

/// An operation to repeat with the host's flags clear.
pub(super) struct ColdX87 {
    from: Fixup,
    back: usize,
    compute: Compute,
}

/// Guest registers that make room for the operation, below the stack pointer, where signals do not reach (System V ABI,
/// AMD64 supplement, 3.2.2).
const PARKED: [u8; 3] = [RAX, RCX, RDX];

const fn parking(n: usize) -> i32 {
    -24 - 8 * n as i32
}

/// Gives the parked registers back.
pub(super) fn unpark(a: &mut Asm) {
    for (n, r) in PARKED.into_iter().enumerate() {
        a.load(Size::Q, r, Rm::Base(RSP, parking(n)));
    }
}

fn at(disp: i32) -> Rm {
    Rm::Base(BASE, disp)
}

fn register(place: Place) -> u8 {
    match place {
        Place::Zero => RCX,
        Place::Other => RDX,
    }
}

/// DE C0 and on: ST(1) = ST(1) op ST(0), pop.
fn popping(op: Arith) -> [u8; 2] {
    let second = match op {
        Arith::Add => 0xc1,
        Arith::Mul => 0xc9,
        Arith::Sub => 0xe9,
        Arith::Subr => 0xe1,
        Arith::Div => 0xf9,
        Arith::Divr => 0xf1,
    };
    [0xde, second]
}

impl Compute {
    /// Emits it, with the registers' places and the operand's address in their scratch registers.
    fn emit(&self, a: &mut Asm) {
        for place in self.loads.iter().flatten() {
            a.sse(None, &[0xdb], false, 5, Rm::Index(BASE, register(*place), 0, X87_ST));
        }
        match self.middle {
            Middle::None => {}
            Middle::Memory(opcode, digit) => a.sse(None, &[opcode], false, digit, Rm::Base(RAX, 0)),
            Middle::Plain(code) => a.code.extend_from_slice(&code),
        }
    }
}

/// `to` = offset of ST(i) in the register file.
fn place(a: &mut Asm, to: u8, i: u8) {
    a.movzx(Size::W, to, at(X87_SW));
    a.shift_imm(5, Size::D, to, 7);
    if i != 0 {
        a.alu_imm(0, Size::D, Rm::Reg(to), 16 * i32::from(i));
    }
    a.alu_imm(4, Size::D, Rm::Reg(to), 0x70);
}

fn fnstsw(a: &mut Asm) {
    a.code.extend_from_slice(&[0xdf, 0xe0]);
}

/// How to do `op`, with `opcode` and `digit` as its encoding has them.
fn plan(op: X87Op, opcode: u8, digit: u8) -> Option<(Compute, Effect)> {
    use Place::{Other, Zero};
    let compute = |loads, middle, result, other| Compute { loads, middle, result, other };
    let memory = Middle::Memory(opcode, digit);
    let rounds = Some(C1);
    let both = |i: u8| 1 | 1 << i;
    Some(match op {
        X87Op::Fld(Operand::St(i)) => (
            compute([Some(Other), None], Middle::None, true, i),
            Effect { to: Some(Zero), used: 1 << i, top: 7, status: None },
        ),
        X87Op::Fld(m) => (
            compute([None; 2], memory, true, 0),
            Effect { to: Some(Zero), used: 0, top: 7, status: (m != Operand::M80fp).then_some(C1) },
        ),
        X87Op::FldConstant(c @ (Constant::One | Constant::Zero)) => (
            compute([None; 2], Middle::Plain([0xd9, if c == Constant::One { 0xe8 } else { 0xee }]), true, 0),
            Effect { to: Some(Zero), used: 0, top: 7, status: None },
        ),
        X87Op::Fst { to: Operand::St(i), pop } => (
            compute([Some(Zero), None], Middle::None, true, i),
            Effect { to: Some(Other), used: 1, top: u8::from(pop), status: None },
        ),
        X87Op::Fst { to, pop } => {
            // FST m and FIST m are done by the popping forms, of the next digit.
            let middle = Middle::Memory(opcode, if pop { digit } else { digit + 1 });
            (
                compute([Some(Zero), None], middle, false, 0),
                Effect {
                    to: None,
                    used: 1,
                    top: u8::from(pop),
                    status: (to != Operand::M80fp).then_some(C1),
                },
            )
        }
        X87Op::Fisttp(_) => (
            compute([Some(Zero), None], memory, false, 0),
            Effect { to: None, used: 1, top: 1, status: rounds },
        ),
        X87Op::ToSt0(op, Operand::St(i)) => (
            compute([Some(Zero), Some(Other)], Middle::Plain(popping(op)), true, i),
            Effect { to: Some(Zero), used: both(i), top: 0, status: rounds },
        ),
        X87Op::ToSt0(..) => (
            compute([Some(Zero), None], memory, true, 0),
            Effect { to: Some(Zero), used: 1, top: 0, status: rounds },
        ),
        X87Op::ToSti { op, i, pop } => (
            compute([Some(Other), Some(Zero)], Middle::Plain(popping(op)), true, i),
            Effect { to: Some(Other), used: both(i), top: u8::from(pop), status: rounds },
        ),
        X87Op::Fchs | X87Op::Fabs => (
            compute(
                [Some(Zero), None],
                Middle::Plain([0xd9, if op == X87Op::Fchs { 0xe0 } else { 0xe1 }]),
                true,
                0,
            ),
            Effect { to: Some(Zero), used: 1, top: 0, status: None },
        ),
        X87Op::Fsqrt | X87Op::Frndint => (
            compute(
                [Some(Zero), None],
                Middle::Plain([0xd9, if op == X87Op::Fsqrt { 0xfa } else { 0xfc }]),
                true,
                0,
            ),
            Effect { to: Some(Zero), used: 1, top: 0, status: rounds },
        ),
        X87Op::Fcom { with: Operand::St(i), pop } => (
            compute([Some(Other), Some(Zero)], Middle::Plain([0xde, 0xd9]), false, i),
            Effect { to: None, used: both(i), top: pop, status: Some(C1 | CODES) },
        ),
        X87Op::Fucom { i, pop } => (
            compute([Some(Other), Some(Zero)], Middle::Plain([0xda, 0xe9]), false, i),
            Effect { to: None, used: both(i), top: pop, status: Some(C1 | CODES) },
        ),
        X87Op::Fcom { pop, .. } => (
            compute([Some(Zero), None], Middle::Memory(opcode, 3), false, 0),
            Effect { to: None, used: 1, top: pop, status: Some(C1 | CODES) },
        ),
        _ => return None,
    })
}

impl Emit<'_> {
    /// An x87 instruction, if it has machine code.
    pub(super) fn x87(&mut self, helper: Helper<Cpu>, operands: u64, mem: Option<Mem>) -> bool {
        let p = Packed::unpack(operands);
        let Some(op) = decode(p.opcode, p.modrm) else { return false };
        let exchange = match op {
            X87Op::Fxch(i) => Some(i),
            _ => None,
        };
        let planned = match exchange {
            // The value of ST(0) waits on the host's stack while ST(i) takes its place.
            Some(i) => Some((
                Compute {
                    loads: [Some(Place::Zero), Some(Place::Other)],
                    middle: Middle::None,
                    result: true,
                    other: i,
                },
                Effect { to: Some(Place::Zero), used: 1 | 1 << i, top: 0, status: None },
            )),
            None => plan(op, p.opcode, p.modrm >> 3 & 7),
        };
        let Some((compute, effect)) = planned else { return false };
        let bytes = match op.memory() {
            Some(Memory::Load(n) | Memory::Store(n)) => n,
            _ => 0,
        };

        if let Some(m) = &mem {
            self.address(m);
        }
        let address = self.read(ADDRESS);
        let cached = (self.slots, self.vectors);
        for (n, r) in PARKED.into_iter().enumerate() {
            self.a.store(Size::Q, Rm::Base(RSP, parking(n)), r);
        }
        let early = self.x87_ready(effect.used, effect.top == 7);
        let writes = matches!(op.memory(), Some(Memory::Store(_)));
        let misses = mem.map(|m| {
            let ways = self.vector_operand(&m, bytes, writes, false);
            self.a.mov(RAX, S0);
            // In case of a repetition.
            self.a.store(Size::Q, Rm::Base(RSP, -8), RAX);
            ways
        });
        self.x87_compute(compute, effect, exchange.is_some());
        unpark(&mut self.a);
        self.x87_note(p, mem, address);
        let back = self.a.here();
        self.exact = 0;
        self.open = None;
        let call = (helper, operands);
        let seg = mem.map(|m| m.seg);
        let unwritten = self.unwritten_there();
        let cold = ColdVector::parked((early, misses), back, cached, call, seg, self.site, unwritten);
        self.cold_vectors.push(cold);
        true
    }

    /// Leaves for the helper unless the instruction can be done here. Uses RCX and RDX.
    fn x87_ready(&mut self, used: u8, push: bool) -> Vec<Fixup> {
        let a = &mut self.a;
        let mut misses = Vec::with_capacity(4);
        a.movzx(Size::W, RCX, at(X87_CW));
        a.alu_imm(7, Size::D, Rm::Reg(RCX), INITIAL);
        misses.push(a.jcc(cc::NE));
        a.movzx(Size::W, RCX, at(X87_SW));
        a.test_imm(Size::B, Rm::Reg(RCX), i32::from(PENDING));
        misses.push(a.jcc(cc::NE));
        // Bit i of DL: ST(i) is in use.
        a.shift_imm(5, Size::D, RCX, 11);
        a.alu_imm(4, Size::D, Rm::Reg(RCX), 7);
        a.movzx(Size::B, RDX, at(X87_TAG));
        a.code.extend_from_slice(&[0x88, 0xd6]); // mov dh, dl
        a.shift_cl(5, Size::D, RDX);
        if push {
            a.test_imm(Size::B, Rm::Reg(RDX), 0x80);
            misses.push(a.jcc(cc::NE));
        }
        if used != 0 {
            a.unary(2, Size::D, Rm::Reg(RDX));
            a.test_imm(Size::B, Rm::Reg(RDX), i32::from(used));
            misses.push(a.jcc(cc::NE));
        }
        misses
    }

    fn x87_compute(&mut self, compute: Compute, effect: Effect, exchange: bool) {
        let a = &mut self.a;
        place(a, RCX, if effect.top == 7 { 7 } else { 0 });
        let other = compute.loads.contains(&Some(Place::Other)) || effect.to == Some(Place::Other);
        if other {
            place(a, RDX, compute.other);
        }
        compute.emit(a);
        if effect.status.is_some() {
            fnstsw(a);
            a.movzx(Size::W, RDX, at(X87_SW));
            a.unary(2, Size::D, Rm::Reg(RDX));
            a.alu(4, Size::D, RDX, Rm::Reg(RAX));
            a.test_imm(Size::B, Rm::Reg(RDX), FLAGS);
            let from = a.jcc(cc::NE);
            let back = a.here();
            self.cold_x87.push(ColdX87 { from, back, compute });
            if effect.to == Some(Place::Other) {
                place(a, RDX, compute.other);
            }
        }
        let a = &mut self.a;
        if let Some(to) = effect.to {
            a.sse(None, &[0xdb], false, 7, Rm::Index(BASE, register(to), 0, X87_ST));
        }
        if exchange {
            a.sse(None, &[0xdb], false, 7, Rm::Index(BASE, RDX, 0, X87_ST));
        }
        x87_status(a, effect);
    }

    /// The instruction and data pointers. The operand's address is computed again: nothing has kept it.
    fn x87_note(&mut self, p: Packed, mem: Option<Mem>, address: u8) {
        self.a.store(Size::Q, at(X87_FIP), address);
        self.a.mov_imm(S1, u64::from(p.opcode & 7) << 8 | u64::from(p.modrm));
        self.a.store(Size::W, at(X87_FOP), S1);
        self.a.movzx(Size::W, S1, at(selector(seg::CS)));
        self.a.store(Size::W, at(X87_FCS), S1);
        if let Some(m) = mem {
            self.address(&Mem { seg: Reg::ZERO, wrap32: false, ..m });
            self.a.store(Size::Q, at(X87_FDP), S0);
            self.a.movzx(Size::W, S1, at(selector(p.segment)));
            self.a.store(Size::W, at(X87_FDS), S1);
        }
    }

    pub(super) fn cold_x87(&mut self, c: &ColdX87) {
        let a = &mut self.a;
        a.bind(c.from);
        if c.compute.result {
            a.code.extend_from_slice(&[0xdd, 0xd8]); // fstp st(0)
        }
        a.code.extend_from_slice(&[0xdb, 0xe2]); // fnclex
        if matches!(c.compute.middle, Middle::Memory(..)) {
            a.load(Size::Q, RAX, Rm::Base(RSP, -8));
        }
        if c.compute.loads.contains(&Some(Place::Other)) {
            place(a, RDX, c.compute.other);
        }
        c.compute.emit(a);
        fnstsw(a);
        a.load(Size::D, RDX, Rm::Reg(RAX));
        a.alu_imm(4, Size::D, Rm::Reg(RDX), FLAGS);
        a.alu(1, Size::W, RDX, at(X87_SW));
        a.store(Size::W, at(X87_SW), RDX);
        let back = a.jmp();
        a.bind_to(back, c.back);
    }
}

/// Status word and tags after the operation; the host's status word is in AX, the place of ST(0) in RCX, that of another
/// register written in RDX.
fn x87_status(a: &mut Asm, effect: Effect) {
    // A register written is in use from now on.
    if effect.to == Some(Place::Other) {
        a.shift_imm(5, Size::D, RDX, 4);
        tag(a, 5, RDX);
    }
    a.movzx(Size::W, RDX, at(X87_SW));
    match effect.status {
        Some(bits) => {
            // The host's status in the upper half, where tags do not need it.
            a.alu_imm(4, Size::D, Rm::Reg(RAX), bits);
            a.alu_imm(4, Size::D, Rm::Reg(RDX), !bits);
            a.alu(1, Size::D, RDX, Rm::Reg(RAX));
        }
        None => a.alu_imm(4, Size::D, Rm::Reg(RDX), !C1),
    }
    if effect.top != 0 {
        a.shift_imm(5, Size::D, RCX, 4);
        if effect.top == 7 {
            tag(a, 5, RCX);
        } else {
            for _ in 0..effect.top {
                tag(a, 6, RCX);
                a.alu_imm(0, Size::D, Rm::Reg(RCX), 1);
                a.alu_imm(4, Size::D, Rm::Reg(RCX), 7);
            }
        }
        a.shift_imm(4, Size::D, RCX, 11);
        a.alu_imm(4, Size::D, Rm::Reg(RDX), !TOP);
        a.alu(1, Size::D, RDX, Rm::Reg(RCX));
    }
    a.store(Size::W, at(X87_SW), RDX);
}

/// Sets (5) or clears (6) bit `index` of the tags; uses [rsp - 16] to keep RAX.
fn tag(a: &mut Asm, op: u8, index: u8) {
    a.store(Size::Q, Rm::Base(RSP, -16), RAX);
    a.movzx(Size::B, RAX, at(X87_TAG));
    a.bit_reg(op, Size::D, RAX, index);
    a.store(Size::B, at(X87_TAG), RAX);
    a.load(Size::Q, RAX, Rm::Base(RSP, -16));
}
