//! Conversion to and from integers, and rounding to an integral value.

use super::env::{Env, Flags, Rounding};
use super::format::{Class, Float, Parts};
use super::nan::propagate1;
use super::round::{increments, round_pack};

/// An integer magnitude a value was rounded to.
struct Rounded {
    magnitude: u64,
    inexact: bool,
    up: bool,
}

/// Rounds a finite non-zero value below 2^64 in magnitude. None if it is larger.
fn round_magnitude(x: &Parts, rounding: Rounding) -> Option<Rounded> {
    let (whole, rest) = match x.exp {
        64.. => return None,
        63 => (x.sig, 0),
        0..=62 => (x.sig >> (63 - x.exp), x.sig << (x.exp + 1)),
        -1 => (0, x.sig),
        // Anything below one half rounds alike.
        _ => (0, 1),
    };
    let up = increments(rounding, x.sign, whole & 1 != 0, rest);
    // An inexact value has fewer than 64 integer bits: no carry out.
    Some(Rounded { magnitude: whole + u64::from(up), inexact: rest != 0, up })
}

/// `a` as a signed integer of `bits` (16, 32 or 64) bits, rounded in direction `rounding`. NaNs, infinities and values out
/// of range raise invalid and give the integer indefinite, the most negative integer. Denormals raise nothing of their own.
pub fn to_int<F: Float>(a: F, bits: u32, rounding: Rounding, env: &mut Env) -> i64 {
    let indefinite = i64::MIN >> (64 - bits);
    let x = a.parts();
    env.rounded_up = false;
    match x.class {
        Class::Zero => return 0,
        Class::Denormal if env.daz => return 0,
        Class::Normal | Class::Denormal => {}
        Class::Infinity | Class::QuietNan | Class::SignallingNan | Class::Unsupported => {
            env.flags |= Flags::IE;
            return indefinite;
        }
    }
    let limit = (1u64 << (bits - 1)) - u64::from(!x.sign);
    match round_magnitude(&x, rounding) {
        Some(r) if r.magnitude <= limit => {
            if r.inexact {
                env.flags |= Flags::PE;
                env.rounded_up = r.up;
            }
            let value = r.magnitude as i64;
            if x.sign { value.wrapping_neg() } else { value }
        }
        _ => {
            env.flags |= Flags::IE;
            indefinite
        }
    }
}

/// `a` rounded to an integral value in its own format, in direction `rounding`. Inexact results raise precision unless
/// `quiet_inexact` (ROUNDSS immediate bit 3). Denormal operands raise nothing of their own, as ROUNDSS wants it; FRNDINT's
/// denormal exception is its caller's.
pub fn round_to_integral<F: Float>(a: F, rounding: Rounding, quiet_inexact: bool, env: &mut Env) -> F {
    let x = a.parts();
    env.rounded_up = false;
    match x.class {
        Class::Zero | Class::Infinity => return a,
        Class::Denormal if env.daz => return F::zero(x.sign),
        Class::Normal | Class::Denormal => {}
        Class::QuietNan | Class::SignallingNan | Class::Unsupported => return propagate1(&x, env),
    }
    if x.exp >= F::PRECISION as i32 - 1 {
        return a;
    }
    let Some(r) = round_magnitude(&x, rounding) else { return a };
    if r.inexact && !quiet_inexact {
        env.flags |= Flags::PE;
    }
    env.rounded_up = r.up;
    if r.magnitude == 0 {
        return F::zero(x.sign);
    }
    let shift = r.magnitude.leading_zeros();
    F::pack(x.sign, 63 - shift as i32 + F::BIAS, r.magnitude << shift)
}

/// `value` as a float, rounded if the format is too narrow. Zero becomes +0.
#[inline]
pub fn from_i64<F: Float>(value: i64, env: &mut Env) -> F {
    if value == 0 {
        return F::zero(false);
    }
    let magnitude = value.unsigned_abs();
    let shift = magnitude.leading_zeros();
    let sig = u128::from(magnitude << shift) << 64;
    round_pack(value < 0, 63 - shift as i32, sig, F::PRECISION, env)
}

/// `value` as a float; inexact only in single precision.
#[inline]
pub fn from_i32<F: Float>(value: i32, env: &mut Env) -> F {
    from_i64(i64::from(value), env)
}
