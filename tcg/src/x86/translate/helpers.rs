//! Small semantics that are not worth an op of their own. Signature: [`crate::ir::Helper`].

use crate::{
    Bus, flags,
    flags::Flags,
    x86::{
        Cpu, Exception,
        state::{bits, gpr, seg},
    },
};

type Result = std::result::Result<u64, Exception>;

pub(super) fn set_carry(cpu: &mut Cpu, _: &mut dyn Bus, cf: u64, _: u64) -> Result {
    cpu.core.flags_mut().set_cf(cf != 0);
    Ok(0)
}

pub(super) fn complement_carry(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result {
    let flags = cpu.core.flags_mut();
    flags.set_cf(!flags.cf());
    Ok(0)
}

pub(super) fn set_direction(cpu: &mut Cpu, _: &mut dyn Bus, df: u64, _: u64) -> Result {
    cpu.sys.eflags = cpu.sys.eflags & !bits::DF | if df != 0 { bits::DF } else { 0 };
    Ok(0)
}

/// SF, ZF, AF, PF, CF in AH's places, with bit 1 set.
pub(super) fn lahf(cpu: &mut Cpu, _: &mut dyn Bus, _: u64, _: u64) -> Result {
    Ok(cpu.core.flags().to_eflags() & 0xd5 | 2)
}

pub(super) fn sahf(cpu: &mut Cpu, _: &mut dyn Bus, ah: u64, _: u64) -> Result {
    let keep = cpu.core.flags().to_eflags() & flags::OF;
    cpu.core.set_flags(Flags::from_eflags(keep | ah & 0xd5));
    Ok(0)
}

/// Byte displacement of a bit index: (index >> log2 bits) * (bits / 8), sign kept.
pub(super) fn bit_offset(_: &mut Cpu, _: &mut dyn Bus, index: u64, log2: u64) -> Result {
    Ok(((index as i64 >> log2) << (log2 - 3)) as u64)
}

/// All ones when negative, else zero.
pub(super) fn sign_mask(_: &mut Cpu, _: &mut dyn Bus, v: u64, _: u64) -> Result {
    Ok((v as i64 >> 63) as u64)
}

/// Selector of segment register `n`.
pub(super) fn selector(cpu: &mut Cpu, _: &mut dyn Bus, n: u64, _: u64) -> Result {
    Ok(u64::from(cpu.sys.segs[n as usize % 6].selector))
}

/// #GP(0) when `target` without the bits of `cut` lies beyond CS's limit.
pub(super) fn check_code(cpu: &mut Cpu, _: &mut dyn Bus, target: u64, cut: u64) -> Result {
    let target = target & !cut & 0xffff_ffff;
    if target > u64::from(cpu.sys.segs[seg::CS].limit) { Err(Exception::GP0) } else { Ok(0) }
}

/// As [`check_code`], only when `taken` is not zero.
pub(super) fn check_code_if(cpu: &mut Cpu, bus: &mut dyn Bus, taken: u64, target: u64) -> Result {
    if taken != 0 { check_code(cpu, bus, target, 0) } else { Ok(0) }
}

/// As [`check_code`], only when `counter` is zero in the bits that the upper half of `how` has; the target is below.
pub(super) fn check_code_unless(cpu: &mut Cpu, bus: &mut dyn Bus, counter: u64, how: u64) -> Result {
    if counter & how >> 32 == 0 { check_code(cpu, bus, how & 0xffff_ffff, 0) } else { Ok(0) }
}

pub(super) fn undefined(cpu: &mut Cpu, _: &mut dyn Bus, counted: u64, _: u64) -> Result {
    cpu.unknown.opcodes += counted;
    Err(Exception::InvalidOpcode)
}

macro_rules! unsigned_division {
    ($name:ident, $bits:expr, $half:ty) => {
        pub(super) fn $name(cpu: &mut Cpu, _: &mut dyn Bus, divisor: u64, _: u64) -> Result {
            let d = u128::from(divisor as $half);
            let n = dividend(cpu, $bits);
            if d == 0 || n / d > u128::from(<$half>::MAX) {
                return Err(Exception::DivideError);
            }
            set_quotient(cpu, $bits, (n / d) as u64, (n % d) as u64);
            Ok(0)
        }
    };
}

macro_rules! signed_division {
    ($name:ident, $bits:expr, $half:ty) => {
        pub(super) fn $name(cpu: &mut Cpu, _: &mut dyn Bus, divisor: u64, _: u64) -> Result {
            let d = i128::from(divisor as $half);
            let shift = 128 - 2 * $bits;
            let n = ((dividend(cpu, $bits) << shift) as i128) >> shift;
            if d == 0 {
                return Err(Exception::DivideError);
            }
            let (q, r) = (n.wrapping_div(d), n.wrapping_rem(d));
            if q < i128::from(<$half>::MIN) || q > i128::from(<$half>::MAX) {
                return Err(Exception::DivideError);
            }
            set_quotient(cpu, $bits, q as u64, r as u64);
            Ok(0)
        }
    };
}

/// AX, DX:AX, EDX:EAX or RDX:RAX.
fn dividend(cpu: &Cpu, bits: u32) -> u128 {
    let (a, d) = (cpu.reg(gpr::RAX), cpu.reg(gpr::RDX));
    match bits {
        8 => u128::from(a as u16),
        16 => u128::from(a as u16) | u128::from(d as u16) << 16,
        32 => u128::from(a as u32) | u128::from(d as u32) << 32,
        _ => u128::from(a) | u128::from(d) << 64,
    }
}

fn set_quotient(cpu: &mut Cpu, bits: u32, q: u64, r: u64) {
    let (a, d) = (cpu.reg(gpr::RAX), cpu.reg(gpr::RDX));
    match bits {
        8 => cpu.set_reg(gpr::RAX, a & !0xffff | q & 0xff | (r & 0xff) << 8),
        16 => {
            cpu.set_reg(gpr::RAX, a & !0xffff | q & 0xffff);
            cpu.set_reg(gpr::RDX, d & !0xffff | r & 0xffff);
        }
        32 => {
            cpu.set_reg(gpr::RAX, q & 0xffff_ffff);
            cpu.set_reg(gpr::RDX, r & 0xffff_ffff);
        }
        _ => {
            cpu.set_reg(gpr::RAX, q);
            cpu.set_reg(gpr::RDX, r);
        }
    }
}

unsigned_division!(div8, 8, u8);
unsigned_division!(div16, 16, u16);
unsigned_division!(div32, 32, u32);
signed_division!(idiv8, 8, i8);
signed_division!(idiv16, 16, i16);
signed_division!(idiv32, 32, i32);
signed_division!(idiv64, 64, i64);

/// Apart because the common case, a zero upper half, needs no 128-bit division.
pub(super) fn div64(cpu: &mut Cpu, _: &mut dyn Bus, d: u64, _: u64) -> Result {
    let (a, hi) = (cpu.reg(gpr::RAX), cpu.reg(gpr::RDX));
    if d == 0 || hi >= d {
        return Err(Exception::DivideError);
    }
    let (q, r) = if hi == 0 {
        (a / d, a % d)
    } else {
        let n = u128::from(a) | u128::from(hi) << 64;
        ((n / u128::from(d)) as u64, (n % u128::from(d)) as u64)
    };
    set_quotient(cpu, 64, q, r);
    Ok(0)
}

/// INT3; `next` is the address after it.
pub(super) fn int3(_: &mut Cpu, _: &mut dyn Bus, next: u64, _: u64) -> Result {
    Err(Exception::Breakpoint { next })
}

/// INTO; `next` is the address after it.
pub(super) fn into(cpu: &mut Cpu, _: &mut dyn Bus, next: u64, _: u64) -> Result {
    if cpu.core.flags().of() { Err(Exception::Overflow { next }) } else { Ok(0) }
}
