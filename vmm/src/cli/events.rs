//! `rrvmm events`: what happened in a recording, one line an event.

use super::args::EventsArgs;
use rrvmm::session::events;
use rrvmm::tell;
use rrvmm_replay::{JournalReader, Position};
use std::io::{BufWriter, Read, Seek, Write, stdout};
use std::process::ExitCode;

pub(super) fn print<R: Read + Seek>(
    mut journal: JournalReader<R>,
    args: &EventsArgs,
) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(stdout().lock());
    let last = Position::from_count(u64::MAX);
    let range = args.from.unwrap_or(Position::START)..=args.to.unwrap_or(last);
    events(&mut journal, range, |event| -> anyhow::Result<()> {
        if args.json {
            serde_json::to_writer(&mut out, &event).map_err(std::io::Error::from)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{event}")?;
        }
        Ok(())
    })?;
    out.flush()?;
    if let Some(cut) = &journal.summary().cut {
        tell!("rrvmm: {cut}");
    }
    Ok(ExitCode::SUCCESS)
}
