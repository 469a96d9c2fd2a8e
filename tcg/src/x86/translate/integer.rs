//! Moves, arithmetic, logic, shifts, bits.

use super::{
    helpers,
    lower::{Lower, Lowered, RAX, RBP, RDX, RSP, file, high8},
};
use crate::ir::{Alu, Bit, Cond, Op, Quick, Reg, Shift, Size, Unary, Val};
use iced_x86::{ConditionCode, Instruction, Mnemonic, OpKind, Register};

/// Lowers an integer instruction; `None` when it is of another family.
pub(super) fn lower(l: &mut Lower, i: &Instruction) -> Lowered {
    use Mnemonic as M;
    match i.mnemonic() {
        M::Mov if i.op1_register().is_segment_register() || i.op0_register().is_segment_register() => {
            return None;
        }
        M::Mov if is_system(i.op0_register()) || is_system(i.op1_register()) => return None,
        M::Mov => mov(l, i),
        M::Add => alu(l, i, Alu::Add),
        M::Or => alu(l, i, Alu::Or),
        M::Adc => alu(l, i, Alu::Adc),
        M::Sbb => alu(l, i, Alu::Sbb),
        M::And => alu(l, i, Alu::And),
        M::Sub => alu(l, i, Alu::Sub),
        M::Xor => alu(l, i, Alu::Xor),
        M::Cmp => compare(l, i, Alu::Sub),
        M::Test => compare(l, i, Alu::And),
        M::Inc => unary(l, i, Unary::Inc),
        M::Dec => unary(l, i, Unary::Dec),
        M::Neg => unary(l, i, Unary::Neg),
        M::Not => unary(l, i, Unary::Not),
        M::Rol => shift(l, i, Shift::Rol),
        M::Ror => shift(l, i, Shift::Ror),
        M::Rcl => shift(l, i, Shift::Rcl),
        M::Rcr => shift(l, i, Shift::Rcr),
        M::Shl | M::Sal => shift(l, i, Shift::Shl),
        M::Shr => shift(l, i, Shift::Shr),
        M::Sar => shift(l, i, Shift::Sar),
        M::Shld => shift_double(l, i, true),
        M::Shrd => shift_double(l, i, false),
        M::Lea => lea(l, i),
        M::Movzx => extend(l, i, false),
        M::Movsx | M::Movsxd => extend(l, i, true),
        M::Xchg => xchg(l, i),
        M::Xadd => xadd(l, i),
        M::Cmpxchg => cmpxchg(l, i),
        M::Bswap => bswap(l, i),
        M::Bt => bit(l, i, Bit::Test),
        M::Bts => bit(l, i, Bit::Set),
        M::Btr => bit(l, i, Bit::Reset),
        M::Btc => bit(l, i, Bit::Complement),
        // Without BMI the prefix of TZCNT and LZCNT is ignored (SDM volume 2, TZCNT).
        M::Bsf | M::Tzcnt => bit_scan(l, i, false),
        M::Bsr | M::Lzcnt => bit_scan(l, i, true),
        M::Popcnt => popcnt(l, i),
        M::Mul => mul(l, i, false),
        M::Imul => imul(l, i),
        M::Div => div(l, i, false),
        M::Idiv => div(l, i, true),
        M::Cbw => widen(l, RAX, Size::B, Size::W),
        M::Cwde => widen(l, RAX, Size::W, Size::D),
        M::Cdqe => widen(l, RAX, Size::D, Size::Q),
        M::Cwd => sign(l, Size::W),
        M::Cdq => sign(l, Size::D),
        M::Cqo => sign(l, Size::Q),
        M::Push => push(l, i),
        M::Pop if i.op0_register().is_segment_register() => return None,
        M::Pop => pop(l, i),
        M::Leave => leave_frame(l, i),
        M::Nop
        | M::Pause
        | M::Endbr64
        | M::Endbr32
        | M::Prefetchnta
        | M::Prefetcht0
        | M::Prefetcht1
        | M::Prefetcht2
        | M::Prefetchw
        | M::Prefetch
        | M::Lfence
        | M::Mfence
        | M::Sfence
        | M::Reservednop => {}
        M::Clflush => {
            let mem = l.mem(i, 1, false);
            let t = l.temp();
            l.op(Op::Load { size: Size::B, dst: t, mem });
        }
        M::Clc => l.call_for_flags(helpers::set_carry, Reg::SINK, Val::Imm(0), Val::Imm(0)),
        M::Stc => l.call_for_flags(helpers::set_carry, Reg::SINK, Val::Imm(1), Val::Imm(0)),
        M::Cmc => l.call_for_flags(helpers::complement_carry, Reg::SINK, Val::Imm(0), Val::Imm(0)),
        M::Cld => l.call(helpers::set_direction, Reg::SINK, Val::Imm(0), Val::Imm(0)),
        M::Std => l.call(helpers::set_direction, Reg::SINK, Val::Imm(1), Val::Imm(0)),
        M::Lahf => {
            let t = l.temp();
            l.call(helpers::lahf, t, Val::Imm(0), Val::Imm(0));
            l.op(Op::SetHigh8 { dst: RAX, src: t });
        }
        M::Sahf => {
            let t = l.temp();
            l.op(Op::High8 { dst: t, src: RAX });
            l.call_for_flags(helpers::sahf, Reg::SINK, t, Val::Imm(0));
        }
        _ => return conditional(l, i),
    }
    Some(())
}

