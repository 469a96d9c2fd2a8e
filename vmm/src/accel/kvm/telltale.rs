//! Instructions of ring 3 whose result is not in the guest's state: they tell which CPU it is, or what time, or chance.
//!
//! A host makes some of them fault and some not (CPUID is answered by the host's CPU under PVM, RDTSC by most), so none
//! reaches it: in a copy of the page, which KVM executes, each is an undefined instruction, and the translator does it. A
//! program that reads its own code there reads the copy; what comes of that is noticed as any other difference is. Where
//! it is not clear which bytes are instructions, the page stays the translator's.
//!
//! Opcodes are of the SDM, volume 2, appendix A.

use iced_x86::{Code, Decoder, DecoderOptions, Instruction};

/// What may be done with a page of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is none in it.
    Clean,
    /// There are some, and where is known: the bytes behind their 0F, which make UD2 of them when they are [`UD2`].
    Patch(Vec<usize>),
    /// There may be some.
    Keep,
}

/// The second byte of the opcode that is always undefined (SDM volume 2, UD).
pub(super) const UD2: u8 = 0x0b;

/// Bytes before a pattern from which decoding begins, and in how many places: by the time it comes there, chains of
/// instructions that began differently have nearly always met.
const BEFORE: usize = 64;
const CHAINS: usize = 16;

/// Looks for them in `page`. Data among the code, or the end of another instruction, can look like one.
pub(super) fn judge(page: &[u8; 4096]) -> Verdict {
    let mut patches = Vec::new();
    for at in (0..page.len()).filter(|&at| page[at] == 0x0f) {
        let looks = match &page[at + 1..] {
            // It may go on in the next page.
            [] | [0x01 | 0x03 | 0xc7] => true,
            [opcode, more @ ..] => tells(*opcode, more.first().copied().unwrap_or(0)),
        };
        if looks {
            match covering(page, at) {
                Some(instruction) if !is_telltale(instruction.code()) => {}
                Some(_) if at + 1 < page.len() => patches.push(at + 1),
                Some(_) | None => return Verdict::Keep,
            }
        }
    }
    if patches.is_empty() { Verdict::Clean } else { Verdict::Patch(patches) }
}

/// Whether `0F opcode modrm` is one. Those left out are never in programs, and the bytes often: 15 as a constant looks like
/// SLDT.
fn tells(opcode: u8, modrm: u8) -> bool {
    match opcode {
        // XGETBV, RDTSCP, RDPRU, SMSW.
        0x01 => matches!(modrm, 0xd0 | 0xf9 | 0xfd | 0xe0..=0xe7),
        // LSL between registers, by which getcpu() finds the processor.
        0x03 => modrm >= 0xc0,
        // RDTSC, CPUID.
        0x31 | 0xa2 => true,
        // RDRAND, RDSEED, RDPID; CMPXCHG8B and CMPXCHG16B have memory operands.
        0xc7 => modrm >= 0xf0,
        _ => false,
    }
}

/// The instruction that byte `at` is of, if all chains of instructions that begin well before it agree on that.
fn covering(page: &[u8; 4096], at: usize) -> Option<Instruction> {
    let first = at.checked_sub(BEFORE)?;
    let mut found = (first..first + CHAINS).map(|start| {
        let mut decoder = Decoder::with_ip(64, &page[start..], start as u64, DecoderOptions::NONE);
        loop {
            let instruction = decoder.decode();
            if instruction.is_invalid() || instruction.next_ip() > at as u64 {
                return (!instruction.is_invalid()).then_some(instruction);
            }
        }
    });
    let one = found.next()??;
    found
        .all(|other| other.is_some_and(|other| (other.ip(), other.len()) == (one.ip(), one.len())))
        .then_some(one)
}

