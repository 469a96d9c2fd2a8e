//! PMOVSXx and PMOVZXx: the low lanes of the source, widened.

use std::array;

use super::lanes::{
    from_i16x8, from_i32x4, from_i64x2, from_u16x8, from_u32x4, from_u64x2, i8x16, i16x8, i32x4, u8x16,
    u16x8, u32x4,
};
use super::{rows, value};

macro_rules! widen {
    ($split:ident, $join:ident) => {
        value(|_, s, _| {
            let s = $split(s);
            $join(array::from_fn(|lane| s[lane].into()))
        })
    };
}

rows! {
    Pmovsxbw_xmm_xmmm64 VW8 => widen!(i8x16, from_i16x8);
    Pmovsxbd_xmm_xmmm32 VW4 => widen!(i8x16, from_i32x4);
    Pmovsxbq_xmm_xmmm16 VW2 => widen!(i8x16, from_i64x2);
    Pmovsxwd_xmm_xmmm64 VW8 => widen!(i16x8, from_i32x4);
    Pmovsxwq_xmm_xmmm32 VW4 => widen!(i16x8, from_i64x2);
    Pmovsxdq_xmm_xmmm64 VW8 => widen!(i32x4, from_i64x2);
    Pmovzxbw_xmm_xmmm64 VW8 => widen!(u8x16, from_u16x8);
    Pmovzxbd_xmm_xmmm32 VW4 => widen!(u8x16, from_u32x4);
    Pmovzxbq_xmm_xmmm16 VW2 => widen!(u8x16, from_u64x2);
    Pmovzxwd_xmm_xmmm64 VW8 => widen!(u16x8, from_u32x4);
    Pmovzxwq_xmm_xmmm32 VW4 => widen!(u16x8, from_u64x2);
    Pmovzxdq_xmm_xmmm64 VW8 => widen!(u32x4, from_u64x2);
}
