//! Runs a scalar floating-point operation over the elements of registers.

use super::{Mxcsr, SimdException};
use crate::softfloat::{Env, F32, F64, Float};

/// A format that fills a register.
pub(super) trait Element: Float {
    /// Elements in a register.
    const COUNT: u32;

    /// Bits of an element.
    const BITS: u32 = 128 / Self::COUNT;

    /// The element from the low bits of `bits`.
    fn from_low(bits: u128) -> Self;

    /// Its bits.
    fn to_bits(self) -> u128;

    /// Element `lane` of a register.
    fn of(value: u128, lane: u32) -> Self {
        Self::from_low(value >> (lane * Self::BITS))
    }

    /// The bits in place as element `lane`.
    fn at(self, lane: u32) -> u128 {
        self.to_bits() << (lane * Self::BITS)
    }

    /// `value` with element 0 replaced.
    fn into_low(self, value: u128) -> u128 {
        value >> Self::BITS << Self::BITS | self.to_bits()
    }
}

impl Element for F32 {
    const COUNT: u32 = 4;

    fn from_low(bits: u128) -> Self {
        Self(bits as u32)
    }

    fn to_bits(self) -> u128 {
        self.0.into()
    }
}

impl Element for F64 {
    const COUNT: u32 = 2;

    fn from_low(bits: u128) -> Self {
        Self(bits as u64)
    }

    fn to_bits(self) -> u128 {
        self.0.into()
    }
}

/// Runs `f` in MXCSR's environment and records what it raised.
pub(super) fn run<T>(mxcsr: &mut Mxcsr, f: impl FnOnce(&mut Env) -> T) -> Result<T, SimdException> {
    let mut env = Env::from_mxcsr(mxcsr.bits());
    let result = f(&mut env);
    mxcsr.record(env.flags)?;
    Ok(result)
}

/// Every element of the result is `f(destination element, source element)`.
pub(super) fn packed<F: Element>(
    d: u128,
    s: u128,
    mxcsr: &mut Mxcsr,
    f: impl Fn(F, F, &mut Env) -> F,
) -> Result<u128, SimdException> {
    run(mxcsr, |env| {
        (0..F::COUNT).fold(0, |value, lane| value | f(F::of(d, lane), F::of(s, lane), env).at(lane))
    })
}

/// Element 0 is `f(destination element, source element)`; the rest of the destination stays.
pub(super) fn scalar<F: Element>(
    d: u128,
    s: u128,
    mxcsr: &mut Mxcsr,
    f: impl FnOnce(F, F, &mut Env) -> F,
) -> Result<u128, SimdException> {
    run(mxcsr, |env| f(F::from_low(d), F::from_low(s), env).into_low(d))
}
