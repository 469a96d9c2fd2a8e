//! Chooses the function for an op: the only place that knows both forms.

use super::{Run, Thread, alu, flow, memory, shift};
use crate::{
    guest::Guest,
    ir::{Alu, Bit, Cond, Mem, Op, Reg, Shift, Size, Unary, Val},
};

/// `$f` with const parameters before, the width of `$size`, and const parameters after.
macro_rules! by_size {
    ($size:expr, |$s:ident| $e:expr) => {
        match $size {
            Size::B => {
                const $s: usize = 1;
                $e
            }
            Size::W => {
                const $s: usize = 2;
                $e
            }
            Size::D => {
                const $s: usize = 4;
                $e
            }
            Size::Q => {
                const $s: usize = 8;
                $e
            }
        }
    };
}

/// Makes `$c` a constant equal to the number of the variant `$v` of `$enum`.
macro_rules! by_variant {
    ($v:expr, $enum:ident [$($name:ident),*], |$c:ident| $e:expr) => {
        match $v {
            $($enum::$name => {
                const $c: u8 = $enum::$name as u8;
                $e
            })*
        }
    };
}

macro_rules! by_bool {
    ($v:expr, |$c:ident| $e:expr) => {
        if $v {
            const $c: bool = true;
            $e
        } else {
            const $c: bool = false;
            $e
        }
    };
}

macro_rules! by_form {
    ($v:expr, |$c:ident| $e:expr) => {
        match $v {
            memory::BASE => {
                const $c: u8 = memory::BASE;
                $e
            }
            memory::INDEXED => {
                const $c: u8 = memory::INDEXED;
                $e
            }
            memory::SEGMENT => {
                const $c: u8 = memory::SEGMENT;
                $e
            }
            memory::FLAT32 => {
                const $c: u8 = memory::FLAT32;
                $e
            }
            _ => {
                const $c: u8 = memory::GENERAL;
                $e
            }
        }
    };
}

macro_rules! by_cond {
    ($v:expr, |$c:ident| $e:expr) => {
        by_variant!($v, Cond [O, No, B, Ae, E, Ne, Be, A, S, Ns, P, Np, L, Ge, Le, G], |$c| $e)
    };
}

