//! A real gdb over a recording.

use super::{Outcome, Process, has_program, rrvmm};
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// What every script in gdb's Python may use.
const PRELUDE: &str = include_str!("debugger.py");

/// gdb, started by `rrvmm debug`.
#[derive(Clone, Debug)]
pub struct Debugger<'a> {
    recording: &'a Path,
    symbols: Option<&'a Path>,
    limit: Duration,
}

impl<'a> Debugger<'a> {
    /// gdb over `recording`; `None`, said loudly, where there is none.
    #[must_use]
    pub fn over(recording: &'a Path) -> Option<Self> {
        if !has_program("gdb") {
            super::skipped("what needs gdb", "no gdb (Debian's gdb)");
            return None;
        }
        Some(Self { recording, symbols: None, limit: Duration::from_secs(120) })
    }

    /// With the symbols of a file.
    #[must_use]
    pub fn symbols(mut self, file: &'a Path) -> Self {
        self.symbols = Some(file);
        self
    }

    /// Another time limit than two minutes.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs gdb commands.
    ///
    /// # Errors
    /// gdb cannot be run.
    pub fn commands(&self, script: &str) -> Result<Outcome> {
        self.run(script, "script.gdb")
    }

    /// Runs Python in gdb, with `debugger.py` before it, and checks that it comes to its end.
    ///
    /// # Errors
    /// gdb cannot be run, or the script fails.
    pub fn python(&self, script: &str) -> Result<Outcome> {
        let outcome = self.run(&format!("{PRELUDE}\n{script}\nprint('SCRIPT ENDS')\n"), "script.py")?;
        ensure!(outcome.text().contains("SCRIPT ENDS"), "the script did not end: {}", outcome.describe());
        Ok(outcome)
    }

    fn run(&self, script: &str, name: &str) -> Result<Outcome> {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join(name);
        fs::write(&file, script).context("writing the script")?;
        let mut command = rrvmm(["debug"])?;
        command.arg(self.recording);
        if let Some(symbols) = self.symbols {
            command.arg("--symbols").arg(symbols);
        }
        command.args(["--", "-nx", "--batch", "-x"]).arg(&file);
        Process::new(command).limit(self.limit).run()
    }
}
