//! `rrvmm replay --gdb` and `rrvmm debug`: a recording under gdb.

use super::args::{DebugArgs, Engine, ReplayArgs, consoles};
use super::values::Every;
use super::{open_recording, status, tell_trouble};
use anyhow::Context;
use rrvmm::checkpoints::directory_of;
use rrvmm::explore::{Desk, Explorer, Handle};
use rrvmm::gdb::{Bound, GdbAddress};
use rrvmm::host::{ConsoleSpec, Deadline, HostError, Outputs, Signals, leave_interrupts_to_others};
use rrvmm::session::{Host, ReplayConsoles};
use rrvmm::tell;
use rrvmm_replay::{EndReason, Position};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

/// How often the signals are looked at while gdb works.
const SIGNAL_DISTANCE: Duration = Duration::from_millis(50);

/// What `rrvmm debug` teaches gdb before its user types. SOCKET stands for where to connect.
const INIT: &str = include_str!("debug.gdb");

pub(super) fn wait_for_gdb(
    args: &ReplayArgs,
    address: &GdbAddress,
    specs: &[ConsoleSpec],
) -> anyhow::Result<ExitCode> {
    args.session.check()?;
    let signals = Signals::watch()?;
    let explorer =
        open(&args.session.recording, args.session.engine.engine, args.at, args.session.checkpoint_every)?;
    let outputs = Outputs::open(specs, &signals, Deadline::default())?;
    let mut bound = Bound::new(address)?;
    if bound.address().is_exposed() {
        tell!(
            "rrvmm: warning: whoever reaches {} can read the guest; :PORT is for this host only",
            bound.address()
        );
    }
    let (desk, handle) = Desk::new(explorer);
    bound.serve(handle.clone());
    tell!("rrvmm: in gdb, type: target remote {}", bound.address());
    end_on_signal(signals.clone(), handle);
    work(desk, ReplayConsoles::new(outputs, signals.clone(), |_| {}))?;
    let signal = signals.stop_requested();
    Ok(ExitCode::from(if signal.is_some() { status::of_end(EndReason::Signal, signal) } else { 0 }))
}

pub(super) fn debug(args: &DebugArgs) -> anyhow::Result<ExitCode> {
    args.engine.check()?;
    let serial = if args.serial.is_empty() { &[ConsoleSpec::Null][..] } else { &args.serial };
    let specs = consoles(serial, &ConsoleSpec::Null)?;
    let explorer = open(&args.recording, args.engine, args.at, args.checkpoint_every)?;
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
    work(desk, ReplayConsoles::new(outputs, signals, |_| {}))?;
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

fn open(path: &Path, engine: Engine, at: Option<Position>, every: Every) -> anyhow::Result<Explorer> {
    let (source, again) = (Box::new(open_recording(path)?), Box::new(open_recording(path)?));
    let mut explorer = Explorer::open(source, again, engine.tcg())
        .with_context(|| format!("cannot use {}", path.display()))?;
    explorer.use_checkpoints(directory_of(path), every.0);
    if let Some(at) = at {
        explorer.go_to(at)?;
    }
    Ok(explorer)
}

/// Ends the session when a signal asks for it.
fn end_on_signal(signals: Signals, handle: Handle) {
    thread::spawn(move || {
        while signals.stop_requested().is_none() {
            thread::sleep(SIGNAL_DISTANCE);
        }
        handle.quit();
    });
}

/// Does what the front ends want until the session ends.
fn work(mut desk: Desk, mut host: ReplayConsoles<impl FnMut(Position)>) -> anyhow::Result<()> {
    let served = desk.serve(|outputs| -> Result<(), HostError> {
        host.show(outputs)?;
        // What is still in a buffer.
        host.poll([false; 2]).map(|_| ())
    });
    let finished = host.finish();
    tell_trouble(desk.explorer().take_trouble());
    served?;
    finished?;
    // The process ends here; taking the machine apart first would only take time.
    std::mem::forget(desk);
    Ok(())
}
