//! 128-bit arithmetic for the transcendental instructions: each operation errs by a few units of 2^-124 at most, so that
//! results rounded to 64 bits are correct but for about one case in 2^55.

use crate::softfloat::{Env, F80, Float, Parts, round_pack};

/// A non-negative number `sig / 2^127 * 2^exp`, bit 127 of `sig` set, or zero (`sig` 0).
#[derive(Clone, Copy, Debug)]
pub(super) struct Wide {
    pub exp: i32,
    pub sig: u128,
}

/// High half of the 256-bit product: the product of two fractions of 2^128.
#[inline]
pub(super) fn mul_high(a: u128, b: u128) -> u128 {
    let (a1, a0, b1, b0) = (a >> 64, a & u128::from(u64::MAX), b >> 64, b & u128::from(u64::MAX));
    let (middle1, middle2) = (a1 * b0, a0 * b1);
    let carry = ((a0 * b0) >> 64) + (middle1 & u128::from(u64::MAX)) + (middle2 & u128::from(u64::MAX));
    a1 * b1 + (middle1 >> 64) + (middle2 >> 64) + (carry >> 64)
}

/// `z * (c0 - z * (c1 - z * ...))` over fractions of 2^128; the coefficients fall.
#[inline]
pub(super) fn alternating<const N: usize>(z: u128, coefficients: &[u128; N]) -> u128 {
    coefficients.iter().rev().fold(0, |sum, c| mul_high(z, c.saturating_sub(sum)))
}

/// `z * (c0 + z * (c1 + z * ...))` over fractions of 2^128; the sum must stay below one.
#[inline]
pub(super) fn ascending<const N: usize>(z: u128, coefficients: &[u128; N]) -> u128 {
    coefficients.iter().rev().fold(0, |sum, c| mul_high(z, c + sum))
}

/// `quotient`, near `a / b * 2^126`, or the short number next to it where that is the quotient exactly: so that what is
/// then taken off an exact quotient leaves it just below.
fn exact_if_near(a: u128, b: u128, quotient: u128) -> u128 {
    const SLACK: u128 = 1 << 32;
    let near = (quotient + SLACK / 2) & !(SLACK - 1);
    let exact = mul_high(near, b) == a >> 2 && near.wrapping_mul(b) == a << 126;
    if exact { near } else { quotient }
}

/// 1/n!, 1/(n+step)!, ... as fractions of 2^128.
pub(super) const fn inverse_factorials<const N: usize>(first: u32, step: u32) -> [u128; N] {
    let mut table = [0; N];
    let (mut value, mut n, mut i) = (u128::MAX, 1, 0);
    while i < N {
        value /= n as u128;
        if n == first + step * i as u32 {
            table[i] = value;
            i += 1;
        }
        n += 1;
    }
    table
}

/// 1/3, 1/5, 1/7, ... as fractions of 2^128.
pub(super) const fn inverse_odd<const N: usize>() -> [u128; N] {
    let mut table = [0; N];
    let mut i = 0;
    while i < N {
        table[i] = u128::MAX / (2 * i as u128 + 3);
        i += 1;
    }
    table
}

impl Wide {
    pub const ZERO: Self = Self { exp: 0, sig: 0 };
    pub const ONE: Self = Self { exp: 0, sig: 1 << 127 };
    /// Pi.
    pub const PI: Self = Self { exp: 1, sig: 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1 };
    /// ln 2.
    pub const LN2: Self = Self { exp: -1, sig: 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6af };
    /// log2 e.
    pub const LOG2E: Self = Self { exp: 0, sig: 0xb8aa_3b29_5c17_f0bb_be87_fed0_691d_3e89 };

    /// The magnitude of a finite non-zero value.
    #[inline]
    pub fn from_parts(x: &Parts) -> Self {
        Self { exp: x.exp, sig: u128::from(x.sig) << 64 }
    }

    /// `value / 2^point`.
    #[inline]
    pub fn from_fixed(value: u128, point: i32) -> Self {
        if value == 0 {
            return Self::ZERO;
        }
        let shift = value.leading_zeros();
        Self { exp: 127 - shift as i32 - point, sig: value << shift }
    }

    /// As a fraction of 2^128, cut off; the number must be below one.
    #[inline]
    pub fn fraction(self) -> u128 {
        self.sig.checked_shr((-1 - self.exp) as u32).unwrap_or(0)
    }

