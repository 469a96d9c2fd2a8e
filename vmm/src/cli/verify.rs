//! `rrvmm verify --jobs N`: the stretches between checkpoints, several at a time.

use super::args::VerifyArgs;
use super::disks::{DiskArg, images};
use super::report;
use super::values::Every;
use super::{checkpoints_of, open_recording, tell_trouble};
use anyhow::Context;
use rrvmm::accel::{HAS_JIT, TcgEngine};
use rrvmm::checkpoints::DiskShelf;
use rrvmm::host::{Signals, Stopwatch};
use rrvmm::machine::PcMachine;
use rrvmm::session::{
    self, Nobody, Options, Outcome, Recording, SessionError, Stretch, find_in_stretch, stretches,
    verify_stretches,
};
use rrvmm::tell;
use rrvmm_replay::{JournalError, Position};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

type Source = BufReader<File>;

/// The outcome, when everything is as recorded.
pub(super) fn in_stretches(args: &VerifyArgs) -> anyhow::Result<Outcome> {
    args.session.check()?;
    let path = &args.session.recording;
    let recording = Recording::open(open_recording(path, &images(&args.session.disks)?)?)
        .with_context(|| format!("cannot use {}", path.display()))?;
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
    let open = Open { path, engine: args.session.engine.tcg(), disks: &args.session.disks };
    if all.len() == 1 {
        let trouble = checkpoints.finish();
        // Whoever has processors to spare has one to write them.
        let every = Every(trouble.is_none().then_some(Duration::ZERO));
        tell_trouble(trouble);
        return in_one_piece(args, &open, every);
    }
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
    tell_trouble(checkpoints.finish());
    tell_stats(args, &outcome, clock);
    Ok(outcome)
}

/// Where nothing is known of the run yet, it cannot be divided; it leaves checkpoints so that it can be the next time.
fn in_one_piece(args: &VerifyArgs, open: &Open<'_>, every: Every) -> anyhow::Result<Outcome> {
    let leaves = if every.0.is_some() { ", which leaves some for the next time" } else { "" };
    tell!("rrvmm: there are no checkpoints for {}: verified in one piece{leaves}", open.path.display());
    let clock = Stopwatch::start();
    let (mut machine, recording) = open.run()?;
    let checkpoints = checkpoints_of(open.path, &recording, every);
    let options = Options { until: args.session.engine.until, ..Options::default() };
    let mut shelf = checkpoints.shelf();
    let verified =
        session::replay_with(&mut machine, recording, &mut Nobody::new(), &options, Some(&mut shelf));
    if let Err(SessionError::Divergence(divergence)) = &verified {
        let whole = Stretch { from: Position::START, to: None };
        explain(open, &shelf, whole, divergence.at.position)?;
    }
    // What was wrong with them from the beginning has been told.
    tell_trouble(checkpoints.finish().filter(|_| every.0.is_some()));
    let outcome = verified?;
    tell_stats(args, &outcome, clock);
    Ok(outcome)
}

fn tell_stats(args: &VerifyArgs, outcome: &Outcome, clock: Stopwatch) {
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
    let of = |engine| Open { engine, ..*open }.run();
    match find_in_stretch(bad, at, shelf, of(TcgEngine::Jit), of(TcgEngine::Interp))? {
        Some(found) => tell!("rrvmm: the engines part at position {}\n{}", found.at, found.report),
        None => tell!("rrvmm: both engines do the same there, and neither does what was recorded"),
    }
    Ok(())
}
