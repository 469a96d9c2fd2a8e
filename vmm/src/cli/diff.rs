//! `rrvmm diff`: where two runs part.

use super::args::DiffArgs;
use super::disks::images;
use super::progress::Progress;
use super::{open_recording, output::grouped, status};
use anyhow::Context;
use rrvmm::accel::TcgEngine;
use rrvmm::diverge::{Found, Inspect, ShortSteps, find};
use rrvmm::host::image::Image;
use rrvmm::machine::PcMachine;
use rrvmm::session::Recording;
use rrvmm_devices::Input;
use rrvmm_replay::{Position, Replayer, Timeline, timeline::Policy};
use std::fs::File;
use std::io::{BufReader, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

type Run<M> = Timeline<M, Replayer<Input, BufReader<File>>>;

pub(super) fn diff(args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let against = args.against.unwrap_or(args.engine);
    args.engine.check()?;
    against.check()?;
    let disks = images(&args.disks)?;
    let (mut first, end) = open(&args.recording, args.engine.tcg(), &disks, |machine| machine)?;
    let found = if args.other.is_some() || args.against.is_some() {
        let other = args.other.as_ref().unwrap_or(&args.recording);
        let (mut second, other_end) = open(other, against.tcg(), &disks, |machine| machine)?;
        search(&mut first, &mut second, end.max(other_end), args)?
    } else {
        let wrap = |machine| ShortSteps::new(machine, args.step);
        let (mut second, _) = open(&args.recording, against.tcg(), &disks, wrap)?;
        search(&mut first, &mut second, end, args)?
    };
    let mut out = std::io::stdout();
    match found {
        None => {
            writeln!(out, "no difference up to position {}", args.until.map_or(end, |until| until.min(end)))?;
            Ok(ExitCode::SUCCESS)
        }
        Some(found) => {
            writeln!(out, "the runs part at position {}", found.at)?;
            write!(out, "{}", found.report)?;
            Ok(ExitCode::from(status::DIVERGED))
        }
    }
}

/// The recording's run at power-on, and where it ends.
fn open<M: Inspect<Input = Input>>(
    path: &Path,
    engine: TcgEngine,
    disks: &[Arc<Image>],
    wrap: impl FnOnce(PcMachine) -> M,
) -> anyhow::Result<(Run<M>, Position)> {
    let mut recording = Recording::open(open_recording(path, disks)?)
        .with_context(|| format!("cannot use {}", path.display()))?;
    let end = recording.summary().last.position;
    let machine = recording.machine(engine, disks)?;
    Ok((Timeline::with_policy(wrap(machine), recording.into_seam(), Policy::by_hand()), end))
}

fn search<A, B>(
    a: &mut Run<A>,
    b: &mut Run<B>,
    end: Position,
    args: &DiffArgs,
) -> anyhow::Result<Option<Found>>
where
    A: Inspect<Input = Input>,
    B: Inspect<Input = Input>,
    A::Error: std::error::Error + Send + Sync + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let end = args.until.map_or(end, |until| until.min(end));
    let mut progress = Progress::towards(end, true);
    let found = find(a, b, end, |position| progress.at(position));
    progress.finish();
    if let Ok(Some(found)) = &found {
        eprintln!("rrvmm: alike for {} instructions", grouped(found.at.count()));
    }
    Ok(found?)
}
