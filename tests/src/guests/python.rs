//! Python packages that tests drive rrvmm with.

use super::cache;
use crate::run::Process;
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Generous: the host may be shared.
const LIMIT: Duration = Duration::from_secs(300);

/// The packages `names` from the configured index, in a directory for `PYTHONPATH`, cached under the first one's name.
///
/// # Errors
/// They are not cached and cannot be installed.
pub fn python_packages(names: &[&str]) -> Result<PathBuf> {
    cache::entry(&format!("python-{}", names.first().unwrap_or(&"none")), |to| {
        let scratch = tempfile::tempdir()?;
        let environment = scratch.path().join("venv");
        let mut make = Command::new("python3");
        make.args(["-m", "venv"]).arg(&environment);
        Process::new(make).limit(LIMIT).run()?.exited(0)?;
        let mut install = Command::new(environment.join("bin/pip"));
        install.args(["install", "--quiet", "--disable-pip-version-check", "--target"]).arg(to).args(names);
        Process::new(install).limit(LIMIT).run()?.exited(0)?;
        Ok(())
    })
}
