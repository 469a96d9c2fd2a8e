//! Many recordings of short guests at random moments of the host, idle and busy: every replay is the recorded run.

#![allow(clippy::unwrap_used, reason = "a failed test is what it should be")]

mod tiny;

use rrvmm_tests::run::Process;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tiny::{ENDLESS, Random, STATUS, finish, machine, on, text, timed};

/// Recordings in all.
const RECORDINGS: u64 = 100;

/// Threads that do nothing but take the host's time, until this is dropped.
struct Load<'a>(&'a AtomicBool);

impl<'a> Load<'a> {
    fn on<'scope>(scope: &'scope std::thread::Scope<'scope, '_>, stop: &'scope AtomicBool) -> Load<'scope>
    where
        'a: 'scope,
    {
        stop.store(false, Ordering::Relaxed);
        let threads = std::thread::available_parallelism().map_or(2, usize::from) + 1;
        for _ in 0..threads {
            scope.spawn(|| while !stop.load(Ordering::Relaxed) {});
        }
        Load(stop)
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Replays and verifies `recording`: what is printed and how it ends must be as `recorded`.
fn check(recording: &Path, recorded: &[u8], status: i32) {
    let replayed = on("replay", recording).exited(status).unwrap();
    assert!(
        replayed.stdout == recorded,
        "recorded {:?}, replayed {:?}",
        String::from_utf8_lossy(recorded),
        replayed.text()
    );
    on("verify", recording).exited(0).unwrap();
}

/// The timed guest, at the host's pace or free, with keys typed into a pipe at random moments or without any.
fn short(directory: &Path, number: u64) -> Vec<u8> {
    let mut random = Random::seeded(number);
    let kernel = timed(directory, 60);
    let recording = directory.join("short.rrvm");
    let pace = ["host", "free"][random.below(2)];
    let mut command = machine("record", &kernel, &["--force", "--pace", pace, "-o", text(&recording)]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let keys = random.below(12);
    for _ in 0..keys {
        std::thread::sleep(Duration::from_micros(random.next() % 8000));
        let length = 1 + random.below(20);
        // The guest may have ended by itself.
        let _ = stdin.write_all(&random.word(length));
    }
    drop(stdin);
    let recorded = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&recorded.stderr);
    assert_eq!(recorded.status.code(), Some(STATUS), "recording {number}: {errors}");
    check(&recording, &recorded.stdout, STATUS);
    recorded.stdout
}

#[test]
fn recordings_at_any_moment_replay_exactly() {
    let directory = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(true);
    let mut printed = Vec::new();
    for part in 0..4 {
        std::thread::scope(|scope| {
            let load = (part % 2 == 1).then(|| Load::on(scope, &stop));
            for number in part * RECORDINGS / 4..(part + 1) * RECORDINGS / 4 {
                printed.push(short(directory.path(), number));
            }
            drop(load);
        });
    }
    printed.sort();
    printed.dedup();
    // Otherwise the moments made no difference and the test shows nothing.
    assert!(printed.len() as u64 > RECORDINGS / 4, "only {} different runs", printed.len());
}

#[test]
fn a_recording_under_load_replays_without_it_and_the_other_way_round() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = directory.path().join("demo");
    fs::write(&kernel, rrvmm::demo::setup().source.kernel.unwrap()).unwrap();
    let record = |name: &str| {
        let recording = directory.path().join(name);
        let outcome = finish(machine("record", &kernel, &["--pace", "host", "-o", text(&recording)]));
        (recording, outcome.exited(0).unwrap().stdout)
    };
    let stop = AtomicBool::new(true);
    let idle = record("idle.rrvm");
    let loaded = std::thread::scope(|scope| {
        let _load = Load::on(scope, &stop);
        let loaded = record("loaded.rrvm");
        check(&idle.0, &idle.1, 0);
        loaded
    });
    check(&loaded.0, &loaded.1, 0);
}

#[test]
fn what_is_typed_through_a_socket_at_random_moments_is_replayed() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = timed(directory.path(), ENDLESS);
    let socket = directory.path().join("com1");
    let serial = format!("unix={}", text(&socket));
    for seed in 0..6 {
        let mut random = Random::seeded(seed);
        let recording = directory.path().join(format!("typed-{seed}.rrvm"));
        let pace = ["host", "free"][seed as usize % 2];
        let mut command =
            machine("record", &kernel, &["--pace", pace, "--serial", &serial, "-o", text(&recording)]);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut client = connect(&socket);
        let mut reader = client.try_clone().unwrap();
        let hearing = std::thread::spawn(move || {
            let mut heard = Vec::new();
            reader.read_to_end(&mut heard).map(|_| heard)
        });
        for _ in 0..25 {
            std::thread::sleep(Duration::from_micros(random.next() % 12_000));
            let length = 1 + random.below(30);
            client.write_all(&random.word(length)).unwrap();
        }
        client.write_all(b"q").unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(STATUS), "seed {seed}");
        let heard = hearing.join().unwrap().unwrap();
        let replay = tiny::program(["replay".as_ref(), recording.as_os_str()]);
        let replayed = Process::new(replay).run().unwrap().exited(STATUS).unwrap();
        // What the guest printed before anybody was connected was kept for the first client.
        assert!(replayed.stdout == heard, "seed {seed}");
        on("verify", &recording).exited(0).unwrap();
    }
}

fn connect(socket: &Path) -> UnixStream {
    let start = Instant::now();
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return stream,
            Err(error) => assert!(start.elapsed() < Duration::from_secs(30), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
