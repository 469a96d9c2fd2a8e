//! Flags that machine code leaves as the operands of the operation that defines them.
//!
//! Only while translated code runs: everybody else finds them settled in [`crate::core::Core::flags`].

use crate::{
    flags::Flags,
    interp,
    ir::{Alu, Shift, Size},
};

/// Which operation the operands belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Nothing is pending.
    Settled,
    /// a + b
    Add,
    /// a - b
    Sub,
    /// What was before `b` was added, plus b; the sum is in a.
    Sum,
    /// What was before `b` was subtracted, minus b; the difference is in a.
    Difference,
    /// a + b + carry
    Adc,
    /// a - b - carry
    Sbb,
    /// The result of a logical operation, in a.
    Logic,
    /// An addition of 1 whose sum is in a, CF as it was.
    Inc,
    /// A subtraction of 1 whose difference is in a, CF as it was.
    Dec,
    /// a & b
    Test,
    /// a << b, b not zero.
    Shl,
    /// a >> b, b not zero.
    Shr,
    /// a >> b, sign in, b not zero.
    Sar,
    /// Signed product of a and b.
    Imul,
    /// Unsigned product of a and b.
    Mul,
    /// Bit count of a.
    Popcnt,
}

impl Kind {
    const ALL: [Kind; 17] = [
        Kind::Settled,
        Kind::Add,
        Kind::Sub,
        Kind::Sum,
        Kind::Difference,
        Kind::Adc,
        Kind::Sbb,
        Kind::Logic,
        Kind::Inc,
        Kind::Dec,
        Kind::Test,
        Kind::Shl,
        Kind::Shr,
        Kind::Sar,
        Kind::Imul,
        Kind::Mul,
        Kind::Popcnt,
    ];

    /// The word that machine code stores.
    pub(crate) const fn word(self, size: Size) -> u32 {
        (self as u32) << 2 | size as u32
    }
}

/// Words below this one have no flag set apart.
pub(crate) const PLAIN: u32 = 1 << 8;
/// CF is [`Lazy::cf`], whatever the operation says.
pub(crate) const CF_APART: u32 = PLAIN;
/// OF is [`Lazy::of`], whatever the operation says.
pub(crate) const OF_APART: u32 = PLAIN << 1;
/// ZF is [`Lazy::zf`], whatever the operation says.
pub(crate) const ZF_APART: u32 = PLAIN << 2;

/// The operands.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Lazy {
    /// First operand; bits above the width are anything.
    pub a: u64,
    /// Second operand.
    pub b: u64,
    /// [`Kind::word`], and which flags a later operation has set apart.
    pub word: u32,
    /// CF before the operation, where that matters.
    pub carry: u8,
    /// CF, 0 or 1.
    pub cf: u8,
    /// OF, 0 or 1.
    pub of: u8,
    /// ZF, 0 or 1.
    pub zf: u8,
}

impl Lazy {
    /// Computes what is pending into `flags`.
    #[inline]
    pub(crate) fn settle(&mut self, flags: &mut Flags) {
        if self.word != 0 {
            *flags = self.compute(*flags);
            self.word = 0;
        }
    }

    /// The flags, when `old` are those of the words.
    #[inline]
    pub(crate) fn flags(&self, old: Flags) -> Flags {
        if self.word == 0 { old } else { self.compute(old) }
    }

    fn compute(&self, old: Flags) -> Flags {
        let mut flags = self.operation(old);
        let cf = if self.word & CF_APART != 0 { self.cf != 0 } else { flags.cf() };
        let of = if self.word & OF_APART != 0 { self.of != 0 } else { flags.of() };
        if self.word & (CF_APART | OF_APART) != 0 {
            flags.set_carry_overflow(cf, of);
        }
        if self.word & ZF_APART != 0 {
            flags.z = u64::from(self.zf == 0);
        }
        flags
    }

    /// The flags of the operation alone.
    fn operation(&self, old: Flags) -> Flags {
        let size = [Size::B, Size::W, Size::D, Size::Q][(self.word & 3) as usize];
        let (a, b) = (self.a & size.mask(), self.b & size.mask());
        let (lower, higher) = (|by| a.wrapping_sub(by) & size.mask(), |by| a.wrapping_add(by) & size.mask());
        let carry = self.carry != 0;
        match Kind::ALL[(self.word >> 2 & 0x3f) as usize % Kind::ALL.len()] {
            Kind::Settled => old,
            Kind::Add => interp::alu_flags(Alu::Add, size, a, b, false),
            Kind::Sub => interp::alu_flags(Alu::Sub, size, a, b, false),
            Kind::Sum => interp::alu_flags(Alu::Add, size, lower(b), b, false),
            Kind::Difference => interp::alu_flags(Alu::Sub, size, higher(b), b, false),
            Kind::Adc => interp::alu_flags(Alu::Adc, size, a, b, carry),
            Kind::Sbb => interp::alu_flags(Alu::Sbb, size, a, b, carry),
            Kind::Logic => interp::alu_flags(Alu::Or, size, a, a, false),
            Kind::Test => interp::alu_flags(Alu::And, size, a, b, false),
            Kind::Inc => keep_carry(interp::alu_flags(Alu::Add, size, lower(1), 1, false), carry),
            Kind::Dec => keep_carry(interp::alu_flags(Alu::Sub, size, higher(1), 1, false), carry),
            Kind::Shl => interp::shift_flags(Shift::Shl, size, a, self.b as u32),
            Kind::Shr => interp::shift_flags(Shift::Shr, size, a, self.b as u32),
            Kind::Sar => interp::shift_flags(Shift::Sar, size, a, self.b as u32),
            Kind::Imul => interp::product_flags(true, size, a, b),
            Kind::Mul => interp::product_flags(false, size, a, b),
            Kind::Popcnt => Flags { z: a, s: 1, c: 0, a: 0 },
        }
    }
}

fn keep_carry(mut f: Flags, carry: bool) -> Flags {
    let of = f.of();
    f.set_carry_overflow(carry, of);
    f
}
