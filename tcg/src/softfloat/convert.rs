//! Conversion between the floating-point formats.

use super::env::Env;
use super::format::{Class, Float, Parts};
use super::nan::{propagate1, take_denormal};
use super::round::round_pack;

/// `a` in format `G`, rounded if it must be; denormal operands raise the denormal exception (CVTSS2SD, CVTSD2SS, and
/// FLD of a single or double).
#[inline]
pub fn convert<F: Float, G: Float>(a: F, env: &mut Env) -> G {
    let mut x = a.parts();
    if x.class != Class::Normal && !x.is_nan() && take_denormal(&mut x, env) {
        return G::indefinite();
    }
    repack(&x, env)
}

/// Like [`convert`], but a denormal operand raises nothing of its own (FST to single or double).
#[inline]
pub fn narrow<F: Float, G: Float>(a: F, env: &mut Env) -> G {
    repack(&a.parts(), env)
}

/// `a` in a format that holds every value of `F` exactly. Raises nothing; a signalling NaN stays signalling, so that the
/// operation the value is meant for sees it.
#[inline]
pub fn extend<F: Float, G: Float>(a: F) -> G {
    let x = a.parts();
    match x.class {
        Class::Zero => G::zero(x.sign),
        Class::Normal | Class::Denormal => G::pack(x.sign, x.exp + G::BIAS, x.sig),
        Class::Infinity | Class::QuietNan | Class::SignallingNan | Class::Unsupported => {
            G::pack(x.sign, G::MAX_BIASED, x.sig)
        }
    }
}

#[inline]
fn repack<G: Float>(x: &Parts, env: &mut Env) -> G {
    match x.class {
        Class::Normal | Class::Denormal => {
            round_pack(x.sign, x.exp, u128::from(x.sig) << 64, G::PRECISION, env)
        }
        Class::Zero => G::zero(x.sign),
        Class::Infinity => G::infinity(x.sign),
        Class::QuietNan | Class::SignallingNan | Class::Unsupported => propagate1(x, env),
    }
}
