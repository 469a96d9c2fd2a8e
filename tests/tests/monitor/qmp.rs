//! The Python package `qemu.qmp`, as scripts for QEMU use it.

use super::shell::{LIMIT, Running, recorded};
use anyhow::{Result, ensure};
use rrvmm_tests::guests;
use rrvmm_tests::run::{Process, connect, rrvmm, skipped};
use std::path::Path;
use std::process::Command;

fn drive(package: &Path) -> Result<()> {
    let first = recorded();
    let scratch = tempfile::tempdir()?;
    let socket = scratch.path().join("monitor");
    let mut command = rrvmm(["replay", "--serial", "null", "--at", "0", "--monitor"])?;
    command.arg(&socket).arg(&first.path);
    let session = Running::start(command)?;
    // Somebody who only looks in is no trouble.
    let _other = connect(&socket)?;
    let mut script = Command::new("python3");
    script.env("PYTHONPATH", package).arg("-c").arg(include_str!("qmp.py"));
    script.arg(&socket).arg(first.prompt.to_string());
    let outcome = Process::new(script).limit(LIMIT).run()?.exited(0)?;
    ensure!(outcome.text().contains("SCRIPT ENDS"), "{}", outcome.describe());
    session.ends_well()
}

#[test]
fn the_python_package_drives_the_monitor() {
    match guests::python_packages(&["qemu.qmp"]) {
        Ok(package) => drive(&package).unwrap(),
        Err(error) => skipped("qemu.qmp at the monitor", format!("{error:#}")),
    }
}
