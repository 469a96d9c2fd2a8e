//! The environment an operation runs in: control bits in, exception flags out.

use std::ops::{BitAnd, BitOr, BitOrAssign, Not};

use serde::{Deserialize, Serialize};

/// A set of the six floating-point exceptions, at the bit positions they have in MXCSR, the x87 status word (flags) and
/// the x87 control word (masks).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flags(u8);

impl Flags {
    /// No exception.
    pub const NONE: Self = Self(0);
    /// Invalid operation.
    pub const IE: Self = Self(1);
    /// Denormal operand.
    pub const DE: Self = Self(2);
    /// Divide by zero.
    pub const ZE: Self = Self(4);
    /// Overflow.
    pub const OE: Self = Self(8);
    /// Underflow.
    pub const UE: Self = Self(16);
    /// Precision (inexact result).
    pub const PE: Self = Self(32);
    /// All six exceptions.
    pub const ALL: Self = Self(63);
    /// The exceptions found before a result is computed; unmasked, they prevent the computation.
    pub const PRE: Self = Self(7);

    /// The flags whose bits (0 to 5) are set in `bits`; higher bits are ignored.
    #[inline]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 63)
    }

    /// The flags as bits 0 to 5.
    #[inline]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether no flag is set.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether any flag of `other` is set here.
    #[inline]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Flags {
    type Output = Self;
    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Flags {
    #[inline]
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Flags {
    type Output = Self;
    #[inline]
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for Flags {
    type Output = Self;
    #[inline]
    fn not(self) -> Self {
        Self(!self.0 & 63)
    }
}

/// Rounding direction, in the encoding of MXCSR.RC and the x87 control word's RC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Rounding {
    /// To nearest, ties to even.
    #[default]
    Nearest = 0,
    /// Toward negative infinity.
    Down = 1,
    /// Toward positive infinity.
    Up = 2,
    /// Toward zero (truncation).
    Zero = 3,
}

impl Rounding {
    /// The direction encoded by the low two bits of `rc`.
    #[inline]
    pub const fn from_rc(rc: u8) -> Self {
        match rc & 3 {
            0 => Self::Nearest,
            1 => Self::Down,
            2 => Self::Up,
            _ => Self::Zero,
        }
    }
}

/// Significand bits an x87 arithmetic result is rounded to (control word field PC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Precision {
    /// 24 bits.
    Single,
    /// 53 bits.
    Double,
    /// 64 bits.
    #[default]
    Extended,
}

impl Precision {
    /// The precision encoded by the low two bits of `pc`. The reserved encoding 1 acts as extended precision.
    #[inline]
    pub const fn from_pc(pc: u8) -> Self {
        match pc & 3 {
            0 => Self::Single,
            2 => Self::Double,
            _ => Self::Extended,
        }
    }

    /// Width of the significand in bits, integer bit included.
    #[inline]
    pub const fn bits(self) -> u32 {
        match self {
            Self::Single => 24,
            Self::Double => 53,
            Self::Extended => 64,
        }
    }
}

/// Which NaN an operation with NaN operands returns (SDM volume 1, table 4-7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NanRule {
    /// The first operand if it is a NaN, else the second.
    #[default]
    Sse,
    /// A quiet NaN before a signalling one, then the larger significand, then the positive one.
    X87,
}

/// What an operation reads and raises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Env {
    /// Rounding direction.
    pub rounding: Rounding,
    /// Exceptions that are masked: they set a flag and a default result is delivered.
    pub masks: Flags,
    /// Exceptions raised so far by operations in this environment.
    pub flags: Flags,
    /// Flush tiny results to zero (MXCSR.FTZ; only while underflow is masked).
    pub ftz: bool,
    /// Take denormal operands as zero (MXCSR.DAZ).
    pub daz: bool,
    /// Precision of `add`, `sub`, `mul`, `div` and `sqrt` on [`super::F80`].
    pub precision: Precision,
    /// How NaN operands propagate.
    pub nan: NanRule,
    /// Whether the last rounding increased the magnitude of the result (x87 condition code C1).
    pub rounded_up: bool,
}

impl Env {
    /// The environment of an SSE instruction under `mxcsr`, with no flag raised yet. Afterwards the caller merges
    /// `flags.bits()` into MXCSR.
    #[inline]
    pub const fn from_mxcsr(mxcsr: u32) -> Self {
        Self {
            rounding: Rounding::from_rc((mxcsr >> 13) as u8),
            masks: Flags::from_bits((mxcsr >> 7) as u8),
            flags: Flags::NONE,
            ftz: mxcsr & 0x8000 != 0,
            daz: mxcsr & 0x40 != 0,
            precision: Precision::Extended,
            nan: NanRule::Sse,
            rounded_up: false,
        }
    }

    /// The environment of an x87 instruction under control word `cw`, with no flag raised yet.
    #[inline]
    pub const fn from_x87_cw(cw: u16) -> Self {
        Self {
            rounding: Rounding::from_rc((cw >> 10) as u8),
            masks: Flags::from_bits(cw as u8),
            flags: Flags::NONE,
            ftz: false,
            daz: false,
            precision: Precision::from_pc((cw >> 8) as u8),
            nan: NanRule::X87,
            rounded_up: false,
        }
    }

    /// Sets `flags`; true if one of them is unmasked.
    #[inline]
    pub fn raise(&mut self, flags: Flags) -> bool {
        self.flags |= flags;
        flags.intersects(!self.masks)
    }

    /// The raised exceptions that are not masked.
    #[inline]
    pub fn unmasked(&self) -> Flags {
        self.flags & !self.masks
    }

    /// Whether an unmasked pre-computation exception kept the result from being computed.
    #[inline]
    pub fn trapped(&self) -> bool {
        self.unmasked().intersects(Flags::PRE)
    }
}
