//! Integer addition and subtraction of neighbouring lanes (SSSE3).

use std::array;

use super::lanes::{from_i16x8, from_i32x4, halves, i16x8, i32x4};
use super::{rows, value};

/// Pairs of the destination give the low lanes, pairs of the source the high ones.
fn pairs16(d: u128, s: u128, f: impl Fn(i16, i16) -> i16) -> u128 {
    let (d, s) = (i16x8(d), i16x8(s));
    from_i16x8(array::from_fn(|lane| {
        let from = if lane < 4 { &d } else { &s };
        f(from[lane % 4 * 2], from[lane % 4 * 2 + 1])
    }))
}

fn pairs32(d: u128, s: u128, f: impl Fn(i32, i32) -> i32) -> u128 {
    let (d, s) = (i32x4(d), i32x4(s));
    from_i32x4(array::from_fn(|lane| {
        let from = if lane < 2 { &d } else { &s };
        f(from[lane % 2 * 2], from[lane % 2 * 2 + 1])
    }))
}

// An MMX pair of operands, laid side by side, is the destination alone of the XMM form.
rows! {
    Phaddw_xmm_xmmm128 VW => value(|d, s, _| pairs16(d, s, i16::wrapping_add));
    Phaddw_mm_mmm64 PQ => value(|d, s, _| pairs16(halves(d, s), 0, i16::wrapping_add));
    Phsubw_xmm_xmmm128 VW => value(|d, s, _| pairs16(d, s, i16::wrapping_sub));
    Phsubw_mm_mmm64 PQ => value(|d, s, _| pairs16(halves(d, s), 0, i16::wrapping_sub));
    Phaddsw_xmm_xmmm128 VW => value(|d, s, _| pairs16(d, s, i16::saturating_add));
    Phaddsw_mm_mmm64 PQ => value(|d, s, _| pairs16(halves(d, s), 0, i16::saturating_add));
    Phsubsw_xmm_xmmm128 VW => value(|d, s, _| pairs16(d, s, i16::saturating_sub));
    Phsubsw_mm_mmm64 PQ => value(|d, s, _| pairs16(halves(d, s), 0, i16::saturating_sub));
    Phaddd_xmm_xmmm128 VW => value(|d, s, _| pairs32(d, s, i32::wrapping_add));
    Phaddd_mm_mmm64 PQ => value(|d, s, _| pairs32(halves(d, s), 0, i32::wrapping_add));
    Phsubd_xmm_xmmm128 VW => value(|d, s, _| pairs32(d, s, i32::wrapping_sub));
    Phsubd_mm_mmm64 PQ => value(|d, s, _| pairs32(halves(d, s), 0, i32::wrapping_sub));
}
