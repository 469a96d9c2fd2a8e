//! Shuffles, duplicates and PALIGNR.

use std::array;

use super::lanes::{from_u8x16, from_u16x8, from_u32x4, from_u64x2, halves, low, u8x16, u16x8, u32x4, u64x2};
use super::{Value, rows, value};

/// Two-bit selector of result lane `lane`.
fn select(imm: u8, lane: usize) -> usize {
    usize::from(imm >> (2 * lane) & 3)
}

const PSHUFD: Value = |_, s, imm| {
    let s = u32x4(s);
    from_u32x4(array::from_fn(|lane| s[select(imm, lane)]))
};

const PSHUFLW: Value = |_, s, imm| {
    let s = u16x8(s);
    from_u16x8(array::from_fn(|lane| if lane < 4 { s[select(imm, lane)] } else { s[lane] }))
};

const PSHUFHW: Value = |_, s, imm| {
    let s = u16x8(s);
    from_u16x8(array::from_fn(|lane| if lane < 4 { s[lane] } else { s[4 + select(imm, lane - 4)] }))
};

const SHUFPS: Value = |d, s, imm| {
    let (d, s) = (u32x4(d), u32x4(s));
    from_u32x4(array::from_fn(|lane| if lane < 2 { d } else { s }[select(imm, lane)]))
};

const SHUFPD: Value = |d, s, imm| {
    let (d, s) = (u64x2(d), u64x2(s));
    from_u64x2([d[usize::from(imm & 1)], s[usize::from(imm >> 1 & 1)]])
};

/// A selector byte with bit 7 set clears its lane; the low bits choose one of `BYTES` bytes.
fn pshufb<const BYTES: usize>(d: u128, s: u128) -> u128 {
    let (d, s) = (u8x16(d), u8x16(s));
    from_u8x16(s.map(|selector| d[usize::from(selector) % BYTES % 16] & !(((selector as i8) >> 7) as u8)))
}

const PALIGNR: Value = |d, s, imm| match u32::from(imm) * 8 {
    0 => s,
    bits @ 1..128 => d << (128 - bits) | s >> bits,
    bits => d.checked_shr(bits - 128).unwrap_or(0),
};

rows! {
    Pshufd_xmm_xmmm128_imm8 VW => value(PSHUFD);
    Pshuflw_xmm_xmmm128_imm8 VW => value(PSHUFLW);
    Pshufw_mm_mmm64_imm8 PQ => value(PSHUFLW);
    Pshufhw_xmm_xmmm128_imm8 VW => value(PSHUFHW);
    Shufps_xmm_xmmm128_imm8 VW => value(SHUFPS);
    Shufpd_xmm_xmmm128_imm8 VW => value(SHUFPD);
    Pshufb_xmm_xmmm128 VW => value(|d, s, _| pshufb::<16>(d, s));
    Pshufb_mm_mmm64 PQ => value(|d, s, _| low(pshufb::<8>(d, s)));
    Palignr_xmm_xmmm128_imm8 VW => value(PALIGNR);
    Palignr_mm_mmm64_imm8 PQ => value(|d, s, imm| halves(s, d).checked_shr(u32::from(imm) * 8).unwrap_or(0));
    Movsldup_xmm_xmmm128 VW => value(|_, s, _| PSHUFD(0, s, 0b10_10_00_00));
    Movshdup_xmm_xmmm128 VW => value(|_, s, _| PSHUFD(0, s, 0b11_11_01_01));
    Movddup_xmm_xmmm64 VW8 => value(|_, s, _| halves(s, s));
}
