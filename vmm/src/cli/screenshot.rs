//! `rrvmm screenshot`: the screen as it was.

use super::args::ScreenshotArgs;
use super::disks::images;
use super::explored::open;
use super::tell_trouble;
use anyhow::{Context, ensure};
use rrvmm::picture::{self, Format};
use rrvmm_replay::Position;
use std::process::ExitCode;

pub(super) fn screenshot(args: &ScreenshotArgs) -> anyhow::Result<ExitCode> {
    args.rerun.engine.check()?;
    let path = &args.output;
    let format = Format::of(path)
        .with_context(|| format!("{}: a picture's name must end in .png or .ppm", path.display()))?;
    let end = Position::from_count(u64::MAX);
    let mut explorer = open(
        &args.recording,
        args.rerun.engine,
        &images(&args.rerun.disks)?,
        Some(args.at.unwrap_or(end)),
        args.rerun.checkpoint_every,
    )?;
    let here = explorer.position();
    ensure!(
        args.at.is_none_or(|at| at == here),
        "the recording ends before --at, at position {here}; leave --at out for the last picture"
    );
    picture::write(&explorer.frame(), path, format)?;
    tell_trouble(explorer.take_trouble());
    // The process ends here; taking the machine apart first would only take time.
    std::mem::forget(explorer);
    Ok(ExitCode::SUCCESS)
}
