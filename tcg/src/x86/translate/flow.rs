//! Near jumps, calls, returns, loops.

use super::{
    helpers,
    integer::condition,
    lower::{Lower, Lowered, RCX, RSP},
};
use crate::{
    ir::{Alu, Op, Reg, Size, Val},
    x86::{mode::Mode, state::seg},
};
use iced_x86::{Code, FlowControl, Instruction, Mnemonic, OpKind};

/// Lowers a near transfer of control; `None` when it is of another family.
pub(super) fn lower(l: &mut Lower, i: &Instruction) -> Lowered {
    use Mnemonic as M;
    match i.mnemonic() {
        M::Jmp if near(i) => jump(l, i),
        M::Call if near(i) => call(l, i),
        M::Ret => ret(l, i),
        M::Loop => repeat(l, i, None),
        M::Loope => repeat(l, i, Some(true)),
        M::Loopne => repeat(l, i, Some(false)),
        M::Jcxz => counter_zero(l, i, Size::W),
        M::Jecxz => counter_zero(l, i, Size::D),
        M::Jrcxz => counter_zero(l, i, Size::Q),
        _ if i.flow_control() == FlowControl::ConditionalBranch => branch(l, i)?,
        _ => return None,
    }
    Some(())
}

fn near(i: &Instruction) -> bool {
    match i.op0_kind() {
        OpKind::FarBranch16 | OpKind::FarBranch32 => false,
        OpKind::Memory => !(i.is_jmp_far_indirect() || i.is_call_far_indirect()),
        _ => true,
    }
}

/// Bits of a linear address.
const LINEAR_BITS: u8 = 48;

/// Whether near targets need a look at CS's limit. In real mode it is 64 KiB, which 16-bit targets cannot leave.
fn limited(l: &Lower, beyond_64k: bool) -> bool {
    !l.is64() && !l.mode.unlimited(seg::CS) && (l.mode.has(Mode::PROTECTED) || beyond_64k)
}

/// Checks a constant target against CS.
fn check_constant(l: &mut Lower, pc: u64) {
    if limited(l, pc > 0xffff) {
        l.call(helpers::check_code, Reg::SINK, Val::Imm(pc), Val::Imm(0));
    }
}

/// Checks a computed target of `size` against CS, or that it is canonical.
fn check(l: &mut Lower, size: Size, target: Reg) {
    if l.is64() {
        l.op(Op::CheckTarget { bits: LINEAR_BITS, src: target });
    } else if limited(l, size != Size::W) {
        l.call(helpers::check_code, Reg::SINK, target, Val::Imm(!size.mask()));
    }
}

fn jump(l: &mut Lower, i: &Instruction) {
    if matches!(i.op0_kind(), OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64) {
        let pc = i.near_branch_target();
        check_constant(l, pc);
        l.op(Op::Jump { pc });
    } else {
        let size = l.size(i, 0);
        let v = l.read(i, 0);
        let src = l.in_reg(v);
        check(l, size, src);
        l.op(Op::JumpTo { size, src });
    }
    l.ended = true;
}

fn call(l: &mut Lower, i: &Instruction) {
    let width = Size::of(i.stack_pointer_increment().unsigned_abs() as usize).unwrap_or(Size::Q);
    let next = l.next;
    if matches!(i.op0_kind(), OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64) {
        let pc = i.near_branch_target();
        check_constant(l, pc);
        l.push(width, Val::Imm(next));
        l.op(Op::Jump { pc });
    } else {
        let size = l.size(i, 0);
        let v = l.read(i, 0);
        let mut src = l.in_reg(v);
        if src == RSP {
            src = l.temp();
            l.op(Op::Mov { size: Size::Q, dst: src, src: Val::Reg(RSP) });
        }
        check(l, size, src);
        l.push(width, Val::Imm(next));
        l.op(Op::JumpTo { size, src });
    }
    l.ended = true;
}

fn ret(l: &mut Lower, i: &Instruction) {
    let drop = if i.op_count() == 1 { i64::from(i.immediate16()) } else { 0 };
    let size = match i.code() {
        Code::Retnw | Code::Retnw_imm16 => Size::W,
        Code::Retnd | Code::Retnd_imm16 => Size::D,
        _ => Size::Q,
    };
    let target = l.peek(size);
    check(l, size, target);
    l.move_stack(i64::from(size.bytes()) + drop);
    l.op(Op::JumpTo { size, src: target });
    l.ended = true;
}

fn branch(l: &mut Lower, i: &Instruction) -> Option<()> {
    let cond = condition(i.condition_code())?;
    let (taken, next) = (i.near_branch_target(), l.next);
    if limited(l, taken > 0xffff) {
        // Only a taken branch may fault.
        let t = l.constant(0);
        l.op(Op::SetCond { cond, dst: t });
        l.call(helpers::check_code_if, Reg::SINK, t, Val::Imm(taken));
    }
    l.op(Op::Branch { cond, taken, next });
    l.ended = true;
    Some(())
}

fn counter_zero(l: &mut Lower, i: &Instruction, size: Size) {
    let (taken, next) = (i.near_branch_target(), l.next);
    if limited(l, taken > 0xffff) {
        l.call(helpers::check_code_unless, Reg::SINK, RCX, Val::Imm(taken | size.mask() << 32));
    }
    l.op(Op::BranchZero { size, src: RCX, negate: false, taken, next });
    l.ended = true;
}

/// LOOP, LOOPE (`zero` true), LOOPNE.
fn repeat(l: &mut Lower, i: &Instruction, zero: Option<bool>) {
    let size = match i.code() {
        Code::Loop_rel8_16_CX
        | Code::Loop_rel8_32_CX
        | Code::Loope_rel8_16_CX
        | Code::Loope_rel8_32_CX
        | Code::Loopne_rel8_16_CX
        | Code::Loopne_rel8_32_CX => Size::W,
        Code::Loop_rel8_16_RCX
        | Code::Loop_rel8_64_RCX
        | Code::Loope_rel8_16_RCX
        | Code::Loope_rel8_64_RCX
        | Code::Loopne_rel8_16_RCX
        | Code::Loopne_rel8_64_RCX => Size::Q,
        _ => Size::D,
    };
    let (taken, next) = (i.near_branch_target(), l.next);
    // The count after, zero-extended; RCX changes when nothing can fault any more.
    let count = l.constant(0);
    l.op(Op::Mov { size, dst: count, src: Val::Reg(RCX) });
    l.op(Op::Alu { op: Alu::Sub, size, dst: count, a: count, b: Val::Imm(1), flags: false });
    let again = match zero {
        None => count,
        Some(zero) => {
            let cond = if zero { crate::ir::Cond::E } else { crate::ir::Cond::Ne };
            let t = l.constant(0);
            l.op(Op::CondMov { cond, size: Size::Q, dst: t, src: count });
            t
        }
    };
    if limited(l, taken > 0xffff) {
        l.call(helpers::check_code_if, Reg::SINK, again, Val::Imm(taken));
    }
    l.op(Op::Mov { size, dst: RCX, src: Val::Reg(count) });
    l.op(Op::BranchZero { size: Size::Q, src: again, negate: true, taken, next });
    l.ended = true;
}
