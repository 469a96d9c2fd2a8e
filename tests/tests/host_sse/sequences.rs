//! Random sequences of vector, x87 and integer instructions, in the interpreter and as machine code: all state must agree.

use crate::{
    engines::{ABSENT, Both, CODE, DATA, DATA_PAGES, DEVICE, Guest, NARROW_FS, READ_ONLY},
    operands::Random,
};
use iced_x86::{Code, Encoder, Instruction, OpCodeOperandKind as K, OpKind, Register};
use rrvmm_tcg::{
    block::Backend,
    softfloat::F80,
    x86::{
        Cpu,
        sse::{self, Op, RegClass, SseInsn},
        x87::{Memory, X87, X87Op, decode},
    },
};

/// Sequences, unless the environment variable `HOST_SSE_SEQUENCES` gives another number.
const SEQUENCES: u64 = 4000;
const SEED: u64 = 0x00c0_ffee;
/// Instructions in a sequence: more than fit a block.
const LENGTH: u64 = 60;

/// In 64-bit code, registers that instructions may change; R10 to R13 and RDI make addresses. In 32-bit code the first three
/// are, and EBX, ESI, EBP and EDI make addresses.
const FREE: [Register; 9] = [
    Register::RAX,
    Register::RCX,
    Register::RDX,
    Register::RBX,
    Register::RSI,
    Register::R8,
    Register::R9,
    Register::R14,
    Register::R15,
];

const INTEGER: [Code; 17] = [
    Code::Add_r64_rm64,
    Code::Adc_r64_rm64,
    Code::Sub_r32_rm32,
    Code::Cmp_r64_rm64,
    Code::Mov_r64_rm64,
    Code::Mov_rm64_r64,
    Code::Xor_r32_rm32,
    Code::Sete_rm8,
    Code::Seta_rm8,
    Code::Setp_rm8,
    Code::Cmovb_r64_rm64,
    Code::Setl_rm8,
    Code::Add_r32_rm32,
    Code::Adc_r32_rm32,
    Code::Cmp_r32_rm32,
    Code::Mov_rm32_r32,
    Code::Cmovb_r32_rm32,
];

#[test]
fn engines_agree_on_sequences() {
    agree(64);
}

#[test]
fn engines_agree_on_sequences_in_compatibility_mode() {
    agree(32);
}

fn agree(bits: u32) {
    let wanted = std::env::var("HOST_SSE_SEQUENCES").map_or(SEQUENCES, |n| n.parse().unwrap());
    let rows: Vec<&SseInsn> = sse::all().iter().filter(|row| !mmx(row)).collect();
    let mut both = Both::new();
    (both.interp.narrow, both.jit.narrow) = (bits == 32, bits == 32);
    let (mut faults, mut run) = (0, 0);
    for n in 0..wanted {
        let mut random = Random(SEED + n);
        let (code, list) = sequence(bits, &rows, &mut random);
        both.interp.write(CODE, &code);
        both.jit.write(CODE, &code);
        // The first run finds the TLB cold.
        for _ in 0..3 {
            let seed = random.next();
            let pause = if seed & 3 == 0 { random.below(LENGTH) } else { 1 << 40 };
            let ours = one(&mut both.interp, seed, pause);
            let machine_code = one(&mut both.jit, seed, pause);
            assert_eq!(ours, machine_code, "vectors, sequence {n}:\n{list}");
            let (a, b) = (both.interp.after(), both.jit.after());
            assert_eq!(a, b, "sequence {n}:\n{list}");
            for page in (0..DATA_PAGES).map(|n| DATA + n * 4096) {
                let same = both.interp.page(page) == both.jit.page(page);
                assert!(same, "page {page:#x}, sequence {n}:\n{list}");
            }
            faults += u64::from(ours.is_some());
            run += 1;
        }
    }
    println!("host_sse: {run} runs of sequences, {faults} ended by a fault");
    assert!(run < 1000 || faults > run / 50 && faults < run / 10 * 9, "{faults} of {run} fault");
}

fn mmx(row: &SseInsn) -> bool {
    row.form.dst == RegClass::Mm || row.form.src == RegClass::Mm || matches!(row.op, Op::Emms)
}

