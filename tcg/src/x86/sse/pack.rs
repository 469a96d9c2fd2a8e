//! Pack with saturation, and unpack (interleave).

use std::array;

use super::lanes::{
    from_i8x16, from_i16x8, from_u8x16, from_u16x8, from_u32x4, halves, high, i16x8, i32x4, low, u8x16,
    u16x8, u32x4,
};
use super::{Value, rows, value};

fn packsswb(d: u128, s: u128) -> u128 {
    let (d, s) = (i16x8(d), i16x8(s));
    let word = |lane: usize| if lane < 8 { d[lane] } else { s[lane - 8] };
    from_i8x16(array::from_fn(|lane| word(lane).clamp(-0x80, 0x7F) as i8))
}

fn packuswb(d: u128, s: u128) -> u128 {
    let (d, s) = (i16x8(d), i16x8(s));
    let word = |lane: usize| if lane < 8 { d[lane] } else { s[lane - 8] };
    from_u8x16(array::from_fn(|lane| word(lane).clamp(0, 0xFF) as u8))
}

fn packssdw(d: u128, s: u128) -> u128 {
    let (d, s) = (i32x4(d), i32x4(s));
    let double = |lane: usize| if lane < 4 { d[lane] } else { s[lane - 4] };
    from_i16x8(array::from_fn(|lane| double(lane).clamp(-0x8000, 0x7FFF) as i16))
}

fn packusdw(d: u128, s: u128) -> u128 {
    let (d, s) = (i32x4(d), i32x4(s));
    let double = |lane: usize| if lane < 4 { d[lane] } else { s[lane - 4] };
    from_u16x8(array::from_fn(|lane| double(lane).clamp(0, 0xFFFF) as u16))
}

/// Bytes of the low halves, the destination's first.
fn interleave8(d: u128, s: u128) -> u128 {
    let (d, s) = (u8x16(d), u8x16(s));
    from_u8x16(array::from_fn(|lane| if lane % 2 == 0 { d[lane / 2] } else { s[lane / 2] }))
}

fn interleave16(d: u128, s: u128) -> u128 {
    let (d, s) = (u16x8(d), u16x8(s));
    from_u16x8(array::from_fn(|lane| if lane % 2 == 0 { d[lane / 2] } else { s[lane / 2] }))
}

fn interleave32(d: u128, s: u128) -> u128 {
    let (d, s) = (u32x4(d), u32x4(s));
    from_u32x4([d[0], s[0], d[1], s[1]])
}

const UNPCKLPS: Value = |d, s, _| interleave32(d, s);
const UNPCKHPS: Value = |d, s, _| interleave32(high(d), high(s));
const UNPCKLPD: Value = |d, s, _| halves(d, s);
const UNPCKHPD: Value = |d, s, _| halves(high(d), high(s));

// An MMX pair of operands, laid side by side, is the destination alone of the XMM form; the high unpack of MMX is the
// high half of the low unpack of XMM.
rows! {
    Packsswb_xmm_xmmm128 VW => value(|d, s, _| packsswb(d, s));
    Packsswb_mm_mmm64 PQ => value(|d, s, _| low(packsswb(halves(d, s), 0)));
    Packuswb_xmm_xmmm128 VW => value(|d, s, _| packuswb(d, s));
    Packuswb_mm_mmm64 PQ => value(|d, s, _| low(packuswb(halves(d, s), 0)));
    Packssdw_xmm_xmmm128 VW => value(|d, s, _| packssdw(d, s));
    Packssdw_mm_mmm64 PQ => value(|d, s, _| low(packssdw(halves(d, s), 0)));
    Packusdw_xmm_xmmm128 VW => value(|d, s, _| packusdw(d, s));

    Punpcklbw_mm_mmm32 PQ4, Punpcklbw_xmm_xmmm128 VW => value(|d, s, _| interleave8(d, s));
    Punpcklwd_mm_mmm32 PQ4, Punpcklwd_xmm_xmmm128 VW => value(|d, s, _| interleave16(d, s));
    Punpckldq_mm_mmm32 PQ4, Punpckldq_xmm_xmmm128 VW, Unpcklps_xmm_xmmm128 VW => value(UNPCKLPS);
    Punpcklqdq_xmm_xmmm128 VW, Unpcklpd_xmm_xmmm128 VW => value(UNPCKLPD);
    Punpckhbw_xmm_xmmm128 VW => value(|d, s, _| interleave8(high(d), high(s)));
    Punpckhbw_mm_mmm64 PQ => value(|d, s, _| high(interleave8(d, s)));
    Punpckhwd_xmm_xmmm128 VW => value(|d, s, _| interleave16(high(d), high(s)));
    Punpckhwd_mm_mmm64 PQ => value(|d, s, _| high(interleave16(d, s)));
    Punpckhdq_xmm_xmmm128 VW, Unpckhps_xmm_xmmm128 VW => value(UNPCKHPS);
    Punpckhdq_mm_mmm64 PQ => value(|d, s, _| high(interleave32(d, s)));
    Punpckhqdq_xmm_xmmm128 VW, Unpckhpd_xmm_xmmm128 VW => value(UNPCKHPD);
}
