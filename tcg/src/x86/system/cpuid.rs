//! CPUID of the models; docs/cpu-model.md is the same table for readers, and a test compares both.

use super::{PHYSICAL_BITS, msr};
use crate::{
    Bus,
    x86::{
        Cpu, Exception,
        model::Model,
        state::{bits, gpr},
    },
};

/// Highest basic leaf.
pub const MAX_BASIC: u32 = 0x16;
/// Highest extended leaf.
pub const MAX_EXTENDED: u32 = 0x8000_0008;
/// Family 6, model 0x1C, stepping 10.
pub const SIGNATURE: u32 = 0x0001_06ca;
/// Frequency of TSC, core crystal and local APIC timer.
pub const HZ: u32 = 1_000_000_000;

/// EAX, EBX, ECX, EDX of one leaf.
pub type Leaf = [u32; 4];

const BRAND: &[u8; 48] = b"rrvmm-x86-v1 virtual CPU @ 1.00GHz\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// FPU VME DE PSE TSC MSR PAE MCE CX8 APIC, SEP MTRR PGE MCA CMOV PAT PSE36, CLFSH, MMX FXSR SSE SSE2.
const FEATURES_EDX: u32 = 0x3ff | 0x7f << 11 | 1 << 19 | 0xf << 23;
/// SSE3, SSSE3, CMPXCHG16B, SSE4.1, SSE4.2, POPCNT, TSC-deadline, XSAVE.
const FEATURES_ECX: u32 = 1 | 1 << 9 | 1 << 13 | 1 << 19 | 1 << 20 | 1 << 23 | 1 << 24 | 1 << 26;
const APIC: u32 = 1 << 9;
const OSXSAVE: u32 = 1 << 27;
/// TSC_ADJUST, SMEP, ERMS (string moves go in bulk here), SMAP.
const LEAF7_EBX: u32 = 1 << 1 | 1 << 7 | 1 << 9 | 1 << 20;
/// LAHF in 64-bit code.
const EXTENDED_ECX: u32 = 1;
/// NX, 1 GiB pages, long mode. SYSCALL (bit 11) is reported in 64-bit code only, as the hardware does.
const EXTENDED_EDX: u32 = 1 << 20 | 1 << 26 | 1 << 29;
const SYSCALL: u32 = 1 << 11;

/// What `rrvmm-x86-kvm-v1` leaves out: TSC-deadline, XSAVE, OSXSAVE; TSC; TSC_ADJUST.
const HIDDEN_ECX: u32 = 1 << 24 | 1 << 26 | OSXSAVE;
const HIDDEN_EDX: u32 = 1 << 4;
const HIDDEN_LEAF7_EBX: u32 = 1 << 1;

/// `bits` if the model leaves them out, else none.
fn hidden<const N: usize>(model: Model, bits: [u32; N]) -> [u32; N] {
    match model {
        Model::V1 => [0; N],
        Model::KvmV1 => bits,
    }
}

/// CPUID: leaf in EAX, subleaf in ECX; EAX, EBX, ECX, EDX out.
///
/// # Errors
/// None.
pub fn cpuid(cpu: &mut Cpu, bus: &mut dyn Bus, _: u64, _: u64) -> Result<u64, Exception> {
    let out = leaf(cpu, bus, cpu.reg(gpr::RAX) as u32, cpu.reg(gpr::RCX) as u32);
    for (n, value) in [gpr::RAX, gpr::RBX, gpr::RCX, gpr::RDX].into_iter().zip(out) {
        cpu.set_reg(n, u64::from(value));
    }
    Ok(0)
}

/// What CPUID answers. A leaf beyond the highest of its range answers as the highest basic one (SDM volume 2, CPUID).
#[must_use]
pub fn leaf(cpu: &Cpu, bus: &dyn Bus, leaf: u32, subleaf: u32) -> Leaf {
    let limited = cpu.sys.msrs.misc_enable & msr::MISC_ENABLE_LIMIT_CPUID != 0;
    let max_basic = if limited { 3 } else { MAX_BASIC };
    if leaf <= max_basic {
        basic(cpu, bus, leaf, subleaf, max_basic)
    } else if (0x8000_0000..=MAX_EXTENDED).contains(&leaf) {
        extended(cpu, leaf)
    } else {
        basic(cpu, bus, max_basic, subleaf, max_basic)
    }
}

fn basic(cpu: &Cpu, bus: &dyn Bus, leaf: u32, subleaf: u32, max_basic: u32) -> Leaf {
    match leaf {
        0 => [max_basic, word(b"Genu"), word(b"ntel"), word(b"ineI")],
        1 => {
            let enabled = bus.apic_base() & 1 << 11 != 0;
            let edx = if enabled { FEATURES_EDX } else { FEATURES_EDX & !APIC };
            let osxsave = if cpu.sys.cr4 & bits::CR4_OSXSAVE != 0 { OSXSAVE } else { 0 };
            // CLFLUSH line of 8 quadwords, one logical processor, APIC ID 0.
            let [hidden_ecx, hidden_edx] = hidden(cpu.model, [HIDDEN_ECX, HIDDEN_EDX]);
            [SIGNATURE, 8 << 8 | 1 << 16, (FEATURES_ECX | osxsave) & !hidden_ecx, edx & !hidden_edx]
        }
        // One byte that refers to leaf 4.
        2 => [0xff01, 0, 0, 0],
        4 => cache(subleaf),
        // The local APIC timer runs always.
        6 => [1 << 2, 0, 0, 0],
        7 if subleaf == 0 => [0, LEAF7_EBX & !hidden(cpu.model, [HIDDEN_LEAF7_EBX])[0], 0, 0],
        0xd | 0x15 | 0x16 if cpu.model == Model::KvmV1 => [0; 4],
        // x87 and SSE; the area is the same whatever is enabled.
        0xd if subleaf == 0 => [3, 576, 576, 0],
        0x15 => [1, 1, HZ, 0],
        0x16 => [HZ / 1_000_000, HZ / 1_000_000, HZ / 1_000_000, 0],
        _ => [0; 4],
    }
}

