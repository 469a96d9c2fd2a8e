//! The one place where results are rounded, overflow, underflow or are flushed.

use super::env::{Env, Flags, Rounding};
use super::format::{F80, Float, INTEGER_BIT};

/// Shifts right; what falls out is kept as a set lowest bit.
#[inline]
pub(super) fn shift_right_jam(value: u128, by: u32) -> u128 {
    if by == 0 {
        value
    } else if by < 128 {
        value >> by | u128::from(value << (128 - by) != 0)
    } else {
        u128::from(value != 0)
    }
}

/// Splits a left-aligned significand into its leading `precision` bits (left-aligned) and what follows them, as a
/// binary fraction of one unit in the last place (bit 63 is one half).
#[inline]
fn split(sig: u128, precision: u32) -> (u64, u64) {
    let (high, low) = ((sig >> 64) as u64, sig as u64);
    if precision == 64 {
        (high, low)
    } else {
        (high & !(u64::MAX >> precision), high << precision | u64::from(low != 0))
    }
}

/// Whether `rest`, a fraction as from [`split`], makes the magnitude grow.
#[inline]
pub(super) fn increments(rounding: Rounding, sign: bool, odd: bool, rest: u64) -> bool {
    match rounding {
        Rounding::Nearest => rest > INTEGER_BIT || (rest == INTEGER_BIT && odd),
        Rounding::Down => sign && rest != 0,
        Rounding::Up => !sign && rest != 0,
        Rounding::Zero => false,
    }
}

/// Rounds `±sig / 2^127 * 2^exp` (bit 127 of `sig` set, lowest bit sticky) to `precision` bits in format `F`.
///
/// Tininess is detected after rounding. Masked underflow is raised only if the result is also inexact; unmasked underflow
/// and overflow deliver the rounded result with the exponent moved by [`Float::WRAP`], or zero and infinity if that is not enough.
#[inline]
pub fn round_pack<F: Float>(sign: bool, exp: i32, sig: u128, precision: u32, env: &mut Env) -> F {
    let mut biased = exp + F::BIAS;
    if biased < 1 {
        return round_tiny(sign, biased, sig, precision, env);
    }
    let ulp = 1u64 << (64 - precision);
    let (mut kept, rest) = split(sig, precision);
    let up = increments(env.rounding, sign, kept & ulp != 0, rest);
    if up {
        let (sum, carry) = kept.overflowing_add(ulp);
        kept = if carry { INTEGER_BIT } else { sum };
        biased += i32::from(carry);
    }
    if biased >= F::MAX_BIASED {
        return overflow(sign, biased, kept, rest != 0, up, precision, env);
    }
    env.rounded_up = up;
    if rest != 0 {
        env.flags |= Flags::PE;
    }
    F::pack(sign, biased, kept)
}

#[cold]
fn overflow<F: Float>(
    sign: bool,
    biased: i32,
    kept: u64,
    inexact: bool,
    up: bool,
    precision: u32,
    env: &mut Env,
) -> F {
    if env.raise(Flags::OE) {
        if F::PRECISION == F80::PRECISION && biased - F::WRAP >= F::MAX_BIASED {
            // Only scaling gets this far with a result that is stored; a narrowing conversion stores none.
            env.flags |= Flags::PE;
            env.rounded_up = true;
            return F::infinity(sign);
        }
        env.rounded_up = up;
        if inexact {
            env.flags |= Flags::PE;
        }
        return F::pack(sign, biased - F::WRAP, kept);
    }
    env.flags |= Flags::PE;
    let to_infinity = match env.rounding {
        Rounding::Nearest => true,
        Rounding::Down => sign,
        Rounding::Up => !sign,
        Rounding::Zero => false,
    };
    env.rounded_up = to_infinity;
    if to_infinity {
        F::infinity(sign)
    } else {
        F::pack(sign, F::MAX_BIASED - 1, u64::MAX << (64 - precision))
    }
}

#[cold]
fn round_tiny<F: Float>(sign: bool, biased: i32, sig: u128, precision: u32, env: &mut Env) -> F {
    let ulp = 1u64 << (64 - precision);
    let (kept, rest) = split(sig, precision);
    let up = increments(env.rounding, sign, kept & ulp != 0, rest);
    let (sum, carry) = if up { kept.overflowing_add(ulp) } else { (kept, false) };
    let tiny = !(biased == 0 && carry);
    if tiny && !env.masks.intersects(Flags::UE) {
        env.flags |= Flags::UE;
        if F::PRECISION == F80::PRECISION && biased + F::WRAP < 1 {
            env.flags |= Flags::PE;
            env.rounded_up = false;
            return F::zero(sign);
        }
        env.rounded_up = up;
        if rest != 0 {
            env.flags |= Flags::PE;
        }
        let kept = if carry { INTEGER_BIT } else { sum };
        return F::pack(sign, biased + i32::from(carry) + F::WRAP, kept);
    }
    if tiny && env.ftz {
        env.flags |= Flags::UE | Flags::PE;
        env.rounded_up = false;
        return F::zero(sign);
    }
    let (kept, rest) = split(shift_right_jam(sig, (1 - biased) as u32), precision);
    let up = increments(env.rounding, sign, kept & ulp != 0, rest);
    let kept = if up { kept + ulp } else { kept };
    env.rounded_up = up;
    if rest != 0 {
        env.flags |= if tiny { Flags::UE | Flags::PE } else { Flags::PE };
    }
    F::pack(sign, i32::from(kept & INTEGER_BIT != 0), kept)
}
