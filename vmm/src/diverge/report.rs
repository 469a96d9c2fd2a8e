//! What a person is shown of the place where two runs part.

use super::{Inspect, search::Arrival};
use rrvmm_replay::{MachineDigest, Part};
use std::fmt;

/// Differing bytes shown of one page.
const BYTES: usize = 8;
/// Differing pages shown.
const PAGES: usize = 16;

/// One run at the first moment at which it is not like the other.
#[derive(Clone, Debug)]
pub struct Side {
    /// How it got there, in words.
    pub arrival: String,
    /// Values by the names in [`Report::names`].
    pub registers: Vec<String>,
    /// Digest of the state.
    pub digest: MachineDigest,
}

/// A RAM page that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryDifference {
    /// Physical address of the page.
    pub address: u64,
    /// Offset in the page and both bytes, for the first few that differ.
    pub bytes: Vec<(usize, u8, u8)>,
    /// How many bytes differ.
    pub count: usize,
}

/// The machine at the last moment that is alike.
pub(super) struct Before {
    instruction: String,
    registers: Vec<(String, String)>,
}

impl Before {
    pub fn of(machine: &impl Inspect) -> Self {
        Self { instruction: machine.instruction(), registers: machine.registers() }
    }
}

/// Everything around the first difference.
#[derive(Clone, Debug)]
pub struct Report {
    /// The instruction that both runs were about to execute.
    pub instruction: String,
    /// Names of the registers.
    pub names: Vec<String>,
    /// Their values at the last moment that is alike.
    pub before: Vec<String>,
    /// The first run, one instruction later.
    pub a: Side,
    /// The second run, likewise.
    pub b: Side,
    /// Pages that differ, the first few.
    pub memory: Vec<MemoryDifference>,
    /// How many pages differ.
    pub pages: usize,
}

impl Report {
    pub(super) fn of(
        before: Before,
        (a, arrival_a): (&impl Inspect, Arrival),
        (b, arrival_b): (&impl Inspect, Arrival),
    ) -> Self {
        let differing: Vec<usize> =
            (0..a.pages().min(b.pages())).filter(|&n| a.page(n).1 != b.page(n).1).collect();
        let memory = differing.iter().take(PAGES).map(|&n| difference(a.page(n), b.page(n).1)).collect();
        let (names, values) = before.registers.into_iter().unzip();
        Self {
            instruction: before.instruction,
            names,
            before: values,
            a: Side::of(a, &arrival_a),
            b: Side::of(b, &arrival_b),
            memory,
            pages: differing.len(),
        }
    }

    /// The parts of the machine that differ.
    #[must_use]
    pub fn parts(&self) -> Vec<Part> {
        self.a.digest.differing(&self.b.digest)
    }

    /// The registers that differ: name, before, first run, second run.
    pub fn registers(&self) -> impl Iterator<Item = (&str, &str, &str, &str)> {
        let rows = self.names.iter().zip(&self.before).zip(self.a.registers.iter().zip(&self.b.registers));
        rows.filter(|(_, (a, b))| a != b).map(|((name, before), (a, b))| (&**name, &**before, &**a, &**b))
    }
}

impl Side {
    fn of(machine: &impl Inspect, arrival: &Arrival) -> Self {
        let arrival = match arrival {
            Arrival::At(stamp) => format!("{stamp}"),
            Arrival::Ended(stamp, reason) => format!("{stamp}, ended: {reason}"),
            Arrival::Cut(stamp) => format!("{stamp}, where its recording is cut off"),
            Arrival::Left(divergence) => format!("{divergence}"),
        };
        let registers = machine.registers().into_iter().map(|(_, value)| value).collect();
        Self { arrival, registers, digest: machine.fingerprint() }
    }
}

fn difference((address, a): (u64, &[u8; 4096]), b: &[u8; 4096]) -> MemoryDifference {
    let differing = || a.iter().zip(b).enumerate().filter(|(_, (a, b))| a != b);
    let bytes = differing().take(BYTES).map(|(n, (&a, &b))| (n, a, b)).collect();
    MemoryDifference { address, bytes, count: differing().count() }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "next instruction: {}", self.instruction)?;
        writeln!(f, "first run:  {}", self.a.arrival)?;
        writeln!(f, "second run: {}", self.b.arrival)?;
        let parts: Vec<String> = self.parts().iter().map(ToString::to_string).collect();
        writeln!(
            f,
            "differing:  {}",
            if parts.is_empty() { "the course of events".into() } else { parts.join(", ") }
        )?;
        writeln!(f, "{:<12} {:<32} {:<32} second run", "", "before", "first run")?;
        let rows = self.names.iter().zip(&self.before).zip(self.a.registers.iter().zip(&self.b.registers));
        for ((name, before), (a, b)) in rows {
            // What neither run changed says nothing, but for the general registers.
            let marked = a != b;
            let general = self.names.iter().position(|n| n == name).is_some_and(|n| n < 18);
            if marked || general || before != a {
                let mark = if marked { '*' } else { ' ' };
                writeln!(f, "{mark} {name:<10} {before:<32} {a:<32} {b}")?;
            }
        }
        for page in &self.memory {
            write!(f, "* memory page {:#x}: {} bytes differ;", page.address, page.count)?;
            for &(offset, a, b) in &page.bytes {
                write!(f, " {:#x}: {a:02x}/{b:02x}", page.address + offset as u64)?;
            }
            writeln!(f)?;
        }
        if self.pages > self.memory.len() {
            writeln!(f, "* and {} more pages", self.pages - self.memory.len())?;
        }
        Ok(())
    }
}
