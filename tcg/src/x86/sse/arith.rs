//! Lane-wise integer addition, subtraction, average, minimum, maximum, absolute value and sign.

use super::lanes::{
    map_i8, map_i16, map_i32, map_u8, map_u16, map_u32, map_u64, map1_i8, map1_i16, map1_i32, splat,
};
use super::{Value, rows, value};

/// Bytes are added within one wide addition: without their top bits no carry leaves a byte.
const PADDB: Value = |d, s, _| ((d & splat(0x7F)) + (s & splat(0x7F))) ^ (d ^ s) & splat(0x80);
/// Likewise, with the top bit of each byte of `d` there to borrow from.
const PSUBB: Value = |d, s, _| ((d | splat(0x80)) - (s & splat(0x7F))) ^ (d ^ !s) & splat(0x80);

/// PSIGNx of one lane: `$d` with the sign of `$s` applied, 0 where `$s` is 0.
macro_rules! sign {
    ($map:ident) => {
        value(|d, s, _| {
            $map(d, s, |d, s| match s.signum() {
                -1 => d.wrapping_neg(),
                0 => 0,
                _ => d,
            })
        })
    };
}

rows! {
    Paddb_mm_mmm64 PQ, Paddb_xmm_xmmm128 VW => value(PADDB);
    Paddw_mm_mmm64 PQ, Paddw_xmm_xmmm128 VW => value(|d, s, _| map_u16(d, s, u16::wrapping_add));
    Paddd_mm_mmm64 PQ, Paddd_xmm_xmmm128 VW => value(|d, s, _| map_u32(d, s, u32::wrapping_add));
    Paddq_mm_mmm64 PQ, Paddq_xmm_xmmm128 VW => value(|d, s, _| map_u64(d, s, u64::wrapping_add));
    Psubb_mm_mmm64 PQ, Psubb_xmm_xmmm128 VW => value(PSUBB);
    Psubw_mm_mmm64 PQ, Psubw_xmm_xmmm128 VW => value(|d, s, _| map_u16(d, s, u16::wrapping_sub));
    Psubd_mm_mmm64 PQ, Psubd_xmm_xmmm128 VW => value(|d, s, _| map_u32(d, s, u32::wrapping_sub));
    Psubq_mm_mmm64 PQ, Psubq_xmm_xmmm128 VW => value(|d, s, _| map_u64(d, s, u64::wrapping_sub));

    Paddsb_mm_mmm64 PQ, Paddsb_xmm_xmmm128 VW => value(|d, s, _| map_i8(d, s, i8::saturating_add));
    Paddsw_mm_mmm64 PQ, Paddsw_xmm_xmmm128 VW => value(|d, s, _| map_i16(d, s, i16::saturating_add));
    Paddusb_mm_mmm64 PQ, Paddusb_xmm_xmmm128 VW => value(|d, s, _| map_u8(d, s, u8::saturating_add));
    Paddusw_mm_mmm64 PQ, Paddusw_xmm_xmmm128 VW => value(|d, s, _| map_u16(d, s, u16::saturating_add));
    Psubsb_mm_mmm64 PQ, Psubsb_xmm_xmmm128 VW => value(|d, s, _| map_i8(d, s, i8::saturating_sub));
    Psubsw_mm_mmm64 PQ, Psubsw_xmm_xmmm128 VW => value(|d, s, _| map_i16(d, s, i16::saturating_sub));
    Psubusb_mm_mmm64 PQ, Psubusb_xmm_xmmm128 VW => value(|d, s, _| map_u8(d, s, u8::saturating_sub));
    Psubusw_mm_mmm64 PQ, Psubusw_xmm_xmmm128 VW => value(|d, s, _| map_u16(d, s, u16::saturating_sub));

    Pavgb_mm_mmm64 PQ, Pavgb_xmm_xmmm128 VW =>
        value(|d, s, _| map_u8(d, s, |a, b| ((u16::from(a) + u16::from(b) + 1) >> 1) as u8));
    Pavgw_mm_mmm64 PQ, Pavgw_xmm_xmmm128 VW =>
        value(|d, s, _| map_u16(d, s, |a, b| ((u32::from(a) + u32::from(b) + 1) >> 1) as u16));

    Pminub_mm_mmm64 PQ, Pminub_xmm_xmmm128 VW => value(|d, s, _| map_u8(d, s, u8::min));
    Pmaxub_mm_mmm64 PQ, Pmaxub_xmm_xmmm128 VW => value(|d, s, _| map_u8(d, s, u8::max));
    Pminsw_mm_mmm64 PQ, Pminsw_xmm_xmmm128 VW => value(|d, s, _| map_i16(d, s, i16::min));
    Pmaxsw_mm_mmm64 PQ, Pmaxsw_xmm_xmmm128 VW => value(|d, s, _| map_i16(d, s, i16::max));
    Pminsb_xmm_xmmm128 VW => value(|d, s, _| map_i8(d, s, i8::min));
    Pmaxsb_xmm_xmmm128 VW => value(|d, s, _| map_i8(d, s, i8::max));
    Pminuw_xmm_xmmm128 VW => value(|d, s, _| map_u16(d, s, u16::min));
    Pmaxuw_xmm_xmmm128 VW => value(|d, s, _| map_u16(d, s, u16::max));
    Pminsd_xmm_xmmm128 VW => value(|d, s, _| map_i32(d, s, i32::min));
    Pmaxsd_xmm_xmmm128 VW => value(|d, s, _| map_i32(d, s, i32::max));
    Pminud_xmm_xmmm128 VW => value(|d, s, _| map_u32(d, s, u32::min));
    Pmaxud_xmm_xmmm128 VW => value(|d, s, _| map_u32(d, s, u32::max));

    Pabsb_mm_mmm64 PQ, Pabsb_xmm_xmmm128 VW => value(|_, s, _| map1_i8(s, i8::wrapping_abs));
    Pabsw_mm_mmm64 PQ, Pabsw_xmm_xmmm128 VW => value(|_, s, _| map1_i16(s, i16::wrapping_abs));
    Pabsd_mm_mmm64 PQ, Pabsd_xmm_xmmm128 VW => value(|_, s, _| map1_i32(s, i32::wrapping_abs));
    Psignb_mm_mmm64 PQ, Psignb_xmm_xmmm128 VW => sign!(map_i8);
    Psignw_mm_mmm64 PQ, Psignw_xmm_xmmm128 VW => sign!(map_i16);
    Psignd_mm_mmm64 PQ, Psignd_xmm_xmmm128 VW => sign!(map_i32);
}
