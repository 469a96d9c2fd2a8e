//! Bad input: an error that says what is wrong, or as much of the run as there is; never a panic, a hang or a wrong result.

use anyhow::{Context as _, Result, ensure};
use rrvmm_tests::guests::{self, Kernel};
use rrvmm_tests::payloads::Payload;
use rrvmm_tests::run::{Guest, Luck, Outcome, Process, rrvmm, skipped, with_memory_limit};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

/// A gibibyte of address space, in KiB.
const GIBIBYTE: u64 = 1 << 20;

/// What is said of a recording that is cut.
const AS_FAR: &str = "this is as far as it can be replayed";

/// Exit status of a failed command, and of a guest whose processor shut down.
const ERROR: i32 = 1;
const SHUTDOWN: i32 = 122;

fn run(command: Command) -> Result<Outcome> {
    let outcome = Process::new(command).limit(LIMIT).run()?;
    ensure!(!outcome.timed_out, "it hangs: {}", outcome.describe());
    ensure!(outcome.status.code().is_some(), "a signal ended it: {}", outcome.describe());
    ensure!(!outcome.errors().contains("panicked"), "it panicked: {}", outcome.describe());
    Ok(outcome)
}

fn on_recording(verb: &str, recording: &Path) -> Result<Outcome> {
    run(rrvmm([Path::new(verb), recording])?)
}

/// `rrvmm run` with `kernel` must fail and say `why`.
fn refused(kernel: &Path, memory: &str, why: &str) -> Result<()> {
    let mut command = rrvmm(["run", "--memory", memory, "--timeout", "20s", "--kernel"])?;
    command.arg(kernel);
    let outcome = run(command)?.exited(ERROR)?;
    ensure!(outcome.errors().to_lowercase().contains(why), "it did not say {why:?}: {}", outcome.describe());
    Ok(())
}

#[test]
fn what_is_not_a_kernel_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = scratch.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    refused(&file("text", b"Dear kernel,\n".repeat(1000).as_slice()), "64M", "not").unwrap();
    refused(&file("empty", b""), "64M", "empty").unwrap();
    refused(&file("zeros", &[0; 1 << 16]), "64M", "not").unwrap();
    refused(&scratch.path().join("missing"), "64M", "no such file").unwrap();
    refused(scratch.path(), "64M", "director").unwrap();
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(4096, 0);
    refused(&file("elf", &elf), "64M", "elf").unwrap();
}

#[test]
fn truncated_kernels_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let place = scratch.path().join("vmlinuz");
    for kernel in [Kernel::CloudAmd64, Kernel::I686] {
        let whole = fs::read(guests::kernel(kernel).unwrap()).unwrap();
        for length in [1, 512, 0x202, 0x210, 0x260, 1024, 4096, whole.len() / 2, whole.len() - 64 * 1024] {
            fs::write(&place, &whole[..length]).unwrap();
            refused(&place, "256M", "").unwrap_or_else(|error| panic!("{length} bytes: {error:#}"));
        }
    }
}

#[test]
fn too_little_memory_is_refused() {
    let kernel = guests::kernel(Kernel::CloudAmd64).unwrap();
    for memory in ["1M", "4M", "16M"] {
        refused(&kernel, memory, "memory").unwrap_or_else(|error| panic!("{memory}: {error:#}"));
    }
    let outcome = run(rrvmm(["run", "--memory", "0", "--kernel", "x"]).unwrap()).unwrap();
    assert!(!outcome.status.success());
}

/// A small recording with events of every kind in it, its console, and what `verify` says last.
struct Sample {
    _scratch: tempfile::TempDir,
    path: PathBuf,
    bytes: Vec<u8>,
    console: Vec<u8>,
    verdict: String,
}

