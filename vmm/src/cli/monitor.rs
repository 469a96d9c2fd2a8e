//! `rrvmm monitor`: a command for a session, from the shell.

use super::args::MonitorArgs;
use rrvmm::monitor;
use std::io::Write;
use std::process::ExitCode;

pub(super) fn ask(args: &MonitorArgs) -> anyhow::Result<ExitCode> {
    let answer = monitor::ask(&args.socket, &args.command.join(" "))?;
    let mut out = std::io::stdout();
    out.write_all(answer.as_bytes())?;
    if !answer.is_empty() && !answer.ends_with('\n') {
        writeln!(out)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
