//! The command line. Data goes to standard output, everything for people to standard error.

mod args;
mod boot;
mod capture;
mod debug;
mod demo;
mod diff;
mod disks;
mod display;
mod doctor;
mod events;
mod exact;
mod explored;
mod export;
mod info;
mod live;
mod monitor;
mod output;
mod progress;
mod queries;
mod replay;
mod report;
mod screenshot;
mod status;
mod under_kvm;
mod values;
mod verify;
mod virtio;

use anyhow::Context;
use args::{Cli, Command};
use clap::Parser;
use rrvmm::checkpoints::{CheckpointError, Checkpoints, THREAD, directory_of};
use rrvmm::host::{image::Image, restore_terminal};
use rrvmm::session::Recording;
use rrvmm::tell;
use rrvmm_replay::JournalReader;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use values::Every;

/// Runs the command and says how it went.
pub(crate) fn main() -> ExitCode {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // What reads damaged checkpoints may give up that way; it is told in other words.
        if std::thread::current().name() != Some(THREAD) {
            restore_terminal();
            report(panic);
        }
    }));
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(status) => status,
        Err(error) if output::reader_has_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            tell!("rrvmm: {}", output::chain(&error));
            status::of_error(&error)
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => live::run(&args),
        Command::Record(args) => live::record(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Debug(args) => debug::debug(&args),
        Command::Monitor(args) => monitor::ask(&args),
        Command::Verify(args) => replay::verify(&args),
        Command::Info(args) => info::print(open_journal(&args.recording)?, &args),
        Command::Events(args) => events::print(open_journal(&args.recording)?, &args),
        Command::LastWrite(args) => queries::last_write(&args),
        Command::FirstRead(args) => queries::first_read(&args),
        Command::Hits(args) => queries::hits(&args),
        Command::Export(args) => export::export(&args),
        Command::Screenshot(args) => screenshot::screenshot(&args),
        Command::Diff(args) => diff::diff(&args),
        Command::Demo => demo::demo(),
        Command::Doctor(args) => doctor::doctor(&args),
    }
}

/// The checkpoints beside the recording at `path`, with new ones as `every` says.
fn checkpoints_of<R>(path: &Path, recording: &Recording<R>, every: Every) -> Checkpoints
where
    R: std::io::Read + std::io::Seek,
{
    Checkpoints::open(directory_of(path), recording.setup(), recording.wall_clock(), every.0)
}

/// Says what went wrong with checkpoints, without which it went on.
fn tell_trouble(trouble: Option<CheckpointError>) {
    if let Some(trouble) = trouble {
        tell!("rrvmm: went on without checkpoints: {}", output::chain(&trouble.into()));
    }
}

/// The recording at `path` with the positions of its events: its own file, or the one beside its checkpoints that the first
/// use of a recording made under KVM leaves.
fn open_recording(path: &Path, images: &[Arc<Image>]) -> anyhow::Result<BufReader<File>> {
    exact::open(path, images)
}

fn open_file(path: &Path) -> anyhow::Result<BufReader<File>> {
    let file = File::open(path).with_context(|| {
        format!("cannot open the recording {}; check its name and permissions", path.display())
    })?;
    Ok(BufReader::new(file))
}

fn open_journal(path: &Path) -> anyhow::Result<JournalReader<BufReader<File>>> {
    JournalReader::open(open_recording(path, &[])?).with_context(|| format!("cannot use {}", path.display()))
}
