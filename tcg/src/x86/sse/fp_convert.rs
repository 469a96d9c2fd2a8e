//! Conversions between integers and floating point, between the two formats, and to integral values (ROUNDxx).

use super::float::{Element, packed, run, scalar};
use super::lanes::{halves, high, i32x4};
use super::{Mxcsr, Op, SimdException, rows};
use crate::softfloat::{Env, F32, F64, Rounding, convert, from_i32, from_i64, round_to_integral, to_int};

/// `count` integers of the source as floats in the low elements; the rest is zero.
fn from_ints<F: Element>(s: u128, count: u32, env: &mut Env) -> u128 {
    let ints = i32x4(s);
    (0..count).fold(0, |value, lane| value | from_i32::<F>(ints[lane as usize], env).at(lane))
}

/// `count` floats of the source as 32-bit integers in the low elements; the rest is zero.
fn to_ints<F: Element>(s: u128, count: u32, truncate: bool, env: &mut Env) -> u128 {
    (0..count).fold(0, |value, lane| value | to_bits(F::of(s, lane), 32, truncate, env) << (32 * lane))
}

/// One float as an integer of `bits` bits, zero-extended.
fn to_bits<F: Element>(s: F, bits: u32, truncate: bool, env: &mut Env) -> u128 {
    let rounding = if truncate { Rounding::Zero } else { env.rounding };
    let value = to_int(s, bits, rounding, env) as u128;
    value & (!0 >> (128 - bits))
}

/// The low `count` floats of the source in format `G`; the rest is zero.
fn reformat<F: Element, G: Element>(s: u128, count: u32, env: &mut Env) -> u128 {
    (0..count).fold(0, |value, lane| value | convert::<F, G>(F::of(s, lane), env).at(lane))
}

/// CVTxx2SI and CVTTxx2SI.
fn to_general<F: Element>(
    s: u128,
    bits: u32,
    truncate: bool,
    mxcsr: &mut Mxcsr,
) -> Result<u128, SimdException> {
    run(mxcsr, |env| to_bits(F::from_low(s), bits, truncate, env))
}

/// CVTSI2xx.
fn from_general<F: Element>(d: u128, int: i64, mxcsr: &mut Mxcsr) -> Result<u128, SimdException> {
    run(mxcsr, |env| from_i64::<F>(int, env).into_low(d))
}

/// ROUNDxx: immediate bit 2 takes MXCSR's rounding instead of bits 1:0, bit 3 keeps PE quiet.
fn round<F: Element>(s: F, imm: u8, env: &mut Env) -> F {
    let rounding = if imm & 4 != 0 { env.rounding } else { Rounding::from_rc(imm) };
    round_to_integral(s, rounding, imm & 8 != 0, env)
}

macro_rules! float {
    (|$d:pat_param, $s:ident, $env:ident| $body:expr) => {
        Op::Float(|$d, $s, _, mxcsr| run(mxcsr, |$env| $body))
    };
}

