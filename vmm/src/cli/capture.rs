//! `rrvmm export --pcap`: what went over the network.

use super::args::ExportArgs;
use super::disks::images;
use super::{open_journal, open_recording};
use anyhow::Context;
use rrvmm::machine::PcMachine;
use rrvmm::pcap::{self, Frame};
use rrvmm::session::{
    self, Aides, Attendant, Detail, Nobody, Options, Recording, Save, SessionError, Wish, events,
};
use rrvmm::tell;
use rrvmm_devices::{Input, Output};
use rrvmm_replay::{JournalError, Position, VirtualTime};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

/// Writes the frames of both directions to `to`.
pub(super) fn export(args: &ExportArgs, to: &Path) -> anyhow::Result<ExitCode> {
    args.rerun.engine.check()?;
    let mut recording = Recording::open(open_recording(&args.recording, &images(&args.rerun.disks)?)?)
        .with_context(|| format!("cannot use {}", args.recording.display()))?;
    let file = if args.force { File::create(to) } else { File::create_new(to) };
    let file =
        file.with_context(|| format!("cannot make {}; --force overwrites what is there", to.display()))?;
    let wall_clock = recording.wall_clock();
    let mut machine = recording.machine(args.rerun.engine.tcg(), &images(&args.rerun.disks)?)?;
    machine.log_outputs();
    let mut frames = received(args)?;
    let count = frames.len();
    let mut listener = Listener { nic: args.nic, frames: &mut frames };
    let aides = Aides { shelf: None, attendant: Some(&mut listener) };
    let replayed: Result<_, SessionError> =
        session::replay_aided(&mut machine, recording, &mut Nobody::new(), &Options::default(), aides);
    listener.hear(&mut machine);
    replayed?;
    // What arrives at a moment was there before the answer to it.
    frames.sort_by_key(|frame| frame.at);
    let write = || -> std::io::Result<()> {
        let mut out = BufWriter::new(file);
        pcap::write(&mut out, wall_clock, &frames)?;
        out.flush()
    };
    write().with_context(|| format!("cannot write {}", to.display()))?;
    tell!("rrvmm: {count} frames received and {} sent, in {}", frames.len() - count, to.display());
    Ok(ExitCode::SUCCESS)
}

/// The frames that arrived.
fn received(args: &ExportArgs) -> anyhow::Result<Vec<Frame>> {
    let mut journal = open_journal(&args.recording)?;
    let mut frames = Vec::new();
    let all = Position::START..=Position::from_count(u64::MAX);
    events(&mut journal, all, |event| -> Result<(), JournalError> {
        if let Detail::Input(Input::Frame { nic, bytes }) = event.detail
            && args.nic.is_none_or(|only| only == nic)
        {
            frames.push(Frame { at: VirtualTime::from_ns(event.virtual_ns), bytes });
        }
        Ok(())
    })?;
    Ok(frames)
}

/// Collects what the guest sends.
struct Listener<'a> {
    nic: Option<u8>,
    frames: &'a mut Vec<Frame>,
}

impl Listener<'_> {
    fn hear(&mut self, machine: &mut PcMachine) {
        for (at, output) in machine.take_log() {
            if let Output::Frame { nic, bytes } = output
                && self.nic.is_none_or(|only| only == nic)
            {
                self.frames.push(Frame { at, bytes });
            }
        }
    }
}

impl Attendant<PcMachine> for Listener<'_> {
    fn attend(&mut self, machine: &mut PcMachine, _save: Save<'_, PcMachine>) -> Wish {
        self.hear(machine);
        Wish::GoOn
    }
}
