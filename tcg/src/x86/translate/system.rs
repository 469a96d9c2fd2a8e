//! System instructions, far transfers, segment registers, ports, flags: all helpers in [`crate::x86::system`].

use super::{
    helpers,
    lower::{Lower, Lowered, RAX, RDX, file, segment},
    misc,
};
use crate::{
    ir::{Alu, Crossing, Mem, Op, Quick, Reg, Size, Val},
    x86::{
        mode::Mode,
        state::seg,
        system::{
            control, cpuid, debug, eflags, far, interrupt, iret, msr, port, segment as sreg, syscall, tables,
        },
    },
};
use iced_x86::{Code, Instruction, Mnemonic, OpKind, Register};

const NONE: Val = Val::Imm(0);

/// Lowers a system instruction; `None` when it is of another family.
pub(super) fn lower(l: &mut Lower, i: &Instruction) -> Lowered {
    use Mnemonic as M;
    match i.mnemonic() {
        M::Mov if i.op0_register().is_segment_register() => {
            let v = l.read(i, 1);
            let n = segment(i.op0_register());
            if n == seg::CS {
                l.raise(helpers::undefined);
            } else {
                l.leave(sreg::mov_to_sreg, Val::Imm(n as u64), v);
            }
        }
        M::Mov if i.op1_register().is_segment_register() => {
            let t = l.temp();
            l.call(helpers::selector, t, Val::Imm(segment(i.op1_register()) as u64), NONE);
            l.write(i, 0, t);
        }
        M::Mov => control_register(l, i),
        M::Pop => {
            let bytes = i.stack_pointer_increment().unsigned_abs();
            l.leave(sreg::pop_sreg, Val::Imm(segment(i.op0_register()) as u64), Val::Imm(u64::from(bytes)));
        }
        M::Lds => far_pointer(l, i, seg::DS),
        M::Les => far_pointer(l, i, seg::ES),
        M::Lss => far_pointer(l, i, seg::SS),
        M::Lfs => far_pointer(l, i, seg::FS),
        M::Lgs => far_pointer(l, i, seg::GS),
        M::Jmp => far_transfer(l, i, far::jmp),
        M::Call => far_transfer(l, i, far::call),
        M::Retf => {
            let bytes = match i.code() {
                Code::Retfw | Code::Retfw_imm16 => 2,
                Code::Retfd | Code::Retfd_imm16 => 4,
                _ => 8,
            };
            let drop = if i.op_count() == 1 { u64::from(i.immediate16()) } else { 0 };
            l.leave(far::ret, Val::Imm(bytes), Val::Imm(drop));
        }
        M::Iret => l.leave(iret::iret, Val::Imm(2), NONE),
        M::Iretd => l.leave(iret::iret, Val::Imm(4), NONE),
        M::Iretq => l.leave(iret::iret, Val::Imm(8), NONE),
        M::Int => l.leave(interrupt::int_n, Val::Imm(u64::from(i.immediate8())), NONE),
        M::Int1 => l.leave(interrupt::int1, NONE, NONE),
        M::Int3 => l.leave(helpers::int3, Val::Imm(l.next), NONE),
        M::Into => l.call(helpers::into, Reg::SINK, Val::Imm(l.next), NONE),
        M::Syscall if l.is64() => l.cross(syscall::syscall, NONE, Crossing::Syscall),
        M::Syscall => l.leave(syscall::syscall, NONE, NONE),
        M::Sysret => l.leave(syscall::sysret, Val::Imm(4), NONE),
        M::Sysretq if l.is64() && l.mode.cpl() == 0 => {
            l.cross(syscall::sysret, Val::Imm(8), Crossing::Sysret);
        }
        M::Sysretq => l.leave(syscall::sysret, Val::Imm(8), NONE),
        M::Sysenter => l.leave(syscall::sysenter, NONE, NONE),
        M::Sysexit => l.leave(syscall::sysexit, Val::Imm(4), NONE),
        M::Sysexitq => l.leave(syscall::sysexit, Val::Imm(8), NONE),
        M::Pushf => l.call(eflags::pushf, Reg::SINK, Val::Imm(2), NONE),
        M::Pushfd => l.call(eflags::pushf, Reg::SINK, Val::Imm(4), NONE),
        M::Pushfq => l.call(eflags::pushf, Reg::SINK, Val::Imm(8), NONE),
        M::Popf => l.leave(eflags::popf, Val::Imm(2), NONE),
        M::Popfd => l.leave(eflags::popf, Val::Imm(4), NONE),
        M::Popfq => l.leave(eflags::popf, Val::Imm(8), NONE),
        // Less can interrupt than before, so nobody has to look.
        M::Cli => l.call(eflags::cli, Reg::SINK, NONE, NONE),
        M::Sti => l.leave(eflags::sti, NONE, NONE),
        // AC at CPL 0 chooses the view of the TLB and no more.
        M::Stac => l.call(eflags::stac, Reg::SINK, NONE, NONE),
        M::Clac => l.call(eflags::clac, Reg::SINK, NONE, NONE),
        M::Hlt => l.leave(control::hlt, NONE, NONE),
        M::Clts => l.leave(control::clts, NONE, NONE),
        M::Lmsw => {
            let v = l.read(i, 0);
            l.leave(control::lmsw, v, NONE);
        }
        M::Smsw => result(l, i, control::smsw),
        M::Invlpg => {
            let mem = l.mem(i, 1, false);
            let t = l.temp();
            l.op(Op::Lea { dst: t, mem });
            l.leave(control::invlpg, t, NONE);
        }
        M::Wbinvd | M::Invd => l.call(control::wbinvd, Reg::SINK, NONE, NONE),
        M::Xgetbv => l.call(control::xgetbv, Reg::SINK, NONE, NONE),
        M::Xsetbv => l.leave(control::xsetbv, NONE, NONE),
        M::Rdtsc => l.call(control::rdtsc, Reg::SINK, NONE, NONE),
        M::Rdpmc => l.call(control::rdpmc, Reg::SINK, NONE, NONE),
        M::Rdmsr => l.call(msr::rdmsr, Reg::SINK, NONE, NONE),
        M::Wrmsr => l.leave(msr::wrmsr, NONE, NONE),
        M::Cpuid => l.call(cpuid::cpuid, Reg::SINK, NONE, NONE),
        // In 64-bit code blocks do not depend on GS's base.
        M::Swapgs if l.is64() && l.mode.cpl() == 0 => {
            l.quick(Quick::SwapGs, sreg::swapgs, Reg::SINK, NONE, NONE);
        }
        M::Swapgs if l.is64() => l.call(sreg::swapgs, Reg::SINK, NONE, NONE),
        M::Swapgs => l.leave(sreg::swapgs, NONE, NONE),
        M::Lgdt => table(l, i, tables::lgdt, false),
        M::Lidt => table(l, i, tables::lidt, false),
        M::Sgdt => table(l, i, tables::sgdt, true),
        M::Sidt => table(l, i, tables::sidt, true),
        M::Lldt => selector_operand(l, i, sreg::lldt, false),
        M::Ltr => selector_operand(l, i, sreg::ltr, false),
        M::Verr => selector_operand(l, i, sreg::verr, true),
        M::Verw => selector_operand(l, i, sreg::verw, true),
        M::Sldt => result(l, i, sreg::sldt),
        M::Str => result(l, i, sreg::str),
        M::Lar => access_rights(l, i, sreg::lar),
        M::Lsl => access_rights(l, i, sreg::lsl),
        M::Arpl => arpl(l, i),
        M::In => port_in(l, i),
        M::Out => port_out(l, i),
        _ => return None,
    }
    Some(())
}

