//! The Python package `qemu.qmp`, as scripts for QEMU use it.

use super::shell::{LIMIT, Running, connect, recorded};
use anyhow::{Result, ensure};
use rrvmm_tests::guests;
use rrvmm_tests::run::{Process, rrvmm, skipped};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The package, in a directory for `PYTHONPATH`.
fn package() -> Result<PathBuf> {
    guests::cache_entry("python-qemu.qmp", |to| {
        let scratch = tempfile::tempdir()?;
        let environment = scratch.path().join("venv");
        let mut make = Command::new("python3");
        make.args(["-m", "venv"]).arg(&environment);
        Process::new(make).limit(LIMIT).run()?.exited(0)?;
        let mut install = Command::new(environment.join("bin/pip"));
        install
            .args(["install", "--quiet", "--disable-pip-version-check", "--target"])
            .arg(to)
            .arg("qemu.qmp");
        Process::new(install).limit(LIMIT).run()?.exited(0)?;
        Ok(())
    })
}

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
    match package() {
        Ok(package) => drive(&package).unwrap(),
        Err(error) => skipped("qemu.qmp at the monitor", format!("{error:#}")),
    }
}
