//! `rrvmm_tcg::softfloat` in single and double precision against the host's own SSE unit: random and boundary operands,
//! every rounding direction, FTZ and DAZ, results and MXCSR flags bit for bit.
#![cfg(target_arch = "x86_64")]

use std::arch::asm;

use rrvmm_tcg::softfloat::{self as soft, Env, F32, F64, Float, Relation, Rounding};

/// splitmix64: seeded, so a failure repeats.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// A significand: random, or with long runs of equal bits, so that carries and ties are common.
    fn fraction(&mut self, bits: u32) -> u64 {
        let mask = (1 << bits) - 1;
        let run = 1u64 << self.below(u64::from(bits));
        mask & match self.below(6) {
            0 => 0,
            1 => mask,
            2 => run,
            3 => run.wrapping_neg(),
            4 => run.wrapping_sub(1) ^ (self.next() & 3),
            _ => self.next(),
        }
    }

    /// A value with `exp_bits` and `fraction_bits`, of any class, exponents near `near` half of the time.
    fn value(&mut self, exp_bits: u32, fraction_bits: u32, near: u64) -> u64 {
        let max = (1u64 << exp_bits) - 1;
        let exp = match self.below(8) {
            0 => 0,
            1 => max,
            2 => 1 + self.below(3),
            3 => max - 1 - self.below(3),
            4..=6 => (near + self.below(9)).saturating_sub(4).min(max),
            _ => self.next() & max,
        };
        let sign = self.next() & 1;
        (sign << exp_bits | exp) << fraction_bits | self.fraction(fraction_bits)
    }

    fn exponent(&mut self, exp_bits: u32) -> u64 {
        let max = (1u64 << exp_bits) - 1;
        match self.below(4) {
            0 => self.below(60),
            1 => max - self.below(60).min(max),
            _ => (max / 2 + self.below(130)).saturating_sub(65),
        }
    }

    fn f32(&mut self) -> u32 {
        let near = self.exponent(8);
        self.value(8, 23, near) as u32
    }

    fn f32_pair(&mut self) -> (u32, u32) {
        let near = self.exponent(8);
        let second = if self.below(2) == 0 { near } else { self.exponent(8) };
        (self.value(8, 23, near) as u32, self.value(8, 23, second) as u32)
    }

    fn f64(&mut self) -> u64 {
        let near = self.exponent(11);
        self.value(11, 52, near)
    }

    fn f64_pair(&mut self) -> (u64, u64) {
        let near = self.exponent(11);
        let second = if self.below(2) == 0 { near } else { self.exponent(11) };
        (self.value(11, 52, near), self.value(11, 52, second))
    }

    /// An MXCSR with every exception masked, any rounding, sometimes FTZ or DAZ.
    fn mxcsr(&mut self) -> u32 {
        let flush = [0, 0, 0, 0x40, 0x8000, 0x8040][self.below(6) as usize];
        0x1f80 | (self.below(4) as u32) << 13 | flush
    }
}

/// Runs one instruction with operands in xmm0 and xmm1 under `mxcsr`; gives xmm0, rax and the flags.
macro_rules! host {
    ($insn:literal, $a:expr, $b:expr, $mxcsr:expr) => {{
        let (a, b, mut csr, old): (u64, u64, u32, u32) = ($a as u64, $b as u64, $mxcsr, 0x1f80);
        let (out, int): (u64, u64);
        // SAFETY: touches only the named registers and `csr`; MXCSR is back at its default at the end.
        unsafe {
            asm!(
                "movq xmm0, {a}", "movq xmm1, {b}", "ldmxcsr [{csr}]", $insn, "stmxcsr [{csr}]", "ldmxcsr [{old}]",
                "movq {a}, xmm0",
                a = inout(reg) a => out, b = in(reg) b, csr = in(reg) &raw mut csr, old = in(reg) &raw const old,
                inout("rax") b => int, out("xmm0") _, out("xmm1") _,
            );
        }
        (out, int, (csr & 63) as u8)
    }};
}

const CASES: u32 = 200_000;

#[track_caller]
fn check(what: &str, a: u64, b: u64, mxcsr: u32, ours: (u64, u8), host: (u64, u8)) {
    assert!(
        ours == host,
        "{what} a={a:#x} b={b:#x} mxcsr={mxcsr:#x}: result {:#x}, host {:#x}; flags {:#x}, host {:#x}",
        ours.0,
        host.0,
        ours.1,
        host.1
    );
}