/// Appends the threaded form of `op`, which belongs to instruction `insn` of its block.
pub(super) fn select<G: Guest>(op: &Op<G>, insn: u8, out: &mut Vec<Thread<G>>) {
    let z = Reg::ZERO.0;
    let blank = |run: Run<G>| Thread {
        run,
        dst: Reg::SINK.0,
        a: z,
        b: z,
        c: z,
        scale: 0,
        insn,
        imm: 0,
        imm2: 0,
        helper: None,
    };
    let thread = match *op {
        Op::Mov { size, dst, src } => {
            let (imm, reg, value) = split(src);
            let run: Run<G> = by_size!(size, |S| by_bool!(imm, |I| alu::mov::<G, S, I>));
            Thread { dst: dst.0, a: reg, imm: value, ..blank(run) }
        }
        Op::Extend { signed, from, to, dst, src } => {
            let run: Run<G> = by_size!(from, |F| by_bool!(signed, |N| match to {
                Size::D => alu::extend::<G, N, F, 4>,
                Size::B | Size::W | Size::Q => alu::extend::<G, N, F, 8>,
            }));
            Thread { dst: dst.0, a: src.0, ..blank(run) }
        }
        Op::High8 { dst, src } => Thread { dst: dst.0, a: src.0, ..blank(alu::high8) },
        Op::SetHigh8 { dst, src } => Thread { dst: dst.0, a: src.0, ..blank(alu::set_high8) },
        Op::Bswap { size, dst, src } => {
            let run: Run<G> = by_size!(size, |S| alu::bswap::<G, S>);
            Thread { dst: dst.0, a: src.0, ..blank(run) }
        }
        Op::Alu { op, size, dst, a, b, flags } => {
            let (imm, reg, value) = split(b);
            let run: Run<G> = match (op, dst, flags) {
                (Alu::Sub, Reg::SINK, true) => {
                    by_size!(size, |S| by_bool!(
                        imm,
                        |I| alu::compare::<G, { alu::alu_code(Alu::Sub) }, S, I>
                    ))
                }
                (Alu::And, Reg::SINK, true) => {
                    by_size!(size, |S| by_bool!(
                        imm,
                        |I| alu::compare::<G, { alu::alu_code(Alu::And) }, S, I>
                    ))
                }
                _ => by_variant!(op, Alu [Add, Or, Adc, Sbb, And, Sub, Xor], |C| by_size!(size, |S| by_bool!(
                    imm,
                    |I| by_bool!(flags, |F| alu::alu::<G, C, S, I, F>)
                ))),
            };
            Thread { dst: dst.0, a: a.0, b: reg, imm: value, ..blank(run) }
        }
        Op::Unary { op, size, dst, a, flags: _ } => {
            let run: Run<G> =
                by_variant!(op, Unary [Inc, Dec, Neg, Not], |C| by_size!(size, |S| alu::unary::<G, C, S>));
            Thread { dst: dst.0, a: a.0, ..blank(run) }
        }
        Op::Shift { op, size, dst, a, count } => {
            let (imm, reg, value) = split(count);
            let run: Run<G> = by_variant!(op, Shift [Rol, Ror, Rcl, Rcr, Shl, Shr, Sar], |C| by_size!(size, |S| {
                by_bool!(imm, |I| shift::shift::<G, C, S, I>)
            }));
            Thread { dst: dst.0, a: a.0, b: reg, imm: value, ..blank(run) }
        }
        Op::ShiftDouble { left, size, dst, a, b, count } => {
            let (imm, reg, value) = split(count);
            let run: Run<G> = by_bool!(left, |L| by_size!(size, |S| by_bool!(imm, |I| {
                shift::shift_double::<G, L, S, I>
            })));
            Thread { dst: dst.0, a: a.0, b: b.0, c: reg, imm: value, ..blank(run) }
        }
        Op::Imul { size, dst, a, b } => {
            let (imm, reg, value) = split(b);
            let run: Run<G> = by_size!(size, |S| by_bool!(imm, |I| alu::imul::<G, S, I>));
            Thread { dst: dst.0, a: a.0, b: reg, imm: value, ..blank(run) }
        }
        Op::MulWide { signed, size, lo, hi, a, b } => {
            let run: Run<G> = by_bool!(signed, |N| by_size!(size, |S| alu::mul_wide::<G, N, S>));
            Thread { dst: lo.0, c: hi.0, a: a.0, b: b.0, ..blank(run) }
        }
        Op::Bit { op, size, dst, a, index } => {
            let (imm, reg, value) = split(index);
            let run: Run<G> = by_variant!(op, Bit [Test, Set, Reset, Complement], |C| by_size!(size, |S| {
                by_bool!(imm, |I| alu::bit::<G, C, S, I>)
            }));
            Thread { dst: dst.0, a: a.0, b: reg, imm: value, ..blank(run) }
        }
        Op::BitScan { reverse, size, dst, src } => {
            let run: Run<G> = by_bool!(reverse, |R| by_size!(size, |S| alu::bit_scan::<G, R, S>));
            Thread { dst: dst.0, a: src.0, ..blank(run) }
        }
        Op::Popcnt { size, dst, src } => {
            let run: Run<G> = by_size!(size, |S| alu::popcnt::<G, S>);
            Thread { dst: dst.0, a: src.0, ..blank(run) }
        }
        Op::SetCond { cond, dst } => {
            let run: Run<G> = by_cond!(cond, |C| alu::set_cond::<G, C>);
            Thread { dst: dst.0, ..blank(run) }
        }
        Op::CondMov { cond, size, dst, src } => {
            let run: Run<G> = by_cond!(cond, |C| by_size!(size, |S| alu::cond_mov::<G, C, S>));
            Thread { dst: dst.0, a: src.0, ..blank(run) }
        }
        Op::Lea { dst, mem } => {
            let run: Run<G> = by_form!(form(&mem), |F| memory::lea::<G, F>);
            addressed(mem, dst.0, blank(run))
        }
        Op::Load { size, dst, mem } => {
            let run: Run<G> =
                by_size!(size, |S| by_form!(form(&mem), |F| memory::load::<G, { memory::ZERO }, S, F>));
            addressed(mem, dst.0, blank(run))
        }
        Op::LoadSigned { from, to, dst, mem } => {
            let run: Run<G> = by_size!(from, |S| by_form!(form(&mem), |F| match to {
                Size::D => memory::load::<G, { memory::SIGN32 }, S, F>,
                Size::B | Size::W | Size::Q => memory::load::<G, { memory::SIGN64 }, S, F>,
            }));
            addressed(mem, dst.0, blank(run))
        }
        Op::LoadForWrite { size, dst, mem } => {
            let run: Run<G> =
                by_size!(size, |S| by_form!(form(&mem), |F| memory::load::<G, { memory::WRITE }, S, F>));
            addressed(mem, dst.0, blank(run))
        }
        Op::Store { size, mem, src } => {
            let (imm, reg, value) = split(src);
            let run: Run<G> = by_size!(size, |S| by_form!(form(&mem), |F| by_bool!(imm, |I| {
                memory::store::<G, S, F, I>
            })));
            Thread { imm2: value, ..addressed(mem, reg, blank(run)) }
        }
        Op::Vector { helper, operands, mem: Some(mem), .. } => {
            let offset = Mem { seg: Reg::ZERO, wrap32: false, ..mem };
            let run: Run<G> = by_form!(form(&offset), |F| memory::vector::<G, F>);
            Thread { imm2: operands, helper: Some(helper), ..addressed(offset, Reg::SINK.0, blank(run)) }
        }
        Op::Vector { helper, operands, mem: None, .. } => {
            helper_call(helper, Val::Imm(operands), Val::Imm(0), blank(flow::call))
        }
        Op::Call { helper, dst, a, b, flags: _ } | Op::Quick { helper, dst, a, b, quick: _ } => {
            Thread { dst: dst.0, ..helper_call(helper, a, b, blank(flow::call)) }
        }
        Op::CallLeave { helper, a, b, next, crossing: _ } => {
            out.push(Thread { imm: next, ..blank(flow::set_pc) });
            helper_call(helper, a, b, blank(flow::call_leave))
        }
        Op::CheckTarget { bits, src } => Thread { a: src.0, scale: 64 - bits, ..blank(flow::check_target) },
        Op::Jump { pc } => Thread { imm: pc, ..blank(flow::jump) },
        Op::Branch { cond, taken, next } => {
            let run: Run<G> = by_cond!(cond, |C| flow::branch::<G, C>);
            Thread { imm: taken, imm2: next, ..blank(run) }
        }
        Op::BranchZero { size, src, negate, taken, next } => {
            let run: Run<G> = by_size!(size, |S| flow::branch_zero::<G, S>);
            Thread { a: src.0, scale: u8::from(negate), imm: taken, imm2: next, ..blank(run) }
        }
        Op::JumpTo { size, src } => {
            let run: Run<G> = by_size!(size, |S| flow::jump_to::<G, S>);
            Thread { a: src.0, ..blank(run) }
        }
    };
    out.push(thread);
}

