//! From a program on which the engines differ to the smallest one that still shows it, and where it does.

use crate::kind::{CODE, CODE_LEN, Kind};
use crate::pair::{Outcome, Pair};
use crate::program::Program;
use iced_x86::{Decoder, DecoderOptions};
use std::fmt::Write as _;

/// How much further than the difference a run may go: one that is cut short there leaves its last block to the interpreter.
const BEYOND: u64 = 6000;
/// Instructions shown before the difference.
const SHOWN: u64 = 40;

/// Everything a person needs about a difference.
pub fn explain(pair: &mut Pair, program: &Program, seed: u64, count: u64) -> String {
    let mut small = program.clone();
    let mut count = count;
    let mut size = 128.min(small.items.len());
    while size > 0 {
        let mut from = 0;
        while from < small.items.len() {
            let to = (from + size).min(small.items.len());
            let mut candidate = small.clone();
            for item in &mut candidate.items[from..to] {
                item.bytes.fill(0x90);
            }
            if candidate.items[from..to].iter().zip(&small.items[from..to]).any(|(a, b)| a.bytes != b.bytes)
                && let Outcome::Different { count: sooner, .. } = pair.run(&candidate, seed, count + BEYOND)
            {
                (small, count) = (candidate, sooner);
            }
            from = to;
        }
        size /= 2;
    }
    let first = earliest(pair, &small, seed, count);
    let mut text = format!("{:?}, after {first} instructions:", small.kind);
    match (pair.run(&small, seed, first), pair.run(&small, seed, count + BEYOND)) {
        (Outcome::Different { what, .. }, _) => text.push_str(&what),
        // A run that is stopped elsewhere enters other blocks.
        (_, Outcome::Different { what, count }) => {
            let _ = write!(text, " (seen only by a run beyond {count}, where it looks so){what}");
        }
        _ => text.push_str(" gone when run again"),
    }
    text.push_str("\n  executed before it (by the reference):");
    let mut previous: Option<(u64, [u64; 16], u64)> = None;
    for at in first.saturating_sub(SHOWN)..=first {
        let _ = pair.run(&small, seed, at);
        let cpu = &pair.reference.engine.cpu;
        let mut regs = [0; 16];
        regs.copy_from_slice(&cpu.core.regs[..16]);
        let now = (cpu.core.pc, regs, cpu.rflags());
        if let Some((pc, before, flags)) = previous {
            let line = disassemble(pair, small.kind, pc);
            if !line.starts_with("nop") {
                let _ = write!(text, "\n  {at:6} {pc:x} {line}");
                for (n, (a, b)) in before.iter().zip(&now.1).enumerate().filter(|(_, (a, b))| a != b) {
                    let _ = write!(text, "  r{n} {a:x}->{b:x}");
                }
                if flags != now.2 {
                    let _ = write!(text, "  flags {flags:x}->{:x}", now.2);
                }
            }
        }
        previous = Some(now);
    }
    text
}

/// The smallest count at which the engines differ, as far as bisection finds it.
fn earliest(pair: &mut Pair, program: &Program, seed: u64, count: u64) -> u64 {
    let (mut good, mut bad) = (0, count);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        match pair.run(program, seed, middle) {
            Outcome::Different { count, .. } => bad = count.min(middle),
            Outcome::Same(_) => good = middle,
        }
    }
    bad
}

/// The instruction at `pc`, as far as it lies in the code.
fn disassemble(pair: &Pair, kind: Kind, pc: u64) -> String {
    let Some(at) = (0..CODE_LEN).find(|&at| kind.pc(at) == pc) else { return "?".into() };
    let bytes: Vec<u8> = (at..(at + 15).min(CODE_LEN))
        .map(|at| (CODE + at) as usize)
        .map(|at| pair.reference.page(at >> 12)[at & 0xfff])
        .collect();
    let insn = Decoder::with_ip(kind.bits(), &bytes, pc, DecoderOptions::NONE).decode();
    if insn.is_invalid() {
        format!("? {bytes:02x?}")
    } else {
        format!("{insn} {:02x?}", &bytes[..insn.len()])
    }
}
