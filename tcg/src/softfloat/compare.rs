//! Comparison.

use std::cmp::Ordering;

use super::env::{Env, Flags};
use super::format::{Class, Float, Parts};
use super::nan::take_denormal;

/// How two values relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The first is less.
    Less,
    /// Equal; the two zeros are.
    Equal,
    /// The first is greater.
    Greater,
    /// At least one is a NaN or unsupported.
    Unordered,
}

/// Compares. Signalling NaNs and unsupported encodings raise invalid; quiet NaNs do so only if `signal_quiet`
/// (COMISS, FCOM, CMPLTSS against UCOMISS, FUCOM, CMPEQSS). Denormals raise the denormal exception unless taken as zero.
pub fn compare<F: Float>(a: F, b: F, signal_quiet: bool, env: &mut Env) -> Relation {
    let (mut x, mut y) = (a.parts(), b.parts());
    if x.is_nan() || y.is_nan() {
        let loud = |p: &Parts| matches!(p.class, Class::SignallingNan | Class::Unsupported);
        if signal_quiet || loud(&x) || loud(&y) {
            env.flags |= Flags::IE;
        }
        return Relation::Unordered;
    }
    take_denormal(&mut x, env);
    take_denormal(&mut y, env);
    match order(&x, &y) {
        Ordering::Less => Relation::Less,
        Ordering::Equal => Relation::Equal,
        Ordering::Greater => Relation::Greater,
    }
}

/// Order of two values that are not NaNs.
fn order(x: &Parts, y: &Parts) -> Ordering {
    let signum = |p: &Parts| match (p.class, p.sign) {
        (Class::Zero, _) => 0,
        (_, true) => -1,
        (_, false) => 1,
    };
    let (sx, sy) = (signum(x), signum(y));
    if sx != sy || sx == 0 {
        return sx.cmp(&sy);
    }
    // Infinities carry the largest exponent of the format.
    let magnitude = (x.exp, x.sig).cmp(&(y.exp, y.sig));
    if sx < 0 { magnitude.reverse() } else { magnitude }
}
