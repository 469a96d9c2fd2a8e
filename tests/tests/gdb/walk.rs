//! Steps forward and back.

use super::recordings;
use anyhow::Result;
use rrvmm_tests::guests::Kernel;
use rrvmm_tests::run::{Debugger, Luck, Process, rrvmm};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

const SCRIPT: &str = include_str!("walk.py");

/// Instructions in a recording.
pub fn length(recording: &Path) -> Result<u64> {
    let mut command = rrvmm(["info", "--json"])?;
    command.arg(recording);
    let info: serde_json::Value = serde_json::from_slice(&Process::new(command).run()?.exited(0)?.stdout)?;
    Ok(info["instructions"].as_u64().unwrap_or_default())
}

/// Walks from `positions` random positions, each time so many steps: small numbers as often as large ones.
fn walk(recording: &Path, positions: u32, most: u64, limit: Duration) -> Result<()> {
    let Some(gdb) = Debugger::over(recording) else { return Ok(()) };
    let length = length(recording)?;
    let mut luck = Luck::new();
    eprintln!("SEED={} {}", luck.seed(), recording.display());
    let mut plan = String::from("PLAN = [");
    for _ in 0..positions {
        let scale = 1 + luck.below(most.ilog2().into());
        let count = (1 + luck.below(1 << scale)).min(most).min(length - 1);
        let _ = write!(plan, "({}, {count}), ", luck.below(length - count));
    }
    gdb.limit(limit).python(&format!("{plan}]\n{SCRIPT}"))?;
    Ok(())
}

#[test]
fn steps_through_a_payload_forward_and_back_are_the_same() {
    for name in ["bugs/overrun", "interrupts/pic_pit", "faults/vectors64"] {
        walk(&recordings::payload(name).unwrap(), 6, 200, Duration::from_secs(60))
            .unwrap_or_else(|error| panic!("{name}: {error:#}"));
    }
}

#[test]
fn steps_through_a_boot_forward_and_back_are_the_same() {
    walk(&recordings::boot(Kernel::CloudAmd64).unwrap(), 8, 300, Duration::from_secs(300)).unwrap();
}

#[test]
#[ignore = "takes tens of minutes; docs/debugging.md says how to run it"]
fn matrix_steps_through_two_boots_forward_and_back_are_the_same() {
    for kernel in [Kernel::CloudAmd64, Kernel::I686] {
        let recording = recordings::boot(kernel).unwrap();
        walk(&recording, 200, 10_000, Duration::from_secs(7200))
            .unwrap_or_else(|error| panic!("{}: {error:#}", kernel.name()));
    }
}
