//! Makes machine code of a row: once with registers only, once with a memory operand, where it has such a form.

use iced_x86::{Code, Encoder, Instruction, OpCodeOperandKind, OpKind, Register};
use rrvmm_tcg::x86::sse::SseInsn;

/// Where an operand of the encoded instruction lives in the stub's machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// No such operand.
    None,
    /// XMM register of this number.
    Xmm(usize),
    /// MMX register of this number.
    Mm(usize),
    /// The general register `gpr[n]`, its low bits.
    Gpr(usize, u32),
    /// Memory at R10.
    Memory,
}

/// One runnable form of a row.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Place of the semantics' first input.
    pub dst: Place,
    /// Place of the second.
    pub src: Place,
    instruction: Instruction,
    imm_operand: Option<u32>,
}

impl Variant {
    /// Whether one operand is memory.
    pub fn in_memory(&self) -> bool {
        self.dst == Place::Memory || self.src == Place::Memory
    }

    /// Machine code with this immediate, if there is one.
    pub fn encode(&self, imm: u8) -> Vec<u8> {
        let mut instruction = self.instruction;
        if self.imm_operand.is_some() {
            instruction.set_immediate8(imm);
        }
        let mut encoder = Encoder::new(64);
        encoder.encode(&instruction, 0).unwrap_or_else(|error| panic!("{:?}: {error}", instruction.code()));
        encoder.take_buffer()
    }

    /// Whether the immediate changes the code.
    pub fn has_imm(&self) -> bool {
        self.imm_operand.is_some()
    }
}

/// The forms of a row.
pub fn variants(row: &SseInsn) -> Vec<Variant> {
    [false, true].into_iter().filter_map(|memory| variant(row.code, memory)).collect()
}

fn variant(code: Code, memory: bool) -> Option<Variant> {
    let info = code.op_code();
    let mut instruction = Instruction::default();
    instruction.set_code(code);
    let (mut places, mut imm_operand, mut used_memory) = (Vec::new(), None, false);
    for operand in 0..info.op_count() {
        let n = places.len() + 1;
        let kind = info.op_kind(operand);
        let place = match kind {
            OpCodeOperandKind::imm8 => {
                instruction.set_op_kind(operand, OpKind::Immediate8);
                imm_operand = Some(operand);
                continue;
            }
            OpCodeOperandKind::seg_rDI => {
                instruction.set_op_kind(operand, OpKind::MemorySegRDI);
                continue;
            }
            _ => place(kind, n, memory)?,
        };
        used_memory |= place == Place::Memory;
        set_operand(&mut instruction, operand, place);
        places.push(place);
    }
    let place = |n: usize| places.get(n).copied().unwrap_or(Place::None);
    // Without a choice the register pass already made it.
    let (dst, src) = if code == Code::Ldmxcsr_m32 { (Place::None, place(0)) } else { (place(0), place(1)) };
    (used_memory == memory).then_some(Variant { dst, src, instruction, imm_operand })
}

/// Place of operand number `n` (from 1); none if the kind does not allow what is wanted.
fn place(kind: OpCodeOperandKind, n: usize, memory: bool) -> Option<Place> {
    use OpCodeOperandKind as K;
    let or_memory = |place| Some(if memory { Place::Memory } else { place });
    match kind {
        K::mem => memory.then_some(Place::Memory),
        K::xmm_reg | K::xmm_rm => Some(Place::Xmm(n)),
        K::mm_reg | K::mm_rm => Some(Place::Mm(n)),
        K::r32_reg => Some(Place::Gpr(n, 32)),
        K::r64_reg => Some(Place::Gpr(n, 64)),
        K::xmm_or_mem => or_memory(Place::Xmm(n)),
        K::mm_or_mem => or_memory(Place::Mm(n)),
        K::r8_or_mem => or_memory(Place::Gpr(n, 8)),
        K::r16_or_mem => or_memory(Place::Gpr(n, 16)),
        K::r32_or_mem => or_memory(Place::Gpr(n, 32)),
        K::r64_or_mem => or_memory(Place::Gpr(n, 64)),
        other => panic!("an operand kind this test does not know: {other:?}"),
    }
}

fn set_operand(instruction: &mut Instruction, operand: u32, place: Place) {
    let register = match place {
        Place::None => return,
        Place::Memory => {
            instruction.set_op_kind(operand, OpKind::Memory);
            instruction.set_memory_base(Register::R10);
            return;
        }
        Place::Xmm(n) => [Register::XMM0, Register::XMM1, Register::XMM2][n],
        Place::Mm(n) => [Register::MM0, Register::MM1, Register::MM2][n],
        Place::Gpr(n, 8) => [Register::None, Register::R8L, Register::R9L][n],
        Place::Gpr(n, 16) => [Register::None, Register::R8W, Register::R9W][n],
        Place::Gpr(n, 32) => [Register::None, Register::R8D, Register::R9D][n],
        Place::Gpr(n, _) => [Register::None, Register::R8, Register::R9][n],
    };
    instruction.set_op_kind(operand, OpKind::Register);
    instruction.set_op_register(operand, register);
}
