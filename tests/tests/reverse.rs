//! A real machine looked at backwards: what it does and where it stops is what it did forwards, the other way round.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rrvmm::accel::{HAS_JIT, TcgEngine};
use rrvmm::diverge::Inspect;
use rrvmm::machine::PcMachine;
use rrvmm::session::Recording;
use rrvmm_devices::Input;
use rrvmm_replay::timeline::{Back, Policy, Ran, Seek};
use rrvmm_replay::{Position, Replayer, Steppable, Timeline};
use rrvmm_tcg::stops::{Access, Hit, Space, Stops, Watch};
use rrvmm_tests::run::{Luck, Process, rrvmm};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

type Run = Timeline<PcMachine, Replayer<Input, BufReader<File>>>;

/// Instructions that are looked at: the guest has several hundred million, of which most do the same.
const LENGTH: u64 = 3_000_000;

fn engines() -> Vec<TcgEngine> {
    if HAS_JIT { vec![TcgEngine::Interp, TcgEngine::Jit] } else { vec![TcgEngine::Interp] }
}

fn record(directory: &Path) -> PathBuf {
    let kernel = directory.join("demo");
    std::fs::write(&kernel, rrvmm::demo::setup().source.kernel.unwrap()).unwrap();
    let recording = directory.join("demo.rrvm");
    let mut record = rrvmm(["record", "--memory", "16M", "--until", "3000000", "--kernel"]).unwrap();
    record.arg(&kernel).arg("-o").arg(&recording);
    Process::new(record).run().unwrap().exited(0).unwrap();
    recording
}

/// Checkpoints as dense as a run of this length needs to have some.
fn open(recording: &Path, engine: TcgEngine) -> Run {
    let policy =
        Policy { stride: 1 << 18, trail: 1 << 17, near: vec![1 << 8, 1 << 12, 1 << 15], ..Policy::default() };
    open_with(recording, engine, policy)
}

fn open_with(recording: &Path, engine: TcgEngine, policy: Policy) -> Run {
    let recording = Recording::open(BufReader::new(File::open(recording).unwrap())).unwrap();
    let machine = PcMachine::with_engine(&recording.setup().pc, &recording.setup().source, engine).unwrap();
    Timeline::with_policy(machine, recording.into_seam(), policy)
}

/// Breakpoints at instructions and watches of memory that the run comes to, not all of them often.
fn some_stops(run: &mut Run, luck: &mut Luck) -> Stops {
    let mut stops = Stops::default();
    for _ in 0..3 {
        run.seek(Position::from_count(luck.below(LENGTH))).unwrap();
        stops.breakpoints.insert(run.machine().linear_pc());
    }
    let mut pages = Vec::new();
    run.seek(Position::from_count(LENGTH / 2)).unwrap();
    let before: Vec<_> =
        (0..Inspect::pages(run.machine())).map(|n| *Inspect::page(run.machine(), n).1).collect();
    run.seek(Position::from_count(LENGTH)).unwrap();
    for (n, old) in before.iter().enumerate() {
        let (address, new) = Inspect::page(run.machine(), n);
        if let Some(offset) = (0..4096).find(|&offset| old[offset] != new[offset]) {
            pages.push(address + offset as u64);
        }
    }
    assert!(!pages.is_empty(), "the guest writes nothing");
    for (space, on) in [(Space::Physical, Access::Write), (Space::Linear, Access::Any)] {
        let addr = pages[luck.below(pages.len() as u64) as usize];
        stops.watchpoints.push(Watch { space, addr, len: 1 + luck.below(4), on });
    }
    stops
}

/// The last hits of the run, at most `most`: where one stands looking back, and what.
fn forwards(run: &mut Run, stops: &Stops, from: u64) -> Vec<(u64, Hit)> {
    run.seek(Position::from_count(from)).unwrap();
    let mut all: Vec<(u64, Hit)> = Vec::new();
    while let Ran::Hit(at, hit) = run.run(Position::from_count(LENGTH), stops).unwrap() {
        let stop = at.position.count() - u64::from(PcMachine::is_behind(&hit));
        if all.last() != Some(&(stop, hit)) {
            all.push((stop, hit));
        }
        if all.len() > 1000 {
            return all;
        }
    }
    all
}

#[test]
fn the_hits_backwards_are_the_hits_forwards_in_reverse() {
    let directory = tempfile::tempdir().unwrap();
    let recording = record(directory.path());
    for engine in engines() {
        let mut luck = Luck::new();
        for _ in 0..2 {
            let mut run = open(&recording, engine);
            let stops = some_stops(&mut run, &mut luck);
            let from = LENGTH - 1 - luck.below(LENGTH / 2);
            let mut expected = forwards(&mut run, &stops, from);
            let end = run.now().position;
            // What hits where it stands at the end is not before the end.
            expected.retain(|(at, _)| *at < end.count());
            let again = open(&recording, engine);
            for mut run in [run, again] {
                run.seek(end).unwrap();
                for (at, hit) in expected.iter().rev().take(80) {
                    match run.reverse_continue(&stops, Position::START).unwrap() {
                        Back::Hit(stamp, found) => {
                            assert_eq!((stamp.position.count(), found), (*at, *hit), "SEED={}", luck.seed())
                        }
                        other => panic!("{other:?} instead of {hit:?} at {at}, SEED={}", luck.seed()),
                    }
                    if let Hit::Breakpoint { addr } = hit {
                        assert_eq!(run.machine().linear_pc(), *addr);
                    }
                }
            }
        }
    }
}

#[test]
fn states_do_not_depend_on_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let recording = record(directory.path());
    for engine in engines() {
        let mut luck = Luck::new();
        let mut run = open(&recording, engine);
        let mut straight = open_with(&recording, engine, Policy::by_hand());
        let mut places: Vec<u64> = (0..12).map(|_| luck.below(LENGTH - (1 << 18))).collect();
        places.sort_unstable();
        let mut digests = Vec::new();
        for at in &places {
            straight.seek(Position::from_count(*at)).unwrap();
            digests.push(straight.machine().fingerprint());
        }
        for _ in 0..40 {
            let n = luck.below(places.len() as u64) as usize;
            let size = luck.below(18);
            let back = luck.below(1 << size);
            assert!(matches!(run.seek(Position::from_count(places[n] + back)).unwrap(), Seek::Reached(_)));
            run.step_back(back).unwrap();
            assert_eq!(run.machine().fingerprint(), digests[n], "SEED={}", luck.seed());
        }
    }
}
