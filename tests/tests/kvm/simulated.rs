//! A performance counter, which hardly any virtual machine has: a simulated hypervisor's, with late, lost and wrong counts
//! (`vmm/src/accel/kvm/simulated.rs`). Recordings say how far a place is at least, replays get near it by counting, and neither
//! is ever at a wrong one. Needs no KVM.

use super::{check_replay, check_replay_under_kvm, number, options, record};
use anyhow::{Context as _, Result, ensure};
use rrvmm_tests::payloads::Payload;
use rrvmm_tests::run::{Luck, Process, rrvmm};
use std::fs;
use std::path::Path;

const PROGRAMS: [&str; 5] = ["faults", "memory", "spin", "switches", "tells"];

/// What the simulated counter counts: the word that asks for it, and its line of `--stats`.
type Event = (&'static str, &'static str);
const INSTRUCTIONS: Event = ("simulated", "instructions counted in them");
const BRANCHES: Event = ("simulated-branches", "conditional branches counted in them");

#[test]
fn places_are_found_by_a_counter_that_is_late_lossy_and_wrong() -> Result<()> {
    let (counted, again) = check_places(INSTRUCTIONS, &PROGRAMS)?;
    // Otherwise nothing was tried.
    ensure!(counted > 0 && again > 0, "{counted} counted, {again} looked for twice");
    Ok(())
}

#[test]
fn places_are_found_by_counting_branches() -> Result<()> {
    // Fewer programs, since counting so is slow.
    let (counted, _) = check_places(BRANCHES, &["spin", "switches"])?;
    ensure!(counted > 0, "nothing was counted in the replays");
    Ok(())
}

/// Records and replays `programs`. The events counted in the replays under KVM, and places looked for twice in them.
fn check_places((word, line): Event, programs: &[&str]) -> Result<(u64, u64)> {
    let mut luck = Luck::new();
    let seed = luck.seed();
    let (mut counted, mut again) = (0, 0);
    for program in programs {
        let guest = Payload::named(&format!("kvm/{program}"))?.build()?;
        let directory = tempfile::tempdir()?;
        let recording = directory.path().join("a.rrvm");
        let policy = format!("{word}={}", luck.bits());
        let what = || format!("{program}, SEED={seed}, {policy}");
        let recorded = record(&guest, &recording, Some(&policy))?.exited(1).with_context(what)?;
        let said = recorded.errors();
        ensure!(number(&said, "kicks")? > 0, "{}: never interrupted: {said}", what());
        ensure!(number(&said, line)? > 0, "{}: nothing counted: {said}", what());
        // Once with another counter, which is wrong at other moments.
        for policy in [policy.clone(), format!("{word}={}", luck.bits())] {
            let said = check_replay_under_kvm(&recording, Some(&policy)).with_context(what)?;
            counted += number(&said, line)?;
            again += number(&said, "places looked for twice")?;
        }
        check_replay(&recording, &recorded.stdout, 1).with_context(what)?;
    }
    Ok((counted, again))
}

#[test]
fn what_was_counted_by_one_event_is_replayed_by_the_other() -> Result<()> {
    let luck = Luck::new();
    let seed = luck.seed();
    let guest = Payload::named("kvm/spin")?.build()?;
    for ((word, counts), (other, line)) in [(INSTRUCTIONS, BRANCHES), (BRANCHES, INSTRUCTIONS)] {
        let directory = tempfile::tempdir()?;
        let recording = directory.path().join("a.rrvm");
        let what = || format!("{word} replayed by {other}, SEED={seed}");
        let policy = |word| format!("{word}={seed}");
        let recorded = record(&guest, &recording, Some(&policy(word)))?.exited(1).with_context(what)?;
        ensure!(number(&recorded.errors(), counts)? > 0, "{}: {}", what(), recorded.errors());
        let said = check_replay_under_kvm(&recording, Some(&policy(other))).with_context(what)?;
        // A branch is an instruction, and places that are far away by branches are so by instructions. The other way nobody knows.
        ensure!(other == INSTRUCTIONS.0 || number(&said, line)? == 0, "{}: {said}", what());
    }
    Ok(())
}

#[test]
fn what_was_counted_is_replayed_where_it_was() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let recording = directory.path().join("a.rrvm");
    let guest = Payload::named("kvm/tells")?.build()?;
    let mut translated = rrvmm(["record", "-o"])?;
    translated.arg(&recording).args(options(&guest, "tcg"));
    Process::new(translated).run()?.exited(1)?;
    let refused = |options: &[&str], path: &Path, why: &str| -> Result<()> {
        let mut command = rrvmm(options)?;
        command.arg(path);
        let refused = Process::new(command).run()?.exited(1)?;
        ensure!(refused.errors().contains(why), "{}", refused.describe());
        Ok(())
    };
    refused(&["verify", "--accel", "kvm"], &recording, "leave --accel kvm out")?;
    fs::remove_file(&recording)?;
    record(&guest, &recording, Some("simulated=1"))?.exited(1)?;
    refused(&["replay", "--accel", "kvm", "--gdb", "1234"], &recording, "leave --accel kvm out")?;
    refused(&["replay", "--accel", "kvm", "--until", "5"], &recording, "--until is a position")
}
