//! Arithmetic and logic.

use super::{
    asm::Rm,
    emit::Emit,
    flags::{C, Operand, exact_after},
    regs::{S0, S1, Source, file},
};
use crate::{
    ir::{Alu, Op, Reg, Shift, Size, Unary, Val},
    lazy::Kind,
    x86::Cpu,
};

/// Numbers in the host's opcode map.
const AND: u8 = 4;
const XOR: u8 = 6;

/// Number in the host's opcode map, and what pends afterwards.
fn alu_number(op: Alu) -> (u8, Kind) {
    match op {
        Alu::Add => (0, Kind::Add),
        Alu::Or => (1, Kind::Logic),
        Alu::Adc => (2, Kind::Adc),
        Alu::Sbb => (3, Kind::Sbb),
        Alu::And => (4, Kind::Logic),
        Alu::Sub => (5, Kind::Sub),
        Alu::Xor => (6, Kind::Logic),
    }
}

/// A constant as an instruction's 32-bit immediate, when that means the same at this width.
pub(super) fn fits(size: Size, v: u64) -> Option<i32> {
    match size {
        Size::B => Some(i32::from(v as i8)),
        Size::W => Some(i32::from(v as i16)),
        Size::D => Some(v as i32),
        Size::Q => i32::try_from(v as i64).ok(),
    }
}

