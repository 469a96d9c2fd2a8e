//! Multiplication.

use super::env::Env;
use super::format::{Class, Float, Parts};
use super::nan::{invalid, special2};
use super::round::round_pack;

/// `a * b`.
#[inline]
pub fn mul<F: Float>(a: F, b: F, env: &mut Env) -> F {
    let (mut x, mut y) = (a.parts(), b.parts());
    if (x.class != Class::Normal || y.class != Class::Normal)
        && let Some(result) = product_special(&mut x, &mut y, env)
    {
        return result;
    }
    let product = u128::from(x.sig) * u128::from(y.sig);
    let shift = product.leading_zeros();
    let exp = x.exp + y.exp + 1 - shift as i32;
    round_pack(x.sign ^ y.sign, exp, product << shift, F::precision(env), env)
}

#[cold]
fn product_special<F: Float>(x: &mut Parts, y: &mut Parts, env: &mut Env) -> Option<F> {
    if let Some(result) = special2(x, y, env) {
        return Some(result);
    }
    let sign = x.sign ^ y.sign;
    match (x.class, y.class) {
        (Class::Infinity, Class::Zero) | (Class::Zero, Class::Infinity) => Some(invalid(env)),
        (Class::Infinity, _) | (_, Class::Infinity) => Some(F::infinity(sign)),
        (Class::Zero, _) | (_, Class::Zero) => Some(F::zero(sign)),
        _ => None,
    }
}
