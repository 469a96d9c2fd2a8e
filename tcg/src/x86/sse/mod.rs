//! MMX and SSE to SSE4.2 without VEX: what each instruction computes, as functions over values.
//!
//! Nothing here knows registers, memory or the host. The front end finds an instruction's row with [`lookup`], loads
//! the operands its [`Form`] names, calls the row's [`Op`] (or [`SseInsn::execute`], which does so for every kind of
//! row) and writes the result. Values are `u128` whatever the register: MMX and general registers occupy the low bits,
//! and only the low bits of a result count for them. Bits above the loaded size of a source are zero.
//!
//! One file holds one family, as a table of rows `code form => semantics`.

mod arith;
mod blend;
mod compare;
mod crc32;
mod extend;
mod float;
pub mod form;
mod fp_approx;
mod fp_arith;
mod fp_compare;
mod fp_convert;
mod fp_dot;
mod horizontal;
mod insert;
mod lanes;
mod logic;
mod moves;
mod multiply;
mod mxcsr;
mod pack;
mod shift;
mod shuffle;
mod state;
mod strings;

pub use form::{Form, RegClass};
use iced_x86::Code;
pub use mxcsr::{InvalidMxcsr, Mxcsr, SimdException};
pub use state::{LEGACY_REGION, MXCSR_MASK, load_mxcsr, load_xmm, save_mxcsr, save_xmm};
pub use strings::{Lengths, StringOutput, StringResult, compare_strings};

/// Semantics of an instruction that cannot fault: `(dst, src, imm8)` to the new destination.
pub type Value = fn(u128, u128, u8) -> u128;
/// Semantics of a floating-point instruction: `(dst, src, imm8, MXCSR)` to the new destination.
pub type Float = fn(u128, u128, u8, &mut Mxcsr) -> Result<u128, SimdException>;

/// EFLAGS bits CF, PF, AF, ZF, SF, OF: an instruction here that writes flags writes all six.
pub const STATUS_FLAGS: u32 = 0x8D5;
const CF: u32 = 1;
const PF: u32 = 1 << 2;
const ZF: u32 = 1 << 6;
const SF: u32 = 1 << 7;
const OF: u32 = 1 << 11;

/// What an instruction does with its operands.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// Operand 0 becomes `f(dst, src, imm8)`.
    Value(Value),
    /// Like [`Op::Value`], but a source from memory is treated differently from one in a register.
    Split {
        /// The source is a register.
        reg: Value,
        /// The source is memory.
        mem: Value,
    },
    /// Operand 0 becomes `f(dst, src, XMM0)`.
    Blend(fn(u128, u128, u128) -> u128),
    /// Operand 0 becomes `f(dst, src, imm8, MXCSR)`, or #XM is raised and nothing but MXCSR changes.
    Float(Float),
    /// [`STATUS_FLAGS`] become `f(dst, src)`; no operand is written.
    Test(fn(u128, u128) -> u32),
    /// [`STATUS_FLAGS`] become `f(dst, src, MXCSR)`, or #XM is raised and nothing but MXCSR changes.
    Compare(fn(u128, u128, &mut Mxcsr) -> Result<u32, SimdException>),
    /// PCMPxSTRx: see [`compare_strings`]. Flags and XMM0 or RCX are written, operand 0 is not.
    Strings(Lengths, StringOutput),
    /// MASKMOVx: the bytes of operand 1 whose mask byte in operand 2 has bit 7 set go to DS:rDI. Its inputs are
    /// `dst` = operand 1, `src` = operand 2.
    MaskedStore,
    /// LDMXCSR: its `src` is operand 0. #GP(0) when reserved bits are set.
    LoadMxcsr,
    /// STMXCSR.
    StoreMxcsr,
    /// EMMS: marks all x87 registers empty.
    Emms,
}

/// One row: an instruction form of the manual.
#[derive(Clone, Copy, Debug)]
pub struct SseInsn {
    /// The decoder's name of the encoding.
    pub code: Code,
    /// Where operands live and how memory is accessed.
    pub form: Form,
    /// What is computed.
    pub op: Op,
}

/// Inputs of [`SseInsn::execute`]. What a row does not use is ignored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inputs {
    /// Operand 0 before the instruction, zero-extended (0 when it is memory).
    pub dst: u128,
    /// Operand 1, zero-extended.
    pub src: u128,
    /// The immediate byte.
    pub imm: u8,
    /// `src` was loaded from memory.
    pub src_in_memory: bool,
    /// XMM0, for the blends with an implicit mask.
    pub xmm0: u128,
    /// RAX, for explicit string lengths.
    pub rax: u64,
    /// RDX, for explicit string lengths.
    pub rdx: u64,
}

/// Where [`Outputs::value`] goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Operand 0: the whole register, or the low [`Form::bytes`] bytes to memory.
    Operand0,
    /// RCX, all 64 bits.
    Rcx,
    /// XMM0.
    Xmm0,
    /// The bytes of the value selected by this mask (bit i for byte i) go to DS:rDI + i.
    Bytes(u16),
    /// Nowhere.
    Nothing,
}

/// What [`SseInsn::execute`] asks the caller to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outputs {
    /// The result.
    pub value: u128,
    /// Where it goes.
    pub target: Target,
    /// New value of [`STATUS_FLAGS`], if they change.
    pub status: Option<u32>,
}