/// Runs a helper without arguments and writes its result to operand 0.
fn result(l: &mut Lower, i: &Instruction, helper: crate::ir::Helper<crate::x86::Cpu>) {
    let t = l.temp();
    l.call(helper, t, NONE, NONE);
    l.write(i, 0, t);
}

/// Runs a helper with the selector in operand 0; `flags`: it writes some.
fn selector_operand(l: &mut Lower, i: &Instruction, helper: crate::ir::Helper<crate::x86::Cpu>, flags: bool) {
    let v = l.read(i, 0);
    l.op(Op::Call { helper, dst: Reg::SINK, a: v, b: NONE, flags });
}

fn access_rights(l: &mut Lower, i: &Instruction, helper: crate::ir::Helper<crate::x86::Cpu>) {
    let bytes = u64::from(l.size(i, 0).bytes());
    let v = l.read(i, 1);
    let v = l.in_reg(v);
    let (a, t) = (l.temp(), l.temp());
    l.op(Op::Extend { signed: false, from: Size::W, to: Size::Q, dst: a, src: v });
    l.op(Op::Alu { op: Alu::Or, size: Size::Q, dst: a, a, b: Val::Imm(bytes << 16), flags: false });
    l.call_for_flags(helper, t, a, file(i.op0_register()));
    l.op(Op::Mov { size: Size::Q, dst: file(i.op0_register()), src: Val::Reg(t) });
}

fn arpl(l: &mut Lower, i: &Instruction) {
    let src = l.read_reg(i.op1_register());
    if i.op0_kind() == OpKind::Memory {
        let mem = l.mem(i, 2, true);
        let t = l.temp();
        l.op(Op::LoadForWrite { size: Size::W, dst: t, mem });
        l.call_for_flags(sreg::arpl, t, t, src);
        l.op(Op::Store { size: Size::W, mem, src: Val::Reg(t) });
    } else {
        let t = l.temp();
        l.call_for_flags(sreg::arpl, t, file(i.op0_register()), src);
        l.write_reg(i.op0_register(), t);
    }
}

