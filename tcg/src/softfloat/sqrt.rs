//! Square root.

use super::env::Env;
use super::format::{Class, Float, INTEGER_BIT, Parts};
use super::nan::{invalid, propagate1, take_denormal};
use super::round::round_pack;

/// Square root of `a`; invalid for negative values other than -0.
#[inline]
pub fn sqrt<F: Float>(a: F, env: &mut Env) -> F {
    let mut x = a.parts();
    if (x.class != Class::Normal || x.sign)
        && let Some(result) = root_special(&mut x, env)
    {
        return result;
    }
    let (exp, sig) = root(x.exp, x.sig);
    round_pack(false, exp, sig, F::precision(env), env)
}

/// Exponent and significand of the root: 64 exact bits, then whether the rest is nothing, below or above one half (it
/// is never exactly one half).
#[inline]
fn root(exp: i32, sig: u64) -> (i32, u128) {
    let radicand = u128::from(sig) << if exp & 1 == 0 { 63 } else { 64 };
    let root = radicand.isqrt();
    let remainder = radicand - root * root;
    let rest = match remainder {
        0 => 0,
        r if r <= root => 1,
        _ => INTEGER_BIT | 1,
    };
    (exp >> 1, root << 64 | u128::from(rest))
}

#[cold]
fn root_special<F: Float>(x: &mut Parts, env: &mut Env) -> Option<F> {
    if x.is_nan() {
        return Some(propagate1(x, env));
    }
    if x.class == Class::Zero || (x.class == Class::Denormal && env.daz) {
        return Some(F::zero(x.sign));
    }
    if x.sign {
        return Some(invalid(env));
    }
    if x.class == Class::Infinity {
        return Some(F::infinity(false));
    }
    take_denormal(x, env).then(F::indefinite)
}
