//! The x86 front end: bytes are decoded by `iced-x86`, every instruction becomes IR here.
//!
//! One file a family; a family's `lower` answers `None` for instructions of another. What nobody claims raises #UD.

mod extended;
mod flow;
mod helpers;
mod integer;
mod lower;
mod misc;
mod noncanonical;
mod string;
mod system;
pub(crate) mod vector;
pub(crate) mod x87;

use super::{
    Cpu, Exception,
    mode::Mode,
    state::{System, seg},
};
use crate::{
    block::{Block, Insn, Span},
    ir::{self, Op, Val},
    itlb::{Itlb, Witness},
    tlb::{PAGE, PAGE_MASK},
};
use iced_x86::{CodeSize, Decoder, DecoderError, DecoderOptions, EncodingKind, Instruction};
use lower::{Lower, Lowered};
pub(super) use noncanonical::non_canonical;

/// Longest x86 instruction.
const MAX_INSN: usize = 15;
/// Bytes looked at for every instruction that a block may have; a block of longer ones ends early.
const TYPICAL_INSN: usize = 6;
/// Longest block, in instructions.
pub const MAX_BLOCK: usize = 48;

/// A translated block and the physical code it came from.
pub struct Translated {
    /// The IR.
    pub block: Block<Cpu>,
    /// Physical address of the first byte.
    pub phys: u64,
    /// Physical page of the last byte when it differs from the first's.
    pub second: Option<u64>,
}

/// Buffers that one translation leaves to the next.
#[derive(Default)]
pub struct Scratch {
    code: Vec<u8>,
    ops: Vec<Op<Cpu>>,
    insns: Vec<Insn>,
}

impl Scratch {
    /// The lengths of the instructions of the block of `len` bytes that was just translated, and its bytes.
    pub fn text(&self, len: u32) -> (impl Iterator<Item = u8>, &[u8]) {
        let ends = self.insns.iter().skip(1).map(|i| i.offset).chain([len]);
        let lengths = self.insns.iter().zip(ends).map(|(i, end)| (end - i.offset) as u8);
        (lengths, &self.code[..len as usize])
    }
}

/// Linear address of offset `pc` in CS.
#[must_use]
pub fn linear_pc(cpu: &Cpu, pc: u64) -> u64 {
    linear_pc_of(&cpu.sys, pc)
}

/// As [`linear_pc`], from saved state.
#[must_use]
pub fn linear_pc_of(sys: &System, pc: u64) -> u64 {
    if sys.code64() { pc } else { sys.segs[seg::CS].base.wrapping_add(pc) & 0xffff_ffff }
}

/// Translates the block at offset `pc` in CS, at most `limit` instructions.
///
/// # Errors
/// What fetching the first instruction raises: #PF, #GP(0) beyond CS's limit or 15 bytes.
pub fn translate(
    cpu: &mut Cpu,
    pc: u64,
    mode: Mode,
    limit: usize,
    scratch: &mut Scratch,
) -> Result<Translated, Exception> {
    let linear = linear_pc(cpu, pc);
    let phys = cpu.translate_fetch(linear)?;
    let Scratch { code, insns, .. } = scratch;
    code.clear();
    insns.clear();
    scratch.ops.clear();
    let in_page = (PAGE - (linear & !PAGE_MASK)) as usize;
    let room = code_room(cpu, pc);
    cpu.core.phys.copy_out(phys, in_page.min(MAX_INSN.max(limit * TYPICAL_INSN)).min(room), code);
    let mut l = Lower::new(mode, std::mem::take(&mut scratch.ops));
    let mut at = 0usize;
    let mut second = None;
    let mut witness = None;
    let wrap = if mode.has(Mode::CODE64) { u64::MAX } else { 0xffff_ffff };
    let mut span = Span { pc, linear, len: 0, wrap, view: cpu.fetch_view() };
    while !l.ended && insns.len() < limit.min(MAX_BLOCK) {
        let ip = pc.wrapping_add(at as u64) & pc_mask(mode);
        // Whatever jumps or runs on to a breakpoint has to find it at the beginning of a block.
        if !insns.is_empty() && cpu.core.observer.divides(span.linear_of(ip)) {
            break;
        }
        let mut insn = decode(&code[at..], ip, mode);
        if let Err(DecoderError::NoMoreBytes) = insn {
            if !insns.is_empty() {
                break;
            }
            if room < MAX_INSN && room <= code.len() {
                return Err(Exception::GP0);
            }
            if code.len() >= MAX_INSN {
                return Err(Exception::GP0);
            }
            // The instruction crosses into the next page: it is a block of its own.
            let next = span.next_page();
            let slot = Itlb::slot(span.view, next);
            let next = cpu.translate_fetch(next)?;
            witness = Some(cpu.core.itlb.witness(slot));
            second = Some(next & PAGE_MASK);
            let more = (MAX_INSN - code.len()).min(room - code.len());
            cpu.core.phys.copy_out(next & PAGE_MASK, more, code);
            insn = decode(code, ip, mode);
            if let Err(DecoderError::NoMoreBytes) = insn {
                return Err(Exception::GP0);
            }
        }
        insns.push(Insn { offset: at as u32, op: l.ops.len() as u32 });
        at += lower_next(&mut l, insn, ip, &code[at..]);
        if second.is_some() {
            break;
        }
    }
    span.len = at as u32;
    Ok(Translated { block: finish(l, span, witness, scratch), phys, second })
}