/// SETcc and CMOVcc.
fn conditional(l: &mut Lower, i: &Instruction) -> Lowered {
    use Mnemonic as M;
    let cond = condition(i.condition_code())?;
    match i.mnemonic() {
        M::Seto
        | M::Setno
        | M::Setb
        | M::Setae
        | M::Sete
        | M::Setne
        | M::Setbe
        | M::Seta
        | M::Sets
        | M::Setns
        | M::Setp
        | M::Setnp
        | M::Setl
        | M::Setge
        | M::Setle
        | M::Setg => {
            let t = l.temp();
            l.op(Op::SetCond { cond, dst: t });
            l.write(i, 0, t);
        }
        M::Cmovo
        | M::Cmovno
        | M::Cmovb
        | M::Cmovae
        | M::Cmove
        | M::Cmovne
        | M::Cmovbe
        | M::Cmova
        | M::Cmovs
        | M::Cmovns
        | M::Cmovp
        | M::Cmovnp
        | M::Cmovl
        | M::Cmovge
        | M::Cmovle
        | M::Cmovg => {
            let size = l.size(i, 0);
            let v = l.read(i, 1);
            let src = l.in_reg(v);
            l.op(Op::CondMov { cond, size, dst: file(i.op0_register()), src });
        }
        _ => return None,
    }
    Some(())
}

/// The IR's condition for a decoded one.
pub(super) fn condition(c: ConditionCode) -> Option<Cond> {
    Some(match c {
        ConditionCode::None => return None,
        ConditionCode::o => Cond::O,
        ConditionCode::no => Cond::No,
        ConditionCode::b => Cond::B,
        ConditionCode::ae => Cond::Ae,
        ConditionCode::e => Cond::E,
        ConditionCode::ne => Cond::Ne,
        ConditionCode::be => Cond::Be,
        ConditionCode::a => Cond::A,
        ConditionCode::s => Cond::S,
        ConditionCode::ns => Cond::Ns,
        ConditionCode::p => Cond::P,
        ConditionCode::np => Cond::Np,
        ConditionCode::l => Cond::L,
        ConditionCode::ge => Cond::Ge,
        ConditionCode::le => Cond::Le,
        ConditionCode::g => Cond::G,
    })
}

fn is_system(r: Register) -> bool {
    r.is_cr() || r.is_dr() || r.is_tr()
}

fn mov(l: &mut Lower, i: &Instruction) {
    // A load of 32 or 64 bits goes straight to its register.
    if i.op1_kind() == OpKind::Memory {
        let size = l.size(i, 0);
        if size >= Size::D {
            let mem = l.mem(i, u64::from(size.bytes()), false);
            l.op(Op::Load { size, dst: file(i.op0_register()), mem });
            return;
        }
    }
    let v = l.read(i, 1);
    l.write(i, 0, v);
}

