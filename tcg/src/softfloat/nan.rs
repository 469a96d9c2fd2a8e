//! Operands that are not plain numbers: NaNs, unsupported encodings, denormals.

use super::env::{Env, Flags, NanRule};
use super::format::{Class, Float, INTEGER_BIT, Parts, QUIET_BIT};

/// Raises invalid operation and returns the default NaN.
#[cold]
pub(super) fn invalid<F: Float>(env: &mut Env) -> F {
    env.flags |= Flags::IE;
    F::indefinite()
}

/// The quiet NaN with the sign and payload of `nan`.
#[inline]
pub(super) fn quiet<F: Float>(nan: &Parts) -> F {
    F::pack(nan.sign, F::MAX_BIASED, nan.sig | INTEGER_BIT | QUIET_BIT)
}

/// The result of an operation on one NaN or unsupported operand.
#[cold]
pub(super) fn propagate1<F: Float>(a: &Parts, env: &mut Env) -> F {
    match a.class {
        Class::Unsupported => return invalid(env),
        Class::SignallingNan => env.flags |= Flags::IE,
        Class::QuietNan | Class::Zero | Class::Normal | Class::Denormal | Class::Infinity => {}
    }
    quiet(a)
}

/// The result of an operation on two operands of which at least one is a NaN or unsupported.
#[cold]
pub(super) fn propagate2<F: Float>(a: &Parts, b: &Parts, env: &mut Env) -> F {
    if a.class == Class::Unsupported || b.class == Class::Unsupported {
        return invalid(env);
    }
    if a.class == Class::SignallingNan || b.class == Class::SignallingNan {
        env.flags |= Flags::IE;
    }
    let first = match (a.is_nan(), b.is_nan()) {
        (true, false) => true,
        (false, _) => false,
        (true, true) => match env.nan {
            NanRule::Sse => true,
            NanRule::X87 => x87_prefers(a, b),
        },
    };
    quiet(if first { a } else { b })
}

/// Whether the x87 returns `a` rather than `b` when both are NaNs.
fn x87_prefers(a: &Parts, b: &Parts) -> bool {
    if a.class != b.class {
        return a.class == Class::QuietNan;
    }
    (a.sig, !a.sign) >= (b.sig, !b.sign)
}

/// Applies denormals-are-zero to one operand, or raises the denormal exception; true if that is unmasked.
#[inline]
pub(super) fn take_denormal(a: &mut Parts, env: &mut Env) -> bool {
    if a.class != Class::Denormal {
        return false;
    }
    if env.daz {
        a.class = Class::Zero;
        return false;
    }
    env.raise(Flags::DE)
}

/// Deals with NaNs and denormals among two operands. Some: the operation ends with that result.
#[cold]
pub(super) fn special2<F: Float>(a: &mut Parts, b: &mut Parts, env: &mut Env) -> Option<F> {
    if a.is_nan() || b.is_nan() {
        return Some(propagate2(a, b, env));
    }
    let trap = take_denormal(a, env) | take_denormal(b, env);
    trap.then(F::indefinite)
}
