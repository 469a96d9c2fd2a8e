//! Which exception a non-canonical address raises: translated code keeps no segments in 64-bit mode, so the instruction is
//! decoded again.

use super::{MAX_INSN, decode};
use crate::{
    tlb::{PAGE, PAGE_MASK},
    x86::{Cpu, Exception},
};
use iced_x86::{Instruction, OpKind, Register};

/// #SS(0) when the instruction at pc reached the non-canonical `addr` through the stack segment (SDM volume 1, 3.3.7.1:
/// implied stack references, and addresses with RBP or RSP as base), else #GP(0). Overrides other than FS and GS are
/// ignored in 64-bit mode. Registers are those before the instruction.
pub(in crate::x86) fn non_canonical(cpu: &mut Cpu, addr: u64) -> Exception {
    if !cpu.sys.code64() {
        return Exception::GP0;
    }
    let pc = cpu.core.pc;
    match fetch(cpu, pc).and_then(|code| decode(&code, pc, cpu.mode()).ok()) {
        Some(i) if through_stack(cpu, &i, addr) => Exception::SS0,
        _ => Exception::GP0,
    }
}

fn fetch(cpu: &mut Cpu, pc: u64) -> Option<Vec<u8>> {
    let mut code = Vec::with_capacity(MAX_INSN);
    let here = ((PAGE - (pc & !PAGE_MASK)) as usize).min(MAX_INSN);
    let phys = cpu.translate_fetch(pc).ok()?;
    cpu.core.phys.copy_out(phys, here, &mut code);
    if here < MAX_INSN
        && let Ok(phys) = cpu.translate_fetch((pc | !PAGE_MASK).wrapping_add(1))
    {
        cpu.core.phys.copy_out(phys, MAX_INSN - here, &mut code);
    }
    Some(code)
}

fn through_stack(cpu: &Cpu, i: &Instruction, addr: u64) -> bool {
    let Some(operand) = (0..i.op_count()).find(|&n| i.op_kind(n) == OpKind::Memory) else {
        return i.is_stack_instruction();
    };
    let based = matches!(i.memory_base(), Register::RBP | Register::RSP | Register::EBP | Register::ESP);
    if based && !matches!(i.segment_prefix(), Register::FS | Register::GS) {
        return true;
    }
    let operand_address = i.virtual_address(operand, 0, |r, _, _| {
        Some(if r.is_segment_register() {
            let n = super::lower::segment(r);
            if matches!(r, Register::FS | Register::GS) { cpu.sys.segs[n].base } else { 0 }
        } else {
            cpu.reg(r.full_register().number()) & u64::MAX >> (64 - 8 * r.size() as u32)
        })
    });
    // The operand's own bytes, else the implied push or pop.
    let own = operand_address.is_none_or(|a| addr.wrapping_sub(a) < 64);
    !own && i.is_stack_instruction()
}