fn alu(l: &mut Lower, i: &Instruction, op: Alu) {
    // The idioms that clear a register need no operand.
    let same = i.op1_kind() == OpKind::Register
        && i.op0_kind() == OpKind::Register
        && i.op0_register() == i.op1_register();
    if i.op0_kind() == OpKind::Memory {
        let b = l.read(i, 1);
        return l.modify(i, |l, size, a, dst| l.op(Op::Alu { op, size, dst, a, b, flags: true }));
    }
    let b = if same { Val::Reg(l.read_reg(i.op1_register())) } else { l.read(i, 1) };
    l.modify(i, |l, size, a, dst| l.op(Op::Alu { op, size, dst, a, b, flags: true }));
}

fn compare(l: &mut Lower, i: &Instruction, op: Alu) {
    let size = l.size(i, 0);
    let a = l.read(i, 0);
    let a = l.in_reg(a);
    let b = l.read(i, 1);
    l.op(Op::Alu { op, size, dst: Reg::SINK, a, b, flags: true });
}

fn unary(l: &mut Lower, i: &Instruction, op: Unary) {
    l.modify(i, |l, size, a, dst| l.op(Op::Unary { op, size, dst, a, flags: op != Unary::Not }));
}

fn shift(l: &mut Lower, i: &Instruction, op: Shift) {
    let count = l.read(i, 1);
    // CL may be part of the operand: keep the count apart.
    let count = match count {
        Val::Reg(r) => {
            let t = l.temp();
            l.op(Op::Mov { size: Size::Q, dst: t, src: Val::Reg(r) });
            Val::Reg(t)
        }
        imm => imm,
    };
    // Flags must not change before the store can no longer fault: LoadForWrite comes first in `modify`.
    l.modify(i, |l, size, a, dst| l.op(Op::Shift { op, size, dst, a, count }));
}

fn shift_double(l: &mut Lower, i: &Instruction, left: bool) {
    let b = l.read_reg(i.op1_register());
    let count = l.read(i, 2);
    l.modify(i, |l, size, a, dst| l.op(Op::ShiftDouble { left, size, dst, a, b, count }));
}

fn lea(l: &mut Lower, i: &Instruction) {
    let size = l.size(i, 0);
    let mem = l.effective(i);
    let mem = crate::ir::Mem { wrap32: false, ..mem };
    if size == Size::Q {
        l.op(Op::Lea { dst: file(i.op0_register()), mem });
    } else {
        let t = l.temp();
        l.op(Op::Lea { dst: t, mem });
        l.write_reg(i.op0_register(), t);
    }
}

fn extend(l: &mut Lower, i: &Instruction, signed: bool) {
    let (to, from) = (l.size(i, 0), l.size(i, 1));
    let wide = if to == Size::Q { Size::Q } else { Size::D };
    let dst = if to == Size::W { l.temp() } else { file(i.op0_register()) };
    if i.op1_kind() == OpKind::Memory {
        let mem = l.mem(i, u64::from(from.bytes()), false);
        if signed {
            l.op(Op::LoadSigned { from, to: wide, dst, mem });
        } else {
            l.op(Op::Load { size: from, dst, mem });
        }
    } else {
        let src = l.read_reg(i.op1_register());
        l.op(Op::Extend { signed, from, to: wide, dst, src });
    }
    if to == Size::W {
        l.write_reg(i.op0_register(), dst);
    }
}

fn xchg(l: &mut Lower, i: &Instruction) {
    let size = l.size(i, 0);
    // The memory operand, if any, is operand 0.
    let (a, b) = if i.op1_kind() == OpKind::Memory { (1, 0) } else { (0, 1) };
    let other = i.op_register(b);
    let src = l.read_reg(other);
    let t = l.temp();
    if i.op_kind(a) == OpKind::Memory {
        let mem = l.mem(i, u64::from(size.bytes()), true);
        l.op(Op::LoadForWrite { size, dst: t, mem });
        l.op(Op::Store { size, mem, src: Val::Reg(src) });
        l.write_reg(other, t);
        return;
    }
    let first = l.read_reg(i.op_register(a));
    l.op(Op::Mov { size: Size::Q, dst: t, src: Val::Reg(first) });
    l.write_reg(i.op_register(a), src);
    l.write_reg(other, t);
}

