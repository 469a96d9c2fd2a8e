//! Random programs on the interpreter and on the JIT, step by step alike: every register, every flag (those too that the
//! manual leaves undefined), every byte of memory with the page tables in it, every device access and its position, every
//! stop. The interpreter is the reference; the host CPU is its oracle elsewhere.
//!
//! Seeded; `LOCKSTEP_COUNT` sets the number of instructions, `LOCKSTEP_SEED` where they start. A failure names its
//! seed, which alone is run by `LOCKSTEP_COUNT=1`.
#![cfg(all(target_arch = "x86_64", unix))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod beside;
mod codes;
mod kind;
mod neighbours;
mod observed;
mod operands;
mod pair;
mod program;
mod shrink;
mod side;

use codes::Codes;
use kind::Kind;
use pair::{Outcome, Pair};
use program::Program;
use rrvmm_tcg::jit::Jit;
use rrvmm_tests::run::Luck;

/// Instructions run in each kind of program, unless the environment says otherwise.
const COUNT: u64 = 1_500_000;
const SEED: u64 = 0x10c4_57e9;
/// Programs that differ before giving up.
const ENOUGH: usize = 2;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |v| {
        v.strip_prefix("0x").map_or_else(|| v.parse(), |hex| u64::from_str_radix(hex, 16)).unwrap()
    })
}

fn lockstep(kind: Kind) {
    lockstep_on(kind, &mut Pair::new(Jit::new().unwrap()));
}

fn lockstep_on(kind: Kind, pair: &mut Pair) {
    let (count, seed) = (number("LOCKSTEP_COUNT", COUNT), number("LOCKSTEP_SEED", SEED));
    let codes = Codes::new(kind);
    let (mut run, mut programs, mut failures) = (0, 0, Vec::new());
    while run < count && failures.len() < ENOUGH {
        let seed = seed.wrapping_add(programs);
        let program = Program::new(kind, &codes, &mut Luck::seeded(seed));
        match pair.run(&program, !seed, u64::MAX) {
            Outcome::Same(n) => run += n,
            Outcome::Different { count, what: seen } => {
                let what = shrink::explain(pair, &program, !seed, count);
                failures.push(format!("LOCKSTEP_SEED={seed:#x}: {what}\n  seen at first:{seen}"));
            }
        }
        programs += 1;
    }
    println!(
        "lockstep: {kind:?}, seed {seed:#x}, {programs} programs, {run} instructions, {} device accesses in the last",
        pair.reference.devices.accesses
    );
    assert!(failures.is_empty(), "the engines differ:\n{}", failures.join("\n"));
}

/// Room for a few blocks only: all code goes again and again, in the middle of programs.
#[test]
fn in_little_room_for_code() {
    let mut pair = Pair::new(Jit::with_room(48 << 10).unwrap());
    lockstep_on(Kind::Kernel64, &mut pair);
    let counters = pair.tested.engine.counters();
    let full = counters.iter().find(|(name, _)| *name == "code buffer full").unwrap().1;
    assert!(full > 100, "full {full} times");
}

macro_rules! kinds {
    ($($name:ident: $kind:ident,)*) => {
        $(
            #[test]
            fn $name() {
                lockstep(Kind::$kind);
            }
        )*

        #[test]
        fn no_kind_is_left_out() {
            assert_eq!([$(Kind::$kind),*], Kind::ALL);
        }
    };
}

kinds! {
    in_64_bit_mode_ring_3: User64,
    in_64_bit_mode_ring_0: Kernel64,
    in_compatibility_mode_flat: Flat32,
    in_compatibility_mode_based: Based32,
    in_compatibility_mode_16_bit: User16,
    in_protected_mode_32_bit: Protected32,
    in_protected_mode_16_bit: Protected16,
    in_real_mode: Real,
}
