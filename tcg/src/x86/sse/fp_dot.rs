//! DPPS and DPPD: dot products whose terms and places are chosen by the immediate.

use super::float::{Element, run};
use super::{Mxcsr, Op, SimdException, rows};
use crate::softfloat::{Env, F32, F64, add, mul};

/// Product of lane `lane` where immediate bit 4 + `lane` is set, else +0.
fn term<F: Element>(d: u128, s: u128, imm: u8, lane: u32, env: &mut Env) -> F {
    if imm >> (4 + lane) & 1 == 0 {
        return F::zero(false);
    }
    mul(F::of(d, lane), F::of(s, lane), env)
}

/// `sum` in each lane whose immediate bit is set, zero in the others.
fn spread<F: Element>(sum: F, imm: u8) -> u128 {
    (0..F::COUNT).filter(|lane| imm >> lane & 1 != 0).fold(0, |value, lane| value | sum.at(lane))
}

fn dpps(d: u128, s: u128, imm: u8, mxcsr: &mut Mxcsr) -> Result<u128, SimdException> {
    let products = run(mxcsr, |env| std::array::from_fn(|lane| term::<F32>(d, s, imm, lane as u32, env)))?;
    let [p0, p1, p2, p3]: [F32; 4] = products;
    let [low, high] = run(mxcsr, |env| [add(p0, p1, env), add(p2, p3, env)])?;
    run(mxcsr, |env| spread(add(low, high, env), imm))
}

fn dppd(d: u128, s: u128, imm: u8, mxcsr: &mut Mxcsr) -> Result<u128, SimdException> {
    let [p0, p1] = run(mxcsr, |env| [0, 1].map(|lane| term::<F64>(d, s, imm, lane, env)))?;
    run(mxcsr, |env| spread(add(p0, p1, env), imm))
}

rows! {
    Dpps_xmm_xmmm128_imm8 VW => Op::Float(dpps);
    Dppd_xmm_xmmm128_imm8 VW => Op::Float(dppd);
}