fn one<B: Backend<Cpu>>(guest: &mut Guest<B>, seed: u64, pause: u64) -> Option<u8> {
    let mut random = Random(seed);
    let (first, second) = (random.machine(true), random.machine(false));
    guest.write(DATA + 0x800 - 64, &*first.memory);
    guest.write(DATA + 0x1000 - 64, &*second.memory);
    guest.write(READ_ONLY, &*second.memory);
    let narrow = guest.narrow;
    let cpu = guest.cpu();
    for n in 0..16 {
        let from = if n % 2 == 0 { &first } else { &second };
        cpu.xmm[n] = from.xmm[n % 3].rotate_left(n as u32 / 3 * 32);
        cpu.set_reg(n, random.next() >> random.below(64));
    }
    cpu.set_reg(7, DATA + 0x700);
    cpu.set_reg(10, DATA + 0x800);
    cpu.set_reg(11, DATA + 0x1000);
    // Rarely somewhere that takes the slow path or faults.
    let odd =
        [READ_ONLY + 0x20, ABSENT, ABSENT - 8, READ_ONLY - 8, DEVICE + 0x40, DATA + 0x1008, 1 << 47, !0 - 20];
    cpu.set_reg(12, odd[random.below(8) as usize]);
    if narrow {
        for (to, from) in [(3, 10), (6, 11), (5, 12)] {
            let address = cpu.reg(from) & 0xffff_ffff;
            cpu.set_reg(to, address);
        }
    }
    cpu.set_reg(13, random.below(16) * 16);
    cpu.mxcsr = if random.below(4) == 0 { first.mxcsr } else { first.mxcsr | 0x1f80 };
    x87_state(&mut cpu.x87, &mut random);
    cpu.set_rflags(u64::from(first.flags) | 2);
    guest.run(CODE, pause)
}

/// Machine code that ends with HLT, and its text.
fn sequence(bits: u32, rows: &[&SseInsn], random: &mut Random) -> (Vec<u8>, String) {
    let mut encoder = Encoder::new(bits);
    let mut bytes = Vec::new();
    let mut text = String::new();
    let few = random.below(2) == 0;
    // Of 16 instructions, how many are x87's.
    let x87 = random.pick(&[0, 0, 2, 16]);
    for _ in 0..LENGTH {
        let ip = CODE + bytes.len() as u64;
        if random.below(12) == 0 {
            // A branch over INC RAX.
            let cc = random.below(16) as u8;
            bytes.extend_from_slice(&[0x70 | cc, 3, 0x48, 0xff, 0xc0]);
            text.push_str(&format!("{ip:#x} j{cc:x} over inc rax\n"));
            continue;
        }
        if random.below(16) < x87 {
            let code = x87_instruction(bits, random);
            text.push_str(&format!("{ip:#x} x87 {code:x?}\n"));
            bytes.extend_from_slice(&code);
            continue;
        }
        let code = if random.below(3) == 0 { random.pick(&INTEGER) } else { random.pick(rows).code };
        let instruction = operands(bits, code, few, random);
        // AH to DH do not go with the new registers, which 32-bit code does not have.
        if encoder.encode(&instruction, ip).is_err() {
            drop(encoder.take_buffer());
            continue;
        }
        text.push_str(&format!("{ip:#x} {:?} {:x?}\n", code, instruction));
        bytes.extend_from_slice(&encoder.take_buffer());
    }
    bytes.push(0xf4);
    (bytes, text)
}

/// Any x87 instruction but those that move the environment, with memory near R10.
fn x87_instruction(bits: u32, random: &mut Random) -> Vec<u8> {
    loop {
        let (opcode, modrm) = (0xd8 | random.below(8) as u8, random.next() as u8);
        if !decode(opcode, modrm).is_some_and(|op| {
            !matches!(op.memory(), Some(Memory::LoadImage | Memory::StoreImage)) && op != X87Op::Fninit
        }) {
            continue;
        }
        if modrm >= 0xc0 {
            return vec![opcode, modrm];
        }
        // [r10 + displacement], or [ebx + displacement].
        let mut code = match bits {
            32 => vec![opcode, 0x83 | modrm & 0x38],
            _ => vec![0x41, opcode, 0x82 | modrm & 0x38],
        };
        let displacement = if random.below(20) == 0 { 0x7f8 } else { 0 } + random.below(64) as i32 - 32;
        code.extend_from_slice(&displacement.to_le_bytes());
        return code;
    }
}

/// Registers of all kinds, most in use, and status and control words.
fn x87_state(x87: &mut X87, random: &mut Random) {
    let near = 16383 - 8 + random.below(16);
    for r in &mut x87.st {
        let exp = match random.below(12) {
            0 => 0,
            1 => 0x7fff,
            2 => random.below(0x7fff),
            3 => 16383 + random.below(70),
            4 => 16383 - 1070 + random.below(80),
            _ => near + random.below(8),
        } as u16;
        let integer = u64::from(exp != 0 && random.below(30) != 0) << 63;
        let fraction = random.next() & random.pick(&[0, 0, u64::MAX, u64::MAX << 40, u64::MAX << 11, 1]);
        let sign = (random.below(2) as u16) << 15;
        *r = F80 { sig: fraction & !(1 << 63) | integer, se: sign | exp };
    }
    x87.tag = random.pick(&[0xff, 0, 0x0f, 0xf8, 0x7f]) ^ (1 << random.below(8)) & random.next() as u8;
    x87.cw = if random.below(6) == 0 { random.next() as u16 & 0xf3f | 0x40 } else { 0x37f };
    x87.sw = random.next() as u16 & 0x7f3f & random.pick(&[0x7f3f, 0x3800, 0x3820]);
    if x87.sw & !x87.cw & 0x3f != 0 {
        x87.sw |= 0x8080;
    }
    (x87.fop, x87.fip, x87.fdp) = (1, 2, 3);
}