fn xadd(l: &mut Lower, i: &Instruction) {
    let size = l.size(i, 0);
    let b = l.read_reg(i.op1_register());
    let (old, sum) = (l.temp(), l.temp());
    let add = Op::Alu { op: Alu::Add, size, dst: sum, a: old, b: Val::Reg(b), flags: true };
    if i.op0_kind() == OpKind::Memory {
        let mem = l.mem(i, u64::from(size.bytes()), true);
        l.op(Op::LoadForWrite { size, dst: old, mem });
        l.op(add);
        l.op(Op::Store { size, mem, src: Val::Reg(sum) });
        l.write_reg(i.op1_register(), old);
    } else {
        let a = l.read_reg(i.op0_register());
        l.op(Op::Mov { size: Size::Q, dst: old, src: Val::Reg(a) });
        l.op(add);
        l.write_reg(i.op1_register(), old);
        l.write_reg(i.op0_register(), sum);
    }
}

/// The destination is always written (SDM volume 2, CMPXCHG), so a read-only page faults whatever the comparison says.
fn cmpxchg(l: &mut Lower, i: &Instruction) {
    let size = l.size(i, 0);
    let b = l.read_reg(i.op1_register());
    let (old, new) = (l.temp(), l.temp());
    let compare = Op::Alu { op: Alu::Sub, size, dst: Reg::SINK, a: RAX, b: Val::Reg(old), flags: true };
    if i.op0_kind() == OpKind::Memory {
        let mem = l.mem(i, u64::from(size.bytes()), true);
        l.op(Op::LoadForWrite { size, dst: old, mem });
        l.op(Op::Mov { size: Size::Q, dst: new, src: Val::Reg(old) });
        l.op(compare);
        l.op(Op::CondMov { cond: Cond::E, size: Size::Q, dst: new, src: b });
        l.op(Op::Store { size, mem, src: Val::Reg(new) });
    } else {
        let a = l.read_reg(i.op0_register());
        l.op(Op::Mov { size: Size::Q, dst: old, src: Val::Reg(a) });
        l.op(compare);
        // A register that does not match is left alone, its upper half too.
        match high8(i.op0_register()) {
            Some(full) => {
                l.op(Op::Mov { size: Size::Q, dst: new, src: Val::Reg(full) });
                l.op(Op::SetHigh8 { dst: new, src: b });
                l.op(Op::CondMov { cond: Cond::E, size: Size::Q, dst: full, src: new });
            }
            None => {
                l.op(Op::Mov { size: Size::Q, dst: new, src: Val::Reg(a) });
                l.op(Op::Mov { size, dst: new, src: Val::Reg(b) });
                l.op(Op::CondMov { cond: Cond::E, size: Size::Q, dst: a, src: new });
            }
        }
    }
    // The accumulator changes only on failure; with 32 bits its upper half is kept on success.
    let acc = l.temp();
    l.op(Op::Mov { size: Size::Q, dst: acc, src: Val::Reg(RAX) });
    l.op(Op::Mov { size, dst: acc, src: Val::Reg(old) });
    l.op(Op::CondMov { cond: Cond::Ne, size: Size::Q, dst: RAX, src: acc });
}

fn bswap(l: &mut Lower, i: &Instruction) {
    let size = l.size(i, 0);
    let r = file(i.op0_register());
    if size == Size::W {
        // Undefined; the hardware clears the low word.
        l.op(Op::Mov { size, dst: r, src: Val::Imm(0) });
    } else {
        l.op(Op::Bswap { size, dst: r, src: r });
    }
}

