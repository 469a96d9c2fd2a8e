//! `rrvmm debug`: a recording under gdb.

use super::args::{DebugArgs, consoles};
use super::disks::images;
use super::explored::{open, work};
use anyhow::Context;
use rrvmm::explore::Desk;
use rrvmm::gdb::{Bound, GdbAddress};
use rrvmm::host::{ConsoleSpec, Deadline, Outputs, Signals, leave_interrupts_to_others};
use rrvmm::session::ReplayConsoles;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;

/// What `rrvmm debug` teaches gdb before its user types. SOCKET stands for where to connect.
const INIT: &str = include_str!("debug.gdb");

pub(super) fn debug(args: &DebugArgs) -> anyhow::Result<ExitCode> {
    let rerun = &args.rerun;
    rerun.engine.check()?;
    let serial = if args.serial.is_empty() { &[ConsoleSpec::Null][..] } else { &args.serial };
    let specs = consoles(serial, &ConsoleSpec::Null)?;
    let disks = images(&rerun.disks)?;
    let explorer = open(&args.recording, rerun.engine, &disks, args.at, rerun.checkpoint_every)?;
    // Nobody else may enter: gdb's scripts are run as this user.
    let directory = tempfile::Builder::new().prefix("rrvmm-gdb-").tempdir();
    let directory = directory.context(
        "cannot make a directory for the connection to gdb; set TMPDIR to a place that can be written",
    )?;
    let socket = directory.path().join("socket");
    let script = directory.path().join("init.gdb");
    std::fs::write(&script, INIT.replace("SOCKET", &socket.to_string_lossy()))
        .with_context(|| format!("cannot write {}", script.display()))?;
    let mut bound = Bound::new(&GdbAddress::Unix(socket))?;
    leave_interrupts_to_others()?;
    let mut gdb = start_gdb(args, &script)?;
    let (desk, handle) = Desk::new(explorer);
    bound.serve(handle.clone());
    let waiting = thread::spawn(move || {
        let status = gdb.wait();
        handle.quit();
        status
    });
    let signals = Signals::unwatched()?;
    let outputs = Outputs::open(&specs, &signals, Deadline::default())?;
    let desk = work(desk, ReplayConsoles::new(outputs, signals, |_| {}))?;
    // The process ends here; taking the machine apart first would only take time.
    std::mem::forget(desk);
    let status = waiting.join().map_err(|_| anyhow::anyhow!("waiting for gdb failed"))??;
    Ok(ExitCode::from(status.code().map_or(1, |code| code as u8)))
}

fn start_gdb(args: &DebugArgs, script: &Path) -> anyhow::Result<std::process::Child> {
    let mut arguments: Vec<OsString> = vec!["-q".into()];
    if let Some(symbols) = &args.symbols {
        anyhow::ensure!(symbols.is_file(), "there is no file {} with symbols", symbols.display());
        arguments.extend(["-ex".into(), format!("file {}", quoted(symbols)).into()]);
    }
    arguments.extend(["-x".into(), script.into()]);
    arguments.extend(args.arguments.iter().cloned());
    let program = args.gdb_program.display();
    Command::new(&args.gdb_program).args(&arguments).spawn().map_err(|error| {
        let what = match error.kind() {
            ErrorKind::NotFound => format!(
                "{program} is not installed; install it (on Debian: apt install gdb), name another with --gdb-program, or \
                 use rrvmm replay --gdb"
            ),
            _ => format!("{program} cannot be started"),
        };
        anyhow::Error::from(error).context(what)
    })
}

/// A file name as gdb's `file` takes it.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy().replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{text}\"")
}
