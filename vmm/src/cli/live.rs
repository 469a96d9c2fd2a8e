//! `rrvmm run` and `rrvmm record`: a machine with the host's consoles.

use super::args::{MachineArgs, RecordArgs, RunArgs, consoles};
use super::output::grouped;
use super::{boot, open_journal, report, tell_trouble};
use anyhow::Context;
use rrvmm::checkpoints::{Checkpoints, directory_of, discard};
use rrvmm::host::{Deadline, Live, PaceChoice, Signals, Stopwatch, wall_clock};
use rrvmm::machine::{BuildError, PcMachine};
use rrvmm::session::{self, LiveConsoles, Options, Setup};
use rrvmm_devices::PcConfig;
use rrvmm_replay::timeline::Shelf;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::process::ExitCode;

pub(super) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let mut session = LiveSession::open(&args.machine)?;
    let ran = session::run(&mut session.machine, wall_clock(), &mut session.host, &session.options);
    let finished = session.host.finish();
    let outcome = ran?;
    finished?;
    let end = report::End { outcome: &outcome, signals: &session.signals, clock: session.clock };
    end.tell_unless_usual();
    end.tell_stats(args.machine.stats, &session.machine);
    let status = end.status();
    // The process ends here; taking the machine apart first would only take time.
    std::mem::forget(session.machine);
    Ok(status)
}

pub(super) fn record(args: &RecordArgs) -> anyhow::Result<ExitCode> {
    args.check_output()?;
    let path = args.output.display();
    let mut session = LiveSession::open(&args.machine)?;
    let file = if args.force { File::create(&args.output) } else { File::create_new(&args.output) };
    let out = BufWriter::new(file.with_context(|| {
        format!("cannot make the recording {path}; choose a place with -o that can be written")
    })?);
    let engine = session.machine.engine();
    let clock = wall_clock();
    // Those of a recording that was overwritten are of no use any more.
    let directory = directory_of(&args.output);
    discard(&directory);
    let checkpoints = args
        .checkpoint_every
        .0
        .filter(|_| args.output.is_file())
        .map(|every| Checkpoints::open(directory, &session.setup, clock, Some(every)));
    let mut shelf = checkpoints.as_ref().map(Checkpoints::shelf);
    let recorded = session::record_with(
        &mut session.machine,
        &session.setup,
        engine,
        out,
        clock,
        &mut session.host,
        &session.options,
        shelf.as_mut().map(|shelf| shelf as &mut dyn Shelf<_>),
    );
    let finished = session.host.finish();
    let trouble = checkpoints.and_then(Checkpoints::finish);
    let (outcome, out) =
        recorded.with_context(|| format!("the recording {path} stops here; {}", saved(&args.output)))?;
    let file = out.into_inner().map_err(std::io::IntoInnerError::into_error);
    file.and_then(|file| file.sync_all())
        .with_context(|| format!("cannot finish the recording {path}; {}", saved(&args.output)))?;
    finished?;
    let end = report::End { outcome: &outcome, signals: &session.signals, clock: session.clock };
    end.tell(&format!("recorded in {path}"));
    tell_trouble(trouble);
    end.tell_stats(args.machine.stats, &session.machine);
    let status = end.status();
    // The process ends here; taking the machine apart first would only take time.
    std::mem::forget(session.machine);
    Ok(status)
}

/// What can be done with a recording that could not be finished.
fn saved(path: &Path) -> String {
    // Not a pipe or device, which would not give back what was written, or keep us waiting.
    match path.is_file().then(|| open_journal(path)) {
        Some(Ok(journal)) => format!(
            "what was saved of it can be replayed, up to instruction {}",
            grouped(journal.summary().last.position.count())
        ),
        Some(Err(_)) | None => {
            "nothing of it can be replayed; make room or choose another place with -o".to_owned()
        }
    }
}

/// Builds the machine; what cannot be booted is named by its file.
fn build(setup: &Setup, args: &MachineArgs) -> anyhow::Result<PcMachine> {
    PcMachine::with_engine(&setup.pc, &setup.source, args.engine.tcg()).map_err(|error| {
        match (&error, &args.kernel, &args.bios) {
            (BuildError::Load(_), Some(path), None) | (BuildError::Load(_), None, Some(path)) => {
                let what = format!("cannot start {}", path.display());
                anyhow::Error::from(error).context(what)
            }
            _ => error.into(),
        }
    })
}

/// A machine at power-on and what it is to run with.
struct LiveSession {
    setup: Setup,
    machine: PcMachine,
    signals: Signals,
    host: LiveConsoles,
    options: Options,
    clock: Stopwatch,
}

impl LiveSession {
    /// Checks and builds everything; the terminal comes last, so that errors find it as it was.
    fn open(args: &MachineArgs) -> anyhow::Result<Self> {
        args.check()?;
        let source = boot::read(args)?;
        let pc = PcConfig { memory_bytes: args.memory, cpus: args.cpus, firmware: source.bios.is_some() };
        let setup = Setup { pc, source };
        let mut machine = build(&setup, args)?;
        if args.stats {
            machine.measure();
        }
        let signals = Signals::watch()?;
        let specs = consoles(&args.serial, &args.debugcon)?;
        let live = Live::open(&specs, &signals, Deadline::after(args.timeout))?;
        let pace = PaceChoice::from(args.pace).resolve();
        let options = Options { until: args.engine.until, timeout: args.timeout, pace };
        let clock = Stopwatch::start();
        Ok(Self { setup, machine, signals, host: LiveConsoles::new(live), options, clock })
    }
}
