//! Which encodings are run on the host, and why the others are not.

use crate::machine::Bits;
use crate::translated::Translated;
use iced_x86::{
    Code, Decoder, DecoderOptions, Encoder, EncodingKind, Instruction, OpCodeOperandKind as K, OpKind,
    Register,
};
use rrvmm_tcg::{
    interp::Interp,
    x86::translate::{Family, family},
};

/// Encodings of the four families that the host cannot show, each with the reason. `tests/cases` has them instead.
pub const NOT_ON_THE_HOST: &[(Code, &str)] = &[
    (Code::Bswap_r16, "undefined result"),
    (Code::Lzcnt_r16_rm16, "the host has LZCNT, the guest's CPU runs BSR"),
    (Code::Lzcnt_r32_rm32, "the host has LZCNT, the guest's CPU runs BSR"),
    (Code::Lzcnt_r64_rm64, "the host has LZCNT, the guest's CPU runs BSR"),
    (Code::Tzcnt_r16_rm16, "the host has TZCNT, the guest's CPU runs BSF"),
    (Code::Tzcnt_r32_rm32, "the host has TZCNT, the guest's CPU runs BSF"),
    (Code::Tzcnt_r64_rm64, "the host has TZCNT, the guest's CPU runs BSF"),
    (Code::Reservednop_rm16_r16_0F0D, "a no-operation on Intel's processors, #UD on AMD's"),
    (Code::Reservednop_rm32_r32_0F0D, "a no-operation on Intel's processors, #UD on AMD's"),
    (Code::Reservednop_rm64_r64_0F0D, "a no-operation on Intel's processors, #UD on AMD's"),
    (Code::Jmp_rm16, "leads below 64 KiB"),
    (Code::Call_rm16, "leads below 64 KiB"),
    (Code::Retnw, "leads below 64 KiB"),
    (Code::Retnw_imm16, "leads below 64 KiB"),
    (Code::Pushd_ES, "the host clears the upper half of the slot, Intel's processors leave it alone"),
    (Code::Pushd_CS, "the host clears the upper half of the slot, Intel's processors leave it alone"),
    (Code::Pushd_SS, "the host clears the upper half of the slot, Intel's processors leave it alone"),
    (Code::Pushd_DS, "the host clears the upper half of the slot, Intel's processors leave it alone"),
    (Code::Pushd_FS, "the host clears the upper half of the slot, Intel's processors leave it alone"),
    (Code::Pushd_GS, "the host clears the upper half of the slot, Intel's processors leave it alone"),
    (Code::Insb_m8_DX, "I/O"),
    (Code::Insw_m16_DX, "I/O"),
    (Code::Insd_m32_DX, "I/O"),
    (Code::Outsb_DX_m8, "I/O"),
    (Code::Outsw_DX_m16, "I/O"),
    (Code::Outsd_DX_m32, "I/O"),
];

/// Every encoding that one of the four families lowers in this width, without the list above.
pub fn runnable(bits: Bits) -> Vec<Code> {
    let mut ours = Translated::new(Interp);
    ours.load(bits, &Default::default(), &Box::new([0; crate::machine::DATA_LEN]));
    let mode = ours.mode();
    Code::values()
        .filter(|code| code.encoding() == EncodingKind::Legacy)
        .filter(|code| !NOT_ON_THE_HOST.iter().any(|(other, _)| other == code))
        .filter(|&code| {
            sample(code, bits).is_some_and(|(insn, bytes)| {
                matches!(
                    family(&insn, &bytes, mode),
                    Some(Family::Integer | Family::Flow | Family::String | Family::Misc)
                )
            })
        })
        .collect()
}

