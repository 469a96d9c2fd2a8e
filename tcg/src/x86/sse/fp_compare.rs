//! Floating-point comparison: CMPxx to masks, COMISx and UCOMISx to flags.

use super::float::{Element, packed, run, scalar};
use super::{CF, Mxcsr, Op, PF, SimdException, ZF, rows};
use crate::softfloat::{Env, F32, F64, Relation, compare};

/// Immediate bits 2:0: equal, less, less or equal, unordered, then their negations. The four that order their operands
/// signal quiet NaNs.
fn holds<F: Element>(d: F, s: F, predicate: u8, env: &mut Env) -> bool {
    let signal = matches!(predicate & 3, 1 | 2);
    let relation = compare(d, s, signal, env);
    let direct = match predicate & 3 {
        0 => relation == Relation::Equal,
        1 => relation == Relation::Less,
        2 => matches!(relation, Relation::Less | Relation::Equal),
        _ => relation == Relation::Unordered,
    };
    direct != (predicate & 4 != 0)
}

fn mask<F: Element>(set: bool) -> F {
    F::from_low(if set { u128::MAX } else { 0 })
}

/// Unordered sets ZF, PF, CF; less CF; equal ZF; greater nothing.
fn flags<F: Element>(d: u128, s: u128, signal: bool, mxcsr: &mut Mxcsr) -> Result<u32, SimdException> {
    let relation = run(mxcsr, |env| compare(F::from_low(d), F::from_low(s), signal, env))?;
    Ok(match relation {
        Relation::Unordered => ZF | PF | CF,
        Relation::Less => CF,
        Relation::Equal => ZF,
        Relation::Greater => 0,
    })
}

rows! {
    Cmpps_xmm_xmmm128_imm8 VW =>
        Op::Float(|d, s, imm, mxcsr| packed::<F32>(d, s, mxcsr, |d, s, env| mask(holds(d, s, imm, env))));
    Cmppd_xmm_xmmm128_imm8 VW =>
        Op::Float(|d, s, imm, mxcsr| packed::<F64>(d, s, mxcsr, |d, s, env| mask(holds(d, s, imm, env))));
    Cmpss_xmm_xmmm32_imm8 VW4 =>
        Op::Float(|d, s, imm, mxcsr| scalar::<F32>(d, s, mxcsr, |d, s, env| mask(holds(d, s, imm, env))));
    Cmpsd_xmm_xmmm64_imm8 VW8 =>
        Op::Float(|d, s, imm, mxcsr| scalar::<F64>(d, s, mxcsr, |d, s, env| mask(holds(d, s, imm, env))));
    Comiss_xmm_xmmm32 VW4 => Op::Compare(|d, s, mxcsr| flags::<F32>(d, s, true, mxcsr));
    Comisd_xmm_xmmm64 VW8 => Op::Compare(|d, s, mxcsr| flags::<F64>(d, s, true, mxcsr));
    Ucomiss_xmm_xmmm32 VW4 => Op::Compare(|d, s, mxcsr| flags::<F32>(d, s, false, mxcsr));
    Ucomisd_xmm_xmmm64 VW8 => Op::Compare(|d, s, mxcsr| flags::<F64>(d, s, false, mxcsr));
}
