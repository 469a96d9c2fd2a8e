//! The one intermediate representation: what every front end produces and every back end consumes.
//!
//! A block is a straight line of [`Op`]s over a flat file of 64-bit registers: the guest's own, its segment bases, and
//! temporaries that live no longer than one guest instruction. Operations have x86's widths and partial-register rules
//! (writes of 8 and 16 bits merge, writes of 32 bits clear the upper half), which A64 needs a subset of.
//! Everything an instruction may fault on comes before its first visible write.

use crate::guest::Guest;

/// A place in the register file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reg(pub u8);

/// Number of registers in the file.
pub const FILE: usize = 64;

impl Reg {
    /// First of the guest's six segment bases (x86 order ES, CS, SS, DS, FS, GS).
    pub const SEG: Reg = Reg(16);
    /// Always zero.
    pub const ZERO: Reg = Reg(22);
    /// Written, never read.
    pub const SINK: Reg = Reg(23);
    /// First temporary.
    pub const TEMP: Reg = Reg(24);

    /// Temporary `n`, 0 to 15.
    #[must_use]
    pub const fn temp(n: u8) -> Reg {
        Reg(Reg::TEMP.0 + n)
    }
}

/// Operand width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Size {
    /// 8 bits.
    B,
    /// 16 bits.
    W,
    /// 32 bits.
    D,
    /// 64 bits.
    Q,
}

impl Size {
    /// Bytes.
    #[must_use]
    pub const fn bytes(self) -> u8 {
        1 << self as u8
    }
    /// Bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        8 << self as u32
    }
    /// All-ones of this width.
    #[must_use]
    pub const fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits())
    }
    /// What a shift by a register or a constant keeps of its count.
    #[must_use]
    pub const fn count_mask(self) -> u64 {
        if matches!(self, Size::Q) { 63 } else { 31 }
    }
    /// The width of `bytes` (1, 2, 4, 8).
    #[must_use]
    pub const fn of(bytes: usize) -> Option<Size> {
        match bytes {
            1 => Some(Size::B),
            2 => Some(Size::W),
            4 => Some(Size::D),
            8 => Some(Size::Q),
            _ => None,
        }
    }
}

/// A register or a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Val {
    /// Content of a register.
    Reg(Reg),
    /// A constant, already extended to 64 bits.
    Imm(u64),
}

impl From<Reg> for Val {
    fn from(r: Reg) -> Val {
        Val::Reg(r)
    }
}

/// A linear address: `seg + ((base + (index << scale) + disp) & mask)`, truncated to 32 bits outside 64-bit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mem {
    /// Segment base, or [`Reg::ZERO`].
    pub seg: Reg,
    /// Base register, or [`Reg::ZERO`].
    pub base: Reg,
    /// Index register, or [`Reg::ZERO`].
    pub index: Reg,
    /// Shift of the index, 0 to 3.
    pub scale: u8,
    /// Displacement, sign-extended.
    pub disp: u64,
    /// Width of the effective address before the segment base is added.
    pub width: Size,
    /// Whether the sum with the segment base is truncated to 32 bits (every mode but 64-bit code).
    pub wrap32: bool,
}

impl Mem {
    /// The address held in `base`, in 64-bit arithmetic.
    #[must_use]
    pub const fn at(base: Reg) -> Mem {
        Mem { seg: Reg::ZERO, base, index: Reg::ZERO, scale: 0, disp: 0, width: Size::Q, wrap32: false }
    }
}

/// Two-operand arithmetic and logic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alu {
    /// a + b
    Add,
    /// a | b
    Or,
    /// a + b + CF
    Adc,
    /// a - b - CF
    Sbb,
    /// a & b
    And,
    /// a - b
    Sub,
    /// a ^ b
    Xor,
}

/// One-operand arithmetic and logic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    /// a + 1, CF kept
    Inc,
    /// a - 1, CF kept
    Dec,
    /// 0 - a
    Neg,
    /// bitwise complement, no flags
    Not,
}

/// Shifts and rotates. The count is masked to 5 bits (6 for 64-bit operands); a masked count of zero changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// Rotate left.
    Rol,
    /// Rotate right.
    Ror,
    /// Rotate left through CF.
    Rcl,
    /// Rotate right through CF.
    Rcr,
    /// Shift left.
    Shl,
    /// Shift right, zeros in.
    Shr,
    /// Shift right, sign in.
    Sar,
}

/// Bit test family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bit {
    /// Test.
    Test,
    /// Test and set.
    Set,
    /// Test and reset.
    Reset,
    /// Test and complement.
    Complement,
}

