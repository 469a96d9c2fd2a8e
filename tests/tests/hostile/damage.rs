//! Recordings that are cut or have a wrong bit: an error that says what to do, or a true beginning of the run.

use crate::tiny::{Random, STATUS, checked, finish, info, machine, on, program, text, timed};
use rrvmm::machine::PcMachine;
use rrvmm::session::{Finish, FullPorts, Host, Options, Polled, Recording, Setup, replay};
use rrvmm_devices::Output;
use rrvmm_replay::journal::Entry;
use rrvmm_replay::{EndReason, JournalReader, Position};
use rrvmm_tests::run::{Process, with_memory_limit};
use std::convert::Infallible;
use std::fs;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::tempdir;

/// Memory that a damaged recording must never need.
const LIMIT: u64 = 1 << 30;

/// A short run with typed input and a dozen digests in several chunks, and what it printed.
pub struct Whole {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    printed: Vec<u8>,
    pub instructions: u64,
    setup: Setup,
    entries: Vec<Entry>,
}

impl Whole {
    /// Typed at moments spread over some seconds, so that the recording is flushed in between.
    pub fn record(directory: &Path) -> Self {
        let path = directory.join("whole.rrvm");
        let kernel = timed(directory, 5000);
        let mut typist = Command::new("sh");
        let script = "for i in 1 2 3 4 5 6 7 8; do sleep 0.3; printf abcdefgh; done; printf q";
        let mut child = typist.args(["-c", script]).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut command = machine("record", &kernel, &["--pace", "host", "-o", text(&path)]);
        command.stdin(child.stdout.take().unwrap());
        let recorded = command.output().unwrap();
        child.wait().unwrap();
        assert_eq!(recorded.status.code(), Some(STATUS), "{}", String::from_utf8_lossy(&recorded.stderr));
        let bytes = fs::read(&path).unwrap();
        let instructions = info(&path)["instructions"].as_u64().unwrap();
        let setup = Recording::open(Cursor::new(&bytes[..])).unwrap().setup().clone();
        let entries = entries(&bytes);
        Self { path, bytes, printed: recorded.stdout, instructions, setup, entries }
    }
}

#[test]
fn a_recording_cut_anywhere_replays_up_to_the_cut_or_says_why_not() {
    let directory = tempdir().unwrap();
    let whole = Whole::record(directory.path());
    let mut random = Random::seeded(200);
    let (mut refused, mut cut) = (0, 0);
    for number in 0..200 {
        let length = random.below(whole.bytes.len());
        let path = directory.path().join("cut.rrvm");
        fs::write(&path, &whole.bytes[..length]).unwrap();
        let replayed = on("replay", &path);
        let errors = replayed.errors();
        let what = format!("cut at {length} of {}: {}", whole.bytes.len(), replayed.describe());
        assert!(whole.printed.starts_with(&replayed.stdout), "{what}");
        match replayed.status.code() {
            // Only the container's index is gone.
            Some(STATUS) => assert!(replayed.stdout == whole.printed, "{what}"),
            Some(0) => {
                cut += 1;
                assert!(errors.contains("as far as it can be replayed"), "{what}");
            }
            Some(1) => {
                refused += 1;
                let told = errors.contains("record again") || errors.contains("not an rrvmm recording");
                assert!(told && errors.contains(text(&path)) && replayed.stdout.is_empty(), "{what}");
            }
            _ => panic!("{what}"),
        }
        if number % 20 == 0 {
            let verified = on("verify", &path).status.code();
            assert_eq!(verified == Some(0), replayed.status.code() != Some(1), "verify: {what}");
        }
    }
    assert!(refused > 10 && cut > 10, "{refused} refused, {cut} cut");
}

