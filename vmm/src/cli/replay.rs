//! `rrvmm replay` and `rrvmm verify`: a recording run again.

use super::args::{ReplayArgs, ReplaySessionArgs, VerifyArgs, consoles};
use super::disks::images;
use super::exact;
use super::progress::Progress;
use super::verify::{in_stretches, tell_end};
use super::{checkpoints_of, display, explored, open_recording, report, tell_trouble, under_kvm};
use anyhow::Context;
use rrvmm::host::vnc::DisplaySpec;
use rrvmm::host::{ConsoleSpec, Deadline, Outputs, Signals, Stopwatch};
use rrvmm::machine::{Onlooker, PcMachine};
use rrvmm::session::{self, Aides, Attendant, Finish, Options, Outcome, Recording, ReplayConsoles};
use std::io::Write;
use std::process::ExitCode;

pub(super) fn replay(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let mut specs = consoles(&args.serial, &args.session.debugcon)?;
    specs.extend(args.virtio_consoles.iter().cloned());
    if under_kvm::is_asked_for(&args.session) {
        return under_kvm::replay(args, &specs);
    }
    if args.live {
        return explored::live(args, &specs);
    }
    if args.gdb.is_some() || args.monitor.is_some() {
        return explored::serve(args, &specs);
    }
    anyhow::ensure!(
        args.at.is_none(),
        "--at says where --gdb, --monitor or --live begins; did you mean --until?"
    );
    anyhow::ensure!(args.output.is_none(), "-o records what follows --live; give --live too");
    let replayed = run_again(&args.session, &specs, &args.display)?;
    let end = replayed.end();
    end.tell_unless_usual();
    end.tell_stats(args.session.stats, &replayed.machine);
    Ok(end.replay_status())
}

pub(super) fn verify(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let serial = if args.serial.is_empty() { &[ConsoleSpec::Null][..] } else { &args.serial };
    let specs = consoles(serial, &args.session.debugcon)?;
    if under_kvm::is_asked_for(&args.session) {
        return under_kvm::verify(args, &specs);
    }
    if args.jobs > 1 {
        let clock = Stopwatch::start();
        let outcome = in_stretches(args)?;
        tell_end(&outcome, clock)?;
        writeln!(std::io::stdout(), "position {} digest {}", outcome.at.position, outcome.digest.combined())?;
        exact::ensure_whole(&args.session.recording)?;
        return Ok(ExitCode::SUCCESS);
    }
    let replayed = run_again(&args.session, &specs, &DisplaySpec::None)?;
    let end = replayed.end();
    end.tell_unless_usual();
    end.tell_stats(args.session.stats, &replayed.machine);
    let outcome = &replayed.outcome;
    writeln!(std::io::stdout(), "position {} digest {}", outcome.at.position, outcome.digest.combined())?;
    exact::ensure_whole(&args.session.recording)?;
    Ok(match &outcome.finish {
        // However the guest ended: the replay was the recorded run.
        Finish::Ended(_) | Finish::Cut(_) => ExitCode::SUCCESS,
        Finish::Stopped(_) => end.status(),
    })
}

/// A replay that is over.
struct Replayed {
    machine: PcMachine,
    outcome: Outcome,
    signals: Signals,
    clock: Stopwatch,
}

impl Replayed {
    fn end(&self) -> report::End<'_> {
        report::End { outcome: &self.outcome, signals: &self.signals, clock: self.clock }
    }
}

fn run_again(
    args: &ReplaySessionArgs,
    specs: &[ConsoleSpec],
    display: &DisplaySpec,
) -> anyhow::Result<Replayed> {
    args.check()?;
    let images = images(&args.disks)?;
    let recording = open_recording(&args.recording, &images)?;
    let mut recording =
        Recording::open(recording).with_context(|| format!("cannot use {}", args.recording.display()))?;
    let total = recording.summary().last.position;
    let mut machine = recording.machine(args.engine.tcg(), &images)?;
    if args.stats {
        machine.measure();
    }
    let signals = Signals::watch()?;
    let vnc = display::open(display)?;
    let outputs = Outputs::open(specs, &signals, Deadline::default())?;
    let silent = !specs.contains(&ConsoleSpec::Stdio);
    let target = args.engine.until.map_or(total, |until| until.min(total));
    let mut progress = Progress::towards(target, silent);
    let mut host = ReplayConsoles::new(outputs, signals.clone(), |position| progress.at(position));
    let options = Options { until: args.engine.until, ..Options::default() };
    let clock = Stopwatch::start();
    let checkpoints = checkpoints_of(&args.recording, &recording, args.checkpoint_every);
    let mut shelf = checkpoints.shelf();
    let mut onlooker = vnc.as_ref().map(|vnc| Onlooker(vnc.screen()));
    let attendant = onlooker.as_mut().map(|onlooker| onlooker as &mut dyn Attendant<PcMachine>);
    let aides = Aides { shelf: Some(&mut shelf), attendant };
    let replayed = session::replay_aided(&mut machine, recording, &mut host, &options, aides);
    let finished = host.finish();
    progress.finish();
    tell_trouble(checkpoints.finish());
    let outcome = replayed?;
    finished?;
    Ok(Replayed { machine, outcome, signals, clock })
}