/// A condition over the arithmetic flags, in x86 encoding order (SDM volume 2, appendix B.1.4.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Cond {
    O,
    No,
    B,
    Ae,
    E,
    Ne,
    Be,
    A,
    S,
    Ns,
    P,
    Np,
    L,
    Ge,
    Le,
    G,
}

/// Sets of flags, a bit each.
pub(crate) mod flag {
    /// OF.
    pub(crate) const O: u8 = 1;
    /// CF.
    pub(crate) const C: u8 = 2;
    /// ZF.
    pub(crate) const Z: u8 = 4;
    /// SF.
    pub(crate) const S: u8 = 8;
    /// PF.
    pub(crate) const P: u8 = 16;
    /// AF.
    pub(crate) const A: u8 = 32;
    /// All six.
    pub(crate) const EVERY: u8 = O | C | Z | S | P | A;
}

impl Cond {
    /// The flags ([`flag`]) that it asks for.
    pub(crate) fn flags(self) -> u8 {
        use flag::{C, O, P, S, Z};
        match self {
            Cond::O | Cond::No => O,
            Cond::B | Cond::Ae => C,
            Cond::E | Cond::Ne => Z,
            Cond::Be | Cond::A => C | Z,
            Cond::S | Cond::Ns => S,
            Cond::P | Cond::Np => P,
            Cond::L | Cond::Ge => S | O,
            Cond::Le | Cond::G => S | O | Z,
        }
    }

    /// All conditions, by encoding.
    pub const ALL: [Cond; 16] = [
        Cond::O,
        Cond::No,
        Cond::B,
        Cond::Ae,
        Cond::E,
        Cond::Ne,
        Cond::Be,
        Cond::A,
        Cond::S,
        Cond::Ns,
        Cond::P,
        Cond::Np,
        Cond::L,
        Cond::Ge,
        Cond::Le,
        Cond::G,
    ];
}

/// Semantics written once, in Rust, called by every back end. Must not write anything visible before its last fault.
/// Arguments and result are what the instruction needs them to be.
pub type Helper<G> = fn(&mut G, &mut dyn crate::Bus, u64, u64) -> Result<u64, <G as Guest>::Fault>;

/// What a [`Op::Quick`] computes, for back ends that can do it without a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quick {
    /// rDX:rAX divided by a (D or Q): quotient in rAX, remainder in rDX; faults when a is zero or the quotient too big.
    Divide {
        /// Two's complement operands.
        signed: bool,
        /// Width of the divisor.
        size: Size,
    },
    /// dst = all ones when a is negative, else zero.
    SignMask,
    /// dst = (a >> b, signed) << (b - 3), b a constant.
    BitOffset,
    /// x86's SWAPGS where it cannot fault.
    SwapGs,
}

/// An x86 instruction between privilege levels that back ends may do themselves where nothing is unusual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Crossing {
    Syscall,
    /// To 64-bit code.
    Sysret,
}

