//! The command line. Data goes to standard output, everything for people to standard error.

mod args;
mod boot;
mod events;
mod info;
mod output;
mod progress;
mod status;
mod values;

use anyhow::Context;
use args::{Cli, Command};
use clap::Parser;
use rrvmm::host::restore_terminal;
use rrvmm_replay::JournalReader;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::ExitCode;

/// Runs the command and says how it went.
pub(crate) fn main() -> ExitCode {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore_terminal();
        report(panic);
    }));
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(status) => status,
        Err(error) if output::reader_has_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rrvmm: {}", output::chain(&error));
            status::of_error(&error)
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => {
            args.machine.check()?;
            boot::read(&args.machine)?;
            anyhow::bail!("this build has no sessions yet")
        }
        Command::Record(args) => {
            args.check_output()?;
            args.machine.check()?;
            boot::read(&args.machine)?;
            anyhow::bail!("this build has no sessions yet")
        }
        Command::Replay(args) => {
            args.session.check()?;
            open_recording(&args.session.recording)?;
            anyhow::bail!("this build has no sessions yet")
        }
        Command::Verify(args) => {
            args.session.check()?;
            open_recording(&args.session.recording)?;
            anyhow::bail!("this build has no sessions yet")
        }
        Command::Info(args) => info::print(open_recording(&args.recording)?, &args),
        Command::Events(args) => events::print(open_recording(&args.recording)?, &args),
    }
}

fn open_recording(path: &Path) -> anyhow::Result<JournalReader<BufReader<File>>> {
    let file = File::open(path).with_context(|| format!("cannot open the recording {}", path.display()))?;
    JournalReader::open(BufReader::new(file)).with_context(|| format!("cannot use {}", path.display()))
}
