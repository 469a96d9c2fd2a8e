//! A small guest with a card and a shell.

use anyhow::{Context as _, Result, ensure};
use rrvmm_tests::guests::{self, Kernel, initrd, workload};
use rrvmm_tests::run::{Console, Guest, Process, Running, SESSION_LIMIT};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

/// Files of a machine, and what runs it.
pub struct Machine {
    directory: tempfile::TempDir,
    guest: Guest,
}

/// A recording in the making.
pub struct Session {
    pub running: Running,
    pub console: Console,
}

impl Machine {
    pub fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let kernel = Kernel::CloudAmd64;
        let modules = guests::modules(kernel, guests::VIRTIO_MODULES)?;
        let initrd = directory.path().join("initrd");
        fs::write(&initrd, initrd::with_modules(kernel.arch(), &modules, workload::SHELL)?)?;
        let guest = Guest::linux(&guests::kernel(kernel)?, &initrd);
        Ok(Self { directory, guest })
    }

    pub fn place(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What a recording with `net` is made by.
    pub fn arguments(&self, net: &str) -> Vec<String> {
        let text = |name| self.place(name).to_string_lossy().into_owned();
        let mut arguments =
            vec!["record".to_owned(), "--force".to_owned(), "-o".to_owned(), text("run.rrvm")];
        let console = format!("unix={}", text("console"));
        let place = |option: String| if option == "stdio" { console.clone() } else { option };
        arguments.extend(self.guest.rrvmm_options().into_iter().map(place));
        arguments.push(format!("--net={net}"));
        arguments
    }

    /// Starts `command`, which has `arguments` in it, up to the guest's shell.
    pub fn start(&self, mut command: Command) -> Result<Session> {
        command.stderr(File::create(self.place("errors"))?);
        let running = Running::start(command)?;
        let mut console = Console::connect(&self.place("console")).with_context(|| self.errors())?;
        console.wait_for("@prompt ").with_context(|| self.errors())?;
        Ok(Session { running, console })
    }

    /// What rrvmm has said so far.
    pub fn errors(&self) -> String {
        fs::read_to_string(self.place("errors")).unwrap_or_default()
    }

    /// Ends the recording, and holds its replay to it.
    pub fn ends_and_replays(&self, mut session: Session, program: impl AsRef<OsStr>) -> Result<()> {
        session.console.type_line("poweroff -f")?;
        let shown = session.console.to_end()?;
        session.running.ends_well().with_context(|| self.errors())?;
        let replayed = self.place("replayed");
        let mut command = Command::new(program);
        command.arg("replay").arg(self.place("run.rrvm"));
        command.arg(format!("--serial=file={}", replayed.display()));
        Process::new(command).limit(SESSION_LIMIT).run()?.exited(0)?;
        ensure!(fs::read(&replayed)? == shown, "the replay's console differs");
        Ok(())
    }
}
