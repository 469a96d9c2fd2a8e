//! Addition, subtraction, multiplication, division, square root, and the sign operations.

use super::op::{Arith, Operand};
use super::state::X87;
use super::transfer::{f80_from_raw, from_int};
use crate::softfloat::{Class, Env, F32, F64, F80, Flags, Float, add, div, extend, mul, sqrt, sub};

impl Arith {
    #[inline]
    fn apply(self, destination: F80, source: F80, env: &mut Env) -> F80 {
        match self {
            Self::Add => add(destination, source, env),
            Self::Mul => mul(destination, source, env),
            Self::Sub => sub(destination, source, env),
            Self::Subr => sub(source, destination, env),
            Self::Div => div(destination, source, env),
            Self::Divr => div(source, destination, env),
        }
    }
}

/// A source operand in memory as an extended real, and whether it is a denormal of its own, narrower format.
#[inline]
pub(super) fn memory_operand(from: Operand, raw: u128) -> (F80, bool) {
    match from {
        Operand::M32fp => (extend(F32(raw as u32)), raw as u32 & 0x7f80_0000 == 0 && (raw as u32) << 1 != 0),
        Operand::M64fp => {
            let bits = raw as u64;
            (extend(F64(bits)), bits & 0x7ff0_0000_0000_0000 == 0 && bits << 1 != 0)
        }
        Operand::St(_) | Operand::M80fp => (f80_from_raw(raw), false),
        Operand::M16int => (from_int((raw as i16).into()), false),
        Operand::M32int => (from_int((raw as i32).into()), false),
        Operand::M64int => (from_int(raw as i64), false),
    }
}

/// Adds the denormal exception for a memory operand that was one, after the operation has been computed with its
/// extended value. It gives way to NaNs and divide-by-zero, and unmasked it undoes what came after.
#[cold]
pub(super) fn raise_memory_denormal(other: F80, env: &mut Env) {
    let nan = other.parts().is_nan();
    if !nan && !env.flags.intersects(Flags::IE | Flags::ZE) && env.raise(Flags::DE) {
        env.flags = env.flags & Flags::PRE;
        env.rounded_up = false;
    }
}

impl X87 {
    pub(super) fn arith_st0(&mut self, op: Arith, from: Operand, raw: u128) {
        if self.is_empty(0) || matches!(from, Operand::St(i) if self.is_empty(i)) {
            if self.stack_underflow() {
                self.set(0, F80::indefinite());
            }
            return;
        }
        let mut env = self.env();
        let destination = self.get(0);
        let (source, denormal) = match from {
            Operand::St(i) => (self.get(i), false),
            memory => memory_operand(memory, raw),
        };
        let result = op.apply(destination, source, &mut env);
        if denormal {
            raise_memory_denormal(destination, &mut env);
        }
        if self.commit(&env) {
            self.set(0, result);
        }
    }

    pub(super) fn arith_sti(&mut self, op: Arith, i: u8, pop: bool) {
        let result = if self.is_empty(0) || self.is_empty(i) {
            if !self.stack_underflow() {
                return;
            }
            F80::indefinite()
        } else {
            let mut env = self.env();
            let result = op.apply(self.get(i), self.get(0), &mut env);
            if !self.commit(&env) {
                return;
            }
            result
        };
        self.set(i, result);
        if pop {
            self.pop();
        }
    }

    /// Replaces ST(0) by a function of it, unless it is empty.
    #[inline]
    pub(super) fn unary(&mut self, function: impl FnOnce(F80, &mut Env) -> F80) {
        if self.is_empty(0) {
            if self.stack_underflow() {
                self.set(0, F80::indefinite());
            }
            return;
        }
        let mut env = self.env();
        let result = function(self.get(0), &mut env);
        if self.commit(&env) {
            self.set(0, result);
        }
    }

    /// Replaces ST(1) by a function of ST(1) and ST(0), then pops.
    pub(super) fn binary_pop(&mut self, function: impl FnOnce(F80, F80, &mut Env) -> F80) {
        let result = if self.is_empty(0) || self.is_empty(1) {
            if !self.stack_underflow() {
                return;
            }
            F80::indefinite()
        } else {
            let mut env = self.env();
            let result = function(self.get(1), self.get(0), &mut env);
            if !self.commit(&env) {
                return;
            }
            result
        };
        self.set(1, result);
        self.pop();
    }

    pub(super) fn fsqrt(&mut self) {
        self.unary(sqrt);
    }

    pub(super) fn fabs(&mut self) {
        self.unary(|x, _| F80 { se: x.se & 0x7fff, ..x });
    }

    pub(super) fn fchs(&mut self) {
        self.unary(|x, _| F80 { se: x.se ^ 0x8000, ..x });
    }
}

/// Raises the denormal exception if `x` is a denormal; true if that is unmasked.
#[inline]
pub(super) fn raise_denormal(x: F80, env: &mut Env) -> bool {
    x.parts().class == Class::Denormal && env.raise(Flags::DE)
}