macro_rules! binary {
    ($name:ident, $op:path, $single:literal, $double:literal) => {
        #[test]
        fn $name() {
            let mut random = Random(1);
            for _ in 0..CASES {
                let csr = random.mxcsr();
                let (a, b) = random.f32_pair();
                let mut env = Env::from_mxcsr(csr);
                let ours = $op(F32(a), F32(b), &mut env).0;
                let (out, _, flags) = host!($single, a, b, csr);
                check(
                    $single,
                    a.into(),
                    b.into(),
                    csr,
                    (ours.into(), env.flags.bits()),
                    (out as u32 as u64, flags),
                );
                let (a, b) = random.f64_pair();
                let mut env = Env::from_mxcsr(csr);
                let ours = $op(F64(a), F64(b), &mut env).0;
                let (out, _, flags) = host!($double, a, b, csr);
                check($double, a, b, csr, (ours, env.flags.bits()), (out, flags));
            }
        }
    };
}

binary!(add_equals_the_hosts, soft::add, "addss xmm0, xmm1", "addsd xmm0, xmm1");
binary!(sub_equals_the_hosts, soft::sub, "subss xmm0, xmm1", "subsd xmm0, xmm1");
binary!(mul_equals_the_hosts, soft::mul, "mulss xmm0, xmm1", "mulsd xmm0, xmm1");
binary!(div_equals_the_hosts, soft::div, "divss xmm0, xmm1", "divsd xmm0, xmm1");

#[test]
fn sqrt_equals_the_hosts() {
    let mut random = Random(2);
    for _ in 0..CASES {
        let (a, csr) = (random.f32(), random.mxcsr());
        let mut env = Env::from_mxcsr(csr);
        let ours = soft::sqrt(F32(a), &mut env).0;
        let (out, _, flags) = host!("sqrtss xmm0, xmm0", a, 0, csr);
        check("sqrtss", a.into(), 0, csr, (ours.into(), env.flags.bits()), (out as u32 as u64, flags));
        let a = random.f64();
        let mut env = Env::from_mxcsr(csr);
        let ours = soft::sqrt(F64(a), &mut env).0;
        let (out, _, flags) = host!("sqrtsd xmm0, xmm0", a, 0, csr);
        check("sqrtsd", a, 0, csr, (ours, env.flags.bits()), (out, flags));
    }
}

#[test]
fn conversions_between_formats_equal_the_hosts() {
    let mut random = Random(3);
    for _ in 0..CASES {
        let (a, csr) = (random.f32(), random.mxcsr());
        let mut env = Env::from_mxcsr(csr);
        let ours: F64 = soft::convert(F32(a), &mut env);
        let (out, _, flags) = host!("cvtss2sd xmm0, xmm0", a, 0, csr);
        check("cvtss2sd", a.into(), 0, csr, (ours.0, env.flags.bits()), (out, flags));
        let a = match random.below(2) {
            0 => random.f64(),
            // Around the range of single precision, where results overflow, underflow and flush.
            _ => {
                let near = [1023 - 149, 1023 - 126, 1023, 1023 + 127][random.below(4) as usize];
                random.value(11, 52, near)
            }
        };
        let mut env = Env::from_mxcsr(csr);
        let ours: F32 = soft::convert(F64(a), &mut env);
        let (out, _, flags) = host!("cvtsd2ss xmm0, xmm0", a, 0, csr);
        check("cvtsd2ss", a, 0, csr, (ours.0.into(), env.flags.bits()), (out as u32 as u64, flags));
    }
}

fn to_int<F: Float>(a: F, bits: u32, truncate: bool, csr: u32) -> (u64, u8) {
    let mut env = Env::from_mxcsr(csr);
    let rounding = if truncate { Rounding::Zero } else { env.rounding };
    let value = soft::to_int(a, bits, rounding, &mut env) as u64;
    (if bits == 32 { value as u32 as u64 } else { value }, env.flags.bits())
}

#[test]
fn conversions_to_integers_equal_the_hosts() {
    let mut random = Random(4);
    for _ in 0..CASES {
        let csr = random.mxcsr();
        let near = 127 + random.below(68);
        let a = random.value(8, 23, near) as u32;
        macro_rules! case {
            ($insn:literal, $value:expr, $bits:literal, $truncate:literal) => {
                let (_, int, flags) = host!($insn, $value.0, 0, csr);
                let ours = to_int($value, $bits, $truncate, csr);
                check($insn, $value.0.into(), 0, csr, ours, (int, flags));
            };
        }
        case!("cvtss2si eax, xmm0", F32(a), 32, false);
        case!("cvtss2si rax, xmm0", F32(a), 64, false);
        case!("cvttss2si eax, xmm0", F32(a), 32, true);
        case!("cvttss2si rax, xmm0", F32(a), 64, true);
        let near = 1023 + random.below(68);
        let a = random.value(11, 52, near);
        case!("cvtsd2si eax, xmm0", F64(a), 32, false);
        case!("cvtsd2si rax, xmm0", F64(a), 64, false);
        case!("cvttsd2si eax, xmm0", F64(a), 32, true);
        case!("cvttsd2si rax, xmm0", F64(a), 64, true);
    }
}

