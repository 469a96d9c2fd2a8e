//! The demo's guest, recorded with checkpoints: what they are good for, and what no damage to them does.

use super::store::Store;
use super::{BUDGET, CheckpointError, Checkpoints, identity};
use crate::accel::{HAS_JIT, TcgEngine};
use crate::demo;
use crate::diverge::Inspect;
use crate::diverge::tests::Tampered;
use crate::machine::{PcMachine, Snapshot};
use crate::session::{self, Nobody, Options, Recording, Setup};
use rrvmm_devices::Input;
use rrvmm_replay::timeline::{Policy, Shelf};
use rrvmm_replay::{MachineDigest, Position, Replayer, Stamp, Steppable, Timeline, VirtualTime};
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Digests are at 2^20, 2^21 and 2^22.
const LENGTH: u64 = 5_000_000;

fn machine() -> PcMachine {
    let setup = demo::setup();
    let engine = if HAS_JIT { TcgEngine::Jit } else { TcgEngine::Interp };
    PcMachine::with_engine(&setup.pc, &setup.source, engine).unwrap()
}

fn open(directory: &Path) -> Checkpoints {
    Checkpoints::open(directory.to_owned(), &demo::setup(), 7, Some(Duration::ZERO))
}

/// A recording whose checkpoints are in the directory.
fn record(directory: &Path) -> Vec<u8> {
    let options = Options { until: Some(Position::from_count(LENGTH)), ..Options::default() };
    let checkpoints = open(directory);
    let mut shelf = checkpoints.shelf();
    let (mut machine, setup) = (machine(), demo::setup());
    let shelf: &mut dyn Shelf<Snapshot> = &mut shelf;
    let recorded = {
        let start = session::Start::PowerOn { wall_clock: 7 };
        let aides = session::Aides { shelf: Some(shelf), attendant: None };
        session::record_from(
            &mut machine,
            &setup,
            "x",
            Vec::new(),
            start,
            &mut Nobody::new(),
            &options,
            aides,
        )
    };
    // The thread is given the time to write what it has.
    settle(&checkpoints);
    assert!(checkpoints.finish().is_none());
    recorded.unwrap().1
}

fn settle(checkpoints: &Checkpoints) {
    while checkpoints.shelf.shared.pending.load(Ordering::Relaxed) > 0 {
        std::thread::yield_now();
    }
}

fn timeline(file: &[u8]) -> Timeline<PcMachine, Replayer<Input, Cursor<Vec<u8>>>> {
    let recording = Recording::open(Cursor::new(file.to_vec())).unwrap();
    let policy = Policy { worth_loading: 1, ..Policy::by_hand() };
    Timeline::with_policy(machine(), recording.into_seam(), policy)
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let cache = directory.path().join("demo.rrvm.cache");
    (directory, cache)
}

/// What the machine is at `target`, with the checkpoints there and without.
fn compare(file: &[u8], checkpoints: &Checkpoints, target: u64) {
    let target = Position::from_count(target);
    let mut with = timeline(file);
    with.use_shelf(Box::new(checkpoints.shelf().read_only()));
    with.seek(target).unwrap();
    let mut without = timeline(file);
    without.seek(target).unwrap();
    assert_eq!(with.now(), without.now());
    assert_eq!(with.machine().fingerprint(), without.machine().fingerprint());
}

#[test]
fn a_recording_leaves_checkpoints_and_they_lead_to_the_same_states() {
    let (_keep, cache) = place();
    let file = record(&cache);
    let checkpoints = open(&cache);
    // One that was due while another was written may be missing.
    let positions = checkpoints.positions();
    assert!(
        !positions.is_empty() && positions.iter().all(|at| at.count().is_power_of_two()),
        "{positions:?}"
    );
    for target in [positions[0].count(), positions[0].count() + 1, LENGTH - 3] {
        compare(&file, &checkpoints, target);
    }
    assert!(checkpoints.finish().is_none());
    let modes = [&cache, &cache.join("checkpoints.redb")].map(|p| p.metadata().unwrap().permissions().mode());
    assert_eq!(modes.map(|mode| mode & 0o777), [0o700, 0o600]);
}

#[test]
fn a_verification_fills_what_is_not_there() {
    let (_keep, cache) = place();
    let file = record(&cache);
    std::fs::remove_dir_all(&cache).unwrap();
    let checkpoints = open(&cache);
    let mut shelf = checkpoints.shelf();
    let recording = Recording::open(Cursor::new(file.clone())).unwrap();
    let options = Options::default();
    session::replay_with(&mut machine(), recording, &mut Nobody::new(), &options, Some(&mut shelf)).unwrap();
    settle(&checkpoints);
    assert!(!checkpoints.positions().is_empty(), "{:?}", checkpoints.trouble());
    compare(&file, &checkpoints, LENGTH - 1);
}

