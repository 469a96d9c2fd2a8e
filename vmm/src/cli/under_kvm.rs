//! `rrvmm replay --accel kvm` and `rrvmm verify --accel kvm`: a recording made under KVM, replayed under KVM.

use super::args::{Accel, ReplayArgs, ReplaySessionArgs, VerifyArgs};
use super::disks::images;
use super::progress::Progress;
use super::{exact, open_file, report};
use anyhow::{Context, Result, ensure};
use rrvmm::host::vnc::DisplaySpec;
use rrvmm::host::{ConsoleSpec, Deadline, Outputs, Signals, Stopwatch};
use rrvmm::session::{Finish, ReplayConsoles, Replayed, is_unresolved, replay_under_kvm};
use rrvmm::tell;
use rrvmm_replay::JournalReader;
use std::io::Write as _;
use std::process::ExitCode;

/// Whether this is asked for.
pub(super) fn is_asked_for(args: &ReplaySessionArgs) -> bool {
    args.engine.accel == Accel::Kvm
}

pub(super) fn replay(args: &ReplayArgs, specs: &[ConsoleSpec]) -> Result<ExitCode> {
    let whole = args.gdb.is_none() && args.monitor.is_none() && !args.live && args.at.is_none();
    ensure!(
        whole && args.display == DisplaySpec::None,
        "under KVM a recording is replayed from its beginning to its end; leave --accel kvm out for --gdb, --monitor, --live, --at and --display"
    );
    let Again { replayed, signals, clock } = run_again(&args.session, specs)?;
    let end = report::End { outcome: &replayed.outcome, signals: &signals, clock };
    end.tell_unless_usual();
    end.tell_stats(args.session.stats, &replayed.machine);
    Ok(end.replay_status())
}

pub(super) fn verify(args: &VerifyArgs, specs: &[ConsoleSpec]) -> Result<ExitCode> {
    ensure!(
        args.jobs <= 1,
        "under KVM a recording is verified in one piece; leave --jobs out, or --accel kvm"
    );
    let Again { replayed, signals, clock } = run_again(&args.session, specs)?;
    let end = report::End { outcome: &replayed.outcome, signals: &signals, clock };
    end.tell_unless_usual();
    end.tell_stats(args.session.stats, &replayed.machine);
    writeln!(std::io::stdout(), "position uncounted digest {}", replayed.outcome.digest.combined())?;
    let gaps: Vec<_> = replayed.gaps.iter().map(ToString::to_string).collect();
    exact::refuse(&gaps, &args.session.recording)?;
    Ok(match &replayed.outcome.finish {
        Finish::Ended(_) | Finish::Cut(_) => ExitCode::SUCCESS,
        Finish::Stopped(_) => end.status(),
    })
}

/// A replay that is over.
struct Again {
    replayed: Replayed,
    signals: Signals,
    clock: Stopwatch,
}

fn run_again(args: &ReplaySessionArgs, specs: &[ConsoleSpec]) -> Result<Again> {
    args.check()?;
    ensure!(
        args.engine.until.is_none(),
        "--until is a position, and none is counted under KVM; leave out one of them"
    );
    let path = args.recording.display();
    let raw =
        JournalReader::open(open_file(&args.recording)?).with_context(|| format!("cannot use {path}"))?;
    ensure!(
        is_unresolved(raw.manifest()),
        "{path} was recorded in the translator, and only the translator replays it; leave --accel kvm out"
    );
    let images = images(&args.disks)?;
    let signals = Signals::watch()?;
    let outputs = Outputs::open(specs, &signals, Deadline::default())?;
    let summary = raw.summary();
    let events = summary.landmarks + summary.states + summary.inputs + summary.digests;
    let mut progress = Progress::through(events, "events", !specs.contains(&ConsoleSpec::Stdio));
    let mut host = ReplayConsoles::new(outputs, signals.clone(), |_| {});
    let clock = Stopwatch::start();
    let replayed =
        replay_under_kvm(raw, args.engine.tcg(), &images, &mut host, |number| progress.reach(number));
    let finished = host.finish();
    progress.finish();
    let replayed = replayed.with_context(|| format!("cannot replay {path} under KVM"))?;
    finished?;
    for gap in &replayed.gaps {
        tell!("rrvmm: {gap}");
    }
    if args.stats {
        tell!("places looked for twice            {}", replayed.again);
    }
    Ok(Again { replayed, signals, clock })
}
