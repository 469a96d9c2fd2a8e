//! FPREM and FPREM1: partial remainders, exact, at most 63 quotient bits a step.

use super::arith::raise_denormal;
use super::state::{X87, sw};
use crate::softfloat::{Class, Env, F80, Flags, Float, Parts, add, round_pack};

/// A remainder and the condition codes that go with it.
struct Partial {
    value: F80,
    /// Absent for NaNs and invalid operands.
    codes: Option<u16>,
}

/// C0, C3 and C1 from the low three quotient bits.
fn quotient_codes(quotient: u64) -> u16 {
    let bit = |n: u64, code: u16| if quotient >> n & 1 != 0 { code } else { 0 };
    bit(2, sw::C0) | bit(1, sw::C3) | bit(0, sw::C1)
}

/// `±remainder * 2^(exp - 63)`; zero has the dividend's sign.
fn pack(sign: bool, exp: i32, remainder: u64, env: &mut Env) -> F80 {
    if remainder == 0 {
        return F80::zero(sign);
    }
    let shift = remainder.leading_zeros();
    round_pack(sign, exp - shift as i32, u128::from(remainder << shift) << 64, 64, env)
}

/// Remainder of finite non-zero values, the quotient truncated or, for FPREM1 (`nearest`), rounded to nearest even.
fn reduce(x: &Parts, y: &Parts, nearest: bool, env: &mut Env) -> Partial {
    let d = x.exp - y.exp;
    if d >= 64 {
        let step = d & 31 | 32;
        let remainder = (u128::from(x.sig) << step) % u128::from(y.sig);
        let value = pack(x.sign, y.exp + d - step, remainder as u64, env);
        return Partial { value, codes: Some(sw::C2) };
    }
    if d < -1 || (d == -1 && (!nearest || x.sig <= y.sig)) {
        return Partial { value: pack(x.sign, x.exp, x.sig, env), codes: Some(0) };
    }
    if d == -1 {
        // Above half the divisor: the nearest multiple is the divisor itself, one binade up.
        let remainder = (u128::from(y.sig) << 1) - u128::from(x.sig);
        return Partial {
            value: pack(!x.sign, x.exp, remainder as u64, env),
            codes: Some(quotient_codes(1)),
        };
    }
    let divisor = u128::from(y.sig);
    let dividend = u128::from(x.sig) << d;
    let (mut quotient, mut remainder) = ((dividend / divisor) as u64, dividend % divisor);
    let mut sign = x.sign;
    if nearest && (2 * remainder > divisor || (2 * remainder == divisor && quotient & 1 != 0)) {
        quotient = quotient.wrapping_add(1);
        remainder = divisor - remainder;
        sign = !sign;
    }
    Partial { value: pack(sign, y.exp, remainder as u64, env), codes: Some(quotient_codes(quotient)) }
}

fn partial_remainder(x: F80, y: F80, nearest: bool, env: &mut Env) -> Partial {
    let done = |value| Partial { value, codes: None };
    let (a, b) = (x.parts(), y.parts());
    if a.is_nan() || b.is_nan() {
        return done(add(x, y, env));
    }
    if a.class == Class::Infinity || b.class == Class::Zero {
        env.flags |= Flags::IE;
        return done(F80::indefinite());
    }
    if raise_denormal(x, env) | raise_denormal(y, env) {
        return done(x);
    }
    match (a.class, b.class) {
        (Class::Zero, _) => Partial { value: x, codes: Some(0) },
        (_, Class::Infinity) => Partial { value: pack(a.sign, a.exp, a.sig, env), codes: Some(0) },
        _ => reduce(&a, &b, nearest, env),
    }
}

impl X87 {
    pub(super) fn fprem(&mut self, nearest: bool) {
        self.sw &= !sw::C2;
        if self.is_empty(0) || self.is_empty(1) {
            if self.stack_underflow() {
                self.set(0, F80::indefinite());
            }
            return;
        }
        let mut env = self.env();
        let partial = partial_remainder(self.get(0), self.get(1), nearest, &mut env);
        if self.commit(&env) {
            if let Some(codes) = partial.codes {
                self.sw = self.sw & !(sw::C0 | sw::C1 | sw::C3) | codes;
            }
            self.set(0, partial.value);
        }
    }
}