#[test]
fn those_of_another_recording_or_version_are_named_and_left_alone() {
    let (_keep, cache) = place();
    let file = record(&cache);
    let other = Checkpoints::open(cache.clone(), &demo::setup(), 8, Some(Duration::ZERO));
    assert!(other.positions().is_empty());
    let trouble = other.trouble().unwrap();
    assert!(matches!(&trouble, CheckpointError::Foreign { path } if *path == cache), "{trouble}");
    compare(&file, &other, LENGTH / 2);
    drop(other.finish());
    let mut setup: Setup = demo::setup();
    setup.source.cmdline.push('x');
    assert_ne!(identity(&setup, 7), identity(&demo::setup(), 7));
    assert!(!open(&cache).positions().is_empty());
}

#[test]
fn a_place_that_cannot_be_written_is_told_and_done_without() {
    let (keep, _) = place();
    let nowhere = keep.path().join("no").join("such");
    let checkpoints = open(&nowhere);
    let mut machine = machine();
    let at = Stamp::new(Position::from_count(5), VirtualTime::from_ns(5));
    checkpoints.shelf().put(at, machine.save(), 1);
    let trouble = checkpoints.finish().unwrap();
    assert!(matches!(trouble, CheckpointError::Host { .. }), "{trouble}");
}

#[test]
fn no_damage_does_more_than_cost_time() {
    let (_keep, cache) = place();
    let file = record(&cache);
    let database = cache.join("checkpoints.redb");
    let whole = std::fs::read(&database).unwrap();
    let mut luck = 0x1234_5678_9abc_def1u64;
    let mut unusable = 0;
    let mut without = timeline(&file);
    without.seek(Position::from_count(LENGTH - 1)).unwrap();
    let expected: MachineDigest = without.machine().fingerprint();
    for round in 0..60 {
        let mut bad = whole.clone();
        match round % 4 {
            0 => bad.truncate(whole.len() / 64 * (round + 1)),
            1 => bad[..4096].iter_mut().for_each(|byte| *byte ^= if luck & 7 == 0 { 0x10 } else { 0 }),
            _ => {
                for _ in 0..1 + round * 4 {
                    luck = luck.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(round as u64 | 1);
                    let at = (luck >> 20) as usize % bad.len();
                    bad[at] ^= 1 << (luck >> 60 & 7);
                }
            }
        }
        std::fs::write(&database, &bad).unwrap();
        let checkpoints = open(&cache);
        let mut with = timeline(&file);
        with.use_shelf(Box::new(checkpoints.shelf().read_only()));
        with.seek(Position::from_count(LENGTH - 1)).unwrap();
        assert_eq!(with.machine().fingerprint(), expected, "round {round}");
        unusable += usize::from(checkpoints.finish().is_some());
    }
    assert!(unusable > 5, "{unusable} of 60 were noticed");
}

#[test]
fn a_full_disk_ends_the_checkpoints_and_nothing_else() {
    let (keep, _) = place();
    let disk = keep.path().join("disk");
    let Some(_mounted) = SmallDisk::mount(&disk) else {
        eprintln!("!!! SKIPPED: a full disk: no small file system can be mounted here (it takes root)");
        return;
    };
    let cache = disk.join("demo.rrvm.cache");
    let options = Options { until: Some(Position::from_count(LENGTH)), ..Options::default() };
    let checkpoints = open(&cache);
    let mut shelf = checkpoints.shelf();
    let (mut machine, setup) = (machine(), demo::setup());
    // More than there is room for, and it does not compress.
    for page in 0x800..0xa00usize {
        let mut value = page as u64;
        let bytes = std::array::from_fn(|_| {
            value = value.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (value >> 33) as u8
        });
        machine.overwrite(page, &bytes);
    }
    let start = session::Start::PowerOn { wall_clock: 7 };
    let aides = session::Aides { shelf: Some(&mut shelf), attendant: None };
    let recorded = session::record_from(
        &mut machine,
        &setup,
        "x",
        Vec::new(),
        start,
        &mut Nobody::new(),
        &options,
        aides,
    );
    let (outcome, _) = recorded.unwrap();
    assert_eq!(outcome.at.position, Position::from_count(LENGTH));
    settle(&checkpoints);
    let trouble = checkpoints.finish().unwrap();
    assert!(matches!(&trouble, CheckpointError::Full { path } if *path == cache), "{trouble}");
    // What is left there is no obstacle for a replay.
    let file = record(&keep.path().join("elsewhere"));
    let again = open(&cache);
    compare(&file, &again, LENGTH - 1);
}

