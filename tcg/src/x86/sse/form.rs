//! Operand forms: where an instruction's operands live and how its memory operand is loaded.
//!
//! The constants use the letters of the opcode maps (Intel SDM volume 2, appendix A.2): `P` an MMX register, `Q` an
//! MMX register or memory, `V` an XMM register, `W` an XMM register or memory, `G` a general register, `E` a general
//! register or memory, `M` memory only, `I` an immediate. A number after a letter is the size of the memory operand
//! in bytes where it is not that of the register; `U` marks a 16-byte operand that need not be aligned. Registers in
//! an `M` place do not occur, so its class says how the bytes are meant.

/// The register file an operand is taken from when it is a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegClass {
    /// No such operand.
    None,
    /// MM0..MM7: the low 64 bits of a value count.
    Mm,
    /// XMM0..XMM15.
    Xmm,
    /// An 8-bit general register (AH..BH included).
    R8,
    /// A 16-bit general register.
    R16,
    /// A 32-bit general register; a write clears bits 63:32.
    R32,
    /// A 64-bit general register.
    R64,
}

/// Operand classes and memory rule of one instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Class of operand 0, which is also the first input.
    pub dst: RegClass,
    /// Class of operand 1.
    pub src: RegClass,
    /// Size in bytes of the memory operand when there is one (whichever operand that is); 0 if there never is.
    pub bytes: u8,
    /// A memory operand that is not on a 16-byte boundary raises #GP(0).
    pub aligned: bool,
}

impl Form {
    const fn new(dst: RegClass, src: RegClass, bytes: u8) -> Self {
        Self { dst, src, bytes, aligned: bytes == 16 }
    }

    const fn unaligned(mut self) -> Self {
        self.aligned = false;
        self
    }
}

use RegClass::{Mm, None, R8, R16, R32, R64, Xmm};

macro_rules! forms {
    ($( $name:ident = $dst:ident, $src:ident, $bytes:literal $(, $unaligned:ident)?; )*) => {
        $( #[doc = concat!("`", stringify!($name), "`: see the module's letters.")]
           pub const $name: Form = Form::new($dst, $src, $bytes)$(.$unaligned())?; )*
    };
}

forms! {
    NONE = None, None, 0;
    M4   = None, None, 4;

    PQ   = Mm,   Mm,   8;
    PQ4  = Mm,   Mm,   4;
    QP   = Mm,   Mm,   8;
    MP   = Mm,   Mm,   8;
    PN   = Mm,   Mm,   0;
    PI   = Mm,   None, 0;
    PW   = Mm,   Xmm,  16;
    PW8  = Mm,   Xmm,  8;
    PE2  = Mm,   R32,  2;
    PEQ2 = Mm,   R64,  2;
    PE   = Mm,   R32,  4;
    PEQ  = Mm,   R64,  8;
    EP   = R32,  Mm,   4;
    EQP  = R64,  Mm,   8;
    GP   = R32,  Mm,   0;
    GQP  = R64,  Mm,   0;

    VW   = Xmm,  Xmm,  16;
    VWU  = Xmm,  Xmm,  16, unaligned;
    VW8  = Xmm,  Xmm,  8;
    VW4  = Xmm,  Xmm,  4;
    VW2  = Xmm,  Xmm,  2;
    WV   = Xmm,  Xmm,  16;
    WVU  = Xmm,  Xmm,  16, unaligned;
    WV8  = Xmm,  Xmm,  8;
    WV4  = Xmm,  Xmm,  4;
    VU   = Xmm,  Xmm,  0;
    VM   = Xmm,  Xmm,  16;
    VMU  = Xmm,  Xmm,  16, unaligned;
    VM8  = Xmm,  Xmm,  8;
    MV   = Xmm,  Xmm,  16;
    MV8  = Xmm,  Xmm,  8;
    VI   = Xmm,  None, 0;
    VQ   = Xmm,  Mm,   8;
    VN   = Xmm,  Mm,   0;
    PU   = Mm,   Xmm,  0;
    VE1  = Xmm,  R32,  1;
    VE2  = Xmm,  R32,  2;
    VE   = Xmm,  R32,  4;
    VEQ1 = Xmm,  R64,  1;
    VEQ2 = Xmm,  R64,  2;
    VEQ  = Xmm,  R64,  8;
    EV1  = R32,  Xmm,  1;
    EV2  = R32,  Xmm,  2;
    EV   = R32,  Xmm,  4;
    EQV1 = R64,  Xmm,  1;
    EQV2 = R64,  Xmm,  2;
    EQV4 = R64,  Xmm,  4;
    EQV  = R64,  Xmm,  8;
    GV   = R32,  Xmm,  0;
    GQV  = R64,  Xmm,  0;
    GW4  = R32,  Xmm,  4;
    GW8  = R32,  Xmm,  8;
    GQW4 = R64,  Xmm,  4;
    GQW8 = R64,  Xmm,  8;

    GE1  = R32,  R8,   1;
    GE2  = R32,  R16,  2;
    GE   = R32,  R32,  4;
    GQE1 = R64,  R8,   1;
    GQE  = R64,  R64,  8;
    MG   = R32,  R32,  4;
    MGQ  = R64,  R64,  8;
}
