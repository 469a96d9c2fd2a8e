//! `rrvmm demo`: records the built-in guest, replays it, and goes back in it.

use super::output::grouped;
use anyhow::{Context, ensure};
use rrvmm::diverge::Inspect;
use rrvmm::host::{ConsoleSpec, Deadline, Live, Outputs, Signals, wall_clock};
use rrvmm::machine::PcMachine;
use rrvmm::session::{self, LiveConsoles, Options, Outcome, Recording, ReplayConsoles};
use rrvmm::tell;
use rrvmm_replay::timeline::Seek;
use rrvmm_replay::{Digest, Hasher, Position, Timeline};
use std::io::Cursor;
use std::process::ExitCode;

/// COM1 on standard output, nothing else; the demo's guest reads nothing.
const CONSOLES: [ConsoleSpec; 3] = [ConsoleSpec::Stdio, ConsoleSpec::Null, ConsoleSpec::Null];

pub(super) fn demo() -> anyhow::Result<ExitCode> {
    let signals = Signals::watch()?;
    tell!("rrvmm: recording a run of the built-in guest");
    let (recorded, file) = record(&signals)?;
    let length = recorded.at.position;
    tell!("rrvmm: {} instructions in {} bytes; now the same run again:", grouped(length.count()), file.len());
    let replayed = replay(&signals, &file)?;
    ensure!(
        (replayed.at, replayed.digest) == (recorded.at, recorded.digest),
        "the replay ended at {} with digest {}, the recording at {} with {}",
        replayed.at,
        replayed.digest.combined(),
        recorded.at,
        recorded.digest.combined()
    );
    tell!("rrvmm: every digest of the replay was equal, the last one is {}", recorded.digest.combined());
    go_back(&file, length)?;
    Ok(ExitCode::SUCCESS)
}

fn record(signals: &Signals) -> anyhow::Result<(Outcome, Vec<u8>)> {
    let setup = rrvmm::demo::setup();
    let mut machine = PcMachine::new(&setup.pc, &setup.source)?;
    let engine = machine.engine();
    let live = Live::open(&CONSOLES, signals, Deadline::default())?;
    let mut host = LiveConsoles::new(live);
    let recorded = session::record(
        &mut machine,
        &setup,
        engine,
        Vec::new(),
        wall_clock(),
        &mut host,
        &Options::default(),
    );
    let finished = host.finish();
    let recorded = recorded.context("the demo cannot be recorded")?;
    finished?;
    Ok(recorded)
}

fn replay(signals: &Signals, file: &[u8]) -> anyhow::Result<Outcome> {
    let recording = Recording::open(Cursor::new(file))?;
    let mut machine = machine_of(&recording)?;
    let outputs = Outputs::open(&CONSOLES, signals, Deadline::default())?;
    let mut host = ReplayConsoles::new(outputs, signals.clone(), |_| ());
    let replayed = session::replay(&mut machine, recording, &mut host, &Options::default());
    let finished = host.finish();
    let replayed = replayed.context("the demo cannot be replayed")?;
    finished?;
    Ok(replayed)
}

/// Goes to the end, back to the middle, and once more, to show that the middle is the same each time.
fn go_back(file: &[u8], length: Position) -> anyhow::Result<()> {
    let recording = Recording::open(Cursor::new(file))?;
    let machine = machine_of(&recording)?;
    let mut timeline = Timeline::new(machine, recording.into_seam());
    let middle = Position::from_count(length.count() / 2);
    let mut seen = Vec::new();
    for target in [middle, length, middle] {
        match timeline.seek(target)? {
            Seek::Reached(_) | Seek::Ended(..) => {}
            Seek::Cut(at, cut) => anyhow::bail!("the demo's recording is cut at {at}: {cut}"),
            Seek::Interrupted(_) => unreachable!("nobody interrupts the demo"),
        }
        seen.push((timeline.now(), timeline.machine().cpu(), memory(timeline.machine())));
    }
    ensure!(seen[0] == seen[2] && seen[0] != seen[1], "going back led to another state");
    let middle = grouped(middle.count());
    tell!("rrvmm: back from the end to instruction {middle}: registers and memory as on the way there");
    Ok(())
}

fn memory(machine: &PcMachine) -> Digest {
    let mut hasher = Hasher::new();
    (0..machine.pages()).for_each(|page| hasher.update(machine.page(page).1));
    hasher.finish()
}

fn machine_of(recording: &Recording<Cursor<&[u8]>>) -> anyhow::Result<PcMachine> {
    let setup = recording.setup();
    Ok(PcMachine::new(&setup.pc, &setup.source)?)
}
