//! Instructions of ring 3 whose result is not in the guest's state: they tell which CPU it is, or what time, or chance.
//!
//! A host makes some of them fault and some not (CPUID is answered by the host's CPU under PVM, RDTSC by most), so none
//! reaches it. Opcodes are of the SDM, volume 2, appendix A.

/// Whether code in `page` may have one. Data among the code, or the end of another instruction, can look like one.
pub(super) fn is_in(page: &[u8; 4096]) -> bool {
    let mut rest = &page[..];
    while let Some(at) = rest.iter().position(|&b| b == 0x0f) {
        rest = &rest[at + 1..];
        match rest {
            // It may go on in the next page.
            [] | [0x01 | 0x03 | 0xc7] => return true,
            [opcode, more @ ..] if tells(*opcode, more.first().copied().unwrap_or(0)) => return true,
            _ => {}
        }
    }
    false
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

#[cfg(test)]
mod tests {
    use super::*;

    fn page(at: usize, bytes: &[u8]) -> [u8; 4096] {
        let mut page = [0x90; 4096];
        page[at..at + bytes.len()].copy_from_slice(bytes);
        page
    }

    #[test]
    fn they_are_found_wherever_they_lie() {
        let all: [&[u8]; 7] = [
            &[0x0f, 0xa2],
            &[0x0f, 0x31],
            &[0x0f, 0x01, 0xf9],
            &[0x0f, 0x01, 0xd0],
            &[0x48, 0x0f, 0xc7, 0xf0],
            &[0x0f, 0x03, 0xc1],
            &[0x0f, 0x0f, 0xa2],
        ];
        for bytes in all {
            for at in [0, 1000, 4096 - bytes.len()] {
                assert!(is_in(&page(at, bytes)), "{bytes:x?} at {at}");
            }
            assert!(is_in(&page(4095, &[0x0f])));
        }
    }

    #[test]
    fn others_are_not() {
        let others: [&[u8]; 7] = [
            &[0x0f, 0xb6, 0xc0],
            &[0xf0, 0x0f, 0xc7, 0x0e],
            &[0x0f, 0xae, 0xf0],
            &[0x0f, 0xae, 0x44, 0x24, 0x40],
            &[0x0f, 0x05],
            &[0xb8, 0x0f, 0, 0, 0],
            &[0xa2, 0x31],
        ];
        assert!(!is_in(&page(0, &[])));
        for bytes in others {
            assert!(!is_in(&page(5, bytes)), "{bytes:x?}");
        }
    }
}
