//! The three formats and their common unpacked form.

use serde::{Deserialize, Serialize};

use super::env::Env;

/// Single precision, as its bit pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct F32(pub u32);

/// Double precision, as its bit pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct F64(pub u64);

/// Double extended precision: 64-bit significand with explicit integer bit, then sign and 15-bit exponent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
pub struct F80 {
    /// Significand; bit 63 is the integer bit.
    pub sig: u64,
    /// Bit 15: sign. Bits 14 to 0: biased exponent.
    pub se: u16,
}

/// What kind of value an encoding stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Positive or negative zero.
    Zero,
    /// A normal finite number.
    Normal,
    /// A denormal, or an x87 pseudo-denormal.
    Denormal,
    /// Infinity.
    Infinity,
    /// A quiet NaN.
    QuietNan,
    /// A signalling NaN.
    SignallingNan,
    /// An x87 encoding the processor rejects: unnormal, pseudo-NaN, pseudo-infinity.
    Unsupported,
}

/// An unpacked value. For finite non-zero classes it is `sig / 2^63 * 2^exp` with bit 63 of `sig` set; for NaNs `sig` is
/// the significand, left-aligned with the integer bit set.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    /// True for negative.
    pub sign: bool,
    /// Kind of value.
    pub class: Class,
    /// Unbiased exponent of the leading bit.
    pub exp: i32,
    /// Left-aligned significand.
    pub sig: u64,
}

impl Parts {
    /// Whether this is a NaN of either kind or an unsupported encoding.
    #[inline]
    pub fn is_nan(&self) -> bool {
        matches!(self.class, Class::QuietNan | Class::SignallingNan | Class::Unsupported)
    }
}

pub(super) const INTEGER_BIT: u64 = 1 << 63;
pub(super) const QUIET_BIT: u64 = 1 << 62;

/// A format of this module.
pub trait Float: Copy + Eq + std::fmt::Debug {
    /// Significand bits, integer bit included.
    const PRECISION: u32;
    /// Exponent bias.
    const BIAS: i32;
    /// Biased exponent of infinities and NaNs.
    const MAX_BIASED: i32;
    /// What unmasked overflow and underflow add to the exponent (SDM volume 1, 8.5.4).
    const WRAP: i32;

    /// Unpacks.
    fn parts(self) -> Parts;

    /// Packs a biased exponent and a left-aligned significand (integer bit in bit 63, clear for denormals).
    fn pack(sign: bool, biased: i32, sig: u64) -> Self;

    /// Bits to round an arithmetic result to.
    #[inline]
    fn precision(_env: &Env) -> u32 {
        Self::PRECISION
    }

    /// Signed zero.
    #[inline]
    fn zero(sign: bool) -> Self {
        Self::pack(sign, 0, 0)
    }

    /// Signed infinity.
    #[inline]
    fn infinity(sign: bool) -> Self {
        Self::pack(sign, Self::MAX_BIASED, INTEGER_BIT)
    }

    /// The default NaN ("real indefinite"): negative, quiet, no payload.
    #[inline]
    fn indefinite() -> Self {
        Self::pack(true, Self::MAX_BIASED, INTEGER_BIT | QUIET_BIT)
    }
}

/// Unpacks fields of a format with a hidden integer bit; `fraction` is left-aligned below bit 63.
#[inline]
fn unpack_hidden(sign: bool, biased: i32, fraction: u64, bias: i32, max_biased: i32) -> Parts {
    if biased == 0 {
        if fraction == 0 {
            return Parts { sign, class: Class::Zero, exp: 0, sig: 0 };
        }
        let shift = fraction.leading_zeros();
        let exp = 1 - bias - shift as i32;
        return Parts { sign, class: Class::Denormal, exp, sig: fraction << shift };
    }
    let sig = fraction | INTEGER_BIT;
    let class = if biased != max_biased { Class::Normal } else { special_class(sig) };
    Parts { sign, class, exp: biased - bias, sig }
}

/// Class of a value with the largest exponent and the integer bit set.
#[inline]
fn special_class(sig: u64) -> Class {
    if sig == INTEGER_BIT {
        Class::Infinity
    } else if sig & QUIET_BIT != 0 {
        Class::QuietNan
    } else {
        Class::SignallingNan
    }
}

impl Float for F32 {
    const PRECISION: u32 = 24;
    const BIAS: i32 = 127;
    const MAX_BIASED: i32 = 255;
    const WRAP: i32 = 192;

    #[inline]
    fn parts(self) -> Parts {
        let biased = (self.0 >> 23 & 0xff) as i32;
        let fraction = u64::from(self.0 & 0x7f_ffff) << 40;
        unpack_hidden(self.0 >> 31 != 0, biased, fraction, Self::BIAS, Self::MAX_BIASED)
    }

    #[inline]
    fn pack(sign: bool, biased: i32, sig: u64) -> Self {
        Self(u32::from(sign) << 31 | (biased as u32) << 23 | ((sig << 1) >> 41) as u32)
    }
}

impl Float for F64 {
    const PRECISION: u32 = 53;
    const BIAS: i32 = 1023;
    const MAX_BIASED: i32 = 2047;
    const WRAP: i32 = 1536;

    #[inline]
    fn parts(self) -> Parts {
        let biased = (self.0 >> 52 & 0x7ff) as i32;
        let fraction = (self.0 & 0xf_ffff_ffff_ffff) << 11;
        unpack_hidden(self.0 >> 63 != 0, biased, fraction, Self::BIAS, Self::MAX_BIASED)
    }

    #[inline]
    fn pack(sign: bool, biased: i32, sig: u64) -> Self {
        Self(u64::from(sign) << 63 | (biased as u64) << 52 | (sig << 1) >> 12)
    }
}

impl Float for F80 {
    const PRECISION: u32 = 64;
    const BIAS: i32 = 16383;
    const MAX_BIASED: i32 = 32767;
    const WRAP: i32 = 24576;

    #[inline]
    fn parts(self) -> Parts {
        let sign = self.se >> 15 != 0;
        let biased = i32::from(self.se & 0x7fff);
        let sig = self.sig;
        if biased == 0 {
            if sig == 0 {
                return Parts { sign, class: Class::Zero, exp: 0, sig };
            }
            let shift = sig.leading_zeros();
            let exp = 1 - Self::BIAS - shift as i32;
            return Parts { sign, class: Class::Denormal, exp, sig: sig << shift };
        }
        let class = if sig & INTEGER_BIT == 0 {
            Class::Unsupported
        } else if biased != Self::MAX_BIASED {
            Class::Normal
        } else {
            special_class(sig)
        };
        Parts { sign, class, exp: biased - Self::BIAS, sig }
    }

    #[inline]
    fn pack(sign: bool, biased: i32, sig: u64) -> Self {
        Self { sig, se: u16::from(sign) << 15 | biased as u16 }
    }

    #[inline]
    fn precision(env: &Env) -> u32 {
        env.precision.bits()
    }
}

impl F80 {
    /// The value stored in ten little-endian bytes.
    #[inline]
    pub fn from_bytes(bytes: [u8; 10]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j] = bytes;
        Self { sig: u64::from_le_bytes([a, b, c, d, e, f, g, h]), se: u16::from_le_bytes([i, j]) }
    }

    /// Ten little-endian bytes, as in memory.
    #[inline]
    pub fn to_bytes(self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&self.sig.to_le_bytes());
        bytes[8..].copy_from_slice(&self.se.to_le_bytes());
        bytes
    }

    /// True for negative, whatever the class.
    #[inline]
    pub fn sign(self) -> bool {
        self.se >> 15 != 0
    }
}
