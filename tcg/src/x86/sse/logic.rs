//! Bitwise logic and PTEST.

use super::{CF, Op, ZF, rows, value};

rows! {
    Pand_mm_mmm64 PQ, Pand_xmm_xmmm128 VW, Andps_xmm_xmmm128 VW, Andpd_xmm_xmmm128 VW => value(|d, s, _| d & s);
    Pandn_mm_mmm64 PQ, Pandn_xmm_xmmm128 VW, Andnps_xmm_xmmm128 VW, Andnpd_xmm_xmmm128 VW => value(|d, s, _| !d & s);
    Por_mm_mmm64 PQ, Por_xmm_xmmm128 VW, Orps_xmm_xmmm128 VW, Orpd_xmm_xmmm128 VW => value(|d, s, _| d | s);
    Pxor_mm_mmm64 PQ, Pxor_xmm_xmmm128 VW, Xorps_xmm_xmmm128 VW, Xorpd_xmm_xmmm128 VW => value(|d, s, _| d ^ s);
    Ptest_xmm_xmmm128 VW => Op::Test(|d, s| {
        let zero = if d & s == 0 { ZF } else { 0 };
        let carry = if !d & s == 0 { CF } else { 0 };
        zero | carry
    });
}