/// One operation.
#[allow(missing_docs)]
#[derive(Debug)]
pub enum Op<G: Guest> {
    /// dst = src, with the width's partial-register rule.
    Mov { size: Size, dst: Reg, src: Val },
    /// dst = the low `from` bits of src, extended to 64 bits (sign-extended when `signed`), then cut to `to` and zero-extended
    /// (`to` is D or Q).
    Extend { signed: bool, from: Size, to: Size, dst: Reg, src: Reg },
    /// dst = bits 8 to 15 of src.
    High8 { dst: Reg, src: Reg },
    /// Bits 8 to 15 of dst = low byte of src.
    SetHigh8 { dst: Reg, src: Reg },
    /// dst = src with its bytes reversed (D or Q).
    Bswap { size: Size, dst: Reg, src: Reg },
    /// dst = a OP b; sets the six flags when `flags`.
    Alu { op: Alu, size: Size, dst: Reg, a: Reg, b: Val, flags: bool },
    /// dst = OP a; sets flags as the operation defines when `flags`.
    Unary { op: Unary, size: Size, dst: Reg, a: Reg, flags: bool },
    /// dst = a shifted by count; sets flags when the masked count is not zero.
    Shift { op: Shift, size: Size, dst: Reg, a: Reg, count: Val },
    /// Double shift: dst = a shifted by count, bits from b coming in.
    ShiftDouble { left: bool, size: Size, dst: Reg, a: Reg, b: Reg, count: Val },
    /// dst = low half of a * b; CF and OF when the signed product does not fit.
    Imul { size: Size, dst: Reg, a: Reg, b: Val },
    /// (hi, lo) = a * b; CF and OF when hi is not the extension of lo.
    MulWide { signed: bool, size: Size, lo: Reg, hi: Reg, a: Reg, b: Reg },
    /// CF = bit (index mod width) of a; dst = a with that bit changed.
    Bit { op: Bit, size: Size, dst: Reg, a: Reg, index: Val },
    /// Index of the lowest (or highest) set bit of src into dst, ZF clear; when src is zero ZF is set and dst stays.
    BitScan { reverse: bool, size: Size, dst: Reg, src: Reg },
    /// Number of set bits; ZF by src, the other flags clear.
    Popcnt { size: Size, dst: Reg, src: Reg },
    /// dst (8 bits) = condition.
    SetCond { cond: Cond, dst: Reg },
    /// if condition then dst = src; with 32 bits the upper half is cleared either way.
    CondMov { cond: Cond, size: Size, dst: Reg, src: Reg },
    /// dst = linear or effective address.
    Lea { dst: Reg, mem: Mem },
    /// dst = memory, zero-extended to 64 bits.
    Load { size: Size, dst: Reg, mem: Mem },
    /// dst = memory, sign-extended from `from` and cut to `to` (D or Q), zero-extended.
    LoadSigned { from: Size, to: Size, dst: Reg, mem: Mem },
    /// As Load, but faults as a write would, so that a Store to the same place cannot fault.
    LoadForWrite { size: Size, dst: Reg, mem: Mem },
    /// memory = src.
    Store { size: Size, mem: Mem, src: Val },
    /// A vector or floating-point instruction, packed in `operands`: what helper(operands, address of `mem` without its
    /// segment's base) does. The helper reads no flags. `faults`: also without memory. `flags`: all six are new afterwards.
    Vector { helper: Helper<G>, operands: u64, mem: Option<Mem>, faults: bool, flags: bool },
    /// dst = helper(a, b). Only with `flags` may the helper write the six flags; it may always read them.
    Call { helper: Helper<G>, dst: Reg, a: Val, b: Val, flags: bool },
    /// As Call. A back end may do what `quick` says itself where it is sure that nothing faults.
    Quick { quick: Quick, helper: Helper<G>, dst: Reg, a: Val, b: Val },
    /// Sets pc to `next`, calls the helper (which may change pc, mode, anything), leaves the block. `crossing` says what the
    /// helper does, for some.
    CallLeave { helper: Helper<G>, a: Val, b: Val, next: u64, crossing: Option<Crossing> },
    /// Raises [`Guest::bad_target`] unless src is its own low `bits` bits, sign-extended.
    CheckTarget { bits: u8, src: Reg },
    /// Leaves the block for `pc`.
    Jump { pc: u64 },
    /// Leaves the block for `taken` or `next`.
    Branch { cond: Cond, taken: u64, next: u64 },
    /// Leaves the block for `taken` when src is zero (or not zero), else for `next`.
    BranchZero { size: Size, src: Reg, negate: bool, taken: u64, next: u64 },
    /// Leaves the block for the address in src, masked to `size`.
    JumpTo { size: Size, src: Reg },
}

impl<G: Guest> Clone for Op<G> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<G: Guest> Copy for Op<G> {}

impl<G: Guest> Op<G> {
    /// The flags ([`flag`]) that somebody may look at before this op is done: it reads them, or it may fault or leave.
    pub(crate) fn flags_read(&self) -> u8 {
        match self {
            Op::Alu { op: Alu::Adc | Alu::Sbb, .. } | Op::Shift { op: Shift::Rcl | Shift::Rcr, .. } => {
                flag::C
            }
            Op::SetCond { cond, .. } | Op::CondMov { cond, .. } => cond.flags(),
            Op::Vector { mem, faults, .. } if mem.is_some() || *faults => flag::EVERY,
            Op::Quick { quick: Quick::Divide { .. }, .. } => flag::EVERY,
            Op::Mov { .. }
            | Op::Extend { .. }
            | Op::High8 { .. }
            | Op::SetHigh8 { .. }
            | Op::Bswap { .. }
            | Op::Alu { .. }
            | Op::Unary { .. }
            | Op::Shift { .. }
            | Op::ShiftDouble { .. }
            | Op::Imul { .. }
            | Op::MulWide { .. }
            | Op::Bit { .. }
            | Op::BitScan { .. }
            | Op::Popcnt { .. }
            | Op::Lea { .. }
            | Op::Vector { .. }
            | Op::Quick { .. } => 0,
            Op::Load { .. }
            | Op::LoadSigned { .. }
            | Op::LoadForWrite { .. }
            | Op::Store { .. }
            | Op::Call { .. }
            | Op::CallLeave { .. }
            | Op::CheckTarget { .. }
            | Op::Jump { .. }
            | Op::Branch { .. }
            | Op::BranchZero { .. }
            | Op::JumpTo { .. } => flag::EVERY,
        }
    }

