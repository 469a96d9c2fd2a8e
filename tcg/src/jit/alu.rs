//! Arithmetic, logic, shifts, bits, moves.

use super::{
    asm::{Rm, cc, host::*},
    emit::{Emit, Source},
    flags::{C, exact_after},
    frame::{FLAG_C, FLAG_Z},
    thunks::BASE,
};
use crate::{
    ir::{Alu, Bit, Cond, Op, Reg, Shift, Size, Unary, Val},
    lazy::Kind,
    x86::Cpu,
};

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
fn fits(size: Size, v: u64) -> Option<i32> {
    match size {
        Size::B => Some(i32::from(v as i8)),
        Size::W => Some(i32::from(v as i16)),
        Size::D => Some(v as i32),
        Size::Q => i32::try_from(v as i64).ok(),
    }
}

impl Emit<'_> {
    /// Emits `op`; `false` when the interpreter has to do it.
    pub(super) fn compute(&mut self, op: &Op<Cpu>, live: bool) -> bool {
        match *op {
            Op::Mov { size, dst, src } => self.mov(size, dst, src),
            Op::Extend { signed, from, to, dst, src } => self.extend(signed, from, to, dst, src),
            Op::High8 { dst, src } => {
                let s = self.read(src);
                self.a.mov(RAX, s);
                // movzx eax, ah
                self.a.code.extend_from_slice(&[0x0f, 0xb6, 0xc4]);
                self.put(Size::Q, dst, RAX);
            }
            Op::SetHigh8 { dst, src } => {
                let s = self.read(src);
                let d = self.update(dst);
                self.a.mov(RCX, s);
                self.a.mov(RAX, d);
                // mov ah, cl
                self.a.code.extend_from_slice(&[0x88, 0xcc]);
                self.a.mov(d, RAX);
            }
            Op::Bswap { size, dst, src } => {
                if size < Size::D {
                    return false;
                }
                let s = self.read(src);
                self.a.mov(RAX, s);
                self.a.bswap(size, RAX);
                self.put(size, dst, RAX);
            }
            Op::Alu { op, size, dst, a, b, flags } => self.alu(op, size, dst, a, b, flags),
            Op::Unary { op, size, dst, a, flags: _ } => self.unary(op, size, dst, a, live),
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
            Op::SetCond { cond, dst } => self.set_cond(cond, dst),
            Op::CondMov { cond, size, dst, src } => return self.cond_mov(cond, size, dst, src),
            _ => return false,
        }
        true
    }

    fn mov(&mut self, size: Size, dst: Reg, src: Val) {
        if dst == Reg::SINK {
            return;
        }
        match (self.source(src), size) {
            (Source::Imm(v), Size::B | Size::W) => {
                let d = self.update(dst);
                self.a.store_imm(size, Rm::Reg(d), v as i32);
            }
            (Source::Imm(v), Size::D | Size::Q) => {
                let d = self.write(dst);
                self.a.mov_imm(d, v & size.mask());
            }
            (Source::Host(h), Size::Q) => {
                let d = self.write(dst);
                self.a.mov(d, h);
            }
            (Source::Host(h), _) => self.put(size, dst, h),
        }
    }

    fn extend(&mut self, signed: bool, from: Size, to: Size, dst: Reg, src: Reg) {
        if dst == Reg::SINK {
            return;
        }
        let s = self.read(src);
        let d = self.write(dst);
        if signed {
            self.a.movsx(from, to, d, Rm::Reg(s));
        } else {
            self.a.movzx(from.min(to), d, Rm::Reg(s));
        }
    }

    fn alu(&mut self, op: Alu, size: Size, dst: Reg, a: Reg, b: Val, flags: bool) {
        let (number, kind) = alu_number(op);
        let carries = matches!(op, Alu::Adc | Alu::Sbb);
        if carries {
            self.prepare_flags(C);
        }
        let h = self.read(a);
        let mut b = self.source(b);
        let logic = kind == Kind::Logic;
        if carries {
            // Before the operands are kept: it may need those of the operation that made the carry.
            self.host_carry();
            if flags {
                self.keep_carry();
            }
        }
        if flags && !logic {
            self.keep_a(Source::Host(h));
            self.keep_b(b);
        }
        if let Source::Imm(v) = b
            && fits(size, v).is_none()
        {
            self.a.mov_imm(RDX, v);
            b = Source::Host(RDX);
        }
        let compares = dst == Reg::SINK && matches!(op, Alu::Sub);
        // Where the result goes: in place, or by way of RAX.
        let in_place = dst == a && dst != Reg::SINK;
        let at = if in_place {
            self.update(dst)
        } else if compares {
            h
        } else {
            self.a.mov(RAX, h);
            RAX
        };
        let number = if compares { 7 } else { number };
        match b {
            Source::Host(s) => self.a.alu(number, size, at, Rm::Reg(s)),
            Source::Imm(v) => self.a.alu_imm(number, size, Rm::Reg(at), fits(size, v).unwrap_or(0)),
        }
        if flags && logic {
            self.keep_a(Source::Host(at));
        }
        if !in_place && !compares {
            self.put(size, dst, RAX);
        }
        self.exact = 0;
        if flags {
            self.set_pending(kind, size, 0);
            self.exact = exact_after(kind, size, 0);
        }
    }

    fn unary(&mut self, op: Unary, size: Size, dst: Reg, a: Reg, live: bool) {
        let step = matches!(op, Unary::Inc | Unary::Dec);
        if step && live {
            self.prepare_flags(C);
        }
        let h = self.read(a);
        self.a.mov(RAX, h);
        match op {
            Unary::Not => {
                // NOT changes no flags, the host's neither.
                self.a.unary(2, size, Rm::Reg(RAX));
                return self.put(size, dst, RAX);
            }
            Unary::Neg => {
                if live {
                    self.keep_a(Source::Imm(0));
                    self.keep_b(Source::Host(h));
                }
                self.a.unary(3, size, Rm::Reg(RAX));
            }
            Unary::Inc | Unary::Dec => {
                if live {
                    self.host_carry();
                    self.keep_carry();
                    self.keep_a(Source::Host(h));
                }
                self.a.step(u8::from(op == Unary::Dec), size, Rm::Reg(RAX));
            }
        }
        self.put(size, dst, RAX);
        self.exact = 0;
        if live {
            let kind = match op {
                Unary::Inc => Kind::Inc,
                Unary::Dec => Kind::Dec,
                Unary::Neg | Unary::Not => Kind::Sub,
            };
            self.set_pending(kind, size, 0);
            self.exact = exact_after(kind, size, 0);
        }
    }

    fn shift(&mut self, op: Shift, size: Size, dst: Reg, a: Reg, count: Val, live: bool) -> bool {
        let number = match op {
            Shift::Rol => 0,
            Shift::Ror => 1,
            Shift::Shl => 4,
            Shift::Shr => 5,
            Shift::Sar => 7,
            Shift::Rcl | Shift::Rcr => return false,
        };
        let kind = match op {
            Shift::Shl => Some(Kind::Shl),
            Shift::Shr => Some(Kind::Shr),
            Shift::Sar => Some(Kind::Sar),
            Shift::Rol | Shift::Ror | Shift::Rcl | Shift::Rcr => None,
        };
        let mask = if size == Size::Q { 63 } else { 31 };
        match (count, kind) {
            (Val::Imm(n), _) if n & mask == 0 => {
                let h = self.read(a);
                self.a.mov(RAX, h);
                self.put(size, dst, RAX);
            }
            (Val::Imm(n), Some(kind)) => {
                let n = (n & mask) as u8;
                let h = self.read(a);
                if live {
                    self.keep_a(Source::Host(h));
                    self.keep_b(Source::Imm(u64::from(n)));
                }
                self.a.mov(RAX, h);
                self.a.shift_imm(number, size, RAX, n);
                self.put(size, dst, RAX);
                self.exact = 0;
                if live {
                    self.set_pending(kind, size, n);
                    self.exact = exact_after(kind, size, n);
                }
            }
            (Val::Imm(n), None) => {
                if live {
                    self.settle();
                }
                let h = self.read(a);
                self.a.mov(RAX, h);
                self.a.shift_imm(number, size, RAX, (n & mask) as u8);
                self.put(size, dst, RAX);
                self.exact = 0;
                if live {
                    self.rotated(op, size);
                }
            }
            (Val::Reg(_), None) if live => return false,
            (Val::Reg(r), kind) => {
                let h = self.read(a);
                let n = self.read(r);
                self.a.mov(RCX, n);
                self.a.mov(RAX, h);
                if let (true, Some(kind)) = (live, kind) {
                    self.a.alu_imm(4, Size::D, Rm::Reg(RCX), mask as i32);
                    let none = self.a.jcc(cc::E);
                    self.keep_a(Source::Host(RAX));
                    self.keep_b(Source::Host(RCX));
                    self.maybe_pending(kind, size);
                    self.a.bind(none);
                }
                self.a.shift_cl(number, size, RAX);
                self.put(size, dst, RAX);
                self.exact = 0;
            }
        }
        true
    }

    /// CF and OF of a rotation whose result is in RAX, into the settled words: the two top bits of the word.
    fn rotated(&mut self, op: Shift, size: Size) {
        self.a.mov(RCX, RAX);
        if op == Shift::Rol {
            self.a.shift_imm(1, size, RCX, 1);
        }
        if size != Size::Q {
            self.a.shift_imm(4, Size::Q, RCX, (64 - size.bits()) as u8);
        }
        self.a.store(Size::Q, Rm::Base(BASE, FLAG_C), RCX);
    }

    #[allow(clippy::too_many_arguments)]
    fn shift_double(
        &mut self,
        left: bool,
        size: Size,
        dst: Reg,
        a: Reg,
        b: Reg,
        count: Val,
        live: bool,
    ) -> bool {
        let Val::Imm(n) = count else { return false };
        let n = n & if size == Size::Q { 63 } else { 31 };
        if live || n == 0 || size < Size::D {
            return false;
        }
        let (a, b) = (self.read(a), self.read(b));
        self.a.mov(RAX, a);
        self.a.shift_double_imm(left, size, RAX, b, n as u8);
        self.put(size, dst, RAX);
        self.exact = 0;
        true
    }

    fn imul(&mut self, size: Size, dst: Reg, a: Reg, b: Val, live: bool) -> bool {
        if size == Size::B {
            return false;
        }
        let h = self.read(a);
        let b = self.source(b);
        if live {
            self.keep_a(Source::Host(h));
            self.keep_b(b);
        }
        match b {
            Source::Host(s) => {
                self.a.mov(RAX, h);
                self.a.imul(size, RAX, Rm::Reg(s));
            }
            Source::Imm(v) => {
                self.a.mov_imm(RAX, v);
                self.a.imul(size, RAX, Rm::Reg(h));
            }
        }
        self.put(size, dst, RAX);
        self.exact = 0;
        if live {
            self.set_pending(Kind::Imul, size, 0);
            self.exact = exact_after(Kind::Imul, size, 0);
        }
        true
    }

    fn mul_wide(
        &mut self,
        signed: bool,
        size: Size,
        (lo, hi): (Reg, Reg),
        a: Reg,
        b: Reg,
        live: bool,
    ) -> bool {
        if size == Size::B {
            return false;
        }
        let (a, b) = (self.read(a), self.read(b));
        if live {
            self.keep_a(Source::Host(a));
            self.keep_b(Source::Host(b));
        }
        self.a.mov(RAX, a);
        self.a.unary(if signed { 5 } else { 4 }, size, Rm::Reg(b));
        self.put(size, lo, RAX);
        self.put(size, hi, RDX);
        self.exact = 0;
        if live {
            let kind = if signed { Kind::Imul } else { Kind::Mul };
            self.set_pending(kind, size, 0);
            self.exact = exact_after(kind, size, 0);
        }
        true
    }

    fn bit(&mut self, op: Bit, size: Size, dst: Reg, a: Reg, index: Val, live: bool) -> bool {
        if size == Size::B {
            return false;
        }
        if live {
            self.settle();
        }
        let h = self.read(a);
        let index = match index {
            Val::Imm(i) => Source::Imm(i & u64::from(size.bits() - 1)),
            Val::Reg(r) => Source::Host(self.read(r)),
        };
        self.exact = 0;
        if live {
            self.carry_bit(size, h, index);
        }
        let number = match op {
            Bit::Test => return true,
            Bit::Set => 5,
            Bit::Reset => 6,
            Bit::Complement => 7,
        };
        self.a.mov(RAX, h);
        match index {
            Source::Imm(i) => self.a.bit_imm(number, size, Rm::Reg(RAX), i as u8),
            Source::Host(s) => self.a.bit_reg(number, size, RAX, s),
        }
        self.put(size, dst, RAX);
        true
    }

    /// CF in the settled words = bit `index` of `h`; OF stays.
    fn carry_bit(&mut self, size: Size, h: u8, index: Source) {
        self.overflow();
        self.a.mov(RDX, RCX);
        self.a.mov(RAX, h);
        match index {
            Source::Imm(i) => self.a.shift_imm(5, Size::Q, RAX, i as u8),
            Source::Host(s) => {
                self.a.mov(RCX, s);
                self.a.alu_imm(4, Size::D, Rm::Reg(RCX), size.bits() as i32 - 1);
                self.a.shift_cl(5, Size::Q, RAX);
            }
        }
        self.a.shift_imm(4, Size::Q, RAX, 63);
        self.a.alu(6, Size::Q, RDX, Rm::Reg(RAX));
        self.a.shift_imm(5, Size::Q, RDX, 1);
        self.a.alu(1, Size::Q, RAX, Rm::Reg(RDX));
        self.a.store(Size::Q, Rm::Base(BASE, FLAG_C), RAX);
    }

    fn bit_scan(&mut self, reverse: bool, size: Size, dst: Reg, src: Reg, live: bool) {
        if live {
            self.settle();
        }
        let s = self.read(src);
        self.a.movzx(size, RAX, Rm::Reg(s));
        if live {
            self.a.store(Size::Q, Rm::Base(BASE, FLAG_Z), RAX);
        }
        let d = if dst == Reg::SINK { RCX } else { self.update(dst) };
        self.a.test(Size::Q, Rm::Reg(RAX), RAX);
        let zero = self.a.jcc(cc::E);
        self.a.bit_scan(reverse, Size::Q, RAX, Rm::Reg(RAX));
        if size >= Size::D {
            self.a.mov(d, RAX);
        } else {
            self.a.store(size, Rm::Reg(d), RAX);
        }
        self.a.bind(zero);
        self.exact = 0;
    }

    fn set_cond(&mut self, cond: Cond, dst: Reg) {
        let cc = self.condition(cond);
        if dst == Reg::SINK {
            return;
        }
        let d = self.update(dst);
        self.a.setcc(cc, Rm::Reg(d));
    }

    fn cond_mov(&mut self, cond: Cond, size: Size, dst: Reg, src: Reg) -> bool {
        if size == Size::B || dst == Reg::SINK {
            return false;
        }
        let cc = self.condition(cond);
        let s = self.read(src);
        let d = self.update(dst);
        self.a.cmov(cc, size, d, Rm::Reg(s));
        true
    }
}