#[test]
fn no_flipped_bit_leads_to_a_wrong_run_a_panic_or_much_memory() {
    let directory = tempdir().unwrap();
    let whole = Whole::record(directory.path());
    let mut random = Random::seeded(2000);
    let bits: Vec<usize> = (0..2000).map(|_| random.below(whole.bytes.len() * 8)).collect();
    let (in_process, by_program) = bits.split_at(1900);
    let counts: [AtomicUsize; 3] = Default::default();
    std::thread::scope(|scope| {
        for share in in_process.chunks(in_process.len() / 2) {
            let (whole, counts) = (&whole, &counts);
            scope.spawn(move || {
                for bit in share {
                    let result = catch_unwind(AssertUnwindSafe(|| flip_in_process(whole, *bit)));
                    let kind = result.unwrap_or_else(|_| panic!("bit {} of byte {}", bit % 8, bit / 8));
                    counts[kind].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    for bit in by_program {
        flip_by_program(&whole, directory.path(), *bit);
    }
    let [right, cut, refused] = counts.map(AtomicUsize::into_inner);
    assert!(cut > 50 && refused > 50, "{right} right, {cut} cut, {refused} refused");
    println!("{right} right, {cut} cut, {refused} refused");
    let peak = peak_memory();
    assert!(peak < LIMIT, "{} MiB were needed", peak >> 20);
}

/// Everything that a replay reads out of a recording, its files excepted.
fn entries(bytes: &[u8]) -> Vec<Entry> {
    let mut journal = JournalReader::open(Cursor::new(bytes)).unwrap();
    std::iter::from_fn(|| journal.next_entry().unwrap()).collect()
}

fn flipped(whole: &Whole, bit: usize) -> Vec<u8> {
    let mut bytes = whole.bytes.clone();
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes
}

/// Returns 0 for a right replay, 1 for a true beginning of one, 2 for an error.
fn flip_in_process(whole: &Whole, bit: usize) -> usize {
    let Ok(recording) = Recording::open(Cursor::new(flipped(whole, bit))) else { return 2 };
    let summary = recording.summary().clone();
    let last = summary.last.position;
    assert!(last.count() <= whole.instructions && *recording.setup() == whole.setup);
    let found = entries(&flipped(whole, bit));
    assert!(found[..] == whole.entries[..found.len()]);
    if summary.is_complete() {
        // The flip is where no replay reads: all that it does read is the same, so the run is.
        assert_eq!(found.len(), whole.entries.len());
        return 0;
    }
    let setup = recording.setup();
    let mut machine = PcMachine::new(&setup.pc, &setup.source).unwrap();
    let mut printed = Printed(Vec::new());
    let outcome = replay(&mut machine, recording, &mut printed, &Options::default()).unwrap();
    assert!(matches!(outcome.finish, Finish::Cut(_)) && outcome.at.position == last);
    assert!(whole.printed.starts_with(&printed.0));
    1
}

fn flip_by_program(whole: &Whole, directory: &Path, bit: usize) {
    let path = directory.join("flipped.rrvm");
    fs::write(&path, flipped(whole, bit)).unwrap();
    let command = program(["replay".as_ref(), path.as_os_str()]);
    let replayed = checked(Process::new(with_memory_limit(&command, LIMIT >> 10)).run().unwrap());
    let what = format!("bit {} of byte {}: {}", bit % 8, bit / 8, replayed.describe());
    assert!(whole.printed.starts_with(&replayed.stdout), "{what}");
    match replayed.status.code() {
        Some(STATUS) => assert!(replayed.stdout == whole.printed, "{what}"),
        Some(0) => assert!(replayed.errors().contains("as far as it can be replayed"), "{what}"),
        Some(1) => assert!(replayed.errors().contains(text(&path)), "{what}"),
        _ => panic!("{what}"),
    }
}

/// Most memory that this process has ever had resident, in bytes.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// A host that keeps what COM1 prints.
struct Printed(Vec<u8>);

impl Host for Printed {
    type Offer = Infallible;

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn poll(&mut self, _full: FullPorts) -> Result<Polled<Infallible>, rrvmm::host::HostError> {
        Ok(Polled::Nothing)
    }

    fn wait(&mut self, _limit: Duration, _full: FullPorts) -> Result<(), rrvmm::host::HostError> {
        Ok(())
    }

    fn may_offer(&self) -> bool {
        false
    }

    fn show(&mut self, outputs: &[Output]) -> Result<(), rrvmm::host::HostError> {
        self.0.extend(outputs.iter().filter_map(|output| match output {
            Output::Serial { port: 0, byte } => Some(*byte),
            _ => None,
        }));
        Ok(())
    }

    fn reached(&mut self, _position: Position) {}
}

#[test]
fn a_recording_that_is_not_damaged_passes_the_same_checks() {
    let directory = tempdir().unwrap();
    let whole = Whole::record(directory.path());
    let recording = Recording::open(Cursor::new(&whole.bytes[..])).unwrap();
    let setup = recording.setup();
    let mut machine = PcMachine::new(&setup.pc, &setup.source).unwrap();
    let mut printed = Printed(Vec::new());
    let outcome = replay(&mut machine, recording, &mut printed, &Options::default()).unwrap();
    assert!(matches!(outcome.finish, Finish::Ended(EndReason::DebugExit { .. })));
    assert!(printed.0 == whole.printed);
    let limited = with_memory_limit(&program(["verify".as_ref(), whole.path.as_os_str()]), LIMIT >> 10);
    finish(limited).exited(0).unwrap();
}
