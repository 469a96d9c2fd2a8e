//! Random user-level instruction sequences on the host CPU itself and in both engines of the translator: every register, every flag the
//! manual defines and every byte of data must agree, and so must the exception if there is one.
//!
//! Every encoding that the integer, flow, string and misc families lower is run, or stands in a list that says why not.
//! Seeded; `HOST_INTEGER_COUNT` sets the number of instructions, `HOST_INTEGER_SEED` where they start.
#![cfg(all(target_arch = "x86_64", unix))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod effect;
mod generate;
mod lists;
mod machine;
mod native;
mod sequence;
mod translated;

use iced_x86::{Code, EncodingKind};
use machine::{Bits, Data, End, FLAGS, Random, Registers};
use rrvmm_tcg::{block::Backend, x86::Cpu};
use sequence::{Bench, Codes, Sequence};
use std::fmt::Write as _;
use translated::Translated;

/// Instructions run in each width, unless the environment says otherwise.
const COUNT: u64 = 200_000;
const SEED: u64 = 0x1517_0b3e;
/// Instructions in a sequence.
const LENGTH: usize = 24;
/// Failures reported before giving up.
const ENOUGH: usize = 12;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |v| {
        v.strip_prefix("0x").map_or_else(|| v.parse(), |hex| u64::from_str_radix(hex, 16)).unwrap()
    })
}

#[test]
fn the_host_agrees_in_64_bit_mode() {
    agree(Bits::B64);
}

#[test]
fn the_host_agrees_in_compatibility_mode() {
    agree(Bits::B32);
}

fn agree(bits: Bits) {
    let (count, seed) = (number("HOST_INTEGER_COUNT", COUNT), number("HOST_INTEGER_SEED", SEED));
    let mut bench = Bench::new();
    let list = lists::runnable(bits);
    let mut codes = Codes { executed: vec![0; list.len()], list };
    let (mut run, mut faults, mut n, mut failures) = (0, 0, 0, Vec::new());
    while run < count && failures.len() < ENOUGH {
        let mut random = Random(seed.wrapping_add(n << 32));
        let s = bench.sequence(bits, LENGTH, &mut codes, &mut random);
        run += s.steps.len() as u64;
        faults += u64::from(s.end != End::DONE);
        if let Err(message) = check(&mut bench, &s) {
            failures.push(format!("sequence {n}: {message}"));
        }
        n += 1;
    }
    println!(
        "host_integer: {bits:?}, seed {seed:#x}, {n} sequences, {run} instructions, {} encodings, {faults} faults",
        codes.list.len()
    );
    assert!(failures.is_empty(), "differs from the host:\n{}", failures.join("\n"));
    let never: Vec<Code> =
        codes.list.iter().zip(&codes.executed).filter(|&(_, &n)| n == 0).map(|(&c, _)| c).collect();
    assert!(never.is_empty(), "never ran: {never:?}");
}

/// Compares the host, the interpreter a step at a time, and either engine in one go.
fn check(bench: &mut Bench, s: &Sequence) -> Result<(), String> {
    let host = on_host(bench, s.bits, &s.start, &s.data);
    let stepped = (s.end, s.after.clone(), s.after_data.clone());
    if let Some(what) = difference(&stepped, &host, s.defined) {
        return Err(shrink(bench, s).unwrap_or_else(|| listing(s, &format!("only together: {what}"))));
    }
    let whole = in_one_go(&mut bench.ours, s);
    if let Some(what) = difference(&whole, &stepped, FLAGS) {
        return Err(listing(s, &format!("in one go and by steps: {what}")));
    }
    let jit = in_one_go(&mut bench.jit, s);
    match difference(&jit, &stepped, FLAGS) {
        None => Ok(()),
        Some(what) => Err(listing(s, &format!("in the JIT and in the interpreter: {what}"))),
    }
}

fn in_one_go<B: Backend<Cpu>>(engine: &mut Translated<B>, s: &Sequence) -> Outcome {
    engine.load(s.bits, &s.start, &s.data);
    // Every sequence ends with an exception: with room to spare, no block on the way is cut short.
    let end = engine.run(s.steps.len() as u64 + 100).unwrap_or(End::DONE);
    let mut registers = engine.registers();
    // INT3 is a trap: it leaves the address behind it.
    if end.vector == 3 {
        registers.rip -= 1;
    }
    (end, registers, engine.data())
}

