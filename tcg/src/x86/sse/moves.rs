//! Moves between registers and memory that copy bits (SDM volume 2, MOVx, MASKMOVx, PMOVMSKB).

use super::lanes::{halves, high, low, u32x4, u64x2};
use super::{Op, Value, rows, value};

const COPY: Op = value(|_, s, _| s);
const COPY_LOW: Op = value(|_, s, _| low(s));
const MOVSS: Value = |d, s, _| d >> 32 << 32 | u128::from(s as u32);
const MOVSD: Value = |d, s, _| halves(s, high(d));
const LOAD: Value = |_, s, _| s;

/// Sign bit of each byte, bit i for byte i.
pub(super) fn byte_signs(s: u128) -> u16 {
    // Each factor bit moves one byte's sign to its place in the top byte; no two products meet.
    let gather = |half: u64| ((half & 0x8080_8080_8080_8080) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    (gather(s as u64) | gather(high(s) as u64) << 8) as u16
}

rows! {
    Movaps_xmm_xmmm128 VW, Movapd_xmm_xmmm128 VW, Movdqa_xmm_xmmm128 VW => COPY;
    Movaps_xmmm128_xmm WV, Movapd_xmmm128_xmm WV, Movdqa_xmmm128_xmm WV => COPY;
    Movups_xmm_xmmm128 VWU, Movupd_xmm_xmmm128 VWU, Movdqu_xmm_xmmm128 VWU => COPY;
    Movups_xmmm128_xmm WVU, Movupd_xmmm128_xmm WVU, Movdqu_xmmm128_xmm WVU => COPY;
    Lddqu_xmm_m128 VMU, Movntdqa_xmm_m128 VM => COPY;
    Movntps_m128_xmm MV, Movntpd_m128_xmm MV, Movntdq_m128_xmm MV, Movntq_m64_mm MP => COPY;
    Movnti_m32_r32 MG, Movnti_m64_r64 MGQ => COPY;

    // A register source leaves the rest of the destination, a memory source clears it.
    Movss_xmm_xmmm32 VW4 => Op::Split { reg: MOVSS, mem: LOAD };
    Movsd_xmm_xmmm64 VW8 => Op::Split { reg: MOVSD, mem: LOAD };
    Movss_xmmm32_xmm WV4 => value(MOVSS);
    Movsd_xmmm64_xmm WV8 => value(MOVSD);

    Movlps_xmm_m64 VM8, Movlpd_xmm_m64 VM8 => value(MOVSD);
    Movlps_m64_xmm MV8, Movlpd_m64_xmm MV8 => COPY_LOW;
    Movhps_xmm_m64 VM8, Movhpd_xmm_m64 VM8, Movlhps_xmm_xmm VU => value(|d, s, _| halves(d, s));
    Movhps_m64_xmm MV8, Movhpd_m64_xmm MV8 => value(|_, s, _| high(s));
    Movhlps_xmm_xmm VU => value(|d, s, _| halves(high(s), high(d)));

    Movd_mm_rm32 PE, Movq_mm_rm64 PEQ, Movd_rm32_mm EP, Movq_rm64_mm EQP => COPY;
    Movd_xmm_rm32 VE, Movq_xmm_rm64 VEQ => COPY;
    Movd_rm32_xmm EV => value(|_, s, _| u128::from(s as u32));
    Movq_rm64_xmm EQV => COPY_LOW;
    Movq_mm_mmm64 PQ, Movq_mmm64_mm QP => COPY;
    Movq_xmm_xmmm64 VW8, Movq_xmmm64_xmm WV8 => COPY_LOW;
    Movq2dq_xmm_mm VN, Movdq2q_mm_xmm PU => COPY_LOW;

    Movmskps_r32_xmm GV, Movmskps_r64_xmm GQV => value(|_, s, _| {
        u32x4(s).iter().enumerate().fold(0, |mask, (lane, x)| mask | u128::from(x >> 31) << lane)
    });
    Movmskpd_r32_xmm GV, Movmskpd_r64_xmm GQV => value(|_, s, _| {
        u64x2(s).iter().enumerate().fold(0, |mask, (lane, x)| mask | u128::from(x >> 63) << lane)
    });
    Pmovmskb_r32_mm GP, Pmovmskb_r64_mm GQP => value(|_, s, _| u128::from(byte_signs(s) & 0xFF));
    Pmovmskb_r32_xmm GV, Pmovmskb_r64_xmm GQV => value(|_, s, _| u128::from(byte_signs(s)));

    Maskmovq_rDI_mm_mm PN, Maskmovdqu_rDI_xmm_xmm VU => Op::MaskedStore;
}