/// Deterministic cache parameters: 32 KiB L1 data, 32 KiB L1 instruction, 512 KiB L2; 8 ways, 64-byte lines.
fn cache(subleaf: u32) -> Leaf {
    let (kind, level, sets) = match subleaf {
        0 => (1, 1, 64),
        1 => (2, 1, 64),
        2 => (3, 2, 1024),
        _ => return [0; 4],
    };
    [kind | level << 5 | 1 << 8, 7 << 22 | 63, sets - 1, 0]
}

fn extended(cpu: &Cpu, leaf: u32) -> Leaf {
    match leaf {
        0x8000_0000 => [MAX_EXTENDED, 0, 0, 0],
        0x8000_0001 => {
            let syscall = if cpu.sys.code64() { SYSCALL } else { 0 };
            [0, 0, EXTENDED_ECX, EXTENDED_EDX | syscall]
        }
        0x8000_0002..=0x8000_0004 => brand((leaf - 0x8000_0002) as usize),
        // L2: 512 KiB, 8 ways, 64-byte lines.
        0x8000_0006 => [0, 0, 512 << 16 | 6 << 12 | 64, 0],
        // Invariant TSC.
        0x8000_0007 if cpu.model == Model::V1 => [0, 0, 0, 1 << 8],
        0x8000_0008 => [PHYSICAL_BITS | 48 << 8, 0, 0, 0],
        _ => [0; 4],
    }
}

const fn word(b: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*b)
}

fn brand(part: usize) -> Leaf {
    let mut out = [0; 4];
    for (value, bytes) in out.iter_mut().zip(BRAND[16 * part..].chunks_exact(4)) {
        *value = bytes.iter().rev().fold(0, |v, &b| v << 8 | u32::from(b));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x86::system::testing::{TestBus, cpu};

    const DOC: &str = include_str!("../../../../docs/cpu-model.md");

    /// Rows of the table: `| leaf | subleaf | EAX | EBX | ECX | EDX | meaning |`, all in hexadecimal.
    fn rows() -> Vec<[u32; 6]> {
        let hex = |s: &str| u32::from_str_radix(s.trim().trim_start_matches("0x"), 16).ok();
        let row = |line: &str| {
            let cells: Vec<_> = line.split('|').skip(1).take(6).map(hex).collect();
            let cells: Option<Vec<_>> = cells.into_iter().collect();
            cells.and_then(|c| <[u32; 6]>::try_from(c).ok())
        };
        DOC.lines().filter_map(row).collect()
    }

    #[test]
    fn the_document_says_what_the_code_says() {
        let mut c = cpu();
        c.sys.efer = bits::EFER_LMA;
        c.sys.segs[crate::x86::state::seg::CS].attr |= crate::x86::state::Segment::L;
        let bus = TestBus { apic_base: 0xfee0_0900, ..TestBus::default() };
        let rows = rows();
        for [l, sub, expected @ ..] in &rows {
            assert_eq!(leaf(&c, &bus, *l, *sub), *expected, "leaf {l:#x} subleaf {sub}");
        }
        let all = (0..=MAX_BASIC).chain(0x8000_0000..=MAX_EXTENDED);
        for l in all.flat_map(|l| (0..8).map(move |sub| (l, sub))) {
            let documented = rows.iter().any(|r| (r[0], r[1]) == l);
            let per_subleaf = matches!(l.0, 4 | 7 | 0xd);
            if leaf(&c, &bus, l.0, l.1) != [0; 4] && (l.1 == 0 || per_subleaf) {
                assert!(documented, "leaf {:#x} subleaf {} is not in docs/cpu-model.md", l.0, l.1);
            }
        }
    }

    #[test]
    fn the_model_for_hosts_hides_what_hosts_do_otherwise() {
        let mut c = cpu();
        let bus = TestBus::default();
        let v1 = [1, 7].map(|l| leaf(&c, &bus, l, 0));
        c.model = Model::KvmV1;
        c.sys.cr4 |= bits::CR4_OSXSAVE;
        let [one, seven] = [1, 7].map(|l| leaf(&c, &bus, l, 0));
        assert_eq!((one[2], one[3]), (v1[0][2] & !(1 << 24 | 1 << 26), v1[0][3] & !(1 << 4)));
        assert_eq!(seven[1], v1[1][1] & !(1 << 1));
        for l in [0xd, 0x15, 0x16, 0x8000_0007] {
            assert_eq!(leaf(&c, &bus, l, 0), [0; 4], "leaf {l:#x}");
        }
    }

    #[test]
    fn what_the_cpu_is_doing_shows() {
        let mut c = cpu();
        let bus = TestBus::default();
        let one = leaf(&c, &bus, 1, 0);
        assert_eq!((one[2] & OSXSAVE, one[3] & APIC), (0, 0));
        c.sys.cr4 |= bits::CR4_OSXSAVE;
        assert_eq!(leaf(&c, &bus, 1, 0)[2] & OSXSAVE, OSXSAVE);
        assert_eq!(leaf(&c, &bus, 0x8000_0001, 0)[3] & SYSCALL, 0);
        assert_eq!(leaf(&c, &bus, 0x4000_0000, 0), leaf(&c, &bus, MAX_BASIC, 0));
        c.sys.msrs.misc_enable |= msr::MISC_ENABLE_LIMIT_CPUID;
        assert_eq!(leaf(&c, &bus, 0, 0)[0], 3);
    }
}