    /// `1 - d`, where `d` is a fraction of 2^128 below one half that stands for something positive even if it is 0.
    #[inline]
    pub fn one_minus(d: u128) -> Self {
        Self { exp: -1, sig: d.max(1).wrapping_neg() }
    }

    #[inline]
    pub fn mul(self, other: Self) -> Self {
        let product = mul_high(self.sig, other.sig);
        if product == 0 {
            return Self::ZERO;
        }
        // Of two numbers in [1, 2) the product is in [1, 4).
        let shift = product.leading_zeros();
        Self { exp: self.exp + other.exp + 1 - shift as i32, sig: product << shift }
    }

    pub fn add(self, other: Self) -> Self {
        let (a, b) = if self.sig == 0 || (other.sig != 0 && self.exp < other.exp) {
            (other, self)
        } else {
            (self, other)
        };
        if b.sig == 0 {
            return a;
        }
        let small = b.sig.checked_shr((a.exp - b.exp) as u32).unwrap_or(0);
        let (sum, carry) = a.sig.overflowing_add(small);
        if carry { Self { exp: a.exp + 1, sig: sum >> 1 | 1 << 127 } } else { Self { exp: a.exp, sig: sum } }
    }

    /// `self + other`, at least one unit above `self` even where `other` is too small to see.
    pub fn add_above(self, other: Self) -> Self {
        let unit = Self { exp: self.exp - 127, sig: 1 << 127 };
        self.add(if other.exp < unit.exp { unit } else { other })
    }

    /// `self - other`, which must not be negative.
    pub fn sub(self, other: Self) -> Self {
        if other.sig == 0 {
            return self;
        }
        let small = other.sig.checked_shr((self.exp - other.exp) as u32).unwrap_or(0);
        // What is subtracted is positive even where it is too small to see.
        let difference = Self::from_fixed(self.sig - small.max(1), 127);
        Self { exp: difference.exp + self.exp, ..difference }
    }

    /// `self / other`; the divisor is not zero.
    pub fn div(self, other: Self) -> Self {
        if self.sig == 0 {
            return Self::ZERO;
        }
        let reciprocal = u128::MAX / (other.sig >> 64);
        // An estimate in units of 2^-126, good to 62 bits, then one correction by the remainder.
        let estimate = mul_high(self.sig, reciprocal.min((1 << 65) - 1) << 62);
        let error = (self.sig >> 2) as i128 - mul_high(estimate, other.sig) as i128;
        let correction = ((error >> 3) * (reciprocal >> 2) as i128) >> 59;
        let quotient = exact_if_near(self.sig, other.sig, estimate.wrapping_add_signed(correction));
        let quotient = Self::from_fixed(quotient, 126);
        Self { exp: quotient.exp + self.exp - other.exp, ..quotient }
    }

    /// Rounds to an extended real. `inexact`: the true value is irrational, so never on or half way between two reals.
    #[inline]
    pub fn round(self, sign: bool, inexact: bool, env: &mut Env) -> F80 {
        if self.sig == 0 {
            return F80::zero(sign);
        }
        round_pack(sign, self.exp, self.sig | u128::from(inexact), 64, env)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: Wide, b: Wide) -> bool {
        let (low, high) = if (a.exp, a.sig) < (b.exp, b.sig) { (a, b) } else { (b, a) };
        let difference = high.sub(low);
        difference.sig == 0 || difference.exp < high.exp - 118
    }

    #[test]
    fn constants_agree_with_each_other() {
        assert!(close(Wide::LN2.mul(Wide::LOG2E), Wide::ONE));
        assert!(close(Wide::ONE.div(Wide::LN2), Wide::LOG2E));
    }

    #[test]
    fn quotient_times_divisor_is_dividend() {
        let mut seed = 0x1234_5678_9abc_def0_0fed_cba9_8765_4321_u128;
        for _ in 0..10_000 {
            let mut next = || {
                seed = seed.wrapping_mul(0xda94_2042_e4dd_58b5_9fb2_1c65_1e98_df25).wrapping_add(1);
                Wide { exp: (seed >> 100 & 63) as i32, sig: seed.rotate_left(64) | 1 << 127 }
            };
            let (a, b) = (next(), next());
            assert!(close(a.div(b).mul(b), a), "{a:?} / {b:?}");
        }
    }
}
