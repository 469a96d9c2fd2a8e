//! F2XM1, FYL2X, FYL2XP1.

use super::arith::raise_denormal;
use super::state::X87;
use super::wide::{Wide, alternating, ascending, inverse_factorials, inverse_odd, mul_high};
use crate::softfloat::{Class, Env, F80, Flags, Float, Parts, add};

const EXPONENTIAL: [u128; 32] = inverse_factorials(2, 1);
const ARTANH: [u128; 25] = inverse_odd();
/// The square root of two's significand, to the precision the choice of a binade needs.
const SQRT_2: u128 = 0xb504_f333_f9de_6484 << 64;

/// |2^x - 1| for 0 < |x| < 1: with y = |x| ln 2, y * (1 + y/2! + y²/3! + ...) or y * (1 - y/2! + y²/3! - ...).
fn exponential_minus_one(x: &Parts) -> Wide {
    let y = Wide::from_parts(x).mul(Wide::LN2);
    let fraction = y.fraction();
    if x.sign {
        y.mul(Wide::one_minus(alternating(fraction, &EXPONENTIAL)))
    } else {
        y.add(y.mul(Wide::from_fixed(ascending(fraction, &EXPONENTIAL), 128)))
    }
}

fn two_to_x_minus_one(x: F80, env: &mut Env) -> F80 {
    let a = x.parts();
    match a.class {
        Class::QuietNan | Class::SignallingNan | Class::Unsupported => return add(x, x, env),
        Class::Zero => return x,
        Class::Infinity if a.sign => return F80::pack(true, F80::BIAS, 1 << 63),
        Class::Infinity => return x,
        Class::Normal | Class::Denormal => {}
    }
    if raise_denormal(x, env) {
        return x;
    }
    if a.exp >= 0 {
        // -1 and +1 are exact, though not announced so; beyond, the result is undefined and the operand stays.
        env.flags |= Flags::PE;
        let minus_one = a.sign && a.exp == 0 && a.sig == 1 << 63;
        return if minus_one { F80::pack(true, F80::BIAS - 1, 1 << 63) } else { x };
    }
    exponential_minus_one(&a).round(a.sign, true, env)
}

/// A logarithm to base 2.
struct Log2 {
    negative: bool,
    magnitude: Wide,
    /// The argument is a power of two.
    exact: bool,
}

/// log2((1 + t) / (1 - t)) for 0 <= t < 0.18.
fn twice_artanh(t: Wide) -> Wide {
    if t.sig == 0 {
        return t;
    }
    let fraction = t.fraction();
    let rest = ascending(mul_high(fraction, fraction), &ARTANH);
    let sum = t.add(t.mul(Wide::from_fixed(rest, 128)));
    let log = sum.mul(Wide::LOG2E);
    Wide { exp: log.exp + 1, ..log }
}

fn log2(x: Wide) -> Log2 {
    // x = 2^k * m with m between the square roots of 1/2 and of 2; t = |m - 1| / (m + 1).
    const ONE: u128 = 1 << 127;
    let below = x.sig > SQRT_2;
    let k = x.exp + i32::from(below);
    let t = if below {
        Wide::from_fixed(x.sig.wrapping_neg(), 128).div(Wide::from_fixed((x.sig >> 2) + (ONE >> 1), 126))
    } else {
        Wide::from_fixed(x.sig - ONE, 127).div(Wide::from_fixed((x.sig >> 1) + (ONE >> 1), 126))
    };
    let fraction = twice_artanh(t);
    let whole = Wide::from_fixed(k.unsigned_abs().into(), 0);
    let exact = fraction.sig == 0;
    if k == 0 {
        Log2 { negative: below, magnitude: fraction, exact }
    } else if (k < 0) == below {
        Log2 { negative: below, magnitude: whole.add(fraction), exact }
    } else {
        Log2 { negative: k < 0, magnitude: whole.sub(fraction), exact }
    }
}

