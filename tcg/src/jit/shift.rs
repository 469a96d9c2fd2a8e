//! Shifts and rotates.
//!
//! A rotation keeps the flags that it does not define where they are and sets CF and OF apart. OF is what the last of
//! the one-bit steps gives, as in the interpreter: the host does that step for itself.

use super::{
    asm::{Rm, cc, host::RCX},
    emit::Emit,
    flags::{C, O, Operand, exact_after},
    frame::{LAZY_CF, LAZY_OF},
    regs::{BASE, S0, S1, Source, file},
};
use crate::{
    ir::{Op, Reg, Shift, Size, Val},
    lazy::Kind,
    x86::Cpu,
};

/// Guest rCX.
const COUNTER: Reg = Reg(1);

fn number(op: Shift) -> u8 {
    match op {
        Shift::Rol => 0,
        Shift::Ror => 1,
        Shift::Rcl => 2,
        Shift::Rcr => 3,
        Shift::Shl => 4,
        Shift::Shr => 5,
        Shift::Sar => 7,
    }
}

fn kind(op: Shift) -> Option<Kind> {
    match op {
        Shift::Shl => Some(Kind::Shl),
        Shift::Shr => Some(Kind::Shr),
        Shift::Sar => Some(Kind::Sar),
        Shift::Rol | Shift::Ror | Shift::Rcl | Shift::Rcr => None,
    }
}

