//! `rrvmm export`: what a recording has, in the formats of other programs.

use super::args::ExportArgs;
use super::disks::images;
use super::progress::Progress;
use super::{capture, checkpoints_of, open_recording, tell_trouble};
use anyhow::{Context, bail, ensure};
use rrvmm::asciicast::Asciicast;
use rrvmm::machine::PcMachine;
use rrvmm::session::{self, Aides, Attendant, Nobody, Options, Recording, Save, Wish};
use rrvmm_devices::Output;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;
use std::process::ExitCode;

pub(super) fn export(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    match (&args.pcap, &args.asciicast) {
        (Some(to), _) => capture::export(args, to),
        (None, Some(to)) => asciicast(args, to),
        (None, None) => bail!("say what to write: --asciicast OUT.cast or --pcap OUT.pcap"),
    }
}

fn asciicast(args: &ExportArgs, path: &Path) -> anyhow::Result<ExitCode> {
    args.rerun.engine.check()?;
    ensure!(args.console < 2, "--console {}: COM1 is 0, COM2 is 1", args.console);
    let mut recording = Recording::open(open_recording(&args.recording, &images(&args.rerun.disks)?)?)
        .with_context(|| format!("cannot use {}", args.recording.display()))?;
    let cannot = || format!("cannot write {}", path.display());
    let file = if args.force { File::create(path) } else { File::create_new(path) };
    let file =
        file.with_context(|| format!("cannot make {}; --force overwrites what is there", path.display()))?;
    let title = args.recording.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let cast = Asciicast::begin(BufWriter::new(file), recording.wall_clock(), &title).with_context(cannot)?;
    let mut machine = recording.machine(args.rerun.engine.tcg(), &images(&args.rerun.disks)?)?;
    machine.log_outputs();
    let end = recording.summary().last.position;
    let checkpoints = checkpoints_of(&args.recording, &recording, args.rerun.checkpoint_every);
    let mut shelf = checkpoints.shelf();
    let mut listener =
        Listener { console: args.console, cast, failed: None, progress: Progress::towards(end, true) };
    let aides = Aides { shelf: Some(&mut shelf), attendant: Some(&mut listener) };
    let replayed =
        session::replay_aided(&mut machine, recording, &mut Nobody::new(), &Options::default(), aides);
    listener.hear(&mut machine);
    listener.progress.finish();
    tell_trouble(checkpoints.finish());
    replayed?;
    match listener.failed {
        Some(error) => Err(error).with_context(cannot),
        None => {
            listener.cast.finish().and_then(|file| file.into_inner()?.sync_all()).with_context(cannot)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Writes what a console says.
struct Listener {
    console: u8,
    cast: Asciicast<BufWriter<File>>,
    failed: Option<io::Error>,
    progress: Progress,
}

impl Listener {
    fn hear(&mut self, machine: &mut PcMachine) {
        for (time, output) in machine.take_log() {
            if let Output::Serial { port, byte } = output
                && port == self.console
                && self.failed.is_none()
            {
                self.failed = self.cast.add(time, byte).err();
            }
        }
    }
}

impl Attendant<PcMachine> for Listener {
    fn attend(&mut self, machine: &mut PcMachine, _save: Save<'_, PcMachine>) -> Wish {
        self.hear(machine);
        self.progress.at(rrvmm_replay::Steppable::now(machine).position);
        Wish::GoOn
    }
}