rows! {
    Cvtpi2ps_xmm_mmm64 VQ => float!(|d, s, env| halves(from_ints::<F32>(s, 2, env), high(d)));
    Cvtpi2pd_xmm_mmm64 VQ => float!(|_, s, env| from_ints::<F64>(s, 2, env));
    Cvtdq2ps_xmm_xmmm128 VW => float!(|_, s, env| from_ints::<F32>(s, 4, env));
    Cvtdq2pd_xmm_xmmm64 VW8 => float!(|_, s, env| from_ints::<F64>(s, 2, env));

    Cvtps2pi_mm_xmmm64 PW8 => float!(|_, s, env| to_ints::<F32>(s, 2, false, env));
    Cvttps2pi_mm_xmmm64 PW8 => float!(|_, s, env| to_ints::<F32>(s, 2, true, env));
    Cvtpd2pi_mm_xmmm128 PW => float!(|_, s, env| to_ints::<F64>(s, 2, false, env));
    Cvttpd2pi_mm_xmmm128 PW => float!(|_, s, env| to_ints::<F64>(s, 2, true, env));
    Cvtps2dq_xmm_xmmm128 VW => float!(|_, s, env| to_ints::<F32>(s, 4, false, env));
    Cvttps2dq_xmm_xmmm128 VW => float!(|_, s, env| to_ints::<F32>(s, 4, true, env));
    Cvtpd2dq_xmm_xmmm128 VW => float!(|_, s, env| to_ints::<F64>(s, 2, false, env));
    Cvttpd2dq_xmm_xmmm128 VW => float!(|_, s, env| to_ints::<F64>(s, 2, true, env));

    Cvtsi2ss_xmm_rm32 VE => Op::Float(|d, s, _, mxcsr| from_general::<F32>(d, (s as i32).into(), mxcsr));
    Cvtsi2ss_xmm_rm64 VEQ => Op::Float(|d, s, _, mxcsr| from_general::<F32>(d, s as i64, mxcsr));
    Cvtsi2sd_xmm_rm32 VE => Op::Float(|d, s, _, mxcsr| from_general::<F64>(d, (s as i32).into(), mxcsr));
    Cvtsi2sd_xmm_rm64 VEQ => Op::Float(|d, s, _, mxcsr| from_general::<F64>(d, s as i64, mxcsr));
    Cvtss2si_r32_xmmm32 GW4 => Op::Float(|_, s, _, mxcsr| to_general::<F32>(s, 32, false, mxcsr));
    Cvtss2si_r64_xmmm32 GQW4 => Op::Float(|_, s, _, mxcsr| to_general::<F32>(s, 64, false, mxcsr));
    Cvtsd2si_r32_xmmm64 GW8 => Op::Float(|_, s, _, mxcsr| to_general::<F64>(s, 32, false, mxcsr));
    Cvtsd2si_r64_xmmm64 GQW8 => Op::Float(|_, s, _, mxcsr| to_general::<F64>(s, 64, false, mxcsr));
    Cvttss2si_r32_xmmm32 GW4 => Op::Float(|_, s, _, mxcsr| to_general::<F32>(s, 32, true, mxcsr));
    Cvttss2si_r64_xmmm32 GQW4 => Op::Float(|_, s, _, mxcsr| to_general::<F32>(s, 64, true, mxcsr));
    Cvttsd2si_r32_xmmm64 GW8 => Op::Float(|_, s, _, mxcsr| to_general::<F64>(s, 32, true, mxcsr));
    Cvttsd2si_r64_xmmm64 GQW8 => Op::Float(|_, s, _, mxcsr| to_general::<F64>(s, 64, true, mxcsr));

    Cvtps2pd_xmm_xmmm64 VW8 => float!(|_, s, env| reformat::<F32, F64>(s, 2, env));
    Cvtpd2ps_xmm_xmmm128 VW => float!(|_, s, env| reformat::<F64, F32>(s, 2, env));
    Cvtss2sd_xmm_xmmm32 VW4 => float!(|d, s, env| convert::<F32, F64>(F32::from_low(s), env).into_low(d));
    Cvtsd2ss_xmm_xmmm64 VW8 => float!(|d, s, env| convert::<F64, F32>(F64::from_low(s), env).into_low(d));

    Roundps_xmm_xmmm128_imm8 VW =>
        Op::Float(|d, s, imm, mxcsr| packed::<F32>(d, s, mxcsr, |_, s, env| round(s, imm, env)));
    Roundpd_xmm_xmmm128_imm8 VW =>
        Op::Float(|d, s, imm, mxcsr| packed::<F64>(d, s, mxcsr, |_, s, env| round(s, imm, env)));
    Roundss_xmm_xmmm32_imm8 VW4 =>
        Op::Float(|d, s, imm, mxcsr| scalar::<F32>(d, s, mxcsr, |_, s, env| round(s, imm, env)));
    Roundsd_xmm_xmmm64_imm8 VW8 =>
        Op::Float(|d, s, imm, mxcsr| scalar::<F64>(d, s, mxcsr, |_, s, env| round(s, imm, env)));
}
