//! Fills the operands of an instruction with registers, immediates and memory that mostly exists.

use crate::program::{Writer, writes_first};
use iced_x86::{Code, Instruction, Mnemonic as M, OpCodeOperandKind as K, OpKind, Register as R};

/// An instruction of `code`; `None` for an operand that programs do not have.
pub fn fill(w: &mut Writer<'_>, code: Code) -> Option<Instruction> {
    let info = code.op_code();
    let mut i = Instruction::default();
    i.set_code(code);
    // Memory first: making an index small emits an instruction.
    for op in 0..info.op_count() {
        operand(w, &mut i, code, op, info.op_kind(op))?;
    }
    if info.can_use_lock_prefix() && i.op0_kind() == OpKind::Memory && w.luck.once_in(6) {
        i.set_has_lock_prefix(true);
    }
    Some(i)
}

fn set(i: &mut Instruction, op: u32, r: R) -> Option<()> {
    i.set_op_kind(op, OpKind::Register);
    i.set_op_register(op, r);
    Some(())
}

/// A general register; one that is written is rarely a pointer or the stack pointer, and never a counter.
fn general(w: &mut Writer<'_>, bits: u32, written: bool) -> R {
    let count = if w.bits() == 64 { 16 } else { 8 };
    loop {
        let n = w.luck.below(count) as usize;
        let fixed = n == 4 || w.pointers().contains(&n);
        // The eight-bit numbers 4 to 7 are parts of the first four without REX.
        let high = bits == 8 && w.luck.once_in(3);
        let owner = if high { n & 3 } else { n };
        let fixed = if high { owner == 3 } else { fixed };
        if written && (w.reserved >> owner & 1 != 0 || (fixed && !w.luck.once_in(24))) {
            continue;
        }
        return match bits {
            8 if high => R::AH + owner as u32,
            8 if w.bits() != 64 && n >= 4 => continue,
            8 => [
                R::AL,
                R::CL,
                R::DL,
                R::BL,
                R::SPL,
                R::BPL,
                R::SIL,
                R::DIL,
                R::R8L,
                R::R9L,
                R::R10L,
                R::R11L,
                R::R12L,
                R::R13L,
                R::R14L,
                R::R15L,
            ][n],
            16 => R::AX + n as u32,
            32 => R::EAX + n as u32,
            _ => R::RAX + n as u32,
        };
    }
}

fn operand(w: &mut Writer<'_>, i: &mut Instruction, code: Code, op: u32, kind: K) -> Option<()> {
    let wide = w.bits() == 64;
    let written = op == 0 && writes_first(code.mnemonic()) || matches!(code.mnemonic(), M::Xchg | M::Xadd);
    let bits = match kind {
        K::r8_or_mem | K::r8_reg | K::r8_opcode => 8,
        K::r16_or_mem | K::r16_reg | K::r16_reg_mem | K::r16_rm | K::r16_opcode => 16,
        K::r32_or_mem | K::r32_reg | K::r32_reg_mem | K::r32_rm | K::r32_opcode => 32,
        K::r64_or_mem | K::r64_reg | K::r64_reg_mem | K::r64_rm | K::r64_opcode => 64,
        _ => 0,
    };
    let vectors = if wide { 16 } else { 8 };
    match kind {
        K::r8_or_mem | K::r16_or_mem | K::r32_or_mem | K::r64_or_mem | K::xmm_or_mem | K::mm_or_mem
            if w.luck.below(5) < 2 =>
        {
            memory(w, i, op)
        }
        K::mem => memory(w, i, op),
        K::mem_offs => {
            let at = w.program.pointer(w.luck);
            i.set_op_kind(op, OpKind::Memory);
            i.set_memory_displ_size(w.bits() / 8);
            i.set_memory_displacement64(at);
            Some(())
        }
        _ if bits != 0 => {
            let r = general(w, bits, written);
            set(i, op, r)
        }
        K::xmm_or_mem | K::xmm_reg | K::xmm_rm => set(i, op, R::XMM0 + w.luck.below(vectors) as u32),
        K::mm_or_mem | K::mm_reg | K::mm_rm => set(i, op, R::MM0 + w.luck.below(8) as u32),
        K::sti_opcode => set(i, op, R::ST0 + w.luck.below(8) as u32),
        K::st0 => set(i, op, R::ST0),
        K::al => set(i, op, R::AL),
        K::cl => set(i, op, R::CL),
        K::ax => set(i, op, R::AX),
        K::dx => set(i, op, R::DX),
        K::eax => set(i, op, R::EAX),
        K::rax => set(i, op, R::RAX),
        K::es => set(i, op, R::ES),
        K::cs => set(i, op, R::CS),
        K::ss => set(i, op, R::SS),
        K::ds => set(i, op, R::DS),
        K::fs => set(i, op, R::FS),
        K::gs => set(i, op, R::GS),
        K::seg_reg => {
            let r = w.luck.of(&[R::ES, R::SS, R::DS, R::FS, R::GS]);
            set(i, op, r)
        }
        K::cr_reg => set(i, op, w.luck.of(&[R::CR0, R::CR2, R::CR4, R::CR8])),
        _ => immediate(w, i, code, op, kind),
    }
}

