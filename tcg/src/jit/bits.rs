//! Single bits, and what depends on a condition.

use super::{
    asm::{Rm, cc},
    emit::Emit,
    flags::{C, EVERY, Operand, Z, exact_after},
    regs::{S0, S1, Source},
};
use crate::{
    ir::{Bit, Cond, Op, Reg, Size, Val},
    lazy::Kind,
    x86::Cpu,
};

impl Emit<'_> {
    pub(super) fn bit(&mut self, op: Bit, size: Size, dst: Reg, a: Reg, index: Val, live: bool) -> bool {
        if size == Size::B || dst != a {
            return false;
        }
        let index = match index {
            Val::Imm(i) => Source::Imm(i & u64::from(size.bits() - 1)),
            Val::Reg(r) => Source::Host(self.read(r)),
        };
        let to = if op == Bit::Test { self.read(a) } else { self.update(a) };
        if live {
            self.set_apart(C);
        }
        let number = match op {
            Bit::Test => 4,
            Bit::Set => 5,
            Bit::Reset => 6,
            Bit::Complement => 7,
        };
        match index {
            Source::Imm(i) => self.a.bit_imm(number, size, Rm::Reg(to), i as u8),
            Source::Host(s) => self.a.bit_reg(number, size, to, s),
            Source::File(_) => return false,
        }
        self.exact = 0;
        if live {
            self.keep_apart(C);
            self.exact = C;
        }
        true
    }

    pub(super) fn bit_scan(&mut self, reverse: bool, size: Size, dst: Reg, src: Reg, live: bool) {
        let s = self.look(src);
        self.open = None;
        self.a.movzx(size, S0, s);
        let d = if dst == Reg::SINK { S1 } else { self.update(dst) };
        if live {
            self.set_apart(Z);
        }
        self.a.bit_scan(reverse, Size::Q, S0, Rm::Reg(S0));
        if live {
            self.keep_apart(Z);
        }
        // A source of zero leaves the whole destination as it was.
        self.a.cmov(
            cc::NE,
            size.max(Size::W).max(if size >= Size::D { Size::Q } else { size }),
            d,
            Rm::Reg(S0),
        );
        self.exact = if live { Z } else { 0 };
    }

    pub(super) fn popcnt(&mut self, size: Size, dst: Reg, src: Reg, live: bool) -> bool {
        if !self.t.popcnt || size == Size::B || dst == Reg::SINK {
            return false;
        }
        let s = self.look(src);
        self.a.movzx(size, S1, s);
        if live {
            self.keep_a(Source::Host(S1));
        }
        self.a.popcnt(Size::Q, S1, Rm::Reg(S1));
        self.put(size, dst, S1);
        self.exact = 0;
        if live {
            self.set_pending(Kind::Popcnt, Size::Q, 0, Operand::Kept, Operand::Kept);
            self.exact = exact_after(Kind::Popcnt, Size::Q, 0);
        }
        true
    }

    pub(super) fn set_cond(&mut self, cond: Cond, dst: Reg, rest: &[Op<Cpu>]) {
        let cc = self.condition(cond);
        // A temporary that is only moved on to a register's low byte.
        if let [Op::Mov { size: Size::B, dst: to, src: Val::Reg(from) }] = *rest
            && from == dst
            && dst >= Reg::TEMP
        {
            self.save_pending(&rest[0], EVERY);
            let d = self.update(to);
            self.a.setcc(cc, Rm::Reg(d));
            self.skip = 1;
            return;
        }
        if dst == Reg::SINK {
            return;
        }
        let d = self.update(dst);
        self.a.setcc(cc, Rm::Reg(d));
    }

    pub(super) fn cond_mov(&mut self, cond: Cond, size: Size, dst: Reg, src: Reg) -> bool {
        if size == Size::B || dst == Reg::SINK {
            return false;
        }
        let cc = self.condition(cond);
        let s = self.look(src);
        let d = self.update(dst);
        self.a.cmov(cc, size, d, s);
        true
    }
}
