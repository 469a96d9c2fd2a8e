//! `rrvmm verify --jobs N`: the stretches between checkpoints, several at a time.

use super::args::VerifyArgs;
use super::disks::{DiskArg, images};
use super::report;
use super::values::Every;
use super::{checkpoints_of, open_recording, tell_trouble};
use anyhow::Context;
use rrvmm::accel::{HAS_JIT, TcgEngine};
use rrvmm::checkpoints::{Checkpoints, DiskShelf};
use rrvmm::diverge::find_between;
use rrvmm::host::{Signals, Stopwatch};
use rrvmm::machine::PcMachine;
use rrvmm::session::{Outcome, Recording, SessionError, Stretch, stretches, verify_stretches};
use rrvmm::tell;
use rrvmm_devices::Input;
use rrvmm_replay::timeline::{Policy, Shelf};
use rrvmm_replay::{JournalError, Position, Replayer, Timeline};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

type Source = BufReader<File>;

/// The outcome, when everything is as recorded.
pub(super) fn in_stretches(args: &VerifyArgs) -> anyhow::Result<Outcome> {
    args.session.check()?;
    let path = &args.session.recording;
    let recording =
        Recording::open(open_recording(path)?).with_context(|| format!("cannot use {}", path.display()))?;
    let checkpoints = checkpoints_of(path, &recording, Every(None));
    let end = args.session.engine.until;
    let last = recording.summary().last.position;
    let all = stretches(&checkpoints.positions(), Some(end.map_or(last, |end| end.min(last))));
    // The last one goes on to whatever the recording's end is.
    let all: Vec<Stretch> = all
        .iter()
        .enumerate()
        .map(|(n, s)| if n + 1 == all.len() { Stretch { to: end, ..*s } } else { *s })
        .collect();
    if all.len() == 1 && args.jobs > 1 {
        tell!("rrvmm: there are no checkpoints beside {}: verified in one piece", path.display());
    }
    let open = Open { path, engine: args.session.engine.tcg(), disks: &args.session.disks };
    let clock = Stopwatch::start();
    let shelf = checkpoints.shelf();
    let verified = verify_stretches(&all, args.jobs, &shelf, || open.run());
    let outcome = match verified {
        Ok(outcome) => outcome,
        Err(bad) => {
            if let SessionError::Divergence(divergence) = &bad.error {
                explain(&open, &shelf, bad.stretch, divergence.at.position)?;
            }
            tell_trouble(checkpoints.finish());
            return Err(bad.error.into());
        }
    };
    finish(args, checkpoints, &outcome, clock);
    Ok(outcome)
}

fn finish(args: &VerifyArgs, checkpoints: Checkpoints, outcome: &Outcome, clock: Stopwatch) {
    tell_trouble(checkpoints.finish());
    if args.session.stats {
        let seconds = clock.elapsed().as_secs_f64();
        let speed = outcome.at.position.count() as f64 / 1e6 / seconds.max(1e-9);
        tell!("host time: {seconds:.3} s, {speed:.1} million instructions a second");
    }
}

/// How a run ended, as verify says it.
pub(super) fn tell_end(outcome: &Outcome, clock: Stopwatch) -> anyhow::Result<()> {
    let signals = Signals::unwatched()?;
    report::End { outcome, signals: &signals, clock }.tell_unless_usual();
    Ok(())
}

/// How runs of a recording are begun.
struct Open<'a> {
    path: &'a Path,
    engine: TcgEngine,
    disks: &'a [DiskArg],
}

impl Open<'_> {
    /// A machine at power-on with its recording.
    fn run(&self) -> Result<(PcMachine, Recording<Source>), SessionError> {
        let file = File::open(self.path).map_err(JournalError::Read)?;
        let mut recording = Recording::open(BufReader::new(file))?;
        let images = images(self.disks).map_err(|error| SessionError::Machine(error.into()))?;
        let machine = recording.machine(self.engine, &images);
        let machine = machine.map_err(|error| SessionError::Machine(Box::new(error)))?;
        Ok((machine, recording))
    }
}

/// Says at which instruction the engines part between the beginning of a bad stretch and where it was found to be bad.
fn explain(open: &Open<'_>, shelf: &DiskShelf, bad: Stretch, at: Position) -> anyhow::Result<()> {
    tell!("rrvmm: not as recorded between position {} and {at}", bad.from);
    if !HAS_JIT {
        return Ok(());
    }
    let begin = |engine| -> anyhow::Result<Timeline<PcMachine, Replayer<Input, Source>>> {
        let (machine, recording) = Open { engine, ..*open }.run()?;
        let mut run = Timeline::with_policy(machine, recording.into_seam(), Policy::by_hand());
        if bad.from > Position::START
            && let Some((state, events)) = shelf.read_only().load(bad.from)
        {
            run.adopt(bad.from, state, events)?;
        }
        Ok(run)
    };
    let (mut jit, mut interp) = (begin(TcgEngine::Jit)?, begin(TcgEngine::Interp)?);
    match find_between(&mut jit, &mut interp, bad.from, at, |_| {})? {
        Some(found) => tell!("rrvmm: the engines part at position {}\n{}", found.at, found.report),
        None => tell!("rrvmm: both engines do the same there, and neither does what was recorded"),
    }
    Ok(())
}