fn immediate(w: &mut Writer<'_>, i: &mut Instruction, code: Code, op: u32, kind: K) -> Option<()> {
    let value = w.luck.value();
    let small = if w.luck.once_in(2) { w.luck.below(70) } else { value } as u8;
    match kind {
        K::imm8 if op == 1 && code.mnemonic() == M::Enter => {
            i.set_op_kind(op, OpKind::Immediate8_2nd);
            i.set_immediate8_2nd(small & 7);
        }
        K::imm8 if op > 0 && i.op_kind(op - 1) == OpKind::Immediate8 => {
            i.set_op_kind(op, OpKind::Immediate8_2nd);
            i.set_immediate8_2nd(small);
        }
        K::imm8 => {
            i.set_op_kind(op, OpKind::Immediate8);
            i.set_immediate8(small);
        }
        K::imm8_const_1 => {
            i.set_op_kind(op, OpKind::Immediate8);
            i.set_immediate8(1);
        }
        K::imm8sex16 => {
            i.set_op_kind(op, OpKind::Immediate8to16);
            i.set_immediate8to16(value as i8 as i16);
        }
        K::imm8sex32 => {
            i.set_op_kind(op, OpKind::Immediate8to32);
            i.set_immediate8to32(value as i8 as i32);
        }
        K::imm8sex64 => {
            i.set_op_kind(op, OpKind::Immediate8to64);
            i.set_immediate8to64(value as i8 as i64);
        }
        K::imm16 => {
            i.set_op_kind(op, OpKind::Immediate16);
            i.set_immediate16(if code.mnemonic() == M::Ret { value & 0x3e } else { value } as u16);
        }
        K::imm32 => {
            i.set_op_kind(op, OpKind::Immediate32);
            i.set_immediate32(value as u32);
        }
        K::imm32sex64 => {
            i.set_op_kind(op, OpKind::Immediate32to64);
            i.set_immediate32to64(value as i32 as i64);
        }
        K::imm64 => {
            i.set_op_kind(op, OpKind::Immediate64);
            i.set_immediate64(value);
        }
        K::seg_rSI | K::es_rDI => string(w, i, code, op, kind == K::seg_rSI),
        K::seg_rBX_al => {
            i.set_op_kind(op, OpKind::Memory);
            i.set_memory_base(match w.bits() {
                16 => R::BX,
                32 => R::EBX,
                _ => R::RBX,
            });
            i.set_memory_index(R::AL);
        }
        _ => return None,
    }
    Some(())
}

fn string(w: &mut Writer<'_>, i: &mut Instruction, code: Code, op: u32, source: bool) {
    // The other address width now and then; both operands have the same.
    let first = !(0..op).any(|n| is_string(i.op_kind(n)));
    if first {
        let compares = matches!(
            code.mnemonic(),
            M::Cmpsb | M::Cmpsw | M::Cmpsd | M::Cmpsq | M::Scasb | M::Scasw | M::Scasd | M::Scasq
        );
        let rep = w.luck.below(if compares { 3 } else { 2 });
        i.set_has_rep_prefix(rep == 1);
        i.set_has_repne_prefix(rep == 2);
    }
    let other = if first { w.luck.once_in(8) } else { narrow(i, op) != usual_narrow(w.bits()) };
    let kinds = match (w.bits(), other) {
        (16, false) => [OpKind::MemorySegSI, OpKind::MemoryESDI],
        (32, false) | (16 | 64, true) => [OpKind::MemorySegESI, OpKind::MemoryESEDI],
        (32, true) => [OpKind::MemorySegSI, OpKind::MemoryESDI],
        _ => [OpKind::MemorySegRSI, OpKind::MemoryESRDI],
    };
    i.set_op_kind(op, kinds[usize::from(!source)]);
}

