//! RCPxx and RSQRTxx. Processors approximate them, each model differently, within 1.5 * 2^-12 of the result; ours are
//! exact to about half a unit in the last place, so that they are the same on every host (docs/determinism.md).
//!
//! MXCSR neither matters nor changes. Denormals count as zeros of their sign, tiny results become such zeros.

use super::float::Element;
use super::{rows, value};
use crate::softfloat::{Env, F32, F64, convert, div, sqrt};

const ONE: F64 = F64(0x3FF0_0000_0000_0000);

/// All masked, round to nearest, FTZ, DAZ.
const CONTROL: u32 = 0x9FC0;

fn reciprocal(x: F32) -> F32 {
    let mut env = Env::from_mxcsr(CONTROL);
    let x = convert(x, &mut env);
    let quotient = div(ONE, x, &mut env);
    convert(quotient, &mut env)
}

fn reciprocal_root(x: F32) -> F32 {
    let mut env = Env::from_mxcsr(CONTROL);
    let x = convert(x, &mut env);
    let root: F64 = sqrt(x, &mut env);
    let quotient = div(ONE, root, &mut env);
    convert(quotient, &mut env)
}

fn each(s: u128, f: impl Fn(F32) -> F32) -> u128 {
    (0..4).fold(0, |value, lane| value | f(F32::of(s, lane)).at(lane))
}

rows! {
    Rcpps_xmm_xmmm128 VW => value(|_, s, _| each(s, reciprocal));
    Rcpss_xmm_xmmm32 VW4 => value(|d, s, _| reciprocal(F32::from_low(s)).into_low(d));
    Rsqrtps_xmm_xmmm128 VW => value(|_, s, _| each(s, reciprocal_root));
    Rsqrtss_xmm_xmmm32 VW4 => value(|d, s, _| reciprocal_root(F32::from_low(s)).into_low(d));
}
