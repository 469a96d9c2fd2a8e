//! MXCSR, the control and status register of SSE floating point (SDM volume 1, sections 10.2.3 and 11.5).

use serde::{Deserialize, Serialize};

use crate::softfloat::Flags;

/// An unmasked SIMD floating-point exception: raise #XM. MXCSR has its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unmasked SIMD floating-point exception, MXCSR flags {:#04x}", .flags.bits())]
pub struct SimdException {
    /// The unmasked exceptions that raised it.
    pub flags: Flags,
}

/// An attempt to set reserved bits of MXCSR: raise #GP(0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reserved bits set in MXCSR value {0:#x}")]
pub struct InvalidMxcsr(pub u32);

/// The register. Bits 31:16 are always zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Mxcsr(u32);

impl Default for Mxcsr {
    /// The value at reset: all exceptions masked, round to nearest.
    fn default() -> Self {
        Self(0x1F80)
    }
}

impl TryFrom<u32> for Mxcsr {
    type Error = InvalidMxcsr;

    fn try_from(bits: u32) -> Result<Self, InvalidMxcsr> {
        Self::new(bits)
    }
}

impl From<Mxcsr> for u32 {
    fn from(mxcsr: Mxcsr) -> Self {
        mxcsr.0
    }
}

impl Mxcsr {
    /// Checks a value for LDMXCSR, FXRSTOR, XRSTOR.
    ///
    /// # Errors
    /// [`InvalidMxcsr`] if a reserved bit (31:16) is set.
    pub fn new(bits: u32) -> Result<Self, InvalidMxcsr> {
        if bits & !super::state::MXCSR_MASK == 0 { Ok(Self(bits)) } else { Err(InvalidMxcsr(bits)) }
    }

    /// The register from a value already checked, such as the CPU's own; reserved bits are dropped.
    pub const fn from_bits_truncate(bits: u32) -> Self {
        Self(bits & super::state::MXCSR_MASK)
    }

    /// The register's value.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Records the exceptions of a whole instruction: the flags found in any element's operands (IE, DE, ZE) and
    /// those of any element's result.
    ///
    /// # Errors
    /// [`SimdException`] if one of them is unmasked. When it is one of the operands', no result has been computed, so
    /// the results' flags stay as they were (SDM volume 1, section 11.5.3).
    pub fn record(&mut self, flags: Flags) -> Result<(), SimdException> {
        let unmasked = !Flags::from_bits((self.0 >> 7) as u8);
        let pre = flags & Flags::PRE;
        let seen = if pre.intersects(unmasked) { pre } else { flags };
        self.0 |= u32::from(seen.bits());
        let trapped = seen & unmasked;
        if trapped.is_empty() { Ok(()) } else { Err(SimdException { flags: trapped }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_bits_are_refused() {
        assert_eq!(Mxcsr::new(0x1_0000), Err(InvalidMxcsr(0x1_0000)));
        assert_eq!(Mxcsr::new(0xFFFF).unwrap().bits(), 0xFFFF);
    }

    #[test]
    fn an_operand_exception_hides_result_flags() {
        let found = Flags::ZE | Flags::PE;
        let mut unmasked = Mxcsr::new(0x1F80 & !(1 << 9)).unwrap();
        assert_eq!(unmasked.record(found), Err(SimdException { flags: Flags::ZE }));
        assert_eq!(unmasked.bits() & 0x3F, 0b000100);

        let mut masked = Mxcsr::default();
        assert_eq!(masked.record(found), Ok(()));
        assert_eq!(masked.bits() & 0x3F, 0b100100);
    }
}
