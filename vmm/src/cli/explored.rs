//! `rrvmm replay --gdb --monitor`: a recording with front ends over it.

use super::args::{Engine, ReplayArgs};
use super::values::Every;
use super::{open_recording, status, tell_trouble};
use anyhow::Context;
use rrvmm::checkpoints::directory_of;
use rrvmm::explore::{Desk, Explorer, Handle};
use rrvmm::gdb;
use rrvmm::host::{ConsoleSpec, Deadline, HostError, Outputs, Signals};
use rrvmm::monitor::{self, Exploring, Refused, Subject};
use rrvmm::session::{Host, ReplayConsoles};
use rrvmm::tell;
use rrvmm_replay::{EndReason, Position};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// How often the signals are looked at while front ends work.
const SIGNAL_DISTANCE: Duration = Duration::from_millis(50);

/// Serves gdb, the monitor, or both, until one of them or a signal ends the session.
pub(super) fn serve(args: &ReplayArgs, specs: &[ConsoleSpec]) -> anyhow::Result<ExitCode> {
    args.session.check()?;
    let signals = Signals::watch()?;
    let recording = &args.session.recording;
    let explorer = open(recording, args.session.engine.engine, args.at, args.session.checkpoint_every)?;
    let outputs = Outputs::open(specs, &signals, Deadline::default())?;
    let mut gdb = args.gdb.as_ref().map(gdb::Bound::new).transpose()?;
    let mut monitor = args.monitor.as_deref().map(monitor::Bound::new).transpose()?;
    let end = explorer.place().end.position;
    let (desk, handle) = Desk::new(explorer);
    if let Some(gdb) = &mut gdb {
        if gdb.address().is_exposed() {
            tell!(
                "rrvmm: warning: whoever reaches {} can read the guest; :PORT is for this host only",
                gdb.address()
            );
        }
        gdb.serve(handle.clone());
        tell!("rrvmm: in gdb, type: target remote {}", gdb.address());
    }
    if let Some(monitor) = &mut monitor {
        let no_live = |_| Err(Refused("start rrvmm replay with --live to go live".to_owned()));
        let exploring = Exploring::new(handle.clone(), recording.clone(), end, monitor.events(), no_live);
        if let Some(until) = args.session.engine.until {
            exploring.stop_at(Some(until))?;
        }
        if args.gdb.is_none() && args.at.is_none() {
            exploring.run();
        }
        monitor.serve(Arc::new(exploring));
    }
    end_on_signal(signals.clone(), handle);
    work(desk, ReplayConsoles::new(outputs, signals.clone(), |_| {}))?;
    let signal = signals.stop_requested();
    Ok(ExitCode::from(if signal.is_some() { status::of_end(EndReason::Signal, signal) } else { 0 }))
}

pub(super) fn open(
    path: &Path,
    engine: Engine,
    at: Option<Position>,
    every: Every,
) -> anyhow::Result<Explorer> {
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
pub(super) fn work(mut desk: Desk, mut host: ReplayConsoles<impl FnMut(Position)>) -> anyhow::Result<()> {
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