/// Some instruction of this code, if the decoder knows it in this width.
fn sample(code: Code, bits: Bits) -> Option<(Instruction, Vec<u8>)> {
    let info = code.op_code();
    if !(if bits == Bits::B64 { info.mode64() } else { info.mode32() }) {
        return None;
    }
    let mut i = Instruction::default();
    i.set_code(code);
    for op in 0..info.op_count() {
        operand(&mut i, op, info.op_kind(op), bits)?;
    }
    let mut encoder = Encoder::new(bits.number());
    encoder.encode(&i, 0x1000).ok()?;
    let bytes = encoder.take_buffer();
    let back = Decoder::with_ip(bits.number(), &bytes, 0x1000, DecoderOptions::NONE).decode();
    (back.code() == code).then_some((back, bytes))
}

fn operand(i: &mut Instruction, op: u32, kind: K, bits: Bits) -> Option<()> {
    let wide = bits == Bits::B64;
    let mut register = |r| {
        i.set_op_kind(op, OpKind::Register);
        i.set_op_register(op, r);
    };
    match kind {
        K::r8_or_mem | K::r8_reg | K::r8_opcode => register(Register::DL),
        K::r16_or_mem | K::r16_reg | K::r16_reg_mem | K::r16_rm | K::r16_opcode => register(Register::DX),
        K::r32_or_mem | K::r32_or_mem_mpx | K::r32_reg | K::r32_reg_mem | K::r32_rm | K::r32_opcode => {
            register(Register::EDX);
        }
        K::r64_or_mem | K::r64_or_mem_mpx | K::r64_reg | K::r64_reg_mem | K::r64_rm | K::r64_opcode => {
            register(Register::RDX);
        }
        K::al => register(Register::AL),
        K::cl => register(Register::CL),
        K::ax => register(Register::AX),
        K::dx => register(Register::DX),
        K::eax => register(Register::EAX),
        K::rax => register(Register::RAX),
        K::es => register(Register::ES),
        K::cs => register(Register::CS),
        K::ss => register(Register::SS),
        K::ds => register(Register::DS),
        K::fs => register(Register::FS),
        K::gs => register(Register::GS),
        K::seg_reg => register(Register::DS),
        K::imm8 if op == 1 && i.code().mnemonic() == iced_x86::Mnemonic::Enter => {
            i.set_op_kind(op, OpKind::Immediate8_2nd);
        }
        K::imm8 => i.set_op_kind(op, OpKind::Immediate8),
        K::imm8_const_1 => {
            i.set_op_kind(op, OpKind::Immediate8);
            i.set_immediate8(1);
        }
        K::imm8sex16 => i.set_op_kind(op, OpKind::Immediate8to16),
        K::imm8sex32 => i.set_op_kind(op, OpKind::Immediate8to32),
        K::imm8sex64 => i.set_op_kind(op, OpKind::Immediate8to64),
        K::imm16 => i.set_op_kind(op, OpKind::Immediate16),
        K::imm32 => i.set_op_kind(op, OpKind::Immediate32),
        K::imm32sex64 => i.set_op_kind(op, OpKind::Immediate32to64),
        K::imm64 => i.set_op_kind(op, OpKind::Immediate64),
        K::br64_1 | K::br64_4 => {
            i.set_op_kind(op, OpKind::NearBranch64);
            i.set_near_branch64(0x1010);
        }
        K::br32_1 | K::br32_4 => {
            i.set_op_kind(op, OpKind::NearBranch32);
            i.set_near_branch32(0x1010);
        }
        K::mem | K::mem_offs => {
            i.set_op_kind(op, OpKind::Memory);
            i.set_memory_displ_size(if wide { 8 } else { 4 });
            i.set_memory_displacement64(0x2000);
        }
        K::seg_rSI => i.set_op_kind(op, if wide { OpKind::MemorySegRSI } else { OpKind::MemorySegESI }),
        K::es_rDI => i.set_op_kind(op, if wide { OpKind::MemoryESRDI } else { OpKind::MemoryESEDI }),
        K::seg_rBX_al => {
            i.set_op_kind(op, OpKind::Memory);
            i.set_memory_base(if wide { Register::RBX } else { Register::EBX });
            i.set_memory_index(Register::AL);
        }
        // Far pointers, 16-bit branches and the registers of other families.
        _ => return None,
    }
    Some(())
}
