//! A shell in a guest, typed to over a Unix socket.

use anyhow::{Context as _, Result, ensure};
use rrvmm_tests::guests::{self, Kernel};
use rrvmm_tests::run::{Guest, Outcome, Process, rrvmm};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

pub use rrvmm_tests::run::{Console, Running, SESSION_LIMIT as LIMIT};

/// What a monitor command says.
pub fn monitor(socket: &Path, command: &str) -> Result<Outcome> {
    let mut ask = rrvmm(["monitor"])?;
    ask.arg(socket).args(command.split(' '));
    Process::new(ask).limit(LIMIT).run()
}

/// The number after `position ` in what a command said.
pub fn position(said: &str) -> Result<u64> {
    let digits = said.split("position ").nth(1).context("no position")?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    Ok(digits[..end].parse()?)
}

/// A recorded session: three commands typed at a shell, with the monitor looking in.
pub struct Recorded {
    pub path: PathBuf,
    /// Where the shell waited for its second command.
    pub prompt: u64,
}

/// The one of this process.
pub fn recorded() -> &'static Recorded {
    static RECORDED: OnceLock<Recorded> = OnceLock::new();
    RECORDED.get_or_init(|| record().unwrap())
}

fn record() -> Result<Recorded> {
    let initrd = guests::cached_initrd("shell-amd64")?;
    let guest = Guest::linux(&guests::kernel(Kernel::CloudAmd64)?, &initrd);
    let scratch = tempfile::tempdir()?;
    let (console, socket) = (scratch.path().join("console"), scratch.path().join("monitor"));
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("monitor-shell.rrvm");
    let mut options = guest.rrvmm_options();
    let stdio = options.iter().position(|option| option == "stdio").context("no console")?;
    options[stdio] = format!("unix={}", console.display());
    let mut command = rrvmm(["record", "--force", "--pace", "host"])?;
    command.args(options).arg("--monitor").arg(&socket).arg("-o").arg(&path);
    let session = Running::start(command)?;
    let mut shell = Console::connect(&console)?;
    shell.wait_for("@prompt ")?;
    shell.ask("echo first-$((40+2))", "first-42")?;
    // Stopped, the machine stands; what is typed meanwhile waits for it.
    monitor(&socket, "stop")?.exited(0)?;
    let here = monitor(&socket, "where")?.exited(0)?.text();
    shell.type_line("echo second-$((40+3))")?;
    thread::sleep(Duration::from_millis(100));
    ensure!(monitor(&socket, "where")?.exited(0)?.text() == here, "it runs on: {here}");
    ensure!(monitor(&socket, "info status")?.text().contains("paused"));
    let events = monitor(&socket, "replay_events --device serial0")?.exited(0)?.text();
    ensure!(events.contains("first-"), "{events}");
    ensure!(monitor(&socket, "checkpoint")?.exited(0)?.text().contains("safe up to"));
    ensure!(monitor(&socket, "replay_seek 5")?.status.code() == Some(1), "there is nowhere to go yet");
    monitor(&socket, "cont")?.exited(0)?;
    shell.wait_for("\nsecond-43\r\n")?;
    shell.wait_for("@prompt ")?;
    shell.type_line("poweroff -f")?;
    session.ends_well()?;
    Ok(Recorded { path, prompt: position(&here)? })
}