/// Whether a value is a constant, its register, its constant.
fn split(v: Val) -> (bool, u8, u64) {
    match v {
        Val::Reg(r) => (false, r.0, 0),
        Val::Imm(v) => (true, Reg::ZERO.0, v),
    }
}

fn form(m: &Mem) -> u8 {
    if m.width == Size::Q && !m.wrap32 {
        match (m.seg, m.index) {
            (Reg::ZERO, Reg::ZERO) => memory::BASE,
            (Reg::ZERO, _) => memory::INDEXED,
            _ => memory::SEGMENT,
        }
    } else if m.width == Size::D && m.seg == Reg::ZERO {
        memory::FLAT32
    } else {
        memory::GENERAL
    }
}

fn addressed<G: Guest>(m: Mem, dst: u8, t: Thread<G>) -> Thread<G> {
    let scale = m.scale | (m.width as u8) << 2 | u8::from(m.wrap32) << 4;
    Thread { dst, a: m.base.0, b: m.index.0, c: m.seg.0, scale, imm: m.disp, ..t }
}

fn helper_call<G: Guest>(helper: crate::ir::Helper<G>, a: Val, b: Val, t: Thread<G>) -> Thread<G> {
    let ((ia, ra, va), (ib, rb, vb)) = (split(a), split(b));
    let scale = u8::from(ia) | u8::from(ib) << 1;
    Thread { a: ra, b: rb, imm: va, imm2: vb, scale, helper: Some(helper), ..t }
}
