//! `rrvmm replay --gdb --monitor`: a recording with front ends over it, and the way from there to a live session.

use super::args::{Engine, ReplayArgs, check_output};
use super::disks::images;
use super::live::{NewRecording, Parting, go_live};
use super::values::Every;
use super::{display, open_recording, status, tell_trouble};
use anyhow::Context;
use rrvmm::checkpoints::directory_of;
use rrvmm::explore::{Desk, Explorer, Handle};
use rrvmm::gdb;
use rrvmm::host::image::Image;
use rrvmm::host::{ConsoleSpec, Deadline, HostError, Outputs, Signals};
use rrvmm::monitor::{self, Exploring, Refused, Subject};
use rrvmm::session::{Host, ReplayConsoles};
use rrvmm::tell;
use rrvmm_replay::{EndReason, Position};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How often the signals are looked at while front ends work.
const SIGNAL_DISTANCE: Duration = Duration::from_millis(50);

/// How long a client waits for the live session that it asked for.
const DEPARTURE: Duration = Duration::from_secs(30);

/// Serves gdb, the monitor, or both, until one of them or a signal ends the session.
pub(super) fn serve(args: &ReplayArgs, specs: &[ConsoleSpec]) -> anyhow::Result<ExitCode> {
    args.session.check()?;
    let recording = &args.session.recording;
    let disks = images(&args.session.disks)?;
    let every = args.session.checkpoint_every;
    let explorer = open(recording, args.session.engine.engine, &disks, args.at, every)?;
    let signals = Signals::watch()?;
    let outputs = Outputs::open(specs, &signals, Deadline::default())?;
    let mut gdb = args.gdb.as_ref().map(gdb::Bound::new).transpose()?;
    let mut monitor = args.monitor.as_deref().map(monitor::Bound::new).transpose()?;
    let end = explorer.place().end.position;
    let vnc = display::open(&args.display)?;
    let (desk, handle) = Desk::new(explorer);
    if let Some(vnc) = &vnc {
        display::show(vnc, handle.clone());
    }
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
    let exit = Arc::new(Exit::new(args));
    if let Some(monitor) = &mut monitor {
        let (leaving, way) = (Arc::clone(&exit), handle.clone());
        let go_live = move |output| leaving.ask(&way, output);
        let exploring = Exploring::new(handle.clone(), recording.clone(), end, monitor.events(), go_live);
        if let Some(until) = args.session.engine.until {
            exploring.stop_at(Some(until))?;
        }
        if args.gdb.is_none() && args.at.is_none() {
            exploring.run();
        }
        monitor.serve(Arc::new(exploring));
    }
    end_on_signal(signals.clone(), handle);
    let desk = work(desk, ReplayConsoles::new(outputs, signals.clone(), |_| {}))?;
    if let Some(wish) = exit.take() {
        drop(gdb);
        let parting = Parting { args, specs, signals, recording: wish.recording, monitor, vnc, again: true };
        return go_live(desk.into_explorer(), parting, || {
            // Whoever asked may have lost patience.
            let _ = wish.done.send(());
        });
    }
    // The process ends here; taking the machine apart first would only take time.
    std::mem::forget(desk);
    let signal = signals.stop_requested();
    Ok(ExitCode::from(if signal.is_some() { status::of_end(EndReason::Signal, signal) } else { 0 }))
}

/// `rrvmm replay --live`.
pub(super) fn live(args: &ReplayArgs, specs: &[ConsoleSpec]) -> anyhow::Result<ExitCode> {
    args.session.check()?;
    if let Some(output) = &args.output {
        check_output(output, args.force)?;
    }
    let end = Position::from_count(u64::MAX);
    let every = args.session.checkpoint_every;
    let disks = images(&args.session.disks)?;
    let at = Some(args.at.unwrap_or(end));
    let explorer = open(&args.session.recording, args.session.engine.engine, &disks, at, every)?;
    let here = explorer.position();
    anyhow::ensure!(
        args.at.is_none_or(|at| at == here),
        "the recording ends before --at, at position {here}; leave --at out to go on from there"
    );
    if let Some(objection) = explorer.why_not_live() {
        anyhow::bail!("cannot go live at position {here}: {objection}");
    }
    let monitor = args.monitor.as_deref().map(monitor::Bound::new).transpose()?;
    let create = |path: &PathBuf| NewRecording::create(path, args.force, every);
    let recording = args.output.as_ref().map(create).transpose()?;
    let vnc = display::open(&args.display)?;
    let signals = Signals::watch()?;
    let parting = Parting { args, specs, signals, recording, monitor, vnc, again: false };
    go_live(explorer, parting, || ())
}

/// The way from an exploration to a live session, for the monitor's `live`.
struct Exit {
    /// From the command line.
    output: Option<PathBuf>,
    force: bool,
    every: Every,
    wish: Mutex<Option<LiveWish>>,
}

struct LiveWish {
    recording: Option<NewRecording>,
    /// Hears when the live session is there.
    done: Sender<()>,
}

impl Exit {
    fn new(args: &ReplayArgs) -> Self {
        let (output, force) = (args.output.clone(), args.force);
        Self { output, force, every: args.session.checkpoint_every, wish: Mutex::new(None) }
    }

    fn take(&self) -> Option<LiveWish> {
        self.wish.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Ends the exploration for a live session, recorded into `output`, or what the command line has.
    fn ask(&self, handle: &Handle, output: Option<PathBuf>) -> Result<String, Refused> {
        let over = |_| Refused("the session is over".to_owned());
        let (objection, position) =
            handle.ask(|explorer| (explorer.why_not_live(), explorer.position())).map_err(over)?;
        if let Some(objection) = objection {
            return Err(Refused(objection));
        }
        let given = output.is_some();
        let path = output.or_else(|| self.output.clone());
        let create = |path: &PathBuf| NewRecording::create(path, self.force && !given, self.every);
        let recording = path.as_ref().map(create).transpose();
        let recording = recording.map_err(|error| Refused(format!("{error:#}")))?;
        let (done, wait) = channel();
        *self.wish.lock().unwrap_or_else(PoisonError::into_inner) = Some(LiveWish { recording, done });
        handle.quit();
        wait.recv_timeout(DEPARTURE).map_err(|_| Refused("the live session did not begin".to_owned()))?;
        let into = path.map_or("not recorded".to_owned(), |path| format!("recorded into {}", path.display()));
        Ok(format!("live from position {position} on, {into}\n"))
    }
}

pub(super) fn open(
    path: &Path,
    engine: Engine,
    disks: &[Arc<Image>],
    at: Option<Position>,
    every: Every,
) -> anyhow::Result<Explorer> {
    let source = || Ok::<_, anyhow::Error>(Box::new(open_recording(path, disks)?));
    let (source, again) = (source()?, source()?);
    let mut explorer = Explorer::open_with(source, again, engine.tcg(), disks)
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
pub(super) fn work(mut desk: Desk, mut host: ReplayConsoles<impl FnMut(Position)>) -> anyhow::Result<Desk> {
    let served = desk.serve(|outputs| -> Result<(), HostError> {
        host.show(outputs)?;
        // What is still in a buffer.
        host.poll(rrvmm::session::FullPorts::default()).map(|_| ())
    });
    let finished = host.finish();
    tell_trouble(desk.explorer().take_trouble());
    served?;
    finished?;
    Ok(desk)
}