type Outcome = (End, Registers, Data);

fn on_host(bench: &mut Bench, bits: Bits, start: &Registers, data: &Data) -> Outcome {
    let (mut registers, mut data) = (start.clone(), data.clone());
    let end = bench.native.run(bits, &mut registers, &mut data);
    (end, registers, data)
}

/// What differs between two outcomes, `ours` first.
fn difference(ours: &Outcome, host: &Outcome, flags: u64) -> Option<String> {
    const NAMES: [&str; 16] = [
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
        "r14", "r15",
    ];
    let mut text = String::new();
    let mut line = |name: &str, ours: u64, host: u64| {
        if ours != host {
            let _ = write!(text, " {name} {ours:#x} (host {host:#x})");
        }
    };
    for (n, name) in NAMES.iter().enumerate() {
        line(name, ours.1.gpr[n], host.1.gpr[n]);
    }
    line("rip", ours.1.rip, host.1.rip);
    line("flags", ours.1.flags & flags, host.1.flags & flags);
    for (at, (a, b)) in ours.2.iter().zip(host.2.iter()).enumerate().filter(|(_, (a, b))| a != b) {
        line(&format!("[{:#x}]", machine::DATA + at as u64), (*a).into(), (*b).into());
    }
    if ours.0 != host.0 {
        let _ = write!(text, " end {:x?} (host {:x?})", ours.0, host.0);
    }
    (!text.is_empty()).then_some(text)
}

/// Runs every instruction alone on the host from the translator's state before it; the first that differs.
fn shrink(bench: &mut Bench, s: &Sequence) -> Option<String> {
    bench.ours.load(s.bits, &s.start, &s.data);
    for step in &s.steps {
        let (before, data) = (bench.ours.registers(), bench.ours.data());
        let end = bench.ours.run(1).unwrap_or(End::DONE);
        let ours = (end, bench.ours.registers(), bench.ours.data());
        if ours.1.rip == step.at && end == End::DONE {
            continue; // A jump to itself cannot be stopped in between.
        }
        // Stop the host behind the instruction, wherever it may go.
        let stops = [ours.1.rip, step.at + step.bytes.len() as u64];
        let kept: Vec<(u64, u8)> = stops
            .iter()
            .filter(|&&at| end == End::DONE && at != step.at && machine::in_code(at))
            .map(|&at| (at, bench.code(at)))
            .collect();
        for &(at, _) in &kept {
            bench.native.write_code(at, &[0xcc]);
        }
        let host = on_host(bench, s.bits, &before, &data);
        for &(at, byte) in kept.iter().rev() {
            bench.native.write_code(at, &[byte]);
        }
        let what = difference(&ours, &host, FLAGS & !step.effect.undefined);
        if let Some(what) = what {
            return Some(format!(
                "{} [{:02x?}] at {:#x}\n  before {}\n  differs:{what}",
                step.insn,
                step.bytes,
                step.at,
                show(&before),
            ));
        }
    }
    None
}

fn show(r: &Registers) -> String {
    let regs: Vec<String> = r.gpr.iter().map(|v| format!("{v:x}")).collect();
    format!("{} flags {:x}", regs.join(" "), r.flags)
}

fn listing(s: &Sequence, what: &str) -> String {
    let mut text = format!("{what}\n  start {}", show(&s.start));
    for step in &s.steps {
        let _ = write!(text, "\n  {:x} {} [{:02x?}]", step.at, step.insn, step.bytes);
    }
    text
}

#[test]
fn the_lists_are_exact() {
    for bits in [Bits::B64, Bits::B32] {
        let all: Vec<Code> = Code::values().filter(|c| c.encoding() == EncodingKind::Legacy).collect();
        let runnable = lists::runnable(bits);
        assert!(runnable.len() > 300, "{}", runnable.len());
        for &(code, why) in lists::NOT_ON_THE_HOST {
            assert!(all.contains(&code) && !runnable.contains(&code), "{code:?}: {why}");
        }
    }
}
