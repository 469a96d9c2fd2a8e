//! Every payload prints on rrvmm what its golden file says, and a recording of it replays and verifies.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use anyhow::{Context as _, Result, ensure};
use rrvmm_tests::payloads::{self, End, Payload};
use rrvmm_tests::run::{Outcome, Process, rrvmm};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Exit status of a machine whose processor shut down.
const SHUTDOWN: i32 = 122;

fn exit_status(payload: &Payload) -> i32 {
    match payload.end {
        End::DebugExit | End::Reset => payload.exit_status(),
        End::TripleFault => SHUTDOWN,
    }
}

fn run(verb: &str, payload: &Payload, recording: Option<&Path>) -> Result<Outcome> {
    let mut command = rrvmm([verb])?;
    command.args(payload.build()?.rrvmm_options()).args(["--timeout", "60s"]);
    if let Some(recording) = recording {
        command.arg("-o").arg(recording);
    }
    Process::new(command).limit(Duration::from_secs(90)).run()
}

/// The first line that differs, for a failure message.
fn difference(want: &str, got: &str) -> Option<String> {
    let mut lines = want.lines().zip(got.lines()).enumerate();
    if let Some((number, (want, got))) = lines.find(|(_, (want, got))| want != got) {
        return Some(format!("line {}: wanted {want:?}, got {got:?}", number + 1));
    }
    let (want, got) = (want.lines().count(), got.lines().count());
    (want != got).then(|| format!("wanted {want} lines, got {got}"))
}

fn check(payload: &Payload) -> Result<()> {
    let golden = fs::read_to_string(payload.golden()).context("no golden file: run the golden program")?;
    let outcome = run("run", payload, None)?;
    if let Some(difference) = difference(&golden, &outcome.text()) {
        anyhow::bail!("{difference}; it ended with {}, {}", outcome.status, outcome.errors().trim());
    }
    outcome.exited(exit_status(payload))?;
    Ok(())
}

/// Runs `check` on every payload and fails with all that failed.
fn on_all(check: impl Fn(&Payload) -> Result<()>) {
    let payloads = payloads::all().unwrap();
    let only = std::env::var("PAYLOAD").unwrap_or_default();
    let mut failures = Vec::new();
    for payload in payloads.iter().filter(|payload| payload.name.contains(&only)) {
        if let Err(error) = check(payload) {
            failures.push(format!("{}: {error:#}", payload.name));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} payloads failed:\n{}",
        failures.len(),
        payloads.len(),
        failures.join("\n")
    );
}

/// `PAYLOAD=part-of-name` limits this and the next test to some.
#[test]
fn every_payload_prints_its_golden_file() {
    on_all(check);
}

#[test]
fn every_payload_replays_and_verifies() {
    let directory = tempfile::tempdir().unwrap();
    on_all(|payload| {
        let recording = directory.path().join(format!("{}.rrvm", payload.name.replace('/', "-")));
        let status = exit_status(payload);
        let recorded = run("record", payload, Some(&recording))?.exited(status)?;
        let replayed = Process::new(rrvmm([Path::new("replay"), &recording])?).run()?.exited(status)?;
        ensure!(recorded.stdout == replayed.stdout, "the replay printed something else");
        Process::new(rrvmm([Path::new("verify"), &recording])?).run()?.exited(0)?;
        Ok(())
    });
}

/// Recorded by either engine, verified by the other: every digest must be equal.
#[cfg(target_arch = "x86_64")]
#[test]
fn every_payload_is_the_same_run_in_both_engines() {
    let directory = tempfile::tempdir().unwrap();
    on_all(|payload| {
        for (recorder, verifier) in [("interp", "jit"), ("jit", "interp")] {
            let name = format!("{}-{recorder}.rrvm", payload.name.replace('/', "-"));
            let recording = directory.path().join(name);
            let mut record = rrvmm(["record", "--engine", recorder, "--timeout", "60s"])?;
            record.args(payload.build()?.rrvmm_options()).arg("-o").arg(&recording);
            Process::new(record).limit(Duration::from_secs(90)).run()?.exited(exit_status(payload))?;
            let mut verify = rrvmm(["verify", "--engine", verifier])?;
            verify.arg(&recording);
            Process::new(verify).run()?.exited(0).with_context(|| format!("recorded by {recorder}"))?;
        }
        Ok(())
    });
}
