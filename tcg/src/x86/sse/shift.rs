//! Lane-wise and whole-register shifts. The count is bits 63:0 of the source, or the immediate.

use super::lanes::{map1_i16, map1_i32, map1_u16, map1_u32, map1_u64};
use super::{rows, value};

/// Logical shift of one lane: a count of the lane's width or more gives 0.
macro_rules! logical {
    ($map:ident, $lane:ty, $shift:ident, $d:expr, $count:expr) => {{
        let count = u32::try_from($count).unwrap_or(u32::MAX);
        $map($d, |x: $lane| x.$shift(count).unwrap_or(0))
    }};
}

/// Arithmetic shift of one lane: a count of the lane's width or more leaves copies of the sign.
macro_rules! arithmetic {
    ($map:ident, $lane:ty, $d:expr, $count:expr) => {{
        let count = u64::from($count).min(u64::from(<$lane>::BITS - 1)) as u32;
        $map($d, |x: $lane| x >> count)
    }};
}

rows! {
    Psllw_mm_mmm64 PQ, Psllw_xmm_xmmm128 VW => value(|d, s, _| logical!(map1_u16, u16, checked_shl, d, s as u64));
    Pslld_mm_mmm64 PQ, Pslld_xmm_xmmm128 VW => value(|d, s, _| logical!(map1_u32, u32, checked_shl, d, s as u64));
    Psllq_mm_mmm64 PQ, Psllq_xmm_xmmm128 VW => value(|d, s, _| logical!(map1_u64, u64, checked_shl, d, s as u64));
    Psrlw_mm_mmm64 PQ, Psrlw_xmm_xmmm128 VW => value(|d, s, _| logical!(map1_u16, u16, checked_shr, d, s as u64));
    Psrld_mm_mmm64 PQ, Psrld_xmm_xmmm128 VW => value(|d, s, _| logical!(map1_u32, u32, checked_shr, d, s as u64));
    Psrlq_mm_mmm64 PQ, Psrlq_xmm_xmmm128 VW => value(|d, s, _| logical!(map1_u64, u64, checked_shr, d, s as u64));
    Psraw_mm_mmm64 PQ, Psraw_xmm_xmmm128 VW => value(|d, s, _| arithmetic!(map1_i16, i16, d, s as u64));
    Psrad_mm_mmm64 PQ, Psrad_xmm_xmmm128 VW => value(|d, s, _| arithmetic!(map1_i32, i32, d, s as u64));

    Psllw_mm_imm8 PI, Psllw_xmm_imm8 VI => value(|d, _, imm| logical!(map1_u16, u16, checked_shl, d, imm));
    Pslld_mm_imm8 PI, Pslld_xmm_imm8 VI => value(|d, _, imm| logical!(map1_u32, u32, checked_shl, d, imm));
    Psllq_mm_imm8 PI, Psllq_xmm_imm8 VI => value(|d, _, imm| logical!(map1_u64, u64, checked_shl, d, imm));
    Psrlw_mm_imm8 PI, Psrlw_xmm_imm8 VI => value(|d, _, imm| logical!(map1_u16, u16, checked_shr, d, imm));
    Psrld_mm_imm8 PI, Psrld_xmm_imm8 VI => value(|d, _, imm| logical!(map1_u32, u32, checked_shr, d, imm));
    Psrlq_mm_imm8 PI, Psrlq_xmm_imm8 VI => value(|d, _, imm| logical!(map1_u64, u64, checked_shr, d, imm));
    Psraw_mm_imm8 PI, Psraw_xmm_imm8 VI => value(|d, _, imm| arithmetic!(map1_i16, i16, d, imm));
    Psrad_mm_imm8 PI, Psrad_xmm_imm8 VI => value(|d, _, imm| arithmetic!(map1_i32, i32, d, imm));

    Pslldq_xmm_imm8 VI => value(|d, _, imm| d.checked_shl(u32::from(imm) * 8).unwrap_or(0));
    Psrldq_xmm_imm8 VI => value(|d, _, imm| d.checked_shr(u32::from(imm) * 8).unwrap_or(0));
}
