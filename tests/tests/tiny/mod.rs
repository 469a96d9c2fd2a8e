//! Three tiny guests, assembled at test time (Debian's binutils), a source of repeatable random numbers, and short ways to
//! run the program.

#![allow(dead_code, reason = "each test program uses its part")]

use rrvmm_tests::run::{Outcome, Process, rrvmm};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the timed guest exits with.
pub const STATUS: i32 = 0x10 * 2 + 1;

/// Ticks after which a timed guest that is to go on by itself would end: never within a test.
pub const ENDLESS: u32 = 1 << 30;

/// The guest of timed.s, which ends after `limit` ticks of a millisecond.
pub fn timed(directory: &Path, limit: u32) -> PathBuf {
    assemble(directory, "timed", limit)
}

/// The guest of disk.s.
pub fn disk(directory: &Path) -> PathBuf {
    assemble(directory, "disk", 0)
}

/// The guest of triple.s.
pub fn triple(directory: &Path) -> PathBuf {
    assemble(directory, "triple", 0)
}

fn assemble(directory: &Path, name: &str, limit: u32) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tiny").join(name).with_extension("s");
    let image = directory.join(format!("{name}-{limit}"));
    let object = image.with_extension("o");
    let mut assembler = Command::new("as");
    assembler.args(["--32", "--defsym", &format!("LIMIT={limit}"), "-o"]).arg(&object).arg(source);
    assert!(assembler.status().expect("as is in Debian's binutils").success());
    let mut linker = Command::new("ld");
    linker.args(["-m", "elf_i386", "-Ttext", "0x100000", "--oformat", "binary", "-o"]);
    assert!(linker.arg(&image).arg(&object).status().unwrap().success());
    image
}

/// `rrvmm VERB` on `kernel` in 16 MiB.
pub fn machine(verb: &str, kernel: &Path, more: &[&str]) -> Command {
    let mut command = program([verb, "--memory", "16M", "--kernel"]);
    command.arg(kernel).args(more);
    command
}

/// `rrvmm` with the given arguments.
pub fn program<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(arguments: I) -> Command {
    rrvmm(arguments).unwrap()
}

/// Runs `command` to its end; a panic in it is a failure, whatever its exit status.
pub fn finish(command: Command) -> Outcome {
    checked(Process::new(command).run().unwrap())
}

/// `outcome`, if it is that of a program that ended by itself and did not panic.
pub fn checked(outcome: Outcome) -> Outcome {
    let errors = outcome.errors();
    let sane = !outcome.timed_out && outcome.status.code().is_some_and(|code| code != 101);
    assert!(sane && !errors.contains("panicked"), "{}", outcome.describe());
    outcome
}

/// `rrvmm VERB REC`.
pub fn on(verb: &str, recording: &Path) -> Outcome {
    finish(program([verb.as_ref(), recording.as_os_str()]))
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What `rrvmm info --json` says.
pub fn info(recording: &Path) -> serde_json::Value {
    let mut command = program(["info", "--json"]);
    command.arg(recording);
    serde_json::from_slice(&finish(command).exited(0).unwrap().stdout).unwrap()
}

/// Repeatable random numbers (xorshift64*, Vigna 2016).
pub struct Random(u64);

impl Random {
    pub fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Printable bytes without the `q` that ends the guest.
    pub fn word(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| b'a' + self.below(16) as u8).collect()
    }
}