/// log2(1 + x) for finite non-zero x above -1.
fn log2_plus_one(x: &Parts) -> Log2 {
    let w = Wide::from_parts(x);
    if x.exp >= -2 {
        return log2(if x.sign { Wide::ONE.sub(w) } else { Wide::ONE.add(w) });
    }
    let two = Wide { exp: 1, ..Wide::ONE };
    let t = w.div(if x.sign { two.sub(w) } else { two.add(w) });
    Log2 { negative: x.sign, magnitude: twice_artanh(t), exact: false }
}

/// The product of y, finite and non-zero, and a logarithm.
fn times(y: &Parts, log: &Log2, env: &mut Env) -> F80 {
    let result = Wide::from_parts(y).mul(log.magnitude).round(y.sign ^ log.negative, !log.exact, env);
    if log.exact && log.magnitude.sig != 0 {
        // Even where the logarithm is an integer and the result exact, processors announce an inexact one.
        let tiny = result.parts().class == Class::Denormal;
        env.flags |= if tiny { Flags::PE | Flags::UE } else { Flags::PE };
    }
    result
}

fn invalid(env: &mut Env) -> F80 {
    env.flags |= Flags::IE;
    F80::indefinite()
}

/// y * log2(x), by the table of FYL2X.
fn y_log2_x(y: F80, x: F80, env: &mut Env) -> F80 {
    let (a, b) = (y.parts(), x.parts());
    if a.is_nan() || b.is_nan() {
        return add(y, x, env);
    }
    if b.sign && b.class != Class::Zero {
        return invalid(env);
    }
    let below_one = b.class == Class::Zero || (b.class != Class::Infinity && b.exp < 0);
    let is_one = b.class == Class::Normal && b.exp == 0 && b.sig == 1 << 63;
    match (a.class, b.class) {
        (Class::Zero, Class::Zero | Class::Infinity) => return invalid(env),
        (Class::Infinity, _) if is_one => return invalid(env),
        (Class::Infinity, Class::Zero) => return F80::infinity(!a.sign),
        (_, Class::Zero) => {
            env.flags |= Flags::ZE;
            return F80::infinity(!a.sign);
        }
        _ => {}
    }
    if raise_denormal(y, env) | raise_denormal(x, env) {
        return x;
    }
    match (a.class, b.class) {
        (Class::Infinity, _) | (_, Class::Infinity) => F80::infinity(a.sign ^ below_one),
        (Class::Zero, _) => F80::zero(a.sign ^ below_one),
        _ => times(&a, &log2(Wide::from_parts(&b)), env),
    }
}

/// y * log2(x + 1), by the table of FYL2XP1; outside its range, what the formula gives.
fn y_log2_x_plus_one(y: F80, x: F80, env: &mut Env) -> F80 {
    let (a, b) = (y.parts(), x.parts());
    if a.is_nan() || b.is_nan() {
        return add(y, x, env);
    }
    let at_most_minus_one = b.sign && (b.class == Class::Infinity || b.class == Class::Normal && b.exp >= 0);
    match (a.class, b.class) {
        _ if at_most_minus_one => return invalid(env),
        (Class::Zero, Class::Infinity) | (Class::Infinity, Class::Zero) => return invalid(env),
        _ => {}
    }
    if raise_denormal(y, env) | raise_denormal(x, env) {
        return x;
    }
    match (a.class, b.class) {
        (Class::Infinity, _) | (_, Class::Infinity) => F80::infinity(a.sign ^ b.sign),
        (Class::Zero, _) | (_, Class::Zero) => F80::zero(a.sign ^ b.sign),
        _ => times(&a, &log2_plus_one(&b), env),
    }
}

impl X87 {
    pub(super) fn f2xm1(&mut self) {
        self.unary(two_to_x_minus_one);
    }

    pub(super) fn fyl2x(&mut self) {
        self.binary_pop(y_log2_x);
    }

    pub(super) fn fyl2xp1(&mut self) {
        self.binary_pop(y_log2_x_plus_one);
    }
}