impl Sample {
    fn record() -> Result<Self> {
        let scratch = tempfile::tempdir()?;
        let path = scratch.path().join("sample.rrvm");
        let mut guest = Payload::named("interactive/echo")?.build()?;
        guest.memory_mib = 8;
        let mut command = rrvmm(["record"])?;
        command.args(guest.rrvmm_options()).args(["--pace", "host"]).arg("-o").arg(&path);
        let mut script = vec![(Duration::from_millis(300), b"sample".to_vec()); 12];
        script.extend(vec![(Duration::from_millis(300), b"q".to_vec()); 20]);
        let recorded = Process::new(command).limit(LIMIT).script(script).run()?.exited(0)?;
        let verdict = on_recording("verify", &path)?.exited(0)?.text();
        let bytes = fs::read(&path)?;
        Ok(Self { _scratch: scratch, path, bytes, console: recorded.stdout, verdict })
    }

    /// A random place: anywhere in the file, or, as often, in what follows the guest's image near its end.
    fn place(&self, luck: &mut Luck) -> usize {
        let length = self.bytes.len() as u64;
        let start = if luck.below(2) == 0 { 0 } else { length - length / 8 };
        (start + luck.below(length - start)) as usize
    }

    /// Writes other bytes into the recording's place.
    fn damage(&self, bytes: &[u8]) -> Result<&Path> {
        fs::write(&self.path, bytes)?;
        Ok(&self.path)
    }
}

#[test]
fn a_recording_cut_at_random_places_replays_up_to_the_cut() {
    let mut luck = Luck::new();
    let sample = Sample::record().unwrap();
    let mut replayed = 0;
    for _ in 0..200 {
        let length = sample.place(&mut luck);
        let check = || -> Result<bool> {
            let outcome = on_recording("replay", sample.damage(&sample.bytes[..length])?)?;
            ensure!(sample.console.starts_with(&outcome.stdout), "another console: {}", outcome.describe());
            // A cut behind the last event, in the container's summary, loses nothing.
            let whole = outcome.stdout == sample.console && outcome.status.success();
            ensure!(
                whole || !outcome.errors().is_empty(),
                "not a word about the cut: {}",
                outcome.describe()
            );
            Ok(!outcome.stdout.is_empty())
        };
        let context = || format!("cut at {length} of {}, SEED={}", sample.bytes.len(), luck.seed());
        replayed += usize::from(check().with_context(context).unwrap());
    }
    eprintln!("{replayed} of 200 cut recordings replayed some of the run");
}

#[test]
fn flipped_bits_give_an_error_or_the_right_result_within_a_gibibyte() {
    let mut luck = Luck::new();
    let sample = Sample::record().unwrap();
    let mut refused = 0;
    for _ in 0..2000 {
        let (place, bit) = (sample.place(&mut luck), luck.below(8));
        let mut bytes = sample.bytes.clone();
        bytes[place] ^= 1 << bit;
        let check = || -> Result<bool> {
            let command = rrvmm([Path::new("verify"), sample.damage(&bytes)?])?;
            let outcome = run(with_memory_limit(&command, GIBIBYTE))?;
            if outcome.status.success() {
                // A cut recording verifies up to the cut and says so; a whole one gives the digest it had.
                let right = outcome.text() == sample.verdict || outcome.errors().contains(AS_FAR);
                ensure!(right, "accepted with another result: {}", outcome.describe());
            }
            Ok(!outcome.status.success())
        };
        let context = || format!("bit {bit} of byte {place}, SEED={}", luck.seed());
        refused += usize::from(check().with_context(context).unwrap());
    }
    eprintln!("{refused} of 2000 damaged recordings were refused, the others gave the right result");
}

#[test]
fn a_recording_of_a_future_version_is_refused_by_its_version() {
    let sample = Sample::record().unwrap();
    let needle = [b"\x07\0\0\0version\x01\0\0\0".as_slice(), b"1"].concat();
    let at = sample
        .bytes
        .windows(needle.len())
        .position(|window| window == needle)
        .expect("a version in the metadata");
    let mut bytes = sample.bytes.clone();
    bytes[at + needle.len() - 1] = b'9';
    let outcome = on_recording("replay", sample.damage(&bytes).unwrap()).unwrap().exited(ERROR).unwrap();
    assert!(outcome.errors().contains("version 9"), "{}", outcome.describe());
}