impl Emit<'_> {
    /// Emits `op`; `false` when the interpreter has to do it. `rest` are the instruction's ops after it.
    pub(super) fn compute(&mut self, op: &Op<Cpu>, rest: &[Op<Cpu>], live: u8) -> bool {
        let carry = live & C != 0;
        let live = live & op.flags_defined() != 0
            || live != 0
                && matches!(
                    op,
                    Op::Shift { count: Val::Reg(_), .. }
                        | Op::ShiftDouble { count: Val::Reg(_), .. }
                        | Op::Shift { op: Shift::Rcl | Shift::Rcr, .. }
                );
        match *op {
            Op::Mov { size, dst, src } => self.mov(size, dst, src, rest),
            Op::Extend { signed, from, to, dst, src } => self.extend(signed, from, to, dst, src),
            Op::High8 { dst, src } => self.high8(dst, src),
            Op::SetHigh8 { dst, src } => self.set_high8(dst, src),
            Op::Bswap { size, dst, src } => return self.bswap(size, dst, src),
            Op::Alu { op, size, dst, a, b, flags } => return self.alu(op, size, dst, a, b, flags),
            Op::Unary { op, size, dst, a, flags: _ } => self.unary(op, size, dst, a, live, carry),
            Op::Shift { op, size, dst, a, count } => return self.shift(op, size, dst, a, count, live),
            Op::ShiftDouble { left, size, dst, a, b, count } => {
                return self.shift_double(left, size, dst, a, b, count, live);
            }
            Op::Imul { size, dst, a, b } => return self.imul(size, dst, a, b, live),
            Op::MulWide { signed, size, lo, hi, a, b } => {
                return self.mul_wide(signed, size, (lo, hi), a, b, live);
            }
            Op::Bit { op, size, dst, a, index } => return self.bit(op, size, dst, a, index, live),
            Op::BitScan { reverse, size, dst, src } => self.bit_scan(reverse, size, dst, src, live),
            Op::Popcnt { size, dst, src } => return self.popcnt(size, dst, src, live),
            Op::SetCond { cond, dst } => self.set_cond(cond, dst, rest),
            Op::CondMov { cond, size, dst, src } => return self.cond_mov(cond, size, dst, src),
            _ => return false,
        }
        true
    }

    /// reg = reg OP `b` with a constant that need not fit an instruction.
    fn apply(&mut self, number: u8, size: Size, to: u8, b: Source) {
        match b {
            Source::Host(s) => self.a.alu(number, size, to, Rm::Reg(s)),
            Source::File(r) => self.a.alu(number, size, to, file(r)),
            Source::Imm(v) => match fits(size, v) {
                Some(v) => self.a.alu_imm(number, size, Rm::Reg(to), v),
                None => {
                    self.open = None;
                    self.a.mov_imm(S0, v);
                    self.a.alu(number, size, to, Rm::Reg(S0));
                }
            },
        }
    }

    fn alu(&mut self, op: Alu, size: Size, dst: Reg, a: Reg, b: Val, flags: bool) -> bool {
        let (number, kind) = alu_number(op);
        if !flags && self.sum(op, size, dst, a, b) {
            return true;
        }
        let carries = matches!(op, Alu::Adc | Alu::Sbb);
        if carries && dst != a {
            return false;
        }
        if dst == Reg::SINK && !carries {
            self.compare(number, kind, size, a, b, flags);
            return true;
        }
        if carries {
            // First: it may need the operands of the operation that made the carry.
            self.host_carry();
            if flags {
                self.keep_carry();
            }
        }
        // The result is computed in place, unless its place is also the second operand.
        let aliased = b == Val::Reg(dst) && a != dst;
        let to = if dst == a {
            self.update(dst)
        } else {
            let from = self.look(a);
            let to = if aliased || dst == Reg::SINK || size < Size::D { S1 } else { self.write(dst) };
            self.a.load(Size::Q, to, from);
            self.s1_busy = to == S1;
            to
        };
        let second = self.source(b);
        let (mut kind, mut operands) = (kind, (Operand::Kept, Operand::Kept));
        if flags && kind != Kind::Logic {
            (kind, operands) = self.operands(kind, dst, a, b, (to, second));
        }
        self.apply(number, size, to, second);
        if flags && kind == Kind::Logic {
            if dst < Reg::TEMP {
                operands.0 = Operand::Reg(dst);
            } else {
                self.keep_a(Source::Host(to));
            }
        }
        if to == S1 && dst != a {
            self.put(size, dst, S1);
        }
        self.exact = 0;
        if flags {
            self.set_pending(kind, size, 0, operands.0, operands.1);
            self.exact = exact_after(kind, size, 0);
        }
        true
    }

    /// As what dst = a OP b can be done again after it, and where its operands will be found; keeps now those that will be
    /// nowhere. They are in `at`.
    fn operands(
        &mut self,
        kind: Kind,
        dst: Reg,
        a: Reg,
        b: Val,
        at: (u8, Source),
    ) -> (Kind, (Operand, Operand)) {
        let lasts = |r: Reg| r < Reg::TEMP && r != dst;
        let second = match b {
            Val::Imm(v) => Operand::Imm(v),
            Val::Reg(r) if lasts(r) => Operand::Reg(r),
            Val::Reg(_) => {
                self.keep_b(at.1);
                Operand::Kept
            }
        };
        match kind {
            Kind::Add if dst == a && dst < Reg::TEMP => (Kind::Sum, (Operand::Reg(dst), second)),
            Kind::Sub if dst == a && dst < Reg::TEMP => (Kind::Difference, (Operand::Reg(dst), second)),
            _ if lasts(a) => (kind, (Operand::Reg(a), second)),
            _ => {
                self.keep_a(Source::Host(at.0));
                (kind, (Operand::Kept, second))
            }
        }
    }

    /// An addition without flags as an address; host flags stay as they are.
    fn sum(&mut self, op: Alu, size: Size, dst: Reg, a: Reg, b: Val) -> bool {
        if size < Size::D || dst == Reg::SINK {
            return false;
        }
        let disp = match (op, b) {
            (Alu::Add, Val::Imm(v)) => fits(size, v),
            (Alu::Sub, Val::Imm(v)) => fits(size, v.wrapping_neg()),
            (Alu::Add, Val::Reg(r)) => {
                let (Some(x), Some(y)) = (self.host(a), self.host(r)) else { return false };
                // The sum is read before its place is written, so that may be theirs.
                self.held = 0;
                let d = self.write(dst);
                self.a.lea(size, d, Rm::Index(x, y, 0, 0));
                return true;
            }
            _ => None,
        };
        let Some(disp) = disp else { return false };
        let x = self.read(a);
        let near = self.near;
        let d = self.write(dst);
        if dst == a {
            // A base that moves a little mostly stays in its page.
            self.near = near;
        }
        self.a.lea(size, d, Rm::Base(x, disp));
        true
    }

    /// An operation whose result goes nowhere.
    fn compare(&mut self, number: u8, kind: Kind, size: Size, a: Reg, b: Val, flags: bool) {
        if !flags {
            return;
        }
        let same = b == Val::Reg(a);
        // S1 may hold the other operand.
        let h = match self.host(a) {
            Some(h) => h,
            None => self.read(a),
        };
        let second = self.source(b);
        let mut kind = kind;
        let mut operands = (Operand::Kept, Operand::Kept);
        match (kind, number) {
            (Kind::Sub, _) => {
                operands = self.operands(kind, Reg::SINK, a, b, (h, second)).1;
                self.apply(7, size, h, second);
            }
            (Kind::Logic, _) if same && number != XOR => {
                operands.0 = self.operands(kind, Reg::SINK, a, Val::Imm(0), (h, second)).1.0;
                self.a.test(size, Rm::Reg(h), h);
            }
            (Kind::Logic, AND) => {
                kind = Kind::Test;
                operands = self.operands(kind, Reg::SINK, a, b, (h, second)).1;
                self.test(size, h, second);
            }
            _ => {
                if kind != Kind::Logic {
                    self.keep_a(Source::Host(h));
                    self.keep_b(second);
                }
                self.open = None;
                let to = if h == S1 { S1 } else { S0 };
                if let Source::Imm(v) = second
                    && fits(size, v).is_none()
                {
                    // Needs both scratch registers.
                    self.a.mov_imm(S0, v);
                    self.a.alu(number, size, S0, Rm::Reg(h));
                    self.keep_a(Source::Host(S0));
                } else {
                    self.a.mov(to, h);
                    self.apply(number, size, to, second);
                    if kind == Kind::Logic {
                        self.keep_a(Source::Host(to));
                    }
                }
            }
        }
        self.set_pending(kind, size, 0, operands.0, operands.1);
        self.exact = exact_after(kind, size, 0);
    }

    /// The flags of `h` AND `b`.
    fn test(&mut self, size: Size, h: u8, b: Source) {
        match b {
            Source::Host(s) => self.a.test(size, Rm::Reg(s), h),
            Source::File(r) => self.a.test(size, file(r), h),
            Source::Imm(v) => match fits(size, v) {
                Some(v) => self.a.test_imm(size, Rm::Reg(h), v),
                None => {
                    self.open = None;
                    self.a.mov_imm(S0, v);
                    self.a.test(size, Rm::Reg(h), S0);
                }
            },
        }
    }

    fn unary(&mut self, op: Unary, size: Size, dst: Reg, a: Reg, live: bool, carry: bool) {
        let step = matches!(op, Unary::Inc | Unary::Dec);
        if step && live && carry {
            self.host_carry();
            self.keep_carry();
        }
        let to = if dst == a {
            self.update(dst)
        } else {
            let from = self.look(a);
            self.a.load(Size::Q, S1, from);
            S1
        };
        let mut first = Operand::Kept;
        match op {
            // NOT changes no flags, the host's neither.
            Unary::Not => self.a.unary(2, size, Rm::Reg(to)),
            Unary::Neg => {
                first = Operand::Imm(0);
                if live {
                    self.keep_b(Source::Host(to));
                }
                self.a.unary(3, size, Rm::Reg(to));
            }
            Unary::Inc | Unary::Dec => {
                self.a.step(u8::from(op == Unary::Dec), size, Rm::Reg(to));
                if dst == a && dst < Reg::TEMP {
                    first = Operand::Reg(dst);
                } else if live {
                    self.keep_a(Source::Host(to));
                }
            }
        }
        if dst != a {
            self.put(size, dst, S1);
        }
        let kind = match op {
            Unary::Not => return,
            Unary::Inc => Kind::Inc,
            Unary::Dec => Kind::Dec,
            Unary::Neg => Kind::Sub,
        };
        self.exact = 0;
        if live {
            self.set_pending(kind, size, 0, first, Operand::Kept);
            self.exact = exact_after(kind, size, 0);
        }
    }
}