/// What a block was made from and as what.
pub struct Made<'a> {
    /// As for [`translate`].
    pub mode: Mode,
    /// Where it lies.
    pub span: Span,
    /// What must hold for its second page.
    pub second: Option<Witness>,
    /// Number of instructions.
    pub insns: usize,
    /// Its bytes, no more.
    pub code: &'a [u8],
}

/// The same block as [`translate`] gave, whatever its place in memory holds now.
pub fn again(made: &Made<'_>, scratch: &mut Scratch) -> Block<Cpu> {
    let Made { mode, span, second, code, .. } = *made;
    scratch.insns.clear();
    scratch.ops.clear();
    let mut l = Lower::new(mode, std::mem::take(&mut scratch.ops));
    let mut at = 0;
    for _ in 0..made.insns {
        let ip = span.pc.wrapping_add(at as u64) & pc_mask(mode);
        scratch.insns.push(Insn { offset: at as u32, op: l.ops.len() as u32 });
        at += lower_next(&mut l, decode(&code[at..], ip, mode), ip, &code[at..]);
    }
    finish(l, span, second, scratch)
}

/// Lowers what was decoded at `ip` from the beginning of `code`. Returns how many bytes it takes.
fn lower_next(l: &mut Lower, insn: Result<Instruction, DecoderError>, ip: u64, code: &[u8]) -> usize {
    match insn {
        Ok(i) => {
            l.begin(ip, i.next_ip() & pc_mask(l.mode));
            lower_one(l, &i, code);
            i.len()
        }
        Err(_) => {
            l.begin(ip, ip);
            undefined(l, true);
            1
        }
    }
}

/// The block of what was lowered, with a jump to what follows if it does not leave by itself.
fn finish(mut l: Lower, span: Span, second: Option<Witness>, scratch: &mut Scratch) -> Block<Cpu> {
    if !l.ended {
        let next = span.pc.wrapping_add(u64::from(span.len)) & pc_mask(l.mode);
        l.op(Op::Jump { pc: next });
    }
    ir::dead_flags(&mut l.ops, scratch.insns.iter().map(|i| i.op as usize));
    // Copies take no more memory than they need.
    let (ops, insns) = (l.ops.clone(), scratch.insns.clone());
    scratch.ops = l.ops;
    Block { pc: span.pc, len: span.len, span, second, guard: None, ops, insns }
}

/// Bytes from `pc` to CS's limit.
fn code_room(cpu: &Cpu, pc: u64) -> usize {
    if cpu.sys.code64() {
        return usize::MAX;
    }
    let limit = u64::from(cpu.sys.segs[seg::CS].limit);
    (limit + 1).saturating_sub(pc) as usize
}

fn pc_mask(mode: Mode) -> u64 {
    u64::MAX >> (64 - mode.code_bits())
}

fn decode(code: &[u8], ip: u64, mode: Mode) -> Result<Instruction, DecoderError> {
    let code = &code[..code.len().min(MAX_INSN)];
    match decode_within(code, ip, mode) {
        Ok(insn) => Ok(insn),
        // The decoder calls too long an instruction invalid; out of bytes with one byte less, it is the length, which the
        // caller reports as #GP (SDM volume 3, 6.15).
        Err(DecoderError::InvalidInstruction) if code.len() == MAX_INSN => {
            decode_within(&code[..MAX_INSN - 1], ip, mode).and(Err(DecoderError::InvalidInstruction))
        }
        Err(e) => Err(e),
    }
}

