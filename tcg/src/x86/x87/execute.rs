//! From an instruction to the function that carries it out.

use super::op::{Operand, X87Op};
use super::state::X87;

/// An unmasked exception is pending: #MF if CR0.NE is set, else FERR#. The instruction has done nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("x87 exception pending")]
pub struct MathFault;

/// What the caller has to do after an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing; of a storing instruction: an unmasked exception suppressed the store.
    Done,
    /// Store this, little-endian, in as many bytes as [`X87Op::memory`] says.
    Store(u128),
    /// Write to AX.
    Ax(u16),
    /// Set ZF (40h), PF (04h) and CF (01h) to these, clear OF, SF and AF.
    Eflags(u8),
    /// Nothing has been done: move the environment or state image (`X87::load_env`, `restore`, `env_image`, `state_image`).
    Image,
}

impl X87 {
    /// Executes one instruction, or reports a pending exception if the instruction is one that waits.
    ///
    /// `operand` is the memory operand's little-endian value where [`X87Op::memory`] names a load, EFLAGS for FCMOVcc, and
    /// ignored otherwise.
    ///
    /// # Errors
    /// [`MathFault`], with the state unchanged.
    #[inline(always)]
    pub fn execute(&mut self, op: X87Op, operand: u128) -> Result<Outcome, MathFault> {
        if self.exception_pending() && op.waits() {
            return Err(MathFault);
        }
        Ok(self.run(op, operand))
    }

    /// Executes one instruction whether or not an exception is pending, as with IGNNE# asserted.
    #[inline(always)]
    pub fn run(&mut self, op: X87Op, operand: u128) -> Outcome {
        match op {
            X87Op::Fld(from) => self.fld(from, operand),
            X87Op::Fst { to: Operand::St(i), pop } => self.fst_register(i, pop),
            X87Op::Fst { to, pop } => return self.fst_memory(to, pop),
            X87Op::FstpUnchecked(i) => self.fstp_unchecked(i),
            X87Op::Fisttp(to) => return self.fisttp(to),
            X87Op::Fbld => self.fbld(operand),
            X87Op::Fbstp => return self.fbstp(),
            X87Op::FldConstant(constant) => self.fld_constant(constant),
            X87Op::Fxch(i) => self.fxch(i),
            X87Op::Fcmov(condition, i) => self.fcmov(condition, i, operand as u64),
            X87Op::ToSt0(op, from) => self.arith_st0(op, from, operand),
            X87Op::ToSti { op, i, pop } => self.arith_sti(op, i, pop),
            X87Op::Fprem => self.fprem(false),
            X87Op::Fprem1 => self.fprem(true),
            X87Op::Fabs => self.fabs(),
            X87Op::Fchs => self.fchs(),
            X87Op::Frndint => self.frndint(),
            X87Op::Fscale => self.fscale(),
            X87Op::Fsqrt => self.fsqrt(),
            X87Op::Fxtract => self.fxtract(),
            X87Op::Fcom { with, pop } => self.fcom(with, pop, operand),
            X87Op::Fucom { i, pop } => self.fucom(i, pop),
            X87Op::Fcomi { i, pop } => return self.fcomi(i, pop, true),
            X87Op::Fucomi { i, pop } => return self.fcomi(i, pop, false),
            X87Op::Ftst => self.ftst(),
            X87Op::Fxam => self.fxam(),
            X87Op::Fsin => self.fsin(),
            X87Op::Fcos => self.fcos(),
            X87Op::Fsincos => self.fsincos(),
            X87Op::Fptan => self.fptan(),
            X87Op::Fpatan => self.fpatan(),
            X87Op::F2xm1 => self.f2xm1(),
            X87Op::Fyl2x => self.fyl2x(),
            X87Op::Fyl2xp1 => self.fyl2xp1(),
            X87Op::Fincstp => self.fincstp(),
            X87Op::Fdecstp => self.fdecstp(),
            X87Op::Ffree { i, pop } => self.ffree(i, pop),
            X87Op::Fnop | X87Op::Fnneni => {}
            X87Op::Fninit => self.init(),
            X87Op::Fnclex => self.fnclex(),
            X87Op::Fldcw => self.fldcw(operand as u16),
            X87Op::Fnstcw => return Outcome::Store(self.cw.into()),
            X87Op::Fnstsw => return Outcome::Store(self.sw.into()),
            X87Op::FnstswAx => return Outcome::Ax(self.sw),
            X87Op::Fldenv | X87Op::Fnstenv | X87Op::Fnsave | X87Op::Frstor => return Outcome::Image,
        }
        Outcome::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x86::x87::{Constant, sw};

    /// Divide-by-zero unmasked, 1 / 0 done.
    fn pending() -> X87 {
        let mut x87 = X87::reset();
        x87.init();
        x87.execute(X87Op::Fldcw, 0x37b).unwrap();
        for constant in [Constant::One, Constant::Zero] {
            x87.execute(X87Op::FldConstant(constant), 0).unwrap();
        }
        x87.execute(X87Op::ToSti { op: crate::x86::x87::Arith::Div, i: 1, pop: true }, 0).unwrap();
        x87
    }

    #[test]
    fn an_unmasked_exception_waits_for_the_next_waiting_instruction() {
        let mut x87 = pending();
        assert!(x87.exception_pending());
        assert_eq!(x87.top(), 6, "nothing was popped");
        assert_eq!(x87.execute(X87Op::FnstswAx, 0), Ok(Outcome::Ax(x87.sw)));
        let before = x87.clone();
        assert_eq!(x87.execute(X87Op::Fnop, 0), Err(MathFault));
        assert_eq!(x87.execute(X87Op::Fld(Operand::M64fp), 0), Err(MathFault));
        assert_eq!(x87, before);
        x87.execute(X87Op::Fnclex, 0).unwrap();
        assert_eq!(x87.execute(X87Op::Fnop, 0), Ok(Outcome::Done));
    }

    #[test]
    fn ignored_exceptions_do_not_stop_an_instruction() {
        let mut x87 = pending();
        x87.run(X87Op::FldConstant(Constant::One), 0);
        assert_eq!(x87.top(), 5);
    }

    #[test]
    fn a_store_can_be_undone() {
        let mut x87 = pending();
        x87.execute(X87Op::Fnclex, 0).unwrap();
        let (before, mark) = (x87.clone(), x87.mark());
        let outcome = x87.execute(X87Op::Fst { to: Operand::M32int, pop: true }, 0);
        assert_eq!(outcome, Ok(Outcome::Store(0)));
        assert_ne!(x87, before);
        x87.rewind(mark);
        assert_eq!(x87, before);
        assert_eq!(x87.sw & sw::SF, 0);
    }
}
