//! Memory type range registers and the PAT: storage with validity checks; there are no caches for them to act on
//! (SDM volume 3, 11.11 and 11.12).

use super::PHYSICAL_BITS;

/// Variable ranges.
pub const VARIABLE: usize = 8;
/// IA32_MTRRCAP: 8 variable ranges, fixed ranges, write-combining.
pub const CAP: u64 = VARIABLE as u64 | 1 << 8 | 1 << 10;

const BEYOND: u64 = !((1 << PHYSICAL_BITS) - 1);

const fn is_type(t: u64) -> bool {
    matches!(t, 0 | 1 | 4 | 5 | 6)
}

/// Whether IA32_MTRR_PHYSBASEn (even `n`) or IA32_MTRR_PHYSMASKn (odd) can take `value`.
pub const fn variable_valid(n: usize, value: u64) -> bool {
    if n.is_multiple_of(2) {
        is_type(value & 0xff) && value & (BEYOND | 0xf00) == 0
    } else {
        value & (BEYOND | 0x7ff) == 0
    }
}

/// Whether every byte of a fixed-range register is a memory type.
pub fn fixed_valid(value: u64) -> bool {
    value.to_le_bytes().into_iter().all(|t| is_type(u64::from(t)))
}

/// Whether IA32_MTRR_DEF_TYPE can take `value`.
pub const fn default_valid(value: u64) -> bool {
    is_type(value & 0xff) && value & !0xcff == 0
}

/// Whether IA32_PAT can take `value`: as the types above, and UC- (7).
pub fn pat_valid(value: u64) -> bool {
    value.to_le_bytes().into_iter().all(|t| is_type(u64::from(t)) || t == 7)
}

/// Which fixed-range register has MSR number `index`.
pub const fn fixed_index(index: u32) -> Option<usize> {
    match index {
        0x250 => Some(0),
        0x258 => Some(1),
        0x259 => Some(2),
        0x268..=0x26f => Some(3 + (index - 0x268) as usize),
        _ => None,
    }
}
