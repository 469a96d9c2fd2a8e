//! Blends: each lane from the source where its mask bit is set, else from the destination.

use super::lanes::{map1_i8, map1_i32, map1_i64};
use super::{Op, rows, value};

/// All bits of a lane where the lane's bit of the immediate is set; `bits` is the lane width.
fn lane_mask(imm: u8, bits: u32) -> u128 {
    let lane = !0 >> (128 - bits);
    (0..128 / bits).filter(|index| imm >> index & 1 != 0).fold(0, |mask, index| mask | lane << (index * bits))
}

fn blend(d: u128, s: u128, mask: u128) -> u128 {
    d & !mask | s & mask
}

rows! {
    Blendps_xmm_xmmm128_imm8 VW => value(|d, s, imm| blend(d, s, lane_mask(imm, 32)));
    Blendpd_xmm_xmmm128_imm8 VW => value(|d, s, imm| blend(d, s, lane_mask(imm, 64)));
    Pblendw_xmm_xmmm128_imm8 VW => value(|d, s, imm| blend(d, s, lane_mask(imm, 16)));
    Pblendvb_xmm_xmmm128 VW => Op::Blend(|d, s, mask| blend(d, s, map1_i8(mask, |m| m >> 7)));
    Blendvps_xmm_xmmm128 VW => Op::Blend(|d, s, mask| blend(d, s, map1_i32(mask, |m| m >> 31)));
    Blendvpd_xmm_xmmm128 VW => Op::Blend(|d, s, mask| blend(d, s, map1_i64(mask, |m| m >> 63)));
}