impl Emit<'_> {
    /// Whether `dst` = `src` only brings CL to a shift, which will find it where it is.
    pub(super) fn is_count(&mut self, dst: Reg, src: Val, rest: &[Op<Cpu>]) -> bool {
        let count = matches!(rest.iter().find(|op| !matches!(op, Op::LoadForWrite { .. })),
            Some(Op::Shift { count: Val::Reg(c), .. }) if *c == dst);
        if count && dst >= Reg::TEMP && src == Val::Reg(COUNTER) {
            self.count = Some(dst);
            return true;
        }
        false
    }

    pub(super) fn shift(&mut self, op: Shift, size: Size, dst: Reg, a: Reg, count: Val, live: bool) -> bool {
        match count {
            Val::Imm(n) => self.shift_by(op, size, dst, a, (n & size.count_mask()) as u8, live),
            Val::Reg(r) => {
                let in_cl = self.count.take() == Some(r);
                let done = self.shift_by_cl(op, size, dst, a, (!in_cl).then_some(r), live);
                if !done && in_cl {
                    // The interpreter looks for it where it belongs.
                    self.a.store(Size::Q, file(r), RCX);
                }
                done
            }
        }
    }

    /// The register that is shifted in place, a copy of `a` in it.
    fn shifted(&mut self, size: Size, dst: Reg, a: Reg) -> u8 {
        if dst == a {
            return self.update(dst);
        }
        let from = self.look(a);
        if size < Size::D {
            let d = self.update(dst);
            self.a.load(size, d, from);
            return d;
        }
        let d = self.write(dst);
        self.a.load(size, d, from);
        d
    }

    fn shift_by(&mut self, op: Shift, size: Size, dst: Reg, a: Reg, n: u8, live: bool) -> bool {
        let through = matches!(op, Shift::Rcl | Shift::Rcr);
        let whole = through && u32::from(n) % (size.bits() + 1) == 0;
        if n == 0 || whole {
            let to = self.shifted(size, dst, a);
            if size == Size::D {
                self.a.load(size, to, Rm::Reg(to));
            }
            return true;
        }
        if through {
            self.host_carry();
        }
        let exact = self.exact;
        let to = self.shifted(size, dst, a);
        self.exact = 0;
        if let Some(kind) = kind(op) {
            if live {
                self.keep_a(Source::Host(to));
            }
            self.a.shift_imm(number(op), size, to, n);
            if live {
                self.set_pending(kind, size, n, Operand::Kept, Operand::Imm(u64::from(n)));
                self.exact = exact_after(kind, size, n);
            }
            return true;
        }
        if !live {
            self.a.shift_imm(number(op), size, to, n);
            return true;
        }
        if through {
            // The carry is in the host's flags, which setting apart changes, unless the word is known.
            if self.word.is_none() {
                self.a.setcc(cc::B, Rm::Base(BASE, LAZY_CF));
                self.set_apart(C | O);
                self.a.bit_imm(4, Size::D, Rm::Base(BASE, LAZY_CF), 0);
            } else {
                debug_assert!(exact & C != 0);
                self.set_apart(C | O);
            }
        } else {
            self.set_apart(C | O);
        }
        if n > 1 {
            self.a.shift_imm(number(op), size, to, n - 1);
        }
        self.a.shift_imm(number(op), size, to, 1);
        self.keep_apart(C | O);
        self.exact = C | O;
        true
    }

    /// `count` is where the count is, when not in CL.
    fn shift_by_cl(
        &mut self,
        op: Shift,
        size: Size,
        dst: Reg,
        a: Reg,
        count: Option<Reg>,
        live: bool,
    ) -> bool {
        let through = matches!(op, Shift::Rcl | Shift::Rcr);
        let counter_used = count.is_some() && (dst == COUNTER || a == COUNTER);
        if through || live && kind(op).is_none() || counter_used {
            return false;
        }
        if let Some(r) = count {
            let n = self.in_scratch(S1, r);
            self.a.mov(S1, n);
            self.a.xchg(S1, RCX);
        }
        let to = self.shifted(size, dst, a);
        self.exact = 0;
        if let (true, Some(kind)) = (live, kind(op)) {
            self.a.test_imm(Size::B, Rm::Reg(RCX), size.count_mask() as i32);
            let none = self.a.jcc(cc::E);
            self.keep_a(Source::Host(to));
            self.open = None;
            self.a.load(Size::D, S0, Rm::Reg(RCX));
            self.a.alu_imm(4, Size::D, Rm::Reg(S0), size.count_mask() as i32);
            self.keep_b(Source::Host(S0));
            self.maybe_pending(kind, size);
            self.a.bind(none);
        }
        self.a.shift_cl(number(op), size, to);
        if size == Size::D {
            // A count of zero clears the upper half, too.
            self.a.load(Size::D, to, Rm::Reg(to));
        }
        if count.is_some() {
            self.a.xchg(S1, RCX);
        }
        self.exact = 0;
        true
    }

    #[allow(clippy::too_many_arguments, reason = "the op has them")]
    pub(super) fn shift_double(
        &mut self,
        left: bool,
        size: Size,
        dst: Reg,
        a: Reg,
        b: Reg,
        count: Val,
        live: bool,
    ) -> bool {
        if size < Size::D || dst != a {
            return false;
        }
        let n = match count {
            Val::Imm(n) => (n & size.count_mask()) as u8,
            Val::Reg(r) => {
                if live || r != COUNTER {
                    return false;
                }
                let from = self.read(b);
                let to = self.update(dst);
                self.a.shift_double_cl(left, size, to, from);
                if size == Size::D {
                    self.a.load(Size::D, to, Rm::Reg(to));
                }
                self.exact = 0;
                return true;
            }
        };
        if n == 0 {
            return false;
        }
        let from = self.read(b);
        let to = self.update(dst);
        if live {
            // Before the flags of the shift are there to be kept.
            self.set_pending_apart(Kind::Logic, size, C | O);
        }
        self.a.shift_double_imm(left, size, to, from, n);
        self.exact = 0;
        if live {
            self.keep_a(Source::Host(to));
            self.a.setcc(cc::B, Rm::Base(BASE, LAZY_CF));
            self.open = None;
            if left {
                // The top bit before the last step went to CF.
                self.a.setcc(cc::S, Rm::Base(BASE, LAZY_OF));
                self.a.movzx(Size::B, S0, Rm::Base(BASE, LAZY_CF));
                self.a.alu_to(6, Size::B, Rm::Base(BASE, LAZY_OF), S0);
            } else {
                // It is the second bit now.
                self.a.load(size, S0, Rm::Reg(to));
                self.a.lea(size, S1, Rm::Index(S0, S0, 0, 0));
                self.a.alu(6, size, S0, Rm::Reg(S1));
                self.a.shift_imm(5, size, S0, size.bits() as u8 - 1);
                self.a.store(Size::B, Rm::Base(BASE, LAZY_OF), S0);
            }
        }
        true
    }
}
