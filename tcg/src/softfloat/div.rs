//! Division.

use super::env::{Env, Flags};
use super::format::{Class, Float, INTEGER_BIT, Parts};
use super::nan::{invalid, special2};
use super::round::round_pack;

/// `a / b`.
#[inline]
pub fn div<F: Float>(a: F, b: F, env: &mut Env) -> F {
    let (mut x, mut y) = (a.parts(), b.parts());
    if (x.class != Class::Normal || y.class != Class::Normal)
        && let Some(result) = quotient_special(&mut x, &mut y, env)
    {
        return result;
    }
    let (exp, sig) = quotient(&x, &y);
    round_pack(x.sign ^ y.sign, exp, sig, F::precision(env), env)
}

/// Exponent and significand of |x / y|: 64 quotient bits, then whether the rest is nothing, below, at or above one half.
#[inline]
fn quotient(x: &Parts, y: &Parts) -> (i32, u128) {
    let below = x.sig < y.sig;
    let dividend = u128::from(x.sig) << (63 + u32::from(below));
    let divisor = u128::from(y.sig);
    let (quotient, remainder) = (dividend / divisor, dividend % divisor);
    let rest = match (2 * remainder).cmp(&divisor) {
        _ if remainder == 0 => 0,
        std::cmp::Ordering::Less => 1,
        std::cmp::Ordering::Equal => INTEGER_BIT,
        std::cmp::Ordering::Greater => INTEGER_BIT | 1,
    };
    (x.exp - y.exp - i32::from(below), quotient << 64 | u128::from(rest))
}

#[cold]
fn quotient_special<F: Float>(x: &mut Parts, y: &mut Parts, env: &mut Env) -> Option<F> {
    let sign = x.sign ^ y.sign;
    if x.class == Class::Denormal && y.class == Class::Zero && !env.daz {
        // Divide-by-zero comes before the denormal exception, which is then not raised.
        env.flags |= Flags::ZE;
        return Some(F::infinity(sign));
    }
    if let Some(result) = special2(x, y, env) {
        return Some(result);
    }
    match (x.class, y.class) {
        (Class::Infinity, Class::Infinity) | (Class::Zero, Class::Zero) => Some(invalid(env)),
        (Class::Infinity, _) => Some(F::infinity(sign)),
        (_, Class::Infinity) | (Class::Zero, _) => Some(F::zero(sign)),
        (_, Class::Zero) => {
            env.flags |= Flags::ZE;
            Some(F::infinity(sign))
        }
        _ => None,
    }
}
