//! Products and quotients, and other work that a call would do too.

use super::{
    alu::fits,
    asm::{Rm, cc},
    emit::{Emit, Slow},
    flags::{Operand, exact_after},
    regs::{S0, S1, Source, pinned},
};
use crate::{
    ir::{Helper, Quick, Reg, Size, Val},
    lazy::Kind,
    x86::Cpu,
};

/// Guest rAX and rDX.
const ACCUMULATOR: Reg = Reg(0);
const DATA: Reg = Reg(2);

impl Emit<'_> {
    pub(super) fn imul(&mut self, size: Size, dst: Reg, a: Reg, b: Val, live: bool) -> bool {
        let odd = matches!(b, Val::Imm(v) if fits(size, v).is_none());
        if size == Size::B || odd {
            return false;
        }
        if live {
            let (a, b) = (self.source(Val::Reg(a)), self.source(b));
            self.keep_a(a);
            self.keep_b(b);
        }
        match b {
            Val::Imm(v) => {
                let from = self.look(a);
                let d = if size == Size::W { self.update(dst) } else { self.write(dst) };
                self.a.imul_imm(size, d, from, fits(size, v).unwrap_or(0));
            }
            Val::Reg(r) if dst == a => {
                let from = self.look(r);
                let d = self.update(dst);
                self.a.imul(size, d, from);
            }
            Val::Reg(r) => {
                let from = self.look(a);
                self.a.load(Size::Q, S1, from);
                let from = self.look(r);
                self.a.imul(size, S1, from);
                self.put(size, dst, S1);
            }
        }
        self.product(Kind::Imul, size, live)
    }

    fn product(&mut self, kind: Kind, size: Size, live: bool) -> bool {
        self.exact = 0;
        if live {
            self.set_pending(kind, size, 0, Operand::Kept, Operand::Kept);
            self.exact = exact_after(kind, size, 0);
        }
        true
    }

    pub(super) fn mul_wide(
        &mut self,
        signed: bool,
        size: Size,
        (lo, hi): (Reg, Reg),
        a: Reg,
        b: Reg,
        live: bool,
    ) -> bool {
        if size == Size::B || (lo, hi, a) != (ACCUMULATOR, DATA, ACCUMULATOR) {
            return false;
        }
        if live {
            let (a, b) = (self.source(Val::Reg(a)), self.source(Val::Reg(b)));
            self.keep_a(a);
            self.keep_b(b);
        }
        let b = self.look(b);
        self.near = None;
        self.a.unary(if signed { 5 } else { 4 }, size, b);
        self.product(if signed { Kind::Imul } else { Kind::Mul }, size, live)
    }

    /// Emits what a call would do, with the call beside it for what may fault. `false` when only the call will do.
    pub(super) fn quick(&mut self, quick: Quick, helper: Helper<Cpu>, dst: Reg, a: Val, b: Val) -> bool {
        match (quick, a, b) {
            (Quick::SignMask, Val::Reg(r), _) => {
                let at = self.look(r);
                let d = self.write(dst);
                self.a.load(Size::Q, d, at);
                self.a.shift_imm(7, Size::Q, d, 63);
                self.exact = 0;
            }
            (Quick::BitOffset, Val::Reg(r), Val::Imm(log2)) => {
                let at = self.look(r);
                let d = self.write(dst);
                self.a.load(Size::Q, d, at);
                self.a.shift_imm(7, Size::Q, d, log2 as u8);
                self.a.shift_imm(4, Size::Q, d, log2 as u8 - 3);
                self.exact = 0;
            }
            (Quick::SwapGs, ..) => self.swap_gs(),
            (Quick::Divide { signed, size }, Val::Reg(r), _) => self.divide(signed, size, helper, r),
            _ => return false,
        }
        true
    }

    fn slow_call(&mut self, from: super::asm::Fixup, helper: Helper<Cpu>, a: Source) {
        let mut site = self.site;
        site.dst = Reg::SINK.0;
        self.slow(Some(from), self.slots, site, Slow::Call { helper, a });
    }

    /// A division of which no check fails here is done by the host; the others are left to the helper.
    fn divide(&mut self, signed: bool, size: Size, helper: Helper<Cpu>, by: Reg) {
        let (Some(low), Some(high)) = (pinned(ACCUMULATOR), pinned(DATA)) else { return };
        // A register: the slow path finds the divisor there, too.
        let d = self.read(by);
        self.open = None;
        self.near = None;
        if signed {
            // The dividend is the sign-extended rAX, the divisor neither 0 nor -1.
            self.a.load(size, S0, Rm::Reg(low));
            self.a.shift_imm(7, size, S0, size.bits() as u8 - 1);
            self.a.alu(7, size, S0, Rm::Reg(high));
            let wide = self.a.jcc(cc::NE);
            self.slow_divide(wide, helper, d);
            self.a.lea(size, S0, Rm::Base(d, 1));
            self.a.alu_imm(7, size, Rm::Reg(S0), 1);
            let odd = self.a.jcc(cc::BE);
            let at = self.cold.len();
            self.slow_divide(odd, helper, d);
            self.a.unary(7, size, Rm::Reg(d));
            let back = self.a.here();
            self.cold[at - 1].back = back;
            self.cold[at].back = back;
        } else {
            // Fits when the upper half is below the divisor, which is then not zero.
            self.a.alu(7, size, high, Rm::Reg(d));
            let big = self.a.jcc(cc::AE);
            let at = self.cold.len();
            self.slow_divide(big, helper, d);
            self.a.unary(6, size, Rm::Reg(d));
            self.cold[at].back = self.a.here();
        }
        self.exact = 0;
    }

    fn slow_divide(&mut self, from: super::asm::Fixup, helper: Helper<Cpu>, by: u8) {
        self.slow_call(from, helper, Source::Host(by));
    }
}