fn bit(l: &mut Lower, i: &Instruction, op: Bit) {
    let size = l.size(i, 0);
    let index = l.read(i, 1);
    if i.op0_kind() == OpKind::Register {
        let r = file(i.op0_register());
        return l.op(Op::Bit { op, size, dst: r, a: r, index });
    }
    let write = op != Bit::Test;
    let mem = match index {
        Val::Imm(_) => l.mem(i, u64::from(size.bytes()), write),
        // A register's index reaches beyond the operand: its upper bits move the address.
        Val::Reg(r) => {
            let step = bit_offset(l, size, r);
            let ea = l.effective(i);
            let (base, sum) = (l.temp(), l.temp());
            l.op(Op::Lea { dst: base, mem: crate::ir::Mem { wrap32: false, ..ea } });
            l.op(Op::Alu { op: Alu::Add, size: Size::Q, dst: sum, a: base, b: Val::Reg(step), flags: false });
            let ea = crate::ir::Mem { base: sum, index: Reg::ZERO, disp: 0, scale: 0, ..ea };
            l.segmented(super::lower::segment(i.memory_segment()), ea, u64::from(size.bytes()), write)
        }
    };
    let t = l.temp();
    if write {
        l.op(Op::LoadForWrite { size, dst: t, mem });
        l.op(Op::Bit { op, size, dst: t, a: t, index });
        l.op(Op::Store { size, mem, src: Val::Reg(t) });
    } else {
        l.op(Op::Load { size, dst: t, mem });
        l.op(Op::Bit { op, size, dst: t, a: t, index });
    }
}

/// Bytes that a bit index in `r` moves the address of an operand of `size`: (index >> log2 bits) * bytes, signed.
fn bit_offset(l: &mut Lower, size: Size, r: Reg) -> Reg {
    let t = l.temp();
    match size {
        Size::Q => l.op(Op::Mov { size: Size::Q, dst: t, src: Val::Reg(r) }),
        _ => l.op(Op::Extend { signed: true, from: size, to: Size::Q, dst: t, src: r }),
    }
    l.quick(Quick::BitOffset, helpers::bit_offset, t, t, Val::Imm(u64::from(size.bits().trailing_zeros())));
    t
}

fn bit_scan(l: &mut Lower, i: &Instruction, reverse: bool) {
    let size = l.size(i, 0);
    let v = l.read(i, 1);
    let src = l.in_reg(v);
    l.op(Op::BitScan { reverse, size, dst: file(i.op0_register()), src });
}

fn popcnt(l: &mut Lower, i: &Instruction) {
    let size = l.size(i, 0);
    let v = l.read(i, 1);
    let src = l.in_reg(v);
    l.op(Op::Popcnt { size, dst: file(i.op0_register()), src });
}

fn mul(l: &mut Lower, i: &Instruction, signed: bool) {
    let size = l.size(i, 0);
    let v = l.read(i, 0);
    let b = l.in_reg(v);
    if size == Size::B {
        // AX = AL * operand: one 16-bit result.
        let (lo, hi) = (l.temp(), l.temp());
        l.op(Op::MulWide { signed, size, lo, hi, a: RAX, b });
        l.op(Op::Mov { size: Size::B, dst: RAX, src: Val::Reg(lo) });
        l.op(Op::SetHigh8 { dst: RAX, src: hi });
    } else {
        l.op(Op::MulWide { signed, size, lo: RAX, hi: RDX, a: RAX, b });
    }
}

fn imul(l: &mut Lower, i: &Instruction) {
    match i.op_count() {
        1 => mul(l, i, true),
        2 => {
            let size = l.size(i, 0);
            let b = l.read(i, 1);
            let r = file(i.op0_register());
            l.op(Op::Imul { size, dst: r, a: r, b });
        }
        _ => {
            let size = l.size(i, 0);
            let v = l.read(i, 1);
            let a = l.in_reg(v);
            let b = l.read(i, 2);
            l.op(Op::Imul { size, dst: file(i.op0_register()), a, b });
        }
    }
}