fn decode_within(code: &[u8], ip: u64, mode: Mode) -> Result<Instruction, DecoderError> {
    let mut decoder = Decoder::with_ip(mode.code_bits(), code, ip, DecoderOptions::NONE);
    let insn = decoder.decode();
    match decoder.last_error() {
        DecoderError::None => Ok(insn),
        e => Err(e),
    }
}

/// The part of the instruction set that one file here lowers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Family {
    Integer,
    Flow,
    String,
    Vector,
    X87,
    Extended,
    System,
    Misc,
}

type LowerFamily = fn(&mut Lower, &Instruction, &[u8]) -> Lowered;

/// Asked in this order; the first that claims an instruction has it.
const FAMILIES: [(Family, LowerFamily); 8] = [
    (Family::Integer, |l, i, _| integer::lower(l, i)),
    (Family::Flow, |l, i, _| flow::lower(l, i)),
    (Family::String, |l, i, _| string::lower(l, i)),
    (Family::Vector, |l, i, _| vector::lower(l, i)),
    (Family::X87, x87::lower),
    (Family::Extended, |l, i, _| extended::lower(l, i)),
    (Family::System, |l, i, _| system::lower(l, i)),
    (Family::Misc, |l, i, _| misc::lower(l, i)),
];

/// The family that lowers `i` (encoded as `bytes`) in `mode`; `None` when the model has no such instruction (#UD).
#[must_use]
pub fn family(i: &Instruction, bytes: &[u8], mode: Mode) -> Option<Family> {
    if i.encoding() != EncodingKind::Legacy {
        return None;
    }
    let mut l = Lower::new(mode, Vec::new());
    l.begin(i.ip(), i.next_ip());
    FAMILIES.iter().find_map(|&(family, lower)| lower(&mut l, i, bytes).map(|()| family))
}

/// Lowers one decoded instruction.
fn lower_one(l: &mut Lower, i: &Instruction, bytes: &[u8]) {
    debug_assert!(i.code_size() != CodeSize::Unknown);
    if i.encoding() != EncodingKind::Legacy {
        return undefined(l, true);
    }
    let lowered = FAMILIES.iter().find_map(|(_, lower)| lower(l, i, bytes));
    if lowered.is_none() {
        undefined(l, true);
    }
}

/// #UD; `counted` when the opcode is missing from the model, not just wrong here.
fn undefined(l: &mut Lower, counted: bool) {
    l.leave(helpers::undefined, Val::Imm(u64::from(counted)), Val::Imm(0));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x86::system::testing::{cpu, put};

    /// Only so that blocks can be printed.
    impl std::fmt::Debug for Cpu {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Cpu")
        }
    }

    /// Random bytes: blocks of every length, invalid instructions, some that cross into a second page.
    #[test]
    fn a_block_made_again_is_the_same() {
        let mut cpu = cpu();
        let mut seed = 0x9e37_79b9_7f4a_7c15u64;
        for at in (0..1 << 16).step_by(8) {
            seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            put(&mut cpu, at, 8, seed ^ seed >> 29);
        }
        let mut scratch = Scratch::default();
        let mode = cpu.mode();
        let (mut blocks, mut crossing) = (0, 0);
        cpu.sys.segs[seg::CS].base = 0;
        for mode in [mode.0, mode.0 | Mode::CODE32, mode.0 | Mode::CODE64 | Mode::LONG].map(Mode) {
            for pc in (0..0xfff0).step_by(7) {
                let Ok(first) = translate(&mut cpu, pc, mode, MAX_BLOCK, &mut scratch) else { continue };
                let text = scratch.code[..first.block.len as usize].to_vec();
                let (lengths, code) = scratch.text(first.block.len);
                assert_eq!((lengths.map(u64::from).sum::<u64>(), code), (text.len() as u64, &text[..]));
                let (span, second) = (first.block.span, first.block.second);
                let made = Made { mode, span, second, insns: first.block.insns.len(), code: &text };
                let second = again(&made, &mut scratch);
                assert_eq!(format!("{:?}", first.block), format!("{second:?}"), "at {pc:#x} in {mode:?}");
                blocks += 1;
                crossing += u32::from(first.second.is_some());
            }
        }
        assert!(blocks > 20_000 && crossing > 5, "{blocks} blocks, {crossing} of them in two pages");
    }
}
