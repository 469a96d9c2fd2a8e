//! A process that someone types to: bytes written at chosen moments while it runs.

use super::process::{Outcome, Process};
use anyhow::{Context as _, Result};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// What is typed: pauses and bytes, in order.
pub type Script = Vec<(Duration, Vec<u8>)>;

/// Runs `command` with a pipe as its standard input and writes `script` into it.
///
/// # Errors
/// It cannot be started.
pub fn typed_into_pipe(command: Command, script: &Script, limit: Duration) -> Result<Outcome> {
    Process::new(command).limit(limit).script(script.clone()).run()
}

/// Runs `command` on a terminal of its own and types `script`. The outcome's standard output is what the terminal showed.
///
/// # Errors
/// There is no terminal, or the command cannot be started.
pub fn typed_into_terminal(mut command: Command, script: &Script, limit: Duration) -> Result<Outcome> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).context("opening a pseudo terminal")?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let path = ptsname(&master, Vec::new())?;
    let slave = OpenOptions::new().read(true).write(true).open(path.to_str()?)?;
    command.stdin(Stdio::from(slave.try_clone()?)).stdout(Stdio::from(slave));
    let mut typist = File::from(master);
    let mut screen = typist.try_clone()?;
    let script = script.clone();
    // A terminal takes what is typed even when nobody is there any more.
    let ended = Arc::new(AtomicBool::new(false));
    let stop_typing = Arc::clone(&ended);
    let typing = thread::spawn(move || {
        for (pause, bytes) in script {
            thread::sleep(pause);
            if stop_typing.load(Ordering::Relaxed) || typist.write_all(&bytes).is_err() {
                break;
            }
        }
    });
    let reading = thread::spawn(move || {
        let mut shown = Vec::new();
        let mut buffer = [0; 4096];
        // The read fails with EIO when the last user of the terminal has gone.
        while let Ok(length @ 1..) = screen.read(&mut buffer) {
            shown.extend(&buffer[..length]);
        }
        shown
    });
    let mut outcome = Process::new(command).limit(limit).on_terminal().run()?;
    ended.store(true, Ordering::Relaxed);
    typing.join().ok().context("typing panicked")?;
    outcome.stdout = reading.join().ok().context("reading panicked")?;
    Ok(outcome)
}
