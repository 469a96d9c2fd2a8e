//! Insertion and extraction of one lane.

use super::lanes::u32x4;
use super::{Op, Value, rows, value};

/// `d` with lane `lane` of `bits` bits replaced by the low bits of `s`.
fn insert(d: u128, s: u128, lane: u8, bits: u32) -> u128 {
    let mask: u128 = !0 >> (128 - bits) << (u32::from(lane) * bits);
    d & !mask | s << (u32::from(lane) * bits) & mask
}

fn extract(s: u128, lane: u8, bits: u32) -> u128 {
    s >> (u32::from(lane) * bits) & (!0 >> (128 - bits))
}

/// Immediate: bits 7:6 source lane (register sources only), 5:4 destination lane, 3:0 lanes to clear afterwards.
fn insertps(d: u128, element: u32, imm: u8) -> u128 {
    let inserted = insert(d, element.into(), imm >> 4 & 3, 32);
    (0..4).filter(|lane| imm >> lane & 1 != 0).fold(inserted, |value, lane| insert(value, 0, lane, 32))
}

const PINSRW: Value = |d, s, imm| insert(d, s, imm & 7, 16);
const PEXTRW: Value = |_, s, imm| extract(s, imm & 7, 16);

rows! {
    Pinsrb_xmm_r32m8_imm8 VE1, Pinsrb_xmm_r64m8_imm8 VEQ1 => value(|d, s, imm| insert(d, s, imm & 15, 8));
    Pinsrw_xmm_r32m16_imm8 VE2, Pinsrw_xmm_r64m16_imm8 VEQ2 => value(PINSRW);
    Pinsrw_mm_r32m16_imm8 PE2, Pinsrw_mm_r64m16_imm8 PEQ2 => value(|d, s, imm| insert(d, s, imm & 3, 16));
    Pinsrd_xmm_rm32_imm8 VE => value(|d, s, imm| insert(d, s, imm & 3, 32));
    Pinsrq_xmm_rm64_imm8 VEQ => value(|d, s, imm| insert(d, s, imm & 1, 64));
    Insertps_xmm_xmmm32_imm8 VW4 => Op::Split {
        reg: |d, s, imm| insertps(d, u32x4(s)[usize::from(imm >> 6)], imm),
        mem: |d, s, imm| insertps(d, s as u32, imm),
    };

    Pextrb_r32m8_xmm_imm8 EV1, Pextrb_r64m8_xmm_imm8 EQV1 => value(|_, s, imm| extract(s, imm & 15, 8));
    Pextrw_r32m16_xmm_imm8 EV2, Pextrw_r64m16_xmm_imm8 EQV2 => value(PEXTRW);
    Pextrw_r32_xmm_imm8 GV, Pextrw_r64_xmm_imm8 GQV => value(PEXTRW);
    Pextrw_r32_mm_imm8 GP, Pextrw_r64_mm_imm8 GQP => value(|_, s, imm| extract(s, imm & 3, 16));
    Pextrd_rm32_xmm_imm8 EV, Extractps_rm32_xmm_imm8 EV, Extractps_r64m32_xmm_imm8 EQV4 =>
        value(|_, s, imm| extract(s, imm & 3, 32));
    Pextrq_rm64_xmm_imm8 EQV => value(|_, s, imm| extract(s, imm & 1, 64));
}