/// Starts recording the guest that never ends.
fn start_chatter(recording: &Path) -> Result<Child> {
    let mut guest = Payload::named("interactive/chatter")?.build()?;
    guest.memory_mib = 8;
    let mut command = rrvmm(["record"])?;
    command.args(guest.rrvmm_options()).arg("-o").arg(recording);
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

#[test]
fn a_killed_recorder_leaves_what_it_had() {
    let mut luck = Luck::new();
    let scratch = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let recording = scratch.path().join(format!("{round}.rrvm"));
        let mut recorder = start_chatter(&recording).unwrap();
        std::thread::sleep(Duration::from_millis(2500) + luck.pause(Duration::from_secs(1)));
        recorder.kill().unwrap();
        recorder.wait().unwrap();
        let outcome = on_recording("replay", &recording).unwrap();
        assert!(outcome.text().contains("line=00000001"), "{}", outcome.describe());
        assert!(outcome.errors().contains(AS_FAR), "{}", outcome.describe());
        let info = on_recording("info", &recording).unwrap().exited(0).unwrap();
        assert!(info.text().contains("incomplete"), "{}", info.describe());
    }
}

/// A file system of 256 KiB that is unmounted at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256k", "rrvmm-test"]).arg(directory.path());
        let outcome = Process::new(mount).run()?;
        ensure!(outcome.status.success(), "mount: {}", outcome.errors().trim());
        Ok(Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.0.path()).status());
    }
}

#[test]
fn a_full_disk_ends_the_recording_with_what_is_saved() {
    let disk = match SmallDisk::mount() {
        Ok(disk) => disk,
        Err(error) => {
            return skipped("recording onto a full disk", format!("needs the right to mount: {error:#}"));
        }
    };
    let recording = disk.0.path().join("full.rrvm");
    let mut recorder = start_chatter(&recording).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    // Something else takes the rest of the disk.
    let filler = disk.0.path().join("filler");
    let filled = fs::write(&filler, vec![0; 1 << 20]);
    assert!(filled.is_err(), "the disk is larger than it should be");
    let start = Instant::now();
    let status = loop {
        if let Some(status) = recorder.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > LIMIT {
            recorder.kill().unwrap();
            recorder.wait().unwrap();
            panic!("the recorder goes on although the disk is full");
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(status.code(), Some(ERROR));
    let outcome = on_recording("replay", &recording).unwrap();
    assert!(outcome.text().contains("line=00000001"), "{}", outcome.describe());
}

#[test]
fn a_disk_full_from_the_start_is_an_error() {
    let guest: Guest = Payload::named("interactive/chatter").unwrap().build().unwrap();
    let mut command = rrvmm(["record", "-o", "/dev/full", "--timeout", "10s"]).unwrap();
    command.args(guest.rrvmm_options());
    run(command).unwrap().exited(ERROR).unwrap();
}

#[test]
fn a_triple_fault_is_reported_and_the_recording_closed() {
    let scratch = tempfile::tempdir().unwrap();
    let recording = scratch.path().join("triple.rrvm");
    let guest = Payload::named("faults/triple").unwrap().build().unwrap();
    let mut command = rrvmm(["record"]).unwrap();
    command.args(guest.rrvmm_options()).arg("-o").arg(&recording);
    let recorded = run(command).unwrap().exited(SHUTDOWN).unwrap();
    for register in ["rip", "rsp", "cr0", "cr3"] {
        assert!(
            recorded.errors().to_lowercase().contains(register),
            "no {register}: {}",
            recorded.describe()
        );
    }
    let info = on_recording("info", &recording).unwrap().exited(0).unwrap();
    assert!(info.text().contains("triple"), "{}", info.describe());
    let replayed = on_recording("replay", &recording).unwrap().exited(SHUTDOWN).unwrap();
    assert_eq!(replayed.stdout, recorded.stdout);
    on_recording("verify", &recording).unwrap().exited(0).unwrap();
}