fn is_string(k: OpKind) -> bool {
    matches!(
        k,
        OpKind::MemorySegSI
            | OpKind::MemorySegESI
            | OpKind::MemorySegRSI
            | OpKind::MemoryESDI
            | OpKind::MemoryESEDI
            | OpKind::MemoryESRDI
    )
}

/// Address width of the string operand before `op`, as a rank.
fn narrow(i: &Instruction, op: u32) -> u32 {
    let k = (0..op).map(|n| i.op_kind(n)).find(|&k| is_string(k));
    match k {
        Some(OpKind::MemorySegSI | OpKind::MemoryESDI) => 16,
        Some(OpKind::MemorySegESI | OpKind::MemoryESEDI) => 32,
        _ => 64,
    }
}

fn usual_narrow(bits: u32) -> u32 {
    bits
}

/// A memory operand: nearly always relative to a pointer.
fn memory(w: &mut Writer<'_>, i: &mut Instruction, op: u32) -> Option<()> {
    i.set_op_kind(op, OpKind::Memory);
    if w.luck.once_in(16) {
        i.set_segment_prefix(w.luck.of(&[R::ES, R::CS, R::SS, R::DS, R::FS, R::GS, R::GS]));
    }
    let near = match w.luck.below(8) {
        0 => w.luck.value(),
        1 => w.luck.below(0x1800).wrapping_sub(0x400),
        _ => (w.luck.below(32).wrapping_sub(12)) * 8,
    };
    // The other address width now and then.
    let other = w.luck.once_in(12);
    match w.bits() {
        16 if !other => memory16(w, i, near),
        32 if other => memory16(w, i, near),
        64 if !other => memory_wide(w, i, near, true),
        _ => memory_wide(w, i, near, false),
    }
    Some(())
}

fn memory16(w: &mut Writer<'_>, i: &mut Instruction, near: u64) {
    let (base, index) = w.luck.of(&[
        (R::BX, R::None),
        (R::BX, R::None),
        (R::BP, R::None),
        (R::SI, R::None),
        (R::DI, R::None),
        (R::BX, R::SI),
        (R::BX, R::DI),
        (R::BP, R::SI),
        (R::BP, R::DI),
        (R::None, R::None),
    ]);
    if base == R::None {
        i.set_memory_displ_size(2);
        i.set_memory_displacement64(w.program.pointer(w.luck) & 0xffff);
        return;
    }
    i.set_memory_base(base);
    i.set_memory_index(index);
    displacement(w, i, near, 2, 0xffff);
}

/// Sets a displacement of one byte where it fits, else of `full` bytes.
fn displacement(w: &mut Writer<'_>, i: &mut Instruction, near: u64, full: u32, mask: u64) {
    if w.luck.once_in(4) {
        return;
    }
    let (size, value) = match i8::try_from(near as i64) {
        Ok(small) => (1, i64::from(small) as u64),
        Err(_) => (full, near as i32 as i64 as u64),
    };
    i.set_memory_displ_size(size);
    i.set_memory_displacement64(value & mask);
}

fn memory_wide(w: &mut Writer<'_>, i: &mut Instruction, near: u64, long: bool) {
    let (first, mask, full) = if long { (R::RAX, u64::MAX, 8) } else { (R::EAX, 0xffff_ffff, 4) };
    if w.luck.once_in(12) {
        // Absolute, or relative to the instruction.
        let at = w.program.pointer(w.luck);
        if long && at >> 31 == 0 && w.luck.once_in(2) {
            i.set_memory_base(R::RIP);
        }
        i.set_memory_displ_size(full);
        i.set_memory_displacement64(at & mask);
        return;
    }
    let pointers = w.pointers();
    let base = match w.luck.below(12) {
        0 => 4,
        1 => w.luck.below(if w.bits() == 64 { 16 } else { 8 }) as usize,
        _ => w.luck.of(&pointers),
    };
    i.set_memory_base(first + base as u32);
    if w.luck.once_in(3) {
        let index = w.luck.below(if w.bits() == 64 { 16 } else { 8 }) as usize;
        if index != 4 {
            w.tame(index);
            i.set_memory_index(first + index as u32);
            i.set_memory_index_scale(1 << w.luck.below(4));
        }
    }
    displacement(w, i, near, full, mask);
}
