//! Addition and subtraction.

use super::env::{Env, Rounding};
use super::format::{Class, Float, Parts};
use super::nan::{invalid, special2};
use super::round::{round_pack, shift_right_jam};

/// `a + b`.
#[inline]
pub fn add<F: Float>(a: F, b: F, env: &mut Env) -> F {
    sum(a, b, false, env)
}

/// `a - b`.
#[inline]
pub fn sub<F: Float>(a: F, b: F, env: &mut Env) -> F {
    sum(a, b, true, env)
}

#[inline]
fn sum<F: Float>(a: F, b: F, negate: bool, env: &mut Env) -> F {
    let (mut x, mut y) = (a.parts(), b.parts());
    if (x.class != Class::Normal || y.class != Class::Normal)
        && let Some(result) = sum_special(&mut x, &mut y, negate, env)
    {
        return result;
    }
    y.sign ^= negate;
    sum_finite(x, y, F::precision(env), env)
}

/// Sums where an operand is not normal; none if both turn out to be finite and non-zero.
#[cold]
fn sum_special<F: Float>(x: &mut Parts, y: &mut Parts, negate: bool, env: &mut Env) -> Option<F> {
    if let Some(result) = special2(x, y, env) {
        return Some(result);
    }
    let y_sign = y.sign ^ negate;
    let exact_zero = if x.sign == y_sign { x.sign } else { env.rounding == Rounding::Down };
    match (x.class, y.class) {
        (Class::Infinity, Class::Infinity) if x.sign != y_sign => Some(invalid(env)),
        (Class::Infinity, _) => Some(F::infinity(x.sign)),
        (_, Class::Infinity) => Some(F::infinity(y_sign)),
        (Class::Zero, Class::Zero) => Some(F::zero(exact_zero)),
        (Class::Zero, _) => Some(round_pack(y_sign, y.exp, u128::from(y.sig) << 64, F::precision(env), env)),
        (_, Class::Zero) => Some(round_pack(x.sign, x.exp, u128::from(x.sig) << 64, F::precision(env), env)),
        _ => None,
    }
}

/// Sum of two finite non-zero values.
#[inline]
fn sum_finite<F: Float>(x: Parts, y: Parts, precision: u32, env: &mut Env) -> F {
    let (x, y) = if x.exp >= y.exp { (x, y) } else { (y, x) };
    let distance = (x.exp - y.exp) as u32;
    // One bit of head room for the carry. The zero bits below the significand (63, or 10 and more in the narrower formats)
    // keep a sticky bit correct after cancellation, because more than one leading bit can only cancel when the exponents
    // differ by at most one.
    let (sign, sum) = if F::PRECISION < 64 {
        let small = y.sig >> 1;
        let small = match distance {
            0..=63 => small >> distance | u64::from(small & !(u64::MAX << distance) != 0),
            _ => 1,
        };
        let (sign, sum) = signed_sum(x.sign, y.sign, x.sig >> 1, small);
        (sign, u128::from(sum) << 64)
    } else {
        let (big, small) = (u128::from(x.sig) << 63, u128::from(y.sig) << 63);
        signed_sum(x.sign, y.sign, big, shift_right_jam(small, distance))
    };
    if sum == 0 {
        env.rounded_up = false;
        return F::zero(env.rounding == Rounding::Down);
    }
    let shift = sum.leading_zeros();
    round_pack(sign, x.exp + 1 - shift as i32, sum << shift, precision, env)
}

/// Sign and magnitude of the sum of two aligned magnitudes with head room.
#[inline]
fn signed_sum<T>(big_sign: bool, small_sign: bool, big: T, small: T) -> (bool, T)
where
    T: Copy + Ord + std::ops::Add<Output = T> + std::ops::Sub<Output = T>,
{
    if big_sign == small_sign {
        (big_sign, big + small)
    } else if big >= small {
        (big_sign, big - small)
    } else {
        (small_sign, small - big)
    }
}
