//! Integer multiplication, sums of products and of absolute differences, and the horizontal minimum.

use std::array;

use super::lanes::{
    from_i16x8, from_i32x4, from_u16x8, from_u64x2, i8x16, i16x8, i32x4, map_i16, map_u8, map_u16, map_u32,
    u8x16, u16x8, u32x4,
};
use super::{Value, rows, value};

const PMULHRSW: Value =
    |d, s, _| map_i16(d, s, |a, b| ((((i32::from(a) * i32::from(b)) >> 14) + 1) >> 1) as i16);

/// The sum wraps only for 8000H in all four places.
const PMADDWD: Value = |d, s, _| {
    let (d, s) = (i16x8(d), i16x8(s));
    let product = |lane: usize| i32::from(d[lane]) * i32::from(s[lane]);
    from_i32x4(array::from_fn(|lane| product(2 * lane).wrapping_add(product(2 * lane + 1))))
};

/// Unsigned bytes of the destination by signed bytes of the source.
const PMADDUBSW: Value = |d, s, _| {
    let (d, s) = (u8x16(d), i8x16(s));
    let product = |lane: usize| i32::from(d[lane]) * i32::from(s[lane]);
    let saturate = |sum: i32| sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
    from_i16x8(array::from_fn(|lane| saturate(product(2 * lane) + product(2 * lane + 1))))
};

const PMULUDQ: Value = |d, s, _| {
    let (d, s) = (u32x4(d), u32x4(s));
    from_u64x2(array::from_fn(|lane| u64::from(d[2 * lane]) * u64::from(s[2 * lane])))
};

const PMULDQ: Value = |d, s, _| {
    let (d, s) = (i32x4(d), i32x4(s));
    from_u64x2(array::from_fn(|lane| (i64::from(d[2 * lane]) * i64::from(s[2 * lane])) as u64))
};

const PSADBW: Value = |d, s, _| {
    let differences = map_u8(d, s, u8::abs_diff);
    // Pairs of bytes in words; the product's top word is the sum of the four.
    let sum = |half: u64| {
        let pairs = (half & 0x00FF_00FF_00FF_00FF) + (half >> 8 & 0x00FF_00FF_00FF_00FF);
        pairs.wrapping_mul(0x0001_0001_0001_0001) >> 48
    };
    from_u64x2([sum(differences as u64), sum((differences >> 64) as u64)])
};

/// Immediate bits 1:0 choose the four source bytes, bit 2 the start in the destination (both times four bytes).
const MPSADBW: Value = |d, s, imm| {
    let (d, s) = (u8x16(d), u8x16(s));
    let (d_at, s_at) = (usize::from(imm >> 2 & 1) * 4, usize::from(imm & 3) * 4);
    let term = |lane: usize, k: usize| u16::from(d[d_at + lane + k].abs_diff(s[s_at + k]));
    from_u16x8(array::from_fn(|lane| (0..4).map(|k| term(lane, k)).sum()))
};

/// The first of equal minima wins.
const PHMINPOSUW: Value = |_, s, _| {
    let (mut min, mut at) = (u16::MAX, 0);
    for (lane, word) in u16x8(s).into_iter().enumerate().rev() {
        if word <= min {
            (min, at) = (word, lane);
        }
    }
    u128::from(min) | (at as u128) << 16
};

rows! {
    Pmullw_mm_mmm64 PQ, Pmullw_xmm_xmmm128 VW => value(|d, s, _| map_u16(d, s, u16::wrapping_mul));
    Pmulld_xmm_xmmm128 VW => value(|d, s, _| map_u32(d, s, u32::wrapping_mul));
    Pmulhw_mm_mmm64 PQ, Pmulhw_xmm_xmmm128 VW =>
        value(|d, s, _| map_i16(d, s, |a, b| ((i32::from(a) * i32::from(b)) >> 16) as i16));
    Pmulhuw_mm_mmm64 PQ, Pmulhuw_xmm_xmmm128 VW =>
        value(|d, s, _| map_u16(d, s, |a, b| ((u32::from(a) * u32::from(b)) >> 16) as u16));
    Pmulhrsw_mm_mmm64 PQ, Pmulhrsw_xmm_xmmm128 VW => value(PMULHRSW);
    Pmuludq_mm_mmm64 PQ, Pmuludq_xmm_xmmm128 VW => value(PMULUDQ);
    Pmuldq_xmm_xmmm128 VW => value(PMULDQ);
    Pmaddwd_mm_mmm64 PQ, Pmaddwd_xmm_xmmm128 VW => value(PMADDWD);
    Pmaddubsw_mm_mmm64 PQ, Pmaddubsw_xmm_xmmm128 VW => value(PMADDUBSW);
    Psadbw_mm_mmm64 PQ, Psadbw_xmm_xmmm128 VW => value(PSADBW);
    Mpsadbw_xmm_xmmm128_imm8 VW => value(MPSADBW);
    Phminposuw_xmm_xmmm128 VW => value(PHMINPOSUW);
}
