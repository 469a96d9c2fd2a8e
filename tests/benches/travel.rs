//! How long it takes to get about in a recording: `RRVMM_RECORDING=boot.rrvm cargo bench --bench travel`.

#![allow(clippy::unwrap_used, reason = "a measurement that fails should stop")]

use rrvmm::accel::{HAS_JIT, TcgEngine};
use rrvmm::checkpoints::{self, Checkpoints};
use rrvmm::machine::PcMachine;
use rrvmm::session::{self, Nobody, Options, Recording};
use rrvmm_devices::Input;
use rrvmm_replay::timeline::{Back, Shelf};
use rrvmm_replay::{Position, Replayer, Timeline};
use rrvmm_tcg::stops::{Access, Space, Stops, Watch};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::time::{Duration, Instant};

type Run = Timeline<PcMachine, Replayer<Input, BufReader<File>>>;

/// Numbers that are the same in every run.
fn numbers(count: usize, below: u64) -> impl Iterator<Item = u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    std::iter::repeat_with(move || {
        state = (state ^ (state >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9).wrapping_add(1);
        (state >> 20) % below
    })
    .take(count)
}

fn timed(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
    println!(
        "{what}: median {:.2} ms, 95th percentile {:.2} ms, most {:.2} ms ({} times)",
        at(50),
        at(95),
        at(100),
        times.len()
    );
}

fn seek(run: &mut Run, to: u64) -> Duration {
    timed(|| drop(run.seek(Position::from_count(to)).unwrap()))
}

fn main() {
    let Ok(path) = std::env::var("RRVMM_RECORDING") else {
        println!("RRVMM_RECORDING names no recording: nothing is measured");
        return;
    };
    let verbose = std::env::var_os("RRVMM_VERBOSE").is_some();
    let recording = Recording::open(BufReader::new(File::open(&path).unwrap())).unwrap();
    let end = recording.summary().last.position.count();
    let engine = if HAS_JIT { TcgEngine::Jit } else { TcgEngine::Interp };
    let machine = PcMachine::with_engine(&recording.setup().pc, &recording.setup().source, engine).unwrap();
    let mut run: Run = Timeline::new(machine, recording.into_seam());
    println!("{end} instructions; first way to the end {:.2} s", seek(&mut run, end).as_secs_f64());
    let (count, bytes) = run.checkpoints();
    println!("{count} checkpoints, {:.0} MiB", bytes as f64 / f64::from(1 << 20));

    let mut seeks = Vec::new();
    let mut first_steps = Vec::new();
    let mut steps = Vec::new();
    for to in numbers(60, end) {
        let nearest =
            run.checkpoint_positions().filter(|at| at.count() <= to).last().map_or(0, Position::count);
        seeks.push(seek(&mut run, to));
        if verbose {
            println!("to {to}, {} from a checkpoint: {:?}", to - nearest, seeks[seeks.len() - 1]);
        }
        for n in 0..6 {
            let time = timed(|| drop(run.step_back(1).unwrap()));
            if n == 0 { first_steps.push(time) } else { steps.push(time) }
        }
    }
    tell("seek to anywhere", seeks);
    tell("first step back there", first_steps);
    tell("next steps back", steps);

    let after_run = numbers(40, end - (1 << 26)).map(|to| {
        seek(&mut run, to);
        run.run(Position::from_count(to + 3_000_000 + to % 50_000_000), &Stops::default()).unwrap();
        timed(|| drop(run.step_back(1).unwrap()))
    });
    let after_run = after_run.collect();
    tell("first step back after a run", after_run);

    let never = Watch { space: Space::Physical, addr: 0x1234_5670, len: 8, on: Access::Write };
    let nowhere = Stops { breakpoints: BTreeSet::from([0x1234_5000]), ..Stops::default() };
    let unwritten = Stops { watchpoints: vec![never], ..Stops::default() };
    let unread = Stops { watchpoints: vec![Watch { on: Access::Any, ..never }], ..unwritten.clone() };
    for (what, stops) in [("breakpoint", nowhere), ("write", unwritten), ("access", unread)] {
        for again in ["", ", again"] {
            seek(&mut run, end);
            let time = timed(|| {
                assert!(matches!(run.reverse_continue(&stops, Position::START), Ok(Back::Start(_))))
            });
            let speed = end as f64 / 1e9 / time.as_secs_f64();
            println!("{what} that is not there{again}: {:.2} s, {speed:.2} G/s", time.as_secs_f64());
        }
    }
    let (count, bytes) = run.checkpoints();
    println!("{count} checkpoints, {:.0} MiB", bytes as f64 / f64::from(1 << 20));
    on_disk(&path, engine);
}

/// As many checkpoints on disk as there can be: what they cost, and what it is to go on from them.
fn on_disk(path: &str, engine: TcgEngine) {
    let cache = std::env::temp_dir().join(format!("rrvmm-travel-{}.cache", std::process::id()));
    let open = || {
        let recording = Recording::open(BufReader::new(File::open(path).unwrap())).unwrap();
        let machine =
            PcMachine::with_engine(&recording.setup().pc, &recording.setup().source, engine).unwrap();
        let (setup, clock) = (recording.setup().clone(), recording.wall_clock());
        (machine, recording, Checkpoints::open(cache.clone(), &setup, clock, Some(Duration::ZERO)))
    };
    let replay = |with: bool| {
        let (mut machine, recording, checkpoints) = open();
        let mut shelf = checkpoints.shelf();
        let shelf = with.then_some(&mut shelf as &mut dyn Shelf<_>);
        let time = timed(|| {
            session::replay_with(&mut machine, recording, &mut Nobody::new(), &Options::default(), shelf)
                .map(drop)
                .unwrap();
        });
        let wait = timed(|| assert!(checkpoints.finish().is_none()));
        (time, wait)
    };
    let (without, _) = replay(false);
    let (with, wait) = replay(true);
    let size = std::fs::metadata(cache.join("checkpoints.redb")).map_or(0, |file| file.len());
    println!(
        "replayed in {:.2} s, leaving checkpoints in {:.2} s and {:.2} s of writing at the end; {:.0} MiB on disk",
        without.as_secs_f64(),
        with.as_secs_f64(),
        wait.as_secs_f64(),
        size as f64 / f64::from(1 << 20)
    );
    let (machine, recording, checkpoints) = open();
    let positions = checkpoints.positions();
    let mut run: Run = Timeline::new(machine, recording.into_seam());
    let mut shelf = checkpoints.shelf().read_only();
    let loads = positions.iter().rev().map(|at| timed(|| drop(shelf.load(*at).unwrap())));
    tell("load from disk", loads.collect());
    run.use_shelf(Box::new(shelf));
    let last = positions.last().map_or(0, |at| at.count());
    println!("first seek, to {last}: {:.0} ms", seek(&mut run, last + 10).as_secs_f64() * 1e3);
    let parts = session::stretches(&positions, None);
    for jobs in [1, 2] {
        let time = timed(|| {
            let shelf = checkpoints.shelf();
            session::verify_stretches(&parts, jobs, &shelf, || {
                let (machine, recording, _) = open();
                Ok((machine, recording))
            })
            .map(drop)
            .unwrap();
        });
        println!("verified in {} stretches by {jobs}: {:.2} s", parts.len(), time.as_secs_f64());
    }
    checkpoints::discard(&cache);
}
