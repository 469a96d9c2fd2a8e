//! The SSE instructions that machine code has itself, as the opcode maps list them (SDM volume 2, appendix A).
//!
//! What is missing here is left to the helper: MMX, approximations that differ between processors, and what is rare.

use iced_x86::Code;

/// How an encoding uses the operands of its ModRM byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// reg is written whole, rm is read.
    Write,
    /// reg is read and written, rm is read.
    Modify,
    /// As [`Use::Modify`] from a register, as [`Use::Write`] from memory.
    Load,
    /// As [`Use::Modify`], and XMM0 is read.
    Blend,
    /// rm is written whole, reg is read.
    Store,
    /// As [`Use::Store`] to memory; a register rm keeps what reg does not replace.
    Merge,
    /// rm is read and written; reg is this part of the opcode.
    Group(u8),
    /// Both are read, the flags are written.
    Test,
}

/// One encoding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Encoding {
    /// The decoder's name of it.
    pub code: Code,
    /// Mandatory prefix.
    pub prefix: Option<u8>,
    /// Opcode bytes after the prefixes.
    pub opcode: &'static [u8],
    /// What becomes of the operands.
    pub operands: Use,
    /// An immediate byte follows.
    pub immediate: bool,
}

use Use::{Blend, Group, Load, Merge, Modify, Store, Test, Write};

const NP: Option<u8> = None;
const P66: Option<u8> = Some(0x66);
const PF2: Option<u8> = Some(0xf2);
const PF3: Option<u8> = Some(0xf3);

macro_rules! bytes {
    ([$($byte:literal)+ $(ib)?]) => {
        &[$($byte),+]
    };
}

macro_rules! immediate {
    ([$($byte:literal)+ ib]) => {
        true
    };
    ([$($byte:literal)+]) => {
        false
    };
}

/// Each line: prefix, opcode with `ib` for an immediate, use of the operands, the encodings.
macro_rules! encodings {
    ($( $prefix:ident $opcode:tt $operands:expr => $($code:ident),+ ; )*) => {
        const ENCODINGS: &[Encoding] = &[
            $( $( Encoding {
                code: Code::$code,
                prefix: $prefix,
                opcode: bytes!($opcode),
                operands: $operands,
                immediate: immediate!($opcode),
            }, )+ )*
        ];
    };
}

