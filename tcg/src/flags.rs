//! Arithmetic flags, kept as the operands that define them until somebody asks.
//!
//! Any instruction's flags fit four words, so no "which operation was last" dispatch is needed to read one.

/// The six arithmetic flags in deferred form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// ZF is set when this is zero.
    pub z: u64,
    /// SF is bit 63; PF is the even parity of the low byte.
    pub s: u64,
    /// CF is bit 63 (carry out of the result's top bit), OF is bit 63 XOR bit 62.
    pub c: u64,
    /// AF is bit 4.
    pub a: u64,
}

/// Carry flag in EFLAGS.
pub const CF: u64 = 1;
/// Parity flag in EFLAGS.
pub const PF: u64 = 1 << 2;
/// Auxiliary carry flag in EFLAGS.
pub const AF: u64 = 1 << 4;
/// Zero flag in EFLAGS.
pub const ZF: u64 = 1 << 6;
/// Sign flag in EFLAGS.
pub const SF: u64 = 1 << 7;
/// Overflow flag in EFLAGS.
pub const OF: u64 = 1 << 11;
/// The six arithmetic flags in EFLAGS.
pub const ARITH: u64 = CF | PF | AF | ZF | SF | OF;

impl Flags {
    /// Carry.
    #[inline(always)]
    #[must_use]
    pub const fn cf(&self) -> bool {
        self.c >> 63 != 0
    }
    /// Overflow.
    #[inline(always)]
    #[must_use]
    pub const fn of(&self) -> bool {
        (self.c ^ (self.c << 1)) >> 63 != 0
    }
    /// Zero.
    #[inline(always)]
    #[must_use]
    pub const fn zf(&self) -> bool {
        self.z == 0
    }
    /// Sign.
    #[inline(always)]
    #[must_use]
    pub const fn sf(&self) -> bool {
        self.s >> 63 != 0
    }
    /// Parity (even).
    #[inline(always)]
    #[must_use]
    pub const fn pf(&self) -> bool {
        (self.s as u8).count_ones() & 1 == 0
    }
    /// Auxiliary carry.
    #[inline(always)]
    #[must_use]
    pub const fn af(&self) -> bool {
        self.a & 0x10 != 0
    }

    /// Sets CF and OF, leaving the others.
    #[inline(always)]
    pub const fn set_carry_overflow(&mut self, cf: bool, of: bool) {
        self.c = ((cf as u64) << 63) | (((cf ^ of) as u64) << 62);
    }

    /// Sets CF, leaving the others.
    #[inline(always)]
    pub const fn set_cf(&mut self, cf: bool) {
        let of = self.of();
        self.set_carry_overflow(cf, of);
    }

    /// The six flags at their EFLAGS places; every other bit is zero.
    #[must_use]
    pub const fn to_eflags(&self) -> u64 {
        let mut v = 0;
        if self.cf() {
            v |= CF;
        }
        if self.pf() {
            v |= PF;
        }
        if self.af() {
            v |= AF;
        }
        if self.zf() {
            v |= ZF;
        }
        if self.sf() {
            v |= SF;
        }
        if self.of() {
            v |= OF;
        }
        v
    }

    /// The deferred form of the six flags in `eflags`.
    #[must_use]
    pub const fn from_eflags(eflags: u64) -> Self {
        let mut f = Flags {
            z: (eflags & ZF == 0) as u64,
            s: (((eflags & SF != 0) as u64) << 63) | (eflags & PF == 0) as u64,
            c: 0,
            a: eflags & AF,
        };
        f.set_carry_overflow(eflags & CF != 0, eflags & OF != 0);
        f
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_survives_the_round_trip() {
        for bits in 0..64u64 {
            let e = (bits & 1)
                | (bits & 2) << 1
                | (bits & 4) << 2
                | (bits & 8) << 3
                | (bits & 16) << 3
                | (bits & 32) << 6;
            assert_eq!(Flags::from_eflags(e).to_eflags(), e);
        }
    }
}
