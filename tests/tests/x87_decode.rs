//! The x87 opcode map against `iced-x86`: the same opcodes are defined, and memory operands have the same size.

use iced_x86::{Code, Decoder, DecoderOptions, Instruction};
use rrvmm_tcg::x86::x87::{Memory, decode};

#[test]
fn the_same_opcodes_are_defined() {
    for opcode in 0xd8..=0xdf {
        for modrm in 0..=0xff {
            // ModRM, then enough for any SIB byte and displacement.
            let bytes = [opcode, modrm, 0, 0, 0, 0, 0];
            let mut instruction = Instruction::default();
            Decoder::new(32, &bytes, DecoderOptions::NONE).decode_out(&mut instruction);
            let ours = decode(opcode, modrm);
            assert_eq!(
                ours.is_none(),
                instruction.code() == Code::INVALID,
                "{opcode:02x} {modrm:02x} {ours:?}"
            );
            let Some(op) = ours else { continue };
            match op.memory() {
                None => assert!(modrm >= 0xc0, "{op:?}"),
                Some(Memory::Load(bytes) | Memory::Store(bytes)) => {
                    assert_eq!(usize::from(bytes), instruction.memory_size().size(), "{op:?}");
                }
                Some(Memory::LoadImage | Memory::StoreImage) => {
                    assert!(instruction.memory_size().size() >= 28, "{op:?}")
                }
            }
        }
    }
}
