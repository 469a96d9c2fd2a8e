//! Floating-point addition, subtraction, multiplication, division, square root, minimum and maximum.

use super::float::{Element, packed, scalar};
use super::{Mxcsr, Op, SimdException, rows};
use crate::softfloat::{Class, Env, F32, F64, Float, Relation, add, compare, div, mul, sqrt, sub};

/// The source unless the destination is less: so the source for NaNs and for two zeros.
fn min<F: Float>(d: F, s: F, env: &mut Env) -> F {
    pick(d, s, Relation::Less, env)
}

/// The source unless the destination is greater.
fn max<F: Float>(d: F, s: F, env: &mut Env) -> F {
    pick(d, s, Relation::Greater, env)
}

fn pick<F: Float>(d: F, s: F, wanted: Relation, env: &mut Env) -> F {
    let (d, s) = (flush(d, env), flush(s, env));
    if compare(d, s, true, env) == wanted { d } else { s }
}

/// Under DAZ the operand that is handed on is the zero that was compared.
fn flush<F: Float>(x: F, env: &Env) -> F {
    let parts = x.parts();
    if env.daz && parts.class == Class::Denormal { F::zero(parts.sign) } else { x }
}

fn root<F: Float>(_: F, s: F, env: &mut Env) -> F {
    sqrt(s, env)
}

/// Adds even elements of two registers to their odd neighbours by `f`: the destination's pairs, then the source's.
fn horizontal<F: Element>(
    d: u128,
    s: u128,
    mxcsr: &mut Mxcsr,
    f: impl Fn(F, F, &mut Env) -> F,
) -> Result<u128, SimdException> {
    let gather = |odd: u32| {
        (0..F::COUNT).fold(0, |value, lane| {
            let from = if lane < F::COUNT / 2 { d } else { s };
            value | F::of(from, lane % (F::COUNT / 2) * 2 + odd).at(lane)
        })
    };
    packed(gather(0), gather(1), mxcsr, f)
}

/// ADDSUBPx: the even elements subtract, the odd ones add.
fn add_sub<F: Element>(d: u128, s: u128, mxcsr: &mut Mxcsr) -> Result<u128, SimdException> {
    super::float::run(mxcsr, |env| {
        (0..F::COUNT).fold(0, |value, lane| {
            let f = if lane % 2 == 0 { sub } else { add };
            value | f(F::of(d, lane), F::of(s, lane), env).at(lane)
        })
    })
}

macro_rules! ps {
    ($f:path) => {
        Op::Float(|d, s, _, mxcsr| packed::<F32>(d, s, mxcsr, $f))
    };
}
macro_rules! pd {
    ($f:path) => {
        Op::Float(|d, s, _, mxcsr| packed::<F64>(d, s, mxcsr, $f))
    };
}
macro_rules! ss {
    ($f:path) => {
        Op::Float(|d, s, _, mxcsr| scalar::<F32>(d, s, mxcsr, $f))
    };
}
macro_rules! sd {
    ($f:path) => {
        Op::Float(|d, s, _, mxcsr| scalar::<F64>(d, s, mxcsr, $f))
    };
}

rows! {
    Addps_xmm_xmmm128 VW => ps!(add);
    Addpd_xmm_xmmm128 VW => pd!(add);
    Addss_xmm_xmmm32 VW4 => ss!(add);
    Addsd_xmm_xmmm64 VW8 => sd!(add);
    Subps_xmm_xmmm128 VW => ps!(sub);
    Subpd_xmm_xmmm128 VW => pd!(sub);
    Subss_xmm_xmmm32 VW4 => ss!(sub);
    Subsd_xmm_xmmm64 VW8 => sd!(sub);
    Mulps_xmm_xmmm128 VW => ps!(mul);
    Mulpd_xmm_xmmm128 VW => pd!(mul);
    Mulss_xmm_xmmm32 VW4 => ss!(mul);
    Mulsd_xmm_xmmm64 VW8 => sd!(mul);
    Divps_xmm_xmmm128 VW => ps!(div);
    Divpd_xmm_xmmm128 VW => pd!(div);
    Divss_xmm_xmmm32 VW4 => ss!(div);
    Divsd_xmm_xmmm64 VW8 => sd!(div);
    Sqrtps_xmm_xmmm128 VW => ps!(root);
    Sqrtpd_xmm_xmmm128 VW => pd!(root);
    Sqrtss_xmm_xmmm32 VW4 => ss!(root);
    Sqrtsd_xmm_xmmm64 VW8 => sd!(root);
    Minps_xmm_xmmm128 VW => ps!(min);
    Minpd_xmm_xmmm128 VW => pd!(min);
    Minss_xmm_xmmm32 VW4 => ss!(min);
    Minsd_xmm_xmmm64 VW8 => sd!(min);
    Maxps_xmm_xmmm128 VW => ps!(max);
    Maxpd_xmm_xmmm128 VW => pd!(max);
    Maxss_xmm_xmmm32 VW4 => ss!(max);
    Maxsd_xmm_xmmm64 VW8 => sd!(max);
    Addsubps_xmm_xmmm128 VW => Op::Float(|d, s, _, mxcsr| add_sub::<F32>(d, s, mxcsr));
    Addsubpd_xmm_xmmm128 VW => Op::Float(|d, s, _, mxcsr| add_sub::<F64>(d, s, mxcsr));
    Haddps_xmm_xmmm128 VW => Op::Float(|d, s, _, mxcsr| horizontal::<F32>(d, s, mxcsr, add));
    Haddpd_xmm_xmmm128 VW => Op::Float(|d, s, _, mxcsr| horizontal::<F64>(d, s, mxcsr, add));
    Hsubps_xmm_xmmm128 VW => Op::Float(|d, s, _, mxcsr| horizontal::<F32>(d, s, mxcsr, sub));
    Hsubpd_xmm_xmmm128 VW => Op::Float(|d, s, _, mxcsr| horizontal::<F64>(d, s, mxcsr, sub));
}
