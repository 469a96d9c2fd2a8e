//! What an x87 instruction is.

/// A source or destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// ST(i).
    St(u8),
    /// Single precision in memory.
    M32fp,
    /// Double precision in memory.
    M64fp,
    /// Double extended precision in memory.
    M80fp,
    /// Word integer in memory.
    M16int,
    /// Doubleword integer in memory.
    M32int,
    /// Quadword integer in memory.
    M64int,
}

/// The six arithmetic operations, on destination and source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arith {
    /// destination + source
    Add,
    /// destination * source
    Mul,
    /// destination - source
    Sub,
    /// source - destination
    Subr,
    /// destination / source
    Div,
    /// source / destination
    Divr,
}

/// Conditions of FCMOVcc, over EFLAGS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// CF
    Below,
    /// ZF
    Equal,
    /// CF or ZF
    BelowEqual,
    /// PF
    Unordered,
    /// not CF
    NotBelow,
    /// not ZF
    NotEqual,
    /// neither CF nor ZF
    NotBelowEqual,
    /// not PF
    NotUnordered,
}

/// Built-in constants, rounded by RC from a longer internal value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constant {
    /// +1.0
    One,
    /// log2(10)
    Log2Of10,
    /// log2(e)
    Log2OfE,
    /// Pi
    Pi,
    /// log10(2)
    Log10Of2,
    /// ln(2)
    LnOf2,
    /// +0.0
    Zero,
}

#[allow(missing_docs)] // The fields: `i` is a stack register, `pop` how often or whether to pop.
/// An x87 instruction, named as in the manual; "pop" counts the registers popped at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum X87Op {
    /// FLD and FILD: push the operand.
    Fld(Operand),
    /// FST and FIST, FSTP and FISTP.
    Fst { to: Operand, pop: bool },
    /// The alias D9 D8+i of FSTP ST(i), which does not mind an empty ST(0).
    FstpUnchecked(u8),
    /// FISTTP: store truncated, pop.
    Fisttp(Operand),
    /// FBLD: push packed decimal.
    Fbld,
    /// FBSTP: store packed decimal, pop.
    Fbstp,
    /// FLD1, FLDL2T, FLDL2E, FLDPI, FLDLG2, FLDLN2, FLDZ.
    FldConstant(Constant),
    /// FXCH ST(i).
    Fxch(u8),
    /// FCMOVcc ST(0), ST(i); the operand handed to `execute` is EFLAGS.
    Fcmov(Condition, u8),
    /// FADD, FIADD and so on: ST(0) becomes ST(0) op source.
    ToSt0(Arith, Operand),
    /// ST(i) becomes ST(i) op ST(0), then perhaps pop.
    ToSti { op: Arith, i: u8, pop: bool },
    /// FPREM.
    Fprem,
    /// FPREM1.
    Fprem1,
    /// FABS.
    Fabs,
    /// FCHS.
    Fchs,
    /// FRNDINT.
    Frndint,
    /// FSCALE.
    Fscale,
    /// FSQRT.
    Fsqrt,
    /// FXTRACT.
    Fxtract,
    /// FCOM, FCOMP, FCOMPP, FICOM, FICOMP.
    Fcom { with: Operand, pop: u8 },
    /// FUCOM, FUCOMP, FUCOMPP.
    Fucom { i: u8, pop: u8 },
    /// FCOMI, FCOMIP.
    Fcomi { i: u8, pop: bool },
    /// FUCOMI, FUCOMIP.
    Fucomi { i: u8, pop: bool },
    /// FTST.
    Ftst,
    /// FXAM.
    Fxam,
    /// FSIN.
    Fsin,
    /// FCOS.
    Fcos,
    /// FSINCOS.
    Fsincos,
    /// FPTAN.
    Fptan,
    /// FPATAN.
    Fpatan,
    /// F2XM1.
    F2xm1,
    /// FYL2X.
    Fyl2x,
    /// FYL2XP1.
    Fyl2xp1,
    /// FINCSTP.
    Fincstp,
    /// FDECSTP.
    Fdecstp,
    /// FFREE ST(i); with pop, the undocumented FFREEP.
    Ffree { i: u8, pop: bool },
    /// FNOP.
    Fnop,
    /// FNENI, FNDISI, FNSETPM: do nothing since the 80387, and do not wait.
    Fnneni,
    /// FNINIT.
    Fninit,
    /// FNCLEX.
    Fnclex,
    /// FLDCW m16.
    Fldcw,
    /// FNSTCW m16.
    Fnstcw,
    /// FNSTSW m16.
    Fnstsw,
    /// FNSTSW AX.
    FnstswAx,
    /// FLDENV.
    Fldenv,
    /// FNSTENV.
    Fnstenv,
    /// FNSAVE.
    Fnsave,
    /// FRSTOR.
    Frstor,
}

/// How an instruction uses its memory operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Loads so many bytes; they are `execute`'s operand, little-endian.
    Load(u8),
    /// Stores so many bytes, if `execute` returns [`super::Outcome::Store`].
    Store(u8),
    /// Loads an environment or a whole state: [`super::X87::load_env`], [`super::X87::restore`].
    LoadImage,
    /// Stores one: [`super::X87::env_image`], [`super::X87::state_image`].
    StoreImage,
}

impl Operand {
    /// Size in memory, in bytes; 0 for a register.
    #[must_use]
    pub const fn bytes(self) -> u8 {
        match self {
            Self::St(_) => 0,
            Self::M16int => 2,
            Self::M32fp | Self::M32int => 4,
            Self::M64fp | Self::M64int => 8,
            Self::M80fp => 10,
        }
    }
}

impl X87Op {
    /// The instruction's memory operand, if it has one.
    #[must_use]
    pub const fn memory(self) -> Option<Memory> {
        match self {
            Self::Fld(Operand::St(_))
            | Self::Fst { to: Operand::St(_), .. }
            | Self::ToSt0(_, Operand::St(_))
            | Self::Fcom { with: Operand::St(_), .. } => None,
            Self::Fld(m) | Self::ToSt0(_, m) | Self::Fcom { with: m, .. } => Some(Memory::Load(m.bytes())),
            Self::Fst { to, .. } | Self::Fisttp(to) => Some(Memory::Store(to.bytes())),
            Self::Fbld => Some(Memory::Load(10)),
            Self::Fbstp => Some(Memory::Store(10)),
            Self::Fldcw => Some(Memory::Load(2)),
            Self::Fnstcw | Self::Fnstsw => Some(Memory::Store(2)),
            Self::Fldenv | Self::Frstor => Some(Memory::LoadImage),
            Self::Fnstenv | Self::Fnsave => Some(Memory::StoreImage),
            _ => None,
        }
    }

    /// Whether the instruction first reports a pending unmasked exception. The FN forms do not.
    #[inline]
    #[must_use]
    pub const fn waits(self) -> bool {
        !matches!(
            self,
            Self::Fninit
                | Self::Fnclex
                | Self::Fnstcw
                | Self::Fnstsw
                | Self::FnstswAx
                | Self::Fnstenv
                | Self::Fnsave
                | Self::Fnneni
        )
    }

    /// Whether this is a control instruction, which leaves the instruction and data pointers alone.
    #[inline]
    #[must_use]
    pub const fn is_control(self) -> bool {
        !self.waits() || matches!(self, Self::Fldcw | Self::Fldenv | Self::Frstor)
    }
}
