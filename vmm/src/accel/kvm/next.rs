//! What kind of instruction user code comes to next.

use super::telltale;
use iced_x86::{Decoder, DecoderOptions, FlowControl};
use rrvmm_tcg::x86::{Cpu, system::paging};

/// The bytes of the next instruction and, where it is shorter, behind it.
fn next_bytes(cpu: &Cpu) -> [u8; 15] {
    let mut bytes = [0; 15];
    for (n, byte) in bytes.iter_mut().enumerate() {
        let phys = paging::peek(cpu, cpu.core.pc.wrapping_add(n as u64));
        *byte = phys.and_then(|phys| cpu.core.phys.read(phys, 1)).unwrap_or(0) as u8;
    }
    bytes
}

/// Whether the next instruction, of 64-bit code, is a conditional branch.
pub(super) fn at_branch(cpu: &Cpu) -> bool {
    let next = Decoder::new(64, &next_bytes(cpu), DecoderOptions::NONE).decode();
    next.flow_control() == FlowControl::ConditionalBranch
}

/// Whether the next instruction is a repeated string instruction, which may have done a part of its work.
pub(super) fn at_string(cpu: &Cpu) -> bool {
    let bytes = next_bytes(cpu);
    let opcode = telltale::opcode_of(&bytes, 0);
    let repeats = bytes[..opcode].iter().any(|&b| matches!(b, 0xf2 | 0xf3));
    repeats && matches!(bytes[opcode], 0x6c..=0x6f | 0xa4..=0xa7 | 0xaa..=0xaf)
}