/// `code` with random operands; `few` registers make them meet more often.
fn operands(bits: u32, code: Code, few: bool, random: &mut Random) -> Instruction {
    let info = code.op_code();
    let mut instruction = Instruction::default();
    instruction.set_code(code);
    let wants_memory = random.below(3) == 0;
    let aligned = sse::lookup(code).is_some_and(|row| row.form.aligned);
    for n in 0..info.op_count() {
        let kind = info.op_kind(n);
        let register = |random: &mut Random| {
            let general = FREE[random.below(if bits == 32 { 3 } else { 9 }) as usize];
            match kind {
                K::xmm_reg | K::xmm_rm | K::xmm_or_mem => {
                    let n = random.below(if few { 3 } else { u64::from(bits) / 4 }) as u32;
                    Register::XMM0 + n
                }
                K::r8_or_mem => {
                    [Register::AH, Register::DH, Register::CL, Register::R8L][random.below(4) as usize]
                }
                K::r32_reg | K::r32_or_mem => general.full_register32(),
                _ => general,
            }
        };
        match kind {
            K::imm8 => {
                instruction.set_op_kind(n, OpKind::Immediate8);
                instruction.set_immediate8(random.next() as u8);
            }
            K::seg_rDI => instruction.set_op_kind(n, OpKind::MemorySegRDI),
            K::mem => memory(bits, &mut instruction, n, aligned, random),
            K::xmm_or_mem | K::r8_or_mem | K::r16_or_mem | K::r32_or_mem | K::r64_or_mem if wants_memory => {
                memory(bits, &mut instruction, n, aligned, random);
            }
            _ => {
                instruction.set_op_kind(n, OpKind::Register);
                let r = register(random);
                instruction.set_op_register(n, if kind == K::r16_or_mem { word(r) } else { r });
            }
        }
    }
    instruction
}

fn word(r: Register) -> Register {
    if r.number() < 8 { Register::AX + r.number() as u32 } else { Register::R8W + (r.number() as u32 - 8) }
}

fn memory(bits: u32, instruction: &mut Instruction, n: u32, aligned: bool, random: &mut Random) {
    instruction.set_op_kind(n, OpKind::Memory);
    let step = if aligned && random.below(40) != 0 { 16 } else { 1 };
    let around = (random.below(128 / step) * step).wrapping_sub(64);
    if bits == 32 {
        return narrow_memory(instruction, around, random);
    }
    instruction.set_memory_displ_size(8);
    match random.below(60) {
        0 => {
            instruction.set_memory_base(Register::R12);
            instruction.set_memory_displacement64(0);
        }
        1..=5 => {
            instruction.set_memory_base(Register::R11);
            instruction.set_memory_displacement64(around);
        }
        6..=9 => {
            instruction.set_segment_prefix(Register::FS);
            instruction.set_memory_base(Register::R13);
            instruction.set_memory_displacement64(0x400_u64.wrapping_add(around));
        }
        10..=13 => {
            instruction.set_segment_prefix(Register::GS);
            instruction.set_memory_base(Register::R13);
            instruction.set_memory_displacement64(0x10_0800_u64.wrapping_add(around));
        }
        14..=25 => {
            instruction.set_memory_base(Register::R10);
            instruction.set_memory_index(Register::R13);
            instruction.set_memory_index_scale(1 << random.below(3));
            instruction.set_memory_displacement64(around);
        }
        _ => {
            instruction.set_memory_base(Register::R10);
            instruction.set_memory_displacement64(around);
        }
    }
}

/// As [`memory`] in 32-bit code.
fn narrow_memory(instruction: &mut Instruction, around: u64, random: &mut Random) {
    instruction.set_memory_displ_size(4);
    let mut set = |base, displacement: u64| {
        instruction.set_memory_base(base);
        instruction.set_memory_displacement64(displacement & 0xffff_ffff);
    };
    match random.below(60) {
        0 => set(Register::EBP, 0),
        1..=5 => set(Register::ESI, around),
        6..=13 => {
            set(Register::None, (DATA + 0x800).wrapping_add(around).wrapping_sub(NARROW_FS));
            instruction.set_segment_prefix(Register::FS);
        }
        14..=17 => {
            set(Register::EBX, around.wrapping_sub(DATA - 0x10_0000));
            instruction.set_segment_prefix(Register::GS);
        }
        _ => set(Register::EBX, around),
    }
}
