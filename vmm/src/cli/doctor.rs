//! `rrvmm doctor`: what this host can do, and what to change.

use super::args::DoctorArgs;
use rrvmm::doctor::{Finding, examine};
use serde::Serialize;
use std::io::{Write, stdout};
use std::process::ExitCode;

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    version: &'static str,
    findings: &'a [Finding],
}

pub(super) fn doctor(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let findings = examine(&args.directory);
    if args.json {
        write_json(stdout().lock(), &findings)?
    } else {
        write_text(stdout().lock(), &findings)?
    }
    Ok(ExitCode::SUCCESS)
}

fn write_json(mut out: impl Write, findings: &[Finding]) -> anyhow::Result<()> {
    let report = Report { version: env!("CARGO_PKG_VERSION"), findings };
    serde_json::to_writer_pretty(&mut out, &report).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

fn write_text(mut out: impl Write, findings: &[Finding]) -> std::io::Result<()> {
    let width = findings.iter().map(|finding| finding.what.len()).max().unwrap_or(0);
    for Finding { what, state, found, follows, change, .. } in findings {
        writeln!(out, "{what:width$}  {:7}  {found}", state.name())?;
        writeln!(out, "{:width$}           {follows}", "")?;
        if let Some(change) = change {
            writeln!(out, "{:width$}           to change it: {change}", "")?;
        }
    }
    Ok(())
}