fn is_telltale(code: Code) -> bool {
    use Code::{Cpuid, Rdpid_r32, Rdpid_r64, Rdpru, Rdtsc, Rdtscp, Xgetbv};
    use Code::{Lsl_r16_rm16, Lsl_r32_r32m16, Lsl_r64_r64m16, Smsw_r32m16, Smsw_r64m16, Smsw_rm16};
    use Code::{Rdrand_r16, Rdrand_r32, Rdrand_r64, Rdseed_r16, Rdseed_r32, Rdseed_r64};
    matches!(
        code,
        Cpuid
            | Rdtsc
            | Rdtscp
            | Rdpru
            | Xgetbv
            | Rdpid_r32
            | Rdpid_r64
            | Rdrand_r16
            | Rdrand_r32
            | Rdrand_r64
            | Rdseed_r16
            | Rdseed_r32
            | Rdseed_r64
            | Lsl_r16_rm16
            | Lsl_r32_r32m16
            | Lsl_r64_r64m16
            | Smsw_rm16
            | Smsw_r32m16
            | Smsw_r64m16
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code that ends no chain of instructions: NOPs with `bytes` at `at`.
    fn page(at: usize, bytes: &[u8]) -> [u8; 4096] {
        let mut page = [0x90; 4096];
        page[at..at + bytes.len()].copy_from_slice(bytes);
        page
    }

    const ALL: [&[u8]; 8] = [
        &[0x0f, 0xa2],
        &[0x0f, 0x31],
        &[0x0f, 0x01, 0xf9],
        &[0x0f, 0x01, 0xd0],
        &[0x48, 0x0f, 0xc7, 0xf0],
        &[0x0f, 0x03, 0xc1],
        &[0xf3, 0x0f, 0xc7, 0xf8],
        &[0x66, 0x0f, 0x01, 0xe0],
    ];

    #[test]
    fn they_are_found_wherever_they_lie() {
        for bytes in ALL {
            let opcode = bytes.iter().position(|&b| b == 0x0f).expect("an opcode") + 1;
            for at in [100, 1000, 4096 - bytes.len()] {
                assert_eq!(judge(&page(at, bytes)), Verdict::Patch(vec![at + opcode]), "{bytes:x?} at {at}");
            }
            for at in [0, 10, 60] {
                assert_eq!(judge(&page(at, bytes)), Verdict::Keep, "{bytes:x?} at {at}");
            }
        }
        assert_eq!(judge(&page(4095, &[0x0f])), Verdict::Keep);
        assert_eq!(judge(&page(4094, &[0x0f, 0xc7])), Verdict::Keep);
    }

    #[test]
    fn a_patch_makes_each_undefined() {
        for bytes in ALL {
            let mut page = page(200, bytes);
            let Verdict::Patch(at) = judge(&page) else { panic!("{bytes:x?}") };
            page[at[0]] = UD2;
            let mut decoder = Decoder::with_ip(64, &page[200..], 0, DecoderOptions::NONE);
            assert_eq!(decoder.decode().code(), Code::Ud2, "{bytes:x?}");
        }
    }

    #[test]
    fn others_are_not() {
        let others: [&[u8]; 9] = [
            &[0x0f, 0xb6, 0xc0],
            &[0xf0, 0x0f, 0xc7, 0x0e],
            &[0x0f, 0xae, 0xf0],
            &[0x0f, 0xae, 0x44, 0x24, 0x40],
            &[0x0f, 0x05],
            &[0xb8, 0x0f, 0, 0, 0],
            &[0xa2, 0x31],
            // Constants and displacements that look like CPUID and RDTSC.
            &[0x48, 0xb8, 0x0f, 0xa2, 0, 0, 0, 0, 0, 0],
            &[0x8b, 0x80, 0x0f, 0x31, 0, 0],
        ];
        assert_eq!(judge(&page(0, &[])), Verdict::Clean);
        for bytes in others {
            assert_eq!(judge(&page(205, bytes)), Verdict::Clean, "{bytes:x?}");
        }
    }

    #[test]
    fn where_instructions_begin_must_be_clear() {
        // Bytes of 05 (ADD EAX, imm32) before it: each place to begin leads elsewhere.
        let mut bytes = [0x05; 70];
        bytes[68..].copy_from_slice(&[0x0f, 0xa2]);
        assert_eq!(judge(&page(300, &bytes)), Verdict::Keep);
    }
}
