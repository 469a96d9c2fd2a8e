//! Instructions of ring 3 whose result is not a function of the guest's state alone: they tell which CPU it is, or what time,
//! or chance, or round as the host does.
//!
//! A host makes some of them fault and some not (CPUID is answered by the host's CPU under PVM, RDTSC by most), so none
//! reaches it: in a copy of the page, which KVM executes, each is an undefined instruction, and the translator does it. A
//! program that reads its own code there reads the copy; what comes of that is noticed as any other difference is. Where
//! it is not clear which bytes are instructions, the page stays the translator's.
//!
//! Opcodes are of the SDM, volume 2, appendix A.

use iced_x86::{Code, Decoder, DecoderError, DecoderOptions};

/// What may be done with a page of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is none in it.
    Clean,
    /// There are some, and where is known: the bytes that make them undefined when they are [`UNDEFINED`].
    Patch(Vec<usize>),
    /// There may be some.
    Keep,
}

/// An opcode that 64-bit mode does not have (SDM volume 2, table A-2: PUSH ES).
pub(super) const UNDEFINED: u8 = 0x06;

/// Bytes before a pattern from which decoding begins, in how many places, and fewest bytes between these and the pattern: by
/// the time it comes there, chains of instructions that began differently have nearly always met.
const BEFORE: usize = 64;
const CHAINS: usize = 16;
const LEAST: usize = 16;
/// Fewest chains that come there without an undefined instruction, which shows that a chain is none.
const WITNESSES: usize = 3;

/// Looks for them in `page`. Data among the code, or the end of another instruction, can look like one.
pub(super) fn judge(page: &[u8; PAGE]) -> Verdict {
    let mut patches = Vec::new();
    for at in (0..PAGE).filter(|&at| page[at] == 0x0f) {
        let Some(look) = looks(&page[at + 1..]) else { continue };
        let Some((start, code)) = covering(page, at) else {
            match look {
                Look::Common => return Verdict::Keep,
                Look::Rare => continue,
            }
        };
        // What goes on in the next page could be any.
        if opcode_of(page, start) == at && code.is_none_or(is_telltale) {
            patches.push(at);
        }
    }
    if patches.is_empty() { Verdict::Clean } else { Verdict::Patch(patches) }
}

const PAGE: usize = 4096;

/// How sure it must be that bytes are not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Programs have it.
    Common,
    /// No program has it but for the sake of it, and constants look like it often (15 like SLDT): where it is not clear what
    /// the bytes are, they are not it.
    Rare,
}

/// What follows 0F if that makes, or may make, one of it.
fn looks(rest: &[u8]) -> Option<Look> {
    const fn register(modrm: u8) -> u8 {
        modrm >> 3 & 7
    }
    let (opcode, modrm) = match rest {
        // It goes on in the next page.
        [] => return Some(Look::Common),
        [opcode] => (*opcode, None),
        [opcode, modrm, ..] => (*opcode, Some(*modrm)),
    };
    let when = |is: fn(u8) -> bool, look| modrm.is_none_or(is).then_some(look);
    match opcode {
        // SLDT, STR.
        0x00 => when(|modrm| register(modrm) <= 1, Look::Rare),
        // XGETBV, RDTSCP, RDPRU; SGDT, SIDT, SMSW.
        0x01 => when(|modrm| matches!(modrm, 0xd0 | 0xf9 | 0xfd), Look::Common)
            .or(when(|modrm| modrm < 0xc0 && register(modrm) <= 1 || register(modrm) == 4, Look::Rare)),
        // LSL between registers, by which getcpu() finds the processor.
        0x03 => when(|modrm| modrm >= 0xc0, Look::Common),
        // RDTSC; CPUID; RSQRTPS, RCPPS and their scalar forms.
        0x31 | 0xa2 | 0x52 | 0x53 => Some(Look::Common),
        // LZCNT, which is BSR without its prefix.
        0xbd => Some(Look::Rare),
        // RDRAND, RDSEED, RDPID; CMPXCHG8B and CMPXCHG16B have memory operands.
        0xc7 => when(|modrm| modrm >= 0xf0, Look::Common),
        _ => None,
    }
}

/// Where the instruction begins that byte `at` is of, and what it is unless it goes on in the next page; if all chains of
/// instructions that begin well before it agree on that.
fn covering(page: &[u8; PAGE], at: usize) -> Option<(usize, Option<Code>)> {
    let first = at.saturating_sub(BEFORE);
    let chains = (first..first + CHAINS).filter(|start| start + LEAST <= at);
    let mut witnesses = chains.filter_map(|start| {
        let mut decoder = Decoder::with_ip(64, &page[start..], start as u64, DecoderOptions::NONE);
        loop {
            let instruction = decoder.decode();
            let begin = instruction.ip() as usize;
            if !instruction.is_invalid() && instruction.next_ip() > at as u64 {
                return Some((begin, Some(instruction.code())));
            } else if decoder.last_error() == DecoderError::NoMoreBytes {
                return Some((begin, None));
            } else if instruction.is_invalid() {
                return None;
            }
        }
    });
    let one = witnesses.next()?;
    let (mut count, mut agree) = (1, true);
    for other in witnesses {
        count += 1;
        agree &= other == one;
    }
    (agree && count >= WITNESSES).then_some(one)
}