#[test]
fn conversions_from_integers_equal_the_hosts() {
    let mut random = Random(5);
    for _ in 0..CASES {
        let (csr, shift) = (random.mxcsr(), random.below(64));
        let value = random.fraction(63) << 1 | random.next() & 1;
        let value = (value as i64 >> shift) as u64;
        macro_rules! case {
            ($insn:literal, $format:ident, $from:path, $int:ty) => {
                let mut env = Env::from_mxcsr(csr);
                let ours: $format = $from(value as $int, &mut env);
                let (out, _, flags) = host!($insn, 0, value, csr);
                check($insn, value, 0, csr, (ours.0.into(), env.flags.bits()), (out, flags));
            };
        }
        case!("cvtsi2ss xmm0, eax", F32, soft::from_i32, i32);
        case!("cvtsi2sd xmm0, eax", F64, soft::from_i32, i32);
        case!("cvtsi2ss xmm0, rax", F32, soft::from_i64, i64);
        case!("cvtsi2sd xmm0, rax", F64, soft::from_i64, i64);
    }
}

#[test]
fn rounding_to_integral_equals_the_hosts() {
    let mut random = Random(6);
    for _ in 0..CASES {
        let csr = random.mxcsr();
        macro_rules! case {
            ($insn:literal, $value:expr, $mask:expr, $rounding:expr, $quiet:literal) => {
                let mut env = Env::from_mxcsr(csr);
                let rounding = $rounding.unwrap_or(env.rounding);
                let ours = soft::round_to_integral($value, rounding, $quiet, &mut env);
                let (out, _, flags) = host!($insn, $value.0, 0, csr);
                check(
                    $insn,
                    $value.0.into(),
                    0,
                    csr,
                    (ours.0.into(), env.flags.bits()),
                    (out & $mask, flags),
                );
            };
        }
        let near = 120 + random.below(40);
        let a = F32(random.value(8, 23, near) as u32);
        let single = u64::from(u32::MAX);
        case!("roundss xmm0, xmm0, 4", a, single, None, false);
        case!("roundss xmm0, xmm0, 12", a, single, None, true);
        case!("roundss xmm0, xmm0, 1", a, single, Some(Rounding::Down), false);
        let near = 1016 + random.below(70);
        let a = F64(random.value(11, 52, near));
        case!("roundsd xmm0, xmm0, 4", a, u64::MAX, None, false);
        case!("roundsd xmm0, xmm0, 3", a, u64::MAX, Some(Rounding::Zero), false);
        case!("roundsd xmm0, xmm0, 10", a, u64::MAX, Some(Rounding::Up), true);
    }
}

#[test]
fn comparisons_equal_the_hosts() {
    /// ZF, PF, CF as COMISS leaves them, in the positions LAHF gives them in AH.
    fn flags(relation: Relation) -> u64 {
        match relation {
            Relation::Greater => 0,
            Relation::Less => 0x01,
            Relation::Equal => 0x40,
            Relation::Unordered => 0x45,
        }
    }
    let mut random = Random(7);
    for _ in 0..CASES {
        let csr = random.mxcsr();
        macro_rules! case {
            ($insn:literal, $a:expr, $b:expr, $signal:literal) => {
                let mut env = Env::from_mxcsr(csr);
                let ours = flags(soft::compare($a, $b, $signal, &mut env));
                let (_, int, raised) = host!($insn, $a.0, $b.0, csr);
                check(
                    $insn,
                    $a.0.into(),
                    $b.0.into(),
                    csr,
                    (ours, env.flags.bits()),
                    (int >> 8 & 0x45, raised),
                );
            };
        }
        let (a, mut b) = random.f32_pair();
        if random.below(8) == 0 {
            b = a;
        }
        case!("comiss xmm0, xmm1\n lahf", F32(a), F32(b), true);
        case!("ucomiss xmm0, xmm1\n lahf", F32(a), F32(b), false);
        let (a, mut b) = random.f64_pair();
        if random.below(8) == 0 {
            b = a ^ (random.next() & 1) << 63;
        }
        case!("comisd xmm0, xmm1\n lahf", F64(a), F64(b), true);
        case!("ucomisd xmm0, xmm1\n lahf", F64(a), F64(b), false);
    }
}