fn div(l: &mut Lower, i: &Instruction, signed: bool) {
    let size = l.size(i, 0);
    let v = l.read(i, 0);
    let helper = match (signed, size) {
        (false, Size::B) => helpers::div8,
        (false, Size::W) => helpers::div16,
        (false, Size::D) => helpers::div32,
        (false, Size::Q) => helpers::div64,
        (true, Size::B) => helpers::idiv8,
        (true, Size::W) => helpers::idiv16,
        (true, Size::D) => helpers::idiv32,
        (true, Size::Q) => helpers::idiv64,
    };
    if size >= Size::D {
        l.quick(Quick::Divide { signed, size }, helper, Reg::SINK, v, Val::Imm(0));
    } else {
        l.call(helper, Reg::SINK, v, Val::Imm(0));
    }
}

fn widen(l: &mut Lower, r: Reg, from: Size, to: Size) {
    if to == Size::W {
        let t = l.temp();
        l.op(Op::Extend { signed: true, from, to: Size::Q, dst: t, src: r });
        l.op(Op::Mov { size: to, dst: r, src: Val::Reg(t) });
    } else {
        l.op(Op::Extend { signed: true, from, to, dst: r, src: r });
    }
}

fn sign(l: &mut Lower, size: Size) {
    let t = l.temp();
    if size == Size::Q {
        l.op(Op::Mov { size, dst: t, src: Val::Reg(RAX) });
    } else {
        l.op(Op::Extend { signed: true, from: size, to: Size::Q, dst: t, src: RAX });
    }
    l.quick(Quick::SignMask, helpers::sign_mask, t, t, Val::Imm(0));
    l.op(Op::Mov { size, dst: RDX, src: Val::Reg(t) });
}

/// Width of a push or pop by the operand; segment registers and immediates take the operand size.
fn stack_operand(l: &Lower, i: &Instruction) -> Size {
    let delta = i.stack_pointer_increment().unsigned_abs() as usize;
    Size::of(delta).unwrap_or(l.stack_width())
}

fn push(l: &mut Lower, i: &Instruction) {
    let size = stack_operand(l, i);
    if i.op0_kind() == OpKind::Register && i.op0_register().is_segment_register() {
        let t = l.temp();
        let n = super::lower::segment(i.op0_register());
        l.call(helpers::selector, t, Val::Imm(n as u64), Val::Imm(0));
        // A 32-bit push of a selector writes only the low word (SDM volume 2, PUSH).
        let bytes = i64::from(size.bytes());
        let mem = l.stack(RSP, -bytes, 2, true);
        let width = if size == Size::D && !l.is64() { Size::W } else { size };
        l.op(Op::Store { size: width, mem, src: Val::Reg(t) });
        return l.move_stack(-bytes);
    }
    let v = l.read(i, 0);
    // PUSH RSP pushes the old value: the store comes before the decrement.
    l.push(size, v);
}

fn pop(l: &mut Lower, i: &Instruction) {
    let size = stack_operand(l, i);
    let v = l.peek(size);
    let bytes = i64::from(size.bytes());
    if i.op0_kind() == OpKind::Memory {
        // An address that uses RSP sees it already incremented.
        let mut ea = l.effective(i);
        if ea.base == RSP {
            ea.disp = ea.disp.wrapping_add(bytes as u64);
        }
        let mem = l.segmented(super::lower::segment(i.memory_segment()), ea, bytes as u64, true);
        l.op(Op::Store { size, mem, src: Val::Reg(v) });
        l.move_stack(bytes);
    } else {
        l.move_stack(bytes);
        l.write_reg(i.op0_register(), v);
    }
}

fn leave_frame(l: &mut Lower, i: &Instruction) {
    let size = if l.is64() {
        if i.code() == iced_x86::Code::Leavew { Size::W } else { Size::Q }
    } else if i.code() == iced_x86::Code::Leavew {
        Size::W
    } else {
        Size::D
    };
    let mem = l.stack(RBP, 0, u64::from(size.bytes()), false);
    let t = l.temp();
    l.op(Op::Load { size, dst: t, mem });
    let width = l.stack_width();
    l.op(Op::Mov { size: width, dst: RSP, src: Val::Reg(RBP) });
    l.move_stack(i64::from(size.bytes()));
    l.op(Op::Mov { size, dst: RBP, src: Val::Reg(t) });
}