/// Whether the byte is a prefix in 64-bit mode (SDM volume 2, 2.1.1 and 2.2.1).
fn is_prefix(b: u8) -> bool {
    matches!(b, 0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3 | 0x40..=0x4f)
}

/// Where the opcode of the instruction at `at` begins, behind its prefixes.
pub(super) fn opcode_of(code: &[u8], at: usize) -> usize {
    at + code[at..].iter().position(|&b| !is_prefix(b)).unwrap_or(0)
}

fn is_telltale(code: Code) -> bool {
    use Code::{Cpuid, Rdpid_r32, Rdpid_r64, Rdpru, Rdtsc, Rdtscp, Xgetbv};
    use Code::{Lsl_r16_rm16, Lsl_r32_r32m16, Lsl_r64_r64m16, Smsw_r32m16, Smsw_r64m16, Smsw_rm16};
    use Code::{Lzcnt_r16_rm16, Lzcnt_r32_rm32, Lzcnt_r64_rm64};
    use Code::{Rcpps_xmm_xmmm128, Rcpss_xmm_xmmm32, Rsqrtps_xmm_xmmm128, Rsqrtss_xmm_xmmm32};
    use Code::{Rdrand_r16, Rdrand_r32, Rdrand_r64, Rdseed_r16, Rdseed_r32, Rdseed_r64};
    use Code::{
        Sgdt_m1664, Sidt_m1664, Sldt_r32m16, Sldt_r64m16, Sldt_rm16, Str_r32m16, Str_r64m16, Str_rm16,
    };
    matches!(
        code,
        Cpuid
            | Rcpps_xmm_xmmm128
            | Rcpss_xmm_xmmm32
            | Rsqrtps_xmm_xmmm128
            | Rsqrtss_xmm_xmmm32
            | Lzcnt_r16_rm16
            | Lzcnt_r32_rm32
            | Lzcnt_r64_rm64
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
            | Sgdt_m1664
            | Sidt_m1664
            | Sldt_rm16
            | Sldt_r32m16
            | Sldt_r64m16
            | Str_rm16
            | Str_r32m16
            | Str_r64m16
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

    const ALL: [&[u8]; 12] = [
        &[0xf3, 0x0f, 0x52, 0xc1],
        &[0xf3, 0x48, 0x0f, 0xbd, 0xc1],
        &[0x0f, 0xa2],
        &[0x0f, 0x31],
        &[0x0f, 0x01, 0xf9],
        &[0x0f, 0x01, 0xd0],
        &[0x48, 0x0f, 0xc7, 0xf0],
        &[0x0f, 0x03, 0xc1],
        &[0xf3, 0x0f, 0xc7, 0xf8],
        &[0x66, 0x0f, 0x01, 0xe0],
        &[0x0f, 0x01, 0x0c, 0x24],
        &[0x48, 0x0f, 0x00, 0xc0],
    ];

    fn opcode(bytes: &[u8]) -> usize {
        bytes.iter().position(|&b| b == 0x0f).expect("an opcode")
    }

    #[test]
    fn they_are_found_wherever_they_lie() {
        for bytes in ALL {
            for at in [20, 100, 1000, 4096 - bytes.len()] {
                let patch = Verdict::Patch(vec![at + opcode(bytes)]);
                assert_eq!(judge(&page(at, bytes)), patch, "{bytes:x?} at {at}");
            }
            for at in [0, 10] {
                let rare = matches!(looks(&bytes[opcode(bytes) + 1..]), Some(Look::Rare));
                let verdict = if rare { Verdict::Clean } else { Verdict::Keep };
                assert_eq!(judge(&page(at, bytes)), verdict, "{bytes:x?} at {at}");
            }
        }
    }

    #[test]
    fn what_goes_on_in_the_next_page_may_be_one() {
        for bytes in ALL {
            for len in opcode(bytes) + 1..bytes.len() {
                let at = 4096 - len;
                let patch = Verdict::Patch(vec![at + opcode(bytes)]);
                assert_eq!(judge(&page(at, &bytes[..len])), patch, "{bytes:x?} at {at}");
            }
        }
        // MOV EAX, imm32 with two bytes of it there.
        assert_eq!(judge(&page(4093, &[0xb8, 0x00, 0x0f])), Verdict::Clean);
    }

    #[test]
    fn a_patch_makes_each_undefined() {
        for bytes in ALL {
            let mut page = page(200, bytes);
            let Verdict::Patch(at) = judge(&page) else { panic!("{bytes:x?}") };
            page[at[0]] = UNDEFINED;
            let mut decoder = Decoder::with_ip(64, &page[200..], 0, DecoderOptions::NONE);
            assert!(decoder.decode().is_invalid(), "{bytes:x?}");
        }
    }

    #[test]
    fn others_are_not() {
        let others: [&[u8]; 10] = [
            &[0x0f, 0xb6, 0xc0],
            &[0xf0, 0x0f, 0xc7, 0x0e],
            &[0x0f, 0xae, 0xf0],
            &[0x0f, 0xae, 0x44, 0x24, 0x40],
            &[0x0f, 0x05],
            &[0x0f, 0xbd, 0xc1],
            &[0xb8, 0x0f, 0, 0, 0],
            &[0xa2, 0x31, 0, 0, 0, 0, 0, 0, 0],
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