    /// Whether this op may write `r`.
    #[cfg_attr(not(all(target_arch = "x86_64", unix)), allow(dead_code, reason = "for machine code only"))]
    pub(crate) fn writes(&self, r: Reg) -> bool {
        match *self {
            Op::Mov { dst, .. }
            | Op::Extend { dst, .. }
            | Op::High8 { dst, .. }
            | Op::SetHigh8 { dst, .. }
            | Op::Bswap { dst, .. }
            | Op::Alu { dst, .. }
            | Op::Unary { dst, .. }
            | Op::Shift { dst, .. }
            | Op::ShiftDouble { dst, .. }
            | Op::Imul { dst, .. }
            | Op::Bit { dst, .. }
            | Op::BitScan { dst, .. }
            | Op::Popcnt { dst, .. }
            | Op::SetCond { dst, .. }
            | Op::CondMov { dst, .. }
            | Op::Lea { dst, .. }
            | Op::Load { dst, .. }
            | Op::LoadSigned { dst, .. }
            | Op::LoadForWrite { dst, .. } => dst == r,
            Op::MulWide { lo, hi, .. } => lo == r || hi == r,
            Op::Quick { quick: Quick::SignMask | Quick::BitOffset, dst, .. } => dst == r,
            // These do more than their operands say.
            Op::Vector { .. } | Op::Call { .. } | Op::CallLeave { .. } | Op::Quick { .. } => true,
            Op::Store { .. }
            | Op::CheckTarget { .. }
            | Op::Jump { .. }
            | Op::Branch { .. }
            | Op::BranchZero { .. }
            | Op::JumpTo { .. } => false,
        }
    }

    /// Whether this op loads or stores by itself, not through a helper.
    pub(crate) fn is_access(&self) -> bool {
        self.may_ask_to_leave() && !matches!(self, Op::Call { .. })
    }

    /// Whether the block may be left at the end of this op's instruction, though more follow: its slow path reaches a device
    /// or writes code.
    pub(crate) fn may_ask_to_leave(&self) -> bool {
        matches!(
            self,
            Op::Load { .. }
                | Op::LoadSigned { .. }
                | Op::LoadForWrite { .. }
                | Op::Store { .. }
                | Op::Vector { mem: Some(_), .. }
                | Op::Call { .. }
        )
    }

    /// The flags that are new after this op, whatever they were.
    pub(crate) fn flags_defined(&self) -> u8 {
        match self {
            Op::Alu { flags: true, .. } | Op::Vector { flags: true, .. } => flag::EVERY,
            Op::Unary { op, .. } => match op {
                Unary::Neg => flag::EVERY,
                Unary::Inc | Unary::Dec => flag::EVERY & !flag::C,
                Unary::Not => 0,
            },
            Op::Imul { .. } | Op::MulWide { .. } | Op::Popcnt { .. } => flag::EVERY,
            Op::Shift { op, size, count: Val::Imm(n), .. } if n & size.count_mask() != 0 => match op {
                Shift::Shl | Shift::Shr | Shift::Sar => flag::EVERY,
                Shift::Rol | Shift::Ror => flag::C | flag::O,
                // A whole turn through CF leaves it as it was.
                Shift::Rcl | Shift::Rcr => 0,
            },
            Op::ShiftDouble { size, count: Val::Imm(n), .. } if n & size.count_mask() != 0 => flag::EVERY,
            Op::Bit { .. } => flag::C,
            Op::BitScan { .. } => flag::Z,
            _ => 0,
        }
    }
}

/// Drops flag computations whose result is overwritten before anybody can look. `starts` are the indices of the first op
/// of every instruction, in order.
///
/// A block is left only at its end, by a fault, and at the end of an instruction whose slow path asked for it.
pub fn dead_flags<G: Guest>(ops: &mut [Op<G>], starts: impl DoubleEndedIterator<Item = usize>) {
    let (mut live, mut end) = (flag::EVERY, ops.len());
    for start in starts.rev() {
        let insn = &mut ops[start..end];
        if insn.iter().any(Op::may_ask_to_leave) {
            live = flag::EVERY;
        }
        for op in insn.iter_mut().rev() {
            if let (Op::Alu { flags, .. }, 0) = (&mut *op, live) {
                *flags = false;
            }
            live = live & !op.flags_defined() | op.flags_read();
        }
        end = start;
    }
}