/// Exceptions an instruction raises from its operands' values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseFault {
    /// Raise #XM (or #UD while CR4.OSXMMEXCPT is clear).
    #[error(transparent)]
    Simd(#[from] SimdException),
    /// Raise #GP(0).
    #[error(transparent)]
    Mxcsr(#[from] InvalidMxcsr),
}

impl SseInsn {
    const fn new(code: Code, form: Form, op: Op) -> Self {
        Self { code, form, op }
    }

    /// The instruction uses XMM registers or MXCSR: #UD if CR0.EM is set or CR4.OSFXSR clear, #NM if CR0.TS is set
    /// (SDM volume 3, table 2-2 and volume 2, section 2.4).
    pub fn uses_sse(&self) -> bool {
        self.form.dst == RegClass::Xmm
            || self.form.src == RegClass::Xmm
            || matches!(self.op, Op::LoadMxcsr | Op::StoreMxcsr)
    }

    /// The instruction takes or makes the x87 unit's state an MMX state: #UD if CR0.EM is set, #NM if CR0.TS is set,
    /// #MF if an x87 exception is pending; then TOP becomes 0 and every tag valid (empty for EMMS).
    pub fn uses_mmx(&self, src_in_memory: bool) -> bool {
        // CVTPI2PD alone leaves the x87 state as it is when its source is memory (SDM volume 2, CVTPI2PD).
        if self.code == Code::Cvtpi2pd_xmm_mmm64 && src_in_memory {
            return false;
        }
        self.form.dst == RegClass::Mm || self.form.src == RegClass::Mm || matches!(self.op, Op::Emms)
    }

    /// Computes the instruction.
    ///
    /// # Errors
    /// The exception to raise. MXCSR has the flags it reports by then; nothing else must change.
    pub fn execute(&self, inputs: &Inputs, mxcsr: &mut Mxcsr) -> Result<Outputs, SseFault> {
        let Inputs { dst, src, imm, .. } = *inputs;
        let operand0 = |value| Outputs { value, target: Target::Operand0, status: None };
        let flags = |status| Outputs { value: 0, target: Target::Nothing, status: Some(status) };
        let nothing = Outputs { value: 0, target: Target::Nothing, status: None };
        Ok(match self.op {
            Op::Value(f) => operand0(f(dst, src, imm)),
            Op::Split { reg, mem } => operand0(if inputs.src_in_memory { mem } else { reg }(dst, src, imm)),
            Op::Blend(f) => operand0(f(dst, src, inputs.xmm0)),
            Op::Float(f) => operand0(f(dst, src, imm, mxcsr)?),
            Op::Test(f) => flags(f(dst, src)),
            Op::Compare(f) => flags(f(dst, src, mxcsr)?),
            Op::Strings(lengths, output) => {
                let result = compare_strings(dst, src, imm, lengths, inputs.rax, inputs.rdx);
                let (value, target) = match output {
                    StringOutput::Index => (u128::from(result.index), Target::Rcx),
                    StringOutput::Mask => (result.mask, Target::Xmm0),
                };
                Outputs { value, target, status: Some(result.status) }
            }
            Op::MaskedStore => {
                let mask = moves::byte_signs(src);
                Outputs { value: dst, target: Target::Bytes(mask), status: None }
            }
            Op::LoadMxcsr => {
                *mxcsr = Mxcsr::new(src as u32)?;
                nothing
            }
            Op::StoreMxcsr => operand0(u128::from(mxcsr.bits())),
            Op::Emms => nothing,
        })
    }
}

/// Lets a row state its semantics as a closure.
const fn value(f: Value) -> Op {
    Op::Value(f)
}

/// `ROWS` of a family: each line gives the encodings, with their forms, that share one semantics.
macro_rules! rows {
    ($( $($code:ident $form:ident),+ => $op:expr; )*) => {
        pub(super) const ROWS: &[super::SseInsn] = &[
            $( $( super::SseInsn::new(iced_x86::Code::$code, super::form::$form, $op), )+ )*
        ];
    };
}
use rows;

const FAMILIES: &[&[SseInsn]] = &[
    moves::ROWS,
    logic::ROWS,
    arith::ROWS,
    compare::ROWS,
    multiply::ROWS,
    horizontal::ROWS,
    shift::ROWS,
    pack::ROWS,
    extend::ROWS,
    shuffle::ROWS,
    blend::ROWS,
    insert::ROWS,
    strings::ROWS,
    crc32::ROWS,
    fp_arith::ROWS,
    fp_dot::ROWS,
    fp_compare::ROWS,
    fp_convert::ROWS,
    fp_approx::ROWS,
    state::ROWS,
];

const COUNT: usize = {
    let (mut family, mut count) = (0, 0);
    while family < FAMILIES.len() {
        count += FAMILIES[family].len();
        family += 1;
    }
    count
};

static ALL: [SseInsn; COUNT] = {
    let mut all = [FAMILIES[0][0]; COUNT];
    let (mut family, mut next) = (0, 0);
    while family < FAMILIES.len() {
        let mut row = 0;
        while row < FAMILIES[family].len() {
            all[next] = FAMILIES[family][row];
            next += 1;
            row += 1;
        }
        family += 1;
    }
    all
};

const CODES: usize = 0x2000;

/// Position in [`ALL`] plus one by code; 0 where there is no row.
static INDEX: [u16; CODES] = {
    let mut index = [0; CODES];
    let mut next = 0;
    while next < COUNT {
        let code = ALL[next].code as usize;
        assert!(index[code] == 0, "two rows for one code");
        next += 1;
        index[code] = next as u16;
    }
    index
};

/// The row of an encoding, or `None` if it is not one of these instructions.
pub fn lookup(code: Code) -> Option<&'static SseInsn> {
    let position = usize::from(*INDEX.get(code as usize)?);
    position.checked_sub(1).map(|at| &ALL[at])
}

/// Every row, for tests and listings.
pub fn all() -> &'static [SseInsn] {
    &ALL
}