/// A file system of a megabyte.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir(at).unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "none"]).arg(at).stderr(std::process::Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the store's thread may have it open.
        let unmounted = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

/// Keeps 40 states of a machine that writes what does not compress; gives where they were and the bytes they take.
fn fill(cache: &Path, budget: u64) -> (Vec<(Stamp, MachineDigest)>, u64) {
    let mut store = Store::open(cache, identity(&demo::setup(), 7), budget).unwrap();
    let mut machine = machine();
    let mut digests = Vec::new();
    for n in 1..=40u64 {
        machine.run_until(Position::from_count(n * 50_000)).unwrap();
        for page in 0..8usize {
            let mut bytes = [0; 4096];
            let mut value = n * 8 + page as u64;
            bytes.iter_mut().for_each(|byte| {
                value = value.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(n);
                *byte = (value >> 33) as u8;
            });
            machine.overwrite(0x800 + page, &bytes);
        }
        digests.push((machine.now(), machine.fingerprint()));
        assert!(store.keep(machine.now(), n, &machine.save(), &AtomicBool::new(false)).unwrap());
    }
    (digests, store.bytes().unwrap())
}

#[test]
fn thinning_keeps_the_budget_and_what_is_left_is_whole() {
    let (_keep, cache) = place();
    let (_, all) = fill(&cache, BUDGET);
    let (_keep, cache) = place();
    let budget = all / 2;
    let (digests, bytes) = fill(&cache, budget);
    assert!(bytes <= budget && bytes > budget / 4, "{bytes} of {budget}, without a budget {all}");
    let mut store = Store::open(&cache, identity(&demo::setup(), 7), BUDGET).unwrap();
    let left = store.moments().unwrap();
    assert!(left.len() < 40 && left.len() > 4, "{} are left", left.len());
    assert!(left.contains_key(&digests[39].0.position), "the last one is gone");
    let mut machine = machine();
    for (stamp, digest) in digests.iter().rev().filter(|(stamp, _)| left.contains_key(&stamp.position)) {
        let (state, _) = store.load(stamp.position).unwrap();
        machine.restore(&state);
        assert_eq!((machine.now(), machine.fingerprint()), (*stamp, *digest));
    }
}

#[test]
fn stretches_verified_side_by_side_end_like_the_whole() {
    let (_keep, cache) = place();
    let file = record(&cache);
    let open_recording = || Recording::open(Cursor::new(file.clone())).unwrap();
    let whole = session::verify(&mut machine(), open_recording(), &Options::default()).unwrap();
    let checkpoints = open(&cache);
    let parts = session::stretches(&checkpoints.positions(), None);
    assert!(parts.len() > 1);
    let shelf = checkpoints.shelf();
    let all = session::verify_stretches(&parts, 2, &shelf, || Ok((machine(), open_recording()))).unwrap();
    assert_eq!((all.finish, all.at, all.digest), (whole.finish, whole.at, whole.digest));
    // A machine with a wrong byte at power-on is not the recorded one up to the first checkpoint.
    let wrong = || {
        let mut machine = machine();
        machine.tamper_memory(0xf00, 5, 1);
        Ok((machine, open_recording()))
    };
    let bad = session::verify_stretches(&parts, 2, &shelf, wrong).unwrap_err();
    assert_eq!(bad.stretch, parts[0]);
    assert!(matches!(bad.error, session::SessionError::Divergence(_)), "{:?}", bad.error);
}

#[test]
fn a_bad_stretch_is_named_and_the_instruction_in_it_found() {
    let (_keep, cache) = place();
    let file = record(&cache);
    let open_recording = || Recording::open(Cursor::new(file.clone())).unwrap();
    let checkpoints = open(&cache);
    let (parts, shelf) = (session::stretches(&checkpoints.positions(), None), checkpoints.shelf());
    assert!(parts.len() > 1);
    for stretch in &parts {
        // A machine that goes wrong in this stretch alone.
        let at = Position::from_count(stretch.from.count() + 77_777);
        let flawed = || Ok((Tampered::with_byte(machine(), at, 0xf00, 5, 0xa5), open_recording()));
        let bad = session::verify_stretches(&parts, 2, &shelf, flawed).unwrap_err();
        assert_eq!(bad.stretch, *stretch);
        let session::SessionError::Divergence(divergence) = bad.error else { panic!("{:?}", bad.error) };
        let right = || Ok((machine(), open_recording()));
        let found = session::find_in_stretch(bad.stretch, divergence.at.position, &shelf, right(), flawed());
        assert_eq!(found.unwrap().expect("they differ").at, at);
        let found = session::find_in_stretch(bad.stretch, divergence.at.position, &shelf, right(), right());
        assert!(found.unwrap().is_none());
    }
}