encodings! {
    // Moves.
    NP  [0x0f 0x10] Write => Movups_xmm_xmmm128;
    P66 [0x0f 0x10] Write => Movupd_xmm_xmmm128;
    PF3 [0x0f 0x10] Load => Movss_xmm_xmmm32;
    PF2 [0x0f 0x10] Load => Movsd_xmm_xmmm64;
    NP  [0x0f 0x11] Store => Movups_xmmm128_xmm;
    P66 [0x0f 0x11] Store => Movupd_xmmm128_xmm;
    PF3 [0x0f 0x11] Merge => Movss_xmmm32_xmm;
    PF2 [0x0f 0x11] Merge => Movsd_xmmm64_xmm;
    NP  [0x0f 0x12] Modify => Movlps_xmm_m64, Movhlps_xmm_xmm;
    P66 [0x0f 0x12] Modify => Movlpd_xmm_m64;
    PF3 [0x0f 0x12] Write => Movsldup_xmm_xmmm128;
    PF2 [0x0f 0x12] Write => Movddup_xmm_xmmm64;
    NP  [0x0f 0x13] Store => Movlps_m64_xmm;
    P66 [0x0f 0x13] Store => Movlpd_m64_xmm;
    NP  [0x0f 0x16] Modify => Movhps_xmm_m64, Movlhps_xmm_xmm;
    P66 [0x0f 0x16] Modify => Movhpd_xmm_m64;
    PF3 [0x0f 0x16] Write => Movshdup_xmm_xmmm128;
    NP  [0x0f 0x17] Store => Movhps_m64_xmm;
    P66 [0x0f 0x17] Store => Movhpd_m64_xmm;
    NP  [0x0f 0x28] Write => Movaps_xmm_xmmm128;
    P66 [0x0f 0x28] Write => Movapd_xmm_xmmm128;
    NP  [0x0f 0x29] Store => Movaps_xmmm128_xmm;
    P66 [0x0f 0x29] Store => Movapd_xmmm128_xmm;
    // Without the hint: the guest's memory is the host's, cached as the host likes.
    NP  [0x0f 0x29] Store => Movntps_m128_xmm;
    P66 [0x0f 0x29] Store => Movntpd_m128_xmm;
    P66 [0x0f 0x7f] Store => Movntdq_m128_xmm;
    P66 [0x0f 0x6f] Write => Movntdqa_xmm_m128;
    NP  [0x0f 0x50] Write => Movmskps_r32_xmm, Movmskps_r64_xmm;
    P66 [0x0f 0x50] Write => Movmskpd_r32_xmm, Movmskpd_r64_xmm;
    P66 [0x0f 0x6e] Write => Movd_xmm_rm32, Movq_xmm_rm64;
    P66 [0x0f 0x7e] Store => Movd_rm32_xmm, Movq_rm64_xmm;
    P66 [0x0f 0x6f] Write => Movdqa_xmm_xmmm128;
    PF3 [0x0f 0x6f] Write => Movdqu_xmm_xmmm128;
    P66 [0x0f 0x7f] Store => Movdqa_xmmm128_xmm;
    PF3 [0x0f 0x7f] Store => Movdqu_xmmm128_xmm;
    PF3 [0x0f 0x7e] Write => Movq_xmm_xmmm64;
    P66 [0x0f 0xd6] Store => Movq_xmmm64_xmm;
    P66 [0x0f 0xd7] Write => Pmovmskb_r32_xmm, Pmovmskb_r64_xmm;
    PF2 [0x0f 0xf0] Write => Lddqu_xmm_m128;

    // Logic.
    NP  [0x0f 0x54] Modify => Andps_xmm_xmmm128;
    P66 [0x0f 0x54] Modify => Andpd_xmm_xmmm128;
    NP  [0x0f 0x55] Modify => Andnps_xmm_xmmm128;
    P66 [0x0f 0x55] Modify => Andnpd_xmm_xmmm128;
    NP  [0x0f 0x56] Modify => Orps_xmm_xmmm128;
    P66 [0x0f 0x56] Modify => Orpd_xmm_xmmm128;
    NP  [0x0f 0x57] Modify => Xorps_xmm_xmmm128;
    P66 [0x0f 0x57] Modify => Xorpd_xmm_xmmm128;
    P66 [0x0f 0xdb] Modify => Pand_xmm_xmmm128;
    P66 [0x0f 0xdf] Modify => Pandn_xmm_xmmm128;
    P66 [0x0f 0xeb] Modify => Por_xmm_xmmm128;
    P66 [0x0f 0xef] Modify => Pxor_xmm_xmmm128;
    P66 [0x0f 0x38 0x17] Test => Ptest_xmm_xmmm128;

    // Integer arithmetic.
    P66 [0x0f 0xfc] Modify => Paddb_xmm_xmmm128;
    P66 [0x0f 0xfd] Modify => Paddw_xmm_xmmm128;
    P66 [0x0f 0xfe] Modify => Paddd_xmm_xmmm128;
    P66 [0x0f 0xd4] Modify => Paddq_xmm_xmmm128;
    P66 [0x0f 0xec] Modify => Paddsb_xmm_xmmm128;
    P66 [0x0f 0xed] Modify => Paddsw_xmm_xmmm128;
    P66 [0x0f 0xdc] Modify => Paddusb_xmm_xmmm128;
    P66 [0x0f 0xdd] Modify => Paddusw_xmm_xmmm128;
    P66 [0x0f 0xf8] Modify => Psubb_xmm_xmmm128;
    P66 [0x0f 0xf9] Modify => Psubw_xmm_xmmm128;
    P66 [0x0f 0xfa] Modify => Psubd_xmm_xmmm128;
    P66 [0x0f 0xfb] Modify => Psubq_xmm_xmmm128;
    P66 [0x0f 0xe8] Modify => Psubsb_xmm_xmmm128;
    P66 [0x0f 0xe9] Modify => Psubsw_xmm_xmmm128;
    P66 [0x0f 0xd8] Modify => Psubusb_xmm_xmmm128;
    P66 [0x0f 0xd9] Modify => Psubusw_xmm_xmmm128;
    P66 [0x0f 0xe0] Modify => Pavgb_xmm_xmmm128;
    P66 [0x0f 0xe3] Modify => Pavgw_xmm_xmmm128;
    P66 [0x0f 0xda] Modify => Pminub_xmm_xmmm128;
    P66 [0x0f 0xde] Modify => Pmaxub_xmm_xmmm128;
    P66 [0x0f 0xea] Modify => Pminsw_xmm_xmmm128;
    P66 [0x0f 0xee] Modify => Pmaxsw_xmm_xmmm128;
    P66 [0x0f 0x38 0x38] Modify => Pminsb_xmm_xmmm128;
    P66 [0x0f 0x38 0x39] Modify => Pminsd_xmm_xmmm128;
    P66 [0x0f 0x38 0x3a] Modify => Pminuw_xmm_xmmm128;
    P66 [0x0f 0x38 0x3b] Modify => Pminud_xmm_xmmm128;
    P66 [0x0f 0x38 0x3c] Modify => Pmaxsb_xmm_xmmm128;
    P66 [0x0f 0x38 0x3d] Modify => Pmaxsd_xmm_xmmm128;
    P66 [0x0f 0x38 0x3e] Modify => Pmaxuw_xmm_xmmm128;
    P66 [0x0f 0x38 0x3f] Modify => Pmaxud_xmm_xmmm128;
    P66 [0x0f 0x38 0x08] Modify => Psignb_xmm_xmmm128;
    P66 [0x0f 0x38 0x09] Modify => Psignw_xmm_xmmm128;
    P66 [0x0f 0x38 0x0a] Modify => Psignd_xmm_xmmm128;
    P66 [0x0f 0x38 0x1c] Write => Pabsb_xmm_xmmm128;
    P66 [0x0f 0x38 0x1d] Write => Pabsw_xmm_xmmm128;
    P66 [0x0f 0x38 0x1e] Write => Pabsd_xmm_xmmm128;
    P66 [0x0f 0x38 0x01] Modify => Phaddw_xmm_xmmm128;
    P66 [0x0f 0x38 0x02] Modify => Phaddd_xmm_xmmm128;
    P66 [0x0f 0x38 0x03] Modify => Phaddsw_xmm_xmmm128;
    P66 [0x0f 0x38 0x05] Modify => Phsubw_xmm_xmmm128;
    P66 [0x0f 0x38 0x06] Modify => Phsubd_xmm_xmmm128;
    P66 [0x0f 0x38 0x07] Modify => Phsubsw_xmm_xmmm128;
    P66 [0x0f 0xd5] Modify => Pmullw_xmm_xmmm128;
    P66 [0x0f 0xe5] Modify => Pmulhw_xmm_xmmm128;
    P66 [0x0f 0xe4] Modify => Pmulhuw_xmm_xmmm128;
    P66 [0x0f 0xf4] Modify => Pmuludq_xmm_xmmm128;
    P66 [0x0f 0xf5] Modify => Pmaddwd_xmm_xmmm128;
    P66 [0x0f 0xf6] Modify => Psadbw_xmm_xmmm128;
    P66 [0x0f 0x38 0x04] Modify => Pmaddubsw_xmm_xmmm128;
    P66 [0x0f 0x38 0x0b] Modify => Pmulhrsw_xmm_xmmm128;
    P66 [0x0f 0x38 0x28] Modify => Pmuldq_xmm_xmmm128;
    P66 [0x0f 0x38 0x40] Modify => Pmulld_xmm_xmmm128;
    P66 [0x0f 0x38 0x41] Write => Phminposuw_xmm_xmmm128;
    P66 [0x0f 0x3a 0x42 ib] Modify => Mpsadbw_xmm_xmmm128_imm8;

    // Integer comparisons.
    P66 [0x0f 0x74] Modify => Pcmpeqb_xmm_xmmm128;
    P66 [0x0f 0x75] Modify => Pcmpeqw_xmm_xmmm128;
    P66 [0x0f 0x76] Modify => Pcmpeqd_xmm_xmmm128;
    P66 [0x0f 0x38 0x29] Modify => Pcmpeqq_xmm_xmmm128;
    P66 [0x0f 0x64] Modify => Pcmpgtb_xmm_xmmm128;
    P66 [0x0f 0x65] Modify => Pcmpgtw_xmm_xmmm128;
    P66 [0x0f 0x66] Modify => Pcmpgtd_xmm_xmmm128;
    P66 [0x0f 0x38 0x37] Modify => Pcmpgtq_xmm_xmmm128;

    // Shifts.
    P66 [0x0f 0xf1] Modify => Psllw_xmm_xmmm128;
    P66 [0x0f 0xf2] Modify => Pslld_xmm_xmmm128;
    P66 [0x0f 0xf3] Modify => Psllq_xmm_xmmm128;
    P66 [0x0f 0xd1] Modify => Psrlw_xmm_xmmm128;
    P66 [0x0f 0xd2] Modify => Psrld_xmm_xmmm128;
    P66 [0x0f 0xd3] Modify => Psrlq_xmm_xmmm128;
    P66 [0x0f 0xe1] Modify => Psraw_xmm_xmmm128;
    P66 [0x0f 0xe2] Modify => Psrad_xmm_xmmm128;
    P66 [0x0f 0x71 ib] Group(6) => Psllw_xmm_imm8;
    P66 [0x0f 0x72 ib] Group(6) => Pslld_xmm_imm8;
    P66 [0x0f 0x73 ib] Group(6) => Psllq_xmm_imm8;
    P66 [0x0f 0x71 ib] Group(2) => Psrlw_xmm_imm8;
    P66 [0x0f 0x72 ib] Group(2) => Psrld_xmm_imm8;
    P66 [0x0f 0x73 ib] Group(2) => Psrlq_xmm_imm8;
    P66 [0x0f 0x71 ib] Group(4) => Psraw_xmm_imm8;
    P66 [0x0f 0x72 ib] Group(4) => Psrad_xmm_imm8;
    P66 [0x0f 0x73 ib] Group(7) => Pslldq_xmm_imm8;
    P66 [0x0f 0x73 ib] Group(3) => Psrldq_xmm_imm8;

    // Packing, shuffling, widening, blending.
    P66 [0x0f 0x63] Modify => Packsswb_xmm_xmmm128;
    P66 [0x0f 0x67] Modify => Packuswb_xmm_xmmm128;
    P66 [0x0f 0x6b] Modify => Packssdw_xmm_xmmm128;
    P66 [0x0f 0x38 0x2b] Modify => Packusdw_xmm_xmmm128;
    P66 [0x0f 0x60] Modify => Punpcklbw_xmm_xmmm128;
    P66 [0x0f 0x61] Modify => Punpcklwd_xmm_xmmm128;
    P66 [0x0f 0x62] Modify => Punpckldq_xmm_xmmm128;
    P66 [0x0f 0x6c] Modify => Punpcklqdq_xmm_xmmm128;
    P66 [0x0f 0x68] Modify => Punpckhbw_xmm_xmmm128;
    P66 [0x0f 0x69] Modify => Punpckhwd_xmm_xmmm128;
    P66 [0x0f 0x6a] Modify => Punpckhdq_xmm_xmmm128;
    P66 [0x0f 0x6d] Modify => Punpckhqdq_xmm_xmmm128;
    NP  [0x0f 0x14] Modify => Unpcklps_xmm_xmmm128;
    P66 [0x0f 0x14] Modify => Unpcklpd_xmm_xmmm128;
    NP  [0x0f 0x15] Modify => Unpckhps_xmm_xmmm128;
    P66 [0x0f 0x15] Modify => Unpckhpd_xmm_xmmm128;
    P66 [0x0f 0x70 ib] Write => Pshufd_xmm_xmmm128_imm8;
    PF2 [0x0f 0x70 ib] Write => Pshuflw_xmm_xmmm128_imm8;
    PF3 [0x0f 0x70 ib] Write => Pshufhw_xmm_xmmm128_imm8;
    NP  [0x0f 0xc6 ib] Modify => Shufps_xmm_xmmm128_imm8;
    P66 [0x0f 0xc6 ib] Modify => Shufpd_xmm_xmmm128_imm8;
    P66 [0x0f 0x38 0x00] Modify => Pshufb_xmm_xmmm128;
    P66 [0x0f 0x3a 0x0f ib] Modify => Palignr_xmm_xmmm128_imm8;
    P66 [0x0f 0x38 0x20] Write => Pmovsxbw_xmm_xmmm64;
    P66 [0x0f 0x38 0x21] Write => Pmovsxbd_xmm_xmmm32;
    P66 [0x0f 0x38 0x22] Write => Pmovsxbq_xmm_xmmm16;
    P66 [0x0f 0x38 0x23] Write => Pmovsxwd_xmm_xmmm64;
    P66 [0x0f 0x38 0x24] Write => Pmovsxwq_xmm_xmmm32;
    P66 [0x0f 0x38 0x25] Write => Pmovsxdq_xmm_xmmm64;
    P66 [0x0f 0x38 0x30] Write => Pmovzxbw_xmm_xmmm64;
    P66 [0x0f 0x38 0x31] Write => Pmovzxbd_xmm_xmmm32;
    P66 [0x0f 0x38 0x32] Write => Pmovzxbq_xmm_xmmm16;
    P66 [0x0f 0x38 0x33] Write => Pmovzxwd_xmm_xmmm64;
    P66 [0x0f 0x38 0x34] Write => Pmovzxwq_xmm_xmmm32;
    P66 [0x0f 0x38 0x35] Write => Pmovzxdq_xmm_xmmm64;
    P66 [0x0f 0x3a 0x0c ib] Modify => Blendps_xmm_xmmm128_imm8;
    P66 [0x0f 0x3a 0x0d ib] Modify => Blendpd_xmm_xmmm128_imm8;
    P66 [0x0f 0x3a 0x0e ib] Modify => Pblendw_xmm_xmmm128_imm8;
    P66 [0x0f 0x38 0x10] Blend => Pblendvb_xmm_xmmm128;
    P66 [0x0f 0x38 0x14] Blend => Blendvps_xmm_xmmm128;
    P66 [0x0f 0x38 0x15] Blend => Blendvpd_xmm_xmmm128;

    // Insertion and extraction.
    P66 [0x0f 0xc4 ib] Modify => Pinsrw_xmm_r32m16_imm8, Pinsrw_xmm_r64m16_imm8;
    P66 [0x0f 0x3a 0x20 ib] Modify => Pinsrb_xmm_r32m8_imm8, Pinsrb_xmm_r64m8_imm8;
    P66 [0x0f 0x3a 0x22 ib] Modify => Pinsrd_xmm_rm32_imm8, Pinsrq_xmm_rm64_imm8;
    P66 [0x0f 0x3a 0x21 ib] Modify => Insertps_xmm_xmmm32_imm8;
    P66 [0x0f 0xc5 ib] Write => Pextrw_r32_xmm_imm8, Pextrw_r64_xmm_imm8;
    P66 [0x0f 0x3a 0x14 ib] Store => Pextrb_r32m8_xmm_imm8, Pextrb_r64m8_xmm_imm8;
    P66 [0x0f 0x3a 0x15 ib] Store => Pextrw_r32m16_xmm_imm8, Pextrw_r64m16_xmm_imm8;
    P66 [0x0f 0x3a 0x16 ib] Store => Pextrd_rm32_xmm_imm8, Pextrq_rm64_xmm_imm8;
    P66 [0x0f 0x3a 0x17 ib] Store => Extractps_rm32_xmm_imm8, Extractps_r64m32_xmm_imm8;

    // Floating-point arithmetic.
    NP  [0x0f 0x58] Modify => Addps_xmm_xmmm128;
    P66 [0x0f 0x58] Modify => Addpd_xmm_xmmm128;
    PF3 [0x0f 0x58] Modify => Addss_xmm_xmmm32;
    PF2 [0x0f 0x58] Modify => Addsd_xmm_xmmm64;
    NP  [0x0f 0x5c] Modify => Subps_xmm_xmmm128;
    P66 [0x0f 0x5c] Modify => Subpd_xmm_xmmm128;
    PF3 [0x0f 0x5c] Modify => Subss_xmm_xmmm32;
    PF2 [0x0f 0x5c] Modify => Subsd_xmm_xmmm64;
    NP  [0x0f 0x59] Modify => Mulps_xmm_xmmm128;
    P66 [0x0f 0x59] Modify => Mulpd_xmm_xmmm128;
    PF3 [0x0f 0x59] Modify => Mulss_xmm_xmmm32;
    PF2 [0x0f 0x59] Modify => Mulsd_xmm_xmmm64;
    NP  [0x0f 0x5e] Modify => Divps_xmm_xmmm128;
    P66 [0x0f 0x5e] Modify => Divpd_xmm_xmmm128;
    PF3 [0x0f 0x5e] Modify => Divss_xmm_xmmm32;
    PF2 [0x0f 0x5e] Modify => Divsd_xmm_xmmm64;
    NP  [0x0f 0x51] Write => Sqrtps_xmm_xmmm128;
    P66 [0x0f 0x51] Write => Sqrtpd_xmm_xmmm128;
    PF3 [0x0f 0x51] Modify => Sqrtss_xmm_xmmm32;
    PF2 [0x0f 0x51] Modify => Sqrtsd_xmm_xmmm64;
    NP  [0x0f 0x5d] Modify => Minps_xmm_xmmm128;
    P66 [0x0f 0x5d] Modify => Minpd_xmm_xmmm128;
    PF3 [0x0f 0x5d] Modify => Minss_xmm_xmmm32;
    PF2 [0x0f 0x5d] Modify => Minsd_xmm_xmmm64;
    NP  [0x0f 0x5f] Modify => Maxps_xmm_xmmm128;
    P66 [0x0f 0x5f] Modify => Maxpd_xmm_xmmm128;
    PF3 [0x0f 0x5f] Modify => Maxss_xmm_xmmm32;
    PF2 [0x0f 0x5f] Modify => Maxsd_xmm_xmmm64;
    PF2 [0x0f 0xd0] Modify => Addsubps_xmm_xmmm128;
    P66 [0x0f 0xd0] Modify => Addsubpd_xmm_xmmm128;
    PF2 [0x0f 0x7c] Modify => Haddps_xmm_xmmm128;
    P66 [0x0f 0x7c] Modify => Haddpd_xmm_xmmm128;
    PF2 [0x0f 0x7d] Modify => Hsubps_xmm_xmmm128;
    P66 [0x0f 0x7d] Modify => Hsubpd_xmm_xmmm128;

    // Floating-point comparisons.
    NP  [0x0f 0xc2 ib] Modify => Cmpps_xmm_xmmm128_imm8;
    P66 [0x0f 0xc2 ib] Modify => Cmppd_xmm_xmmm128_imm8;
    PF3 [0x0f 0xc2 ib] Modify => Cmpss_xmm_xmmm32_imm8;
    PF2 [0x0f 0xc2 ib] Modify => Cmpsd_xmm_xmmm64_imm8;
    NP  [0x0f 0x2e] Test => Ucomiss_xmm_xmmm32;
    P66 [0x0f 0x2e] Test => Ucomisd_xmm_xmmm64;
    NP  [0x0f 0x2f] Test => Comiss_xmm_xmmm32;
    P66 [0x0f 0x2f] Test => Comisd_xmm_xmmm64;

    // Conversions and rounding.
    NP  [0x0f 0x5b] Write => Cvtdq2ps_xmm_xmmm128;
    P66 [0x0f 0x5b] Write => Cvtps2dq_xmm_xmmm128;
    PF3 [0x0f 0x5b] Write => Cvttps2dq_xmm_xmmm128;
    PF3 [0x0f 0xe6] Write => Cvtdq2pd_xmm_xmmm64;
    PF2 [0x0f 0xe6] Write => Cvtpd2dq_xmm_xmmm128;
    P66 [0x0f 0xe6] Write => Cvttpd2dq_xmm_xmmm128;
    NP  [0x0f 0x5a] Write => Cvtps2pd_xmm_xmmm64;
    P66 [0x0f 0x5a] Write => Cvtpd2ps_xmm_xmmm128;
    PF3 [0x0f 0x5a] Modify => Cvtss2sd_xmm_xmmm32;
    PF2 [0x0f 0x5a] Modify => Cvtsd2ss_xmm_xmmm64;
    PF3 [0x0f 0x2a] Modify => Cvtsi2ss_xmm_rm32, Cvtsi2ss_xmm_rm64;
    PF2 [0x0f 0x2a] Modify => Cvtsi2sd_xmm_rm32, Cvtsi2sd_xmm_rm64;
    PF3 [0x0f 0x2c] Write => Cvttss2si_r32_xmmm32, Cvttss2si_r64_xmmm32;
    PF2 [0x0f 0x2c] Write => Cvttsd2si_r32_xmmm64, Cvttsd2si_r64_xmmm64;
    PF3 [0x0f 0x2d] Write => Cvtss2si_r32_xmmm32, Cvtss2si_r64_xmmm32;
    PF2 [0x0f 0x2d] Write => Cvtsd2si_r32_xmmm64, Cvtsd2si_r64_xmmm64;
    P66 [0x0f 0x3a 0x08 ib] Write => Roundps_xmm_xmmm128_imm8;
    P66 [0x0f 0x3a 0x09 ib] Write => Roundpd_xmm_xmmm128_imm8;
    P66 [0x0f 0x3a 0x0a ib] Modify => Roundss_xmm_xmmm32_imm8;
    P66 [0x0f 0x3a 0x0b ib] Modify => Roundsd_xmm_xmmm64_imm8;
}

const CODES: usize = 0x2000;

/// Position in [`ENCODINGS`] plus one by code; 0 where there is none.
static INDEX: [u16; CODES] = {
    let mut index = [0; CODES];
    let mut next = 0;
    while next < ENCODINGS.len() {
        let code = ENCODINGS[next].code as usize;
        assert!(index[code] == 0, "two encodings for one code");
        next += 1;
        index[code] = next as u16;
    }
    index
};

/// The encoding of `code` (a number of [`Code`]), if machine code has it.
pub(super) fn encoding(code: u16) -> Option<&'static Encoding> {
    let position = usize::from(*INDEX.get(usize::from(code))?);
    position.checked_sub(1).map(|at| &ENCODINGS[at])
}
