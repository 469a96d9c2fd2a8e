//! PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (SDM volume 2, section 4.1).

use super::lanes::{u8x16, u16x8};
use super::{CF, OF, Op, SF, ZF, rows};

/// How the lengths of the two strings are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lengths {
    /// A string ends before its first zero element.
    Implicit,
    /// The magnitudes of EAX (operand 0) and EDX (operand 1), limited to the register's elements.
    Explicit32,
    /// Likewise of RAX and RDX.
    Explicit64,
}

/// Which result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringOutput {
    /// RCX becomes the index.
    Index,
    /// XMM0 becomes the mask.
    Mask,
}

/// Both results of a string comparison and the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StringResult {
    /// First or last element found, or the number of elements if there is none.
    pub index: u32,
    /// One bit, or one element, per element of operand 1.
    pub mask: u128,
    /// New value of [`STATUS_FLAGS`](super::STATUS_FLAGS).
    pub status: u32,
}

/// Elements as integers (sign-extended if the format is signed) and how many are valid.
struct Operand {
    elements: [i32; 16],
    valid: usize,
}

impl Operand {
    /// `format` is immediate bits 1:0: bit 0 words, bit 1 signed.
    fn new(value: u128, format: u8, count: usize, length: Option<u64>) -> Self {
        let mut elements = [0; 16];
        if format & 1 == 0 {
            let signed = |x: u8| if format & 2 == 0 { i32::from(x) } else { i32::from(x as i8) };
            elements = u8x16(value).map(signed);
        } else {
            let signed = |x: u16| if format & 2 == 0 { i32::from(x) } else { i32::from(x as i16) };
            elements[..8].copy_from_slice(&u16x8(value).map(signed));
        }
        let zero = elements[..count].iter().position(|&x| x == 0).unwrap_or(count);
        let valid = length.map_or(zero, |length| length.min(count as u64) as usize);
        Self { elements, valid }
    }

    fn valid(&self) -> &[i32] {
        &self.elements[..self.valid]
    }
}

/// Bit j: element j of `b` equals some element of `a`.
fn equal_any(a: &Operand, b: &Operand) -> u32 {
    bits(b.valid().iter().map(|x| a.valid().contains(x)))
}

/// Bit j: element j of `b` lies in one of the ranges that the whole pairs of `a` give.
fn ranges(a: &Operand, b: &Operand) -> u32 {
    bits(b.valid().iter().map(|x| a.valid().chunks_exact(2).any(|range| (range[0]..=range[1]).contains(x))))
}

/// Bit j: the elements j are equal, or both past the end.
fn equal_each(a: &Operand, b: &Operand, count: usize) -> u32 {
    bits((0..count).map(|j| match (j < a.valid, j < b.valid) {
        (true, true) => a.elements[j] == b.elements[j],
        (a_valid, b_valid) => a_valid == b_valid,
    }))
}

/// Bit j: `a` is found in `b` at j, as far as the register shows.
fn equal_ordered(a: &Operand, b: &Operand, count: usize) -> u32 {
    let matches = |j: usize, i: usize| i >= a.valid || j + i < b.valid && a.elements[i] == b.elements[j + i];
    bits((0..count).map(|j| (0..count - j).all(|i| matches(j, i))))
}

fn bits(found: impl Iterator<Item = bool>) -> u32 {
    found.enumerate().fold(0, |mask, (index, hit)| mask | u32::from(hit) << index)
}

/// The immediate's bit 6 of the mask form: every bit widened to an element of `8 << words` bits.
fn widen(mask: u32, words: u8) -> u128 {
    let width = 8u32 << words;
    let element: u128 = (1 << width) - 1;
    (0..128 / width).filter(|j| mask >> j & 1 != 0).fold(0, |wide, j| wide | element << (j * width))
}

/// Compares the strings `a` (operand 0) and `b` (operand 1) as the immediate says.
pub fn compare_strings(a: u128, b: u128, imm: u8, lengths: Lengths, rax: u64, rdx: u64) -> StringResult {
    let length = |register: u64| match lengths {
        Lengths::Implicit => None,
        Lengths::Explicit32 => Some(u64::from((register as i32).unsigned_abs())),
        Lengths::Explicit64 => Some((register as i64).unsigned_abs()),
    };
    let words = imm & 1;
    let count = 16 >> words;
    let a = Operand::new(a, imm & 3, count, length(rax));
    let b = Operand::new(b, imm & 3, count, length(rdx));
    let found = match imm >> 2 & 3 {
        0 => equal_any(&a, &b),
        1 => ranges(&a, &b),
        2 => equal_each(&a, &b, count),
        _ => equal_ordered(&a, &b, count),
    };
    let found = match imm >> 4 & 3 {
        1 => found ^ ((1 << count) - 1),
        3 => found ^ ((1 << b.valid) - 1),
        _ => found,
    };

    let index = match (found, imm & 0x40) {
        (0, _) => count as u32,
        (_, 0) => found.trailing_zeros(),
        _ => found.ilog2(),
    };
    let mask = if imm & 0x40 == 0 { found.into() } else { widen(found, words) };
    let flag = |bit: u32, set: bool| if set { bit } else { 0 };
    let status = flag(CF, found != 0)
        | flag(ZF, b.valid < count)
        | flag(SF, a.valid < count)
        | flag(OF, found & 1 != 0);
    StringResult { index, mask, status }
}

rows! {
    Pcmpestrm_xmm_xmmm128_imm8 VWU => Op::Strings(Lengths::Explicit32, StringOutput::Mask);
    Pcmpestrm64_xmm_xmmm128_imm8 VWU => Op::Strings(Lengths::Explicit64, StringOutput::Mask);
    Pcmpestri_xmm_xmmm128_imm8 VWU => Op::Strings(Lengths::Explicit32, StringOutput::Index);
    Pcmpestri64_xmm_xmmm128_imm8 VWU => Op::Strings(Lengths::Explicit64, StringOutput::Index);
    Pcmpistrm_xmm_xmmm128_imm8 VWU => Op::Strings(Lengths::Implicit, StringOutput::Mask);
    Pcmpistri_xmm_xmmm128_imm8 VWU => Op::Strings(Lengths::Implicit, StringOutput::Index);
}
