//! `rrvmm last-write`, `first-read` and `hits`: questions about a recording.

use super::args::{FirstReadArgs, HitsArgs, LastWriteArgs, QueryArgs};
use super::disks::images;
use super::explored::open;
use super::tell_trouble;
use rrvmm::explore::{Explorer, Occurrence};
use rrvmm::tell;
use rrvmm_replay::Position;
use rrvmm_tcg::stops::{Access, Space};
use std::io::{BufWriter, Write, stdout};
use std::process::ExitCode;

/// Most hits that are looked at in one go.
const AT_ONCE: usize = 10_000;

const END: Position = Position::from_count(u64::MAX);

pub(super) fn last_write(args: &LastWriteArgs) -> anyhow::Result<ExitCode> {
    let query = &args.query;
    let mut explorer = begin(query, Some(args.before.unwrap_or(END)))?;
    let (addr, len) = query.range;
    let found = explorer.last_write(space(query), addr, len)?.map(Occurrence::from);
    answer(&mut explorer, query, found, "nothing wrote there before position")
}

pub(super) fn first_read(args: &FirstReadArgs) -> anyhow::Result<ExitCode> {
    let query = &args.query;
    let mut explorer = begin(query, args.after)?;
    let (addr, len) = query.range;
    let found = explorer.first_read(space(query), addr, len)?;
    answer(&mut explorer, query, found, "nothing reads there from position")
}

pub(super) fn hits(args: &HitsArgs) -> anyhow::Result<ExitCode> {
    let query = &args.query;
    let watch = match (args.access, args.watch) {
        (true, _) => Some(Access::Any),
        (false, true) => Some(Access::Write),
        (false, false) => None,
    };
    anyhow::ensure!(
        watch.is_some() || !query.physical,
        "instructions have virtual addresses; --physical is for --watch and --access"
    );
    let (addr, len) = query.range;
    let mut explorer = begin(query, None)?;
    let (mut from, to) = (args.from.unwrap_or(Position::START), args.to.unwrap_or(END));
    let mut out = BufWriter::new(stdout().lock());
    loop {
        let place = (space(query), addr, len);
        let found = explorer.hits(from..=to, place, watch, AT_ONCE)?.unwrap_or_default();
        for hit in &found {
            print(&mut out, query.json, hit)?;
        }
        let Some(last) = found.last().filter(|_| found.len() == AT_ONCE) else { break };
        from = Position::from_count(last.at.count().saturating_add(1));
    }
    out.flush()?;
    tell_trouble(explorer.take_trouble());
    // The process ends here; taking the machine apart first would only take time.
    std::mem::forget(explorer);
    Ok(ExitCode::SUCCESS)
}

fn begin(query: &QueryArgs, at: Option<Position>) -> anyhow::Result<Explorer> {
    let rerun = &query.rerun;
    rerun.engine.check()?;
    open(&query.recording, rerun.engine, &images(&rerun.disks)?, at, rerun.checkpoint_every)
}

fn space(query: &QueryArgs) -> Space {
    if query.physical { Space::Physical } else { Space::Linear }
}

fn answer(
    explorer: &mut Explorer,
    query: &QueryArgs,
    found: Option<Occurrence>,
    nothing: &str,
) -> anyhow::Result<ExitCode> {
    let mut out = stdout().lock();
    match &found {
        Some(found) => print(&mut out, query.json, found)?,
        None if query.json => writeln!(out, "null")?,
        None => tell!("rrvmm: {nothing} {}", explorer.position()),
    }
    tell_trouble(explorer.take_trouble());
    Ok(ExitCode::SUCCESS)
}

fn print(out: &mut impl Write, json: bool, hit: &Occurrence) -> anyhow::Result<()> {
    if json {
        serde_json::to_writer(&mut *out, hit).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{hit}")?;
    }
    Ok(())
}
