//! The reference back end: threaded code, one function a kind of op, each calling the next.
//!
//! In an optimised build the calls are jumps; in any build the depth is bounded by the length of a block.

mod alu;
mod flow;
mod memory;
mod select;
mod shift;

use crate::{
    Bus,
    block::{Block, Exit},
    core::Core,
    guest::Guest,
    ir::{FILE, Helper},
};

/// Executes `op` and everything after it.
type Run<G> = fn(&mut G, &mut dyn Bus, &Thread<G>, &[Thread<G>]) -> Exit;

/// One op with its operands unpacked and its function chosen.
pub struct Thread<G: Guest> {
    run: Run<G>,
    dst: u8,
    a: u8,
    b: u8,
    c: u8,
    scale: u8,
    insn: u8,
    imm: u64,
    imm2: u64,
    helper: Option<Helper<G>>,
}

/// A block as threaded code.
pub struct Code<G: Guest> {
    threads: Box<[Thread<G>]>,
    bounds: Box<[u32]>,
}

/// The interpreter.
#[derive(Debug, Default)]
pub struct Interp;

impl<G: Guest> Code<G> {
    /// Chooses the functions for a block's ops.
    pub(crate) fn compile(block: &Block<G>) -> Self {
        let mut threads = Vec::with_capacity(block.ops.len() + 2);
        let mut bounds = Vec::with_capacity(block.insns.len() + 1);
        for (i, insn) in block.insns.iter().enumerate() {
            bounds.push(threads.len() as u32);
            let end = block.insns.get(i + 1).map_or(block.ops.len(), |n| n.op as usize);
            for op in &block.ops[insn.op as usize..end] {
                select::select(op, i as u8, &mut threads);
            }
        }
        bounds.push(threads.len() as u32);
        Self { threads: threads.into_boxed_slice(), bounds: bounds.into_boxed_slice() }
    }

    /// Start of every instruction, and one past the last op.
    pub(crate) fn bounds(&self) -> &[u32] {
        &self.bounds
    }

    /// Runs ops `from..to`.
    #[inline]
    pub(crate) fn run(&self, from: usize, to: usize, guest: &mut G, bus: &mut dyn Bus) -> Exit {
        next(guest, bus, &self.threads[from..to])
    }

    /// Runs all ops.
    #[inline]
    pub(crate) fn run_whole(&self, guest: &mut G, bus: &mut dyn Bus) -> Exit {
        next(guest, bus, &self.threads)
    }
}

/// Continues with the next op.
#[inline(always)]
fn next<G: Guest>(g: &mut G, bus: &mut dyn Bus, rest: &[Thread<G>]) -> Exit {
    match rest {
        [op, rest @ ..] => (op.run)(g, bus, op, rest),
        [] => Exit::End,
    }
}

/// Ends the run with a fault of `op`'s instruction.
#[cold]
fn faulted<G: Guest>(g: &mut G, op: &Thread<G>, fault: G::Fault) -> Exit {
    g.core_mut().insn = u32::from(op.insn);
    g.set_fault(fault);
    Exit::Fault
}

/// Continues, unless a slow path asked that this instruction be the last of the run.
#[inline(always)]
fn next_unless_leaving<G: Guest>(g: &mut G, bus: &mut dyn Bus, rest: &[Thread<G>]) -> Exit {
    if g.core().leave {
        g.core_mut().rest = rest.len();
        return Exit::Attention;
    }
    next(g, bus, rest)
}

#[inline(always)]
fn get(core: &Core, r: u8) -> u64 {
    core.regs[r as usize % FILE]
}

/// Writes the low `S` bytes by the partial-register rule.
#[inline(always)]
fn put<const S: usize>(core: &mut Core, r: u8, v: u64) {
    let slot = &mut core.regs[r as usize % FILE];
    *slot = match S {
        1 => *slot & !0xff | v & 0xff,
        2 => *slot & !0xffff | v & 0xffff,
        4 => v & 0xffff_ffff,
        _ => v,
    };
}

/// All-ones of `S` bytes.
const fn mask(s: usize) -> u64 {
    u64::MAX >> (64 - 8 * s)
}

/// Sign-extends the low `S` bytes.
#[inline(always)]
const fn sext<const S: usize>(v: u64) -> u64 {
    let k = 64 - 8 * S as u32;
    ((v << k) as i64 >> k) as u64
}

