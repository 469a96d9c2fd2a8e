//! A machine runs on a thread that may not read the processor's time-stamp counter: a stray clock read of the host anywhere
//! in engine, devices or seam kills the test.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rrvmm::accel::TcgEngine;
use rrvmm::machine::PcMachine;
use rrvmm::session::Recording;
use rrvmm_replay::Timeline;
use rrvmm_replay::timeline::Seek;
use rrvmm_tests::run::{Process, rrvmm, skipped};
use rustix::process::{TimeStampCounterReadability, set_time_stamp_counter_readability};
use std::fs::File;
use std::io::BufReader;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Set for the process that is to die.
const VICTIM: &str = "RRVMM_TEST_READS_CLOCK";
/// Exit status of a process that was to die and did not.
const SURVIVED: i32 = 77;
/// SIGSEGV on x86 Linux.
const SIGSEGV: i32 = 11;

/// Makes RDTSC, and with it every read of a clock that the C library does without a system call, fatal to this thread.
fn blind() {
    set_time_stamp_counter_readability(TimeStampCounterReadability::RaiseSIGSEGV).unwrap();
}

/// Replays `recording` on a blind thread to its end, every digest compared.
fn replay(recording: &Path, engine: TcgEngine) {
    let file = BufReader::new(File::open(recording).unwrap());
    let recording = Recording::open(file).unwrap();
    let end = recording.summary().last.position;
    let setup = recording.setup();
    let machine = PcMachine::with_engine(&setup.pc, &setup.source, engine).unwrap();
    let mut timeline = Timeline::new(machine, recording.into_seam());
    blind();
    let reached = timeline.seek(end);
    assert!(matches!(reached, Ok(Seek::Reached(_) | Seek::Ended(..))), "{reached:?}");
    assert_eq!(timeline.now().position, end);
}

#[test]
fn a_machine_reads_no_clock_of_the_host() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = directory.path().join("demo");
    std::fs::write(&kernel, rrvmm::demo::setup().source.kernel.unwrap()).unwrap();
    let recording = directory.path().join("demo.rrvm");
    let mut record = rrvmm(["record", "--memory", "16M", "--kernel"]).unwrap();
    record.arg(&kernel).arg("-o").arg(&recording);
    Process::new(record).run().unwrap().exited(0).unwrap();
    for engine in [TcgEngine::Interp, TcgEngine::Jit] {
        let recording = recording.clone();
        // A machine may stay on its thread: it is made there.
        std::thread::spawn(move || replay(&recording, engine)).join().unwrap();
    }
}

/// The test above shows something only if a read is fatal indeed.
#[test]
fn a_read_of_the_clock_is_fatal_to_a_blind_thread() {
    if std::env::var_os(VICTIM).is_some() {
        blind();
        std::hint::black_box(Instant::now());
        std::process::exit(SURVIVED);
    }
    let mut victim = Command::new(std::env::current_exe().unwrap());
    victim.args(["--exact", "a_read_of_the_clock_is_fatal_to_a_blind_thread"]).env(VICTIM, "1");
    let status = victim.output().unwrap().status;
    if status.code() == Some(SURVIVED) {
        return skipped("trapping clock reads", "this host's clock is not the time-stamp counter");
    }
    assert_eq!(status.signal(), Some(SIGSEGV), "{status}");
}
