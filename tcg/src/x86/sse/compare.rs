//! Lane-wise integer comparison: all ones where it holds, zero where not.

use super::lanes::{map_i8, map_i16, map_i32, map_i64, splat};
use super::{Value, rows, value};

/// String functions live on this one, so it works on whole registers.
const PCMPEQB: Value = |d, s, _| {
    let differ = d ^ s;
    // The top bit of each byte, set where no bit of the byte differs.
    let equal = !(((differ & splat(0x7F)) + splat(0x7F)) | differ | splat(0x7F));
    // Top bit t becomes 2t - t/128: the whole byte.
    (equal << 1).wrapping_sub(equal >> 7)
};

rows! {
    Pcmpeqb_mm_mmm64 PQ, Pcmpeqb_xmm_xmmm128 VW => value(PCMPEQB);
    Pcmpeqw_mm_mmm64 PQ, Pcmpeqw_xmm_xmmm128 VW => value(|d, s, _| map_i16(d, s, |a, b| -i16::from(a == b)));
    Pcmpeqd_mm_mmm64 PQ, Pcmpeqd_xmm_xmmm128 VW => value(|d, s, _| map_i32(d, s, |a, b| -i32::from(a == b)));
    Pcmpeqq_xmm_xmmm128 VW => value(|d, s, _| map_i64(d, s, |a, b| -i64::from(a == b)));
    Pcmpgtb_mm_mmm64 PQ, Pcmpgtb_xmm_xmmm128 VW => value(|d, s, _| map_i8(d, s, |a, b| -i8::from(a > b)));
    Pcmpgtw_mm_mmm64 PQ, Pcmpgtw_xmm_xmmm128 VW => value(|d, s, _| map_i16(d, s, |a, b| -i16::from(a > b)));
    Pcmpgtd_mm_mmm64 PQ, Pcmpgtd_xmm_xmmm128 VW => value(|d, s, _| map_i32(d, s, |a, b| -i32::from(a > b)));
    Pcmpgtq_xmm_xmmm128 VW => value(|d, s, _| map_i64(d, s, |a, b| -i64::from(a > b)));
}
