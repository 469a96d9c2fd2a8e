//! From the middle of a recorded session into a new one, which is then a recording by itself.

use super::shell::{Console, LIMIT, Recorded, Running, monitor, position, recorded};
use anyhow::{Result, ensure};
use rrvmm_tests::run::{Process, rrvmm};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Types at the shell of a run that has just gone live, and switches the machine off.
fn talk(console: &Path, session: Running) -> Result<()> {
    let mut shell = Console::connect(console)?;
    // The shell still knows what it was told before, and what is typed now is new.
    shell.ask("third=44; echo third-$third", "third-44")?;
    shell.ask("echo $((third+1))", "45")?;
    shell.type_line("poweroff -f")?;
    session.ends_well()
}

/// The new recording replays, verifies and is explored without the first.
fn stands_alone(recording: &Path, from: u64) -> Result<()> {
    let verified = Process::new(rrvmm([Path::new("verify"), recording])?).limit(LIMIT).run()?.exited(0)?;
    ensure!(position(&verified.text())? > from);
    let replayed =
        Process::new(rrvmm([Path::new("replay"), recording])?).limit(LIMIT).run()?.exited(0)?.text();
    ensure!(replayed.contains("first-42") && replayed.contains("third-44"), "{replayed}");
    ensure!(!replayed.contains("second-43"), "what was typed later in the first run: {replayed}");
    let mut info = rrvmm(["info", "--json"])?;
    info.arg(recording);
    let info: serde_json::Value = serde_json::from_slice(&Process::new(info).run()?.exited(0)?.stdout)?;
    ensure!(info["config"]["live_from"] == from && info["complete"] == true, "{info}");
    Ok(())
}

fn from_the_command_line(first: &Recorded) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let (console, new) = (scratch.path().join("console"), scratch.path().join("new.rrvm"));
    let mut command = rrvmm(["replay", "--live", "--pace", "host", "--serial"])?;
    command.arg(format!("unix={}", console.display())).args(["--at", &first.prompt.to_string()]);
    command.arg("-o").arg(&new).arg(&first.path);
    talk(&console, Running::start(command)?)?;
    stands_alone(&new, first.prompt)
}

fn from_the_monitor(first: &Recorded) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let (console, new) = (scratch.path().join("console"), scratch.path().join("new.rrvm"));
    let socket = scratch.path().join("monitor");
    let mut command = rrvmm(["replay", "--pace", "host", "--at", "5", "--serial"])?;
    command.arg(format!("unix={}", console.display())).arg("--monitor").arg(&socket).arg(&first.path);
    let session = Running::start(command)?;
    drop(rrvmm_tests::run::connect(&socket)?);
    ensure!(fs::metadata(&socket)?.permissions().mode() & 0o777 == 0o600, "others may connect");
    monitor(&socket, &format!("replay_seek {}", first.prompt))?.exited(0)?;
    let taken = monitor(&socket, &format!("live {}", first.path.display()))?;
    ensure!(taken.status.code() == Some(1) && taken.errors().contains("exists"), "{}", taken.describe());
    let said = monitor(&socket, &format!("live {}", new.display()))?.exited(0)?.text();
    ensure!(position(&said)? == first.prompt, "{said}");
    ensure!(monitor(&socket, "replay_info")?.exited(0)?.text().starts_with("Recording "));
    talk(&console, session)?;
    stands_alone(&new, first.prompt)
}

#[test]
fn a_recorded_shell_is_typed_to_again() {
    from_the_command_line(recorded()).unwrap();
}

#[test]
fn the_monitor_goes_live() {
    from_the_monitor(recorded()).unwrap();
}
