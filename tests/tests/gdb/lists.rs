//! Breakpoints and watchpoints, forward and back.

use super::recordings;
use super::walk::length;
use anyhow::Result;
use rrvmm_tests::guests::Kernel;
use rrvmm_tests::run::{Debugger, Luck};
use std::path::Path;
use std::time::Duration;

const SCRIPT: &str = include_str!("lists.py");

fn compare(recording: &Path, positions: usize, most: u32, watches: &str, limit: Duration) -> Result<String> {
    let Some(gdb) = Debugger::over(recording) else { return Ok(String::new()) };
    let length = length(recording)?;
    let mut luck = Luck::new();
    eprintln!("SEED={} {}", luck.seed(), recording.display());
    let plan: Vec<u64> = (0..positions).map(|_| luck.below(length)).collect();
    let script = format!("PLAN = {plan:?}\nMOST = {most}\nWATCHES = {watches}\n{SCRIPT}");
    Ok(gdb.limit(limit).python(&script)?.text())
}

#[test]
fn stops_in_a_payload_are_the_same_in_both_directions() {
    for name in ["bugs/overrun", "interrupts/pic_pit"] {
        let recording = recordings::payload(name).unwrap();
        compare(&recording, 4, 20, "['watch', 'rwatch', 'awatch']", Duration::from_secs(120))
            .unwrap_or_else(|error| panic!("{name}: {error:#}"));
    }
}

#[test]
fn stops_in_a_boot_are_the_same_in_both_directions() {
    let recording = recordings::boot(Kernel::CloudAmd64).unwrap();
    compare(&recording, 3, 10, "['watch']", Duration::from_secs(300)).unwrap();
}

#[test]
#[ignore = "takes minutes; docs/debugging.md says how to run it"]
fn matrix_stops_in_two_boots_are_the_same_in_both_directions() {
    for kernel in [Kernel::CloudAmd64, Kernel::I686] {
        let recording = recordings::boot(kernel).unwrap();
        let said =
            compare(&recording, 25, 40, "['watch', 'rwatch', 'awatch']", Duration::from_secs(7200)).unwrap();
        eprintln!("{}: {}", kernel.name(), said.lines().last().unwrap_or_default());
    }
}