/// Flags of comparing `a` with `b` (both within `size`).
pub(crate) fn compare_flags(size: crate::ir::Size, a: u64, b: u64) -> crate::flags::Flags {
    use crate::ir::{Alu, Size};
    const SUB: u8 = Alu::Sub as u8;
    match size {
        Size::B => alu::alu_op::<SUB, 1>(a, b, false).1,
        Size::W => alu::alu_op::<SUB, 2>(a, b, false).1,
        Size::D => alu::alu_op::<SUB, 4>(a, b, false).1,
        Size::Q => alu::alu_op::<SUB, 8>(a, b, false).1,
    }
}

/// Flags of `a OP b` with carry in (operands within `size`).
#[cfg_attr(not(all(target_arch = "x86_64", unix)), allow(dead_code, reason = "for machine code only"))]
pub(crate) fn alu_flags(
    op: crate::ir::Alu,
    size: crate::ir::Size,
    a: u64,
    b: u64,
    carry: bool,
) -> crate::flags::Flags {
    use crate::ir::{Alu, Size};
    fn sized<const S: usize>(op: Alu, a: u64, b: u64, carry: bool) -> crate::flags::Flags {
        match op {
            Alu::Add => alu::alu_op::<{ Alu::Add as u8 }, S>(a, b, carry).1,
            Alu::Or => alu::alu_op::<{ Alu::Or as u8 }, S>(a, b, carry).1,
            Alu::Adc => alu::alu_op::<{ Alu::Adc as u8 }, S>(a, b, carry).1,
            Alu::Sbb => alu::alu_op::<{ Alu::Sbb as u8 }, S>(a, b, carry).1,
            Alu::And => alu::alu_op::<{ Alu::And as u8 }, S>(a, b, carry).1,
            Alu::Sub => alu::alu_op::<{ Alu::Sub as u8 }, S>(a, b, carry).1,
            Alu::Xor => alu::alu_op::<{ Alu::Xor as u8 }, S>(a, b, carry).1,
        }
    }
    match size {
        Size::B => sized::<1>(op, a, b, carry),
        Size::W => sized::<2>(op, a, b, carry),
        Size::D => sized::<4>(op, a, b, carry),
        Size::Q => sized::<8>(op, a, b, carry),
    }
}

/// Flags of a shift (SHL, SHR, SAR) of `a` (within `size`) by `n`, masked and not zero.
#[cfg_attr(not(all(target_arch = "x86_64", unix)), allow(dead_code, reason = "for machine code only"))]
pub(crate) fn shift_flags(
    op: crate::ir::Shift,
    size: crate::ir::Size,
    a: u64,
    n: u32,
) -> crate::flags::Flags {
    use crate::ir::{Shift, Size};
    fn sized<const S: usize>(op: Shift, a: u64, n: u32) -> crate::flags::Flags {
        let none = crate::flags::Flags::default();
        match op {
            Shift::Shl => shift::shift_op::<{ Shift::Shl as u8 }, S>(a, n, none).1,
            Shift::Shr => shift::shift_op::<{ Shift::Shr as u8 }, S>(a, n, none).1,
            Shift::Sar => shift::shift_op::<{ Shift::Sar as u8 }, S>(a, n, none).1,
            Shift::Rol | Shift::Ror | Shift::Rcl | Shift::Rcr => none,
        }
    }
    match size {
        Size::B => sized::<1>(op, a, n),
        Size::W => sized::<2>(op, a, n),
        Size::D => sized::<4>(op, a, n),
        Size::Q => sized::<8>(op, a, n),
    }
}

/// Flags of a product (operands within `size`).
#[cfg_attr(not(all(target_arch = "x86_64", unix)), allow(dead_code, reason = "for machine code only"))]
pub(crate) fn product_flags(signed: bool, size: crate::ir::Size, a: u64, b: u64) -> crate::flags::Flags {
    let k = 64 - size.bits();
    let widen = |v: u64| if signed { i128::from((v << k) as i64 >> k) as u128 } else { u128::from(v) };
    let full = widen(a).wrapping_mul(widen(b));
    let lo = full as u64 & size.mask();
    let over = widen(lo) != full;
    let mut f = crate::flags::Flags { z: lo, s: ((lo << k) as i64 >> k) as u64, c: 0, a: 0 };
    f.set_carry_overflow(over, over);
    f
}