/// Operand size of a descriptor-table instruction.
fn table(l: &mut Lower, i: &Instruction, helper: crate::ir::Helper<crate::x86::Cpu>, write: bool) {
    let bytes = match i.code() {
        Code::Lgdt_m1632_16 | Code::Lidt_m1632_16 | Code::Sgdt_m1632_16 | Code::Sidt_m1632_16 => 2,
        Code::Lgdt_m1664 | Code::Lidt_m1664 | Code::Sgdt_m1664 | Code::Sidt_m1664 => 8,
        _ => 4,
    };
    let mem = l.mem(i, if bytes == 8 { 10 } else { 6 }, write);
    let t = l.temp();
    l.op(Op::Lea { dst: t, mem });
    l.call(helper, Reg::SINK, t, Val::Imm(bytes));
}

/// Loads a far pointer from memory: (offset, selector).
fn load_far(l: &mut Lower, i: &Instruction, size: Size) -> (Reg, Reg) {
    let bytes = u64::from(size.bytes());
    let mem = l.mem(i, bytes + 2, false);
    let (offset, selector) = (l.temp(), l.temp());
    l.op(Op::Load { size, dst: offset, mem });
    l.op(Op::Load { size: Size::W, dst: selector, mem: Mem { disp: mem.disp.wrapping_add(bytes), ..mem } });
    (offset, selector)
}

fn far_pointer(l: &mut Lower, i: &Instruction, n: usize) {
    let size = l.size(i, 0);
    let (offset, selector) = load_far(l, i, size);
    l.call(sreg::load_sreg, Reg::SINK, Val::Imm(n as u64), selector);
    l.write_reg(i.op0_register(), offset);
    l.leave(misc::nothing, NONE, NONE);
}

fn far_transfer(l: &mut Lower, i: &Instruction, helper: crate::ir::Helper<crate::x86::Cpu>) {
    match i.op0_kind() {
        OpKind::FarBranch16 => {
            let a = u64::from(i.far_branch_selector()) | 2 << 16;
            l.leave(helper, Val::Imm(a), Val::Imm(u64::from(i.far_branch16())));
        }
        OpKind::FarBranch32 => {
            let a = u64::from(i.far_branch_selector()) | 4 << 16;
            l.leave(helper, Val::Imm(a), Val::Imm(u64::from(i.far_branch32())));
        }
        _ => {
            let size = Size::of(i.memory_size().size().saturating_sub(2)).unwrap_or(Size::D);
            let (offset, selector) = load_far(l, i, size);
            let bytes = u64::from(size.bytes());
            l.op(Op::Alu {
                op: Alu::Or,
                size: Size::Q,
                dst: selector,
                a: selector,
                b: Val::Imm(bytes << 16),
                flags: false,
            });
            l.leave(helper, selector, offset);
        }
    }
}

fn number(r: Register) -> Val {
    Val::Imm(r.number() as u64)
}

/// MOV to and from control and debug registers.
fn control_register(l: &mut Lower, i: &Instruction) {
    let (to, from) = (i.op0_register(), i.op1_register());
    let size = if l.mode.has(Mode::CODE64) { Size::Q } else { Size::D };
    if to.is_cr() {
        l.leave(control::mov_to_cr, number(to), file(from));
    } else if to.is_dr() {
        l.leave(debug::mov_to_dr, number(to), file(from));
    } else if from.is_cr() || from.is_dr() {
        let t = l.temp();
        let helper = if from.is_cr() { control::mov_from_cr } else { debug::mov_from_dr };
        l.call(helper, t, number(from), NONE);
        l.op(Op::Mov { size, dst: file(to), src: Val::Reg(t) });
    } else {
        l.raise(helpers::undefined);
    }
}

/// A register with the port in bits 0-15 and the operand size above.
fn port_argument(l: &mut Lower, i: &Instruction, operand: u32, bytes: u64) -> Val {
    if i.op_kind(operand) == OpKind::Immediate8 {
        return Val::Imm(u64::from(i.immediate8()) | bytes << 16);
    }
    let t = l.temp();
    l.op(Op::Extend { signed: false, from: Size::W, to: Size::Q, dst: t, src: RDX });
    l.op(Op::Alu { op: Alu::Or, size: Size::Q, dst: t, a: t, b: Val::Imm(bytes << 16), flags: false });
    Val::Reg(t)
}

fn port_in(l: &mut Lower, i: &Instruction) {
    let bytes = i.op0_register().size() as u64;
    let a = port_argument(l, i, 1, bytes);
    let t = l.temp();
    l.call(port::port_in, t, a, NONE);
    l.write_reg(i.op0_register(), t);
    l.leave(misc::nothing, NONE, NONE);
}

fn port_out(l: &mut Lower, i: &Instruction) {
    let bytes = i.op1_register().size() as u64;
    let a = port_argument(l, i, 0, bytes);
    l.leave(port::port_out, a, RAX);
}
