//! The programs of `tests/payloads/kvm`: what they compute is the same wherever they run, and a recording says where the
//! interrupts came.
//!
//! `RRVMM_KVM_ROUNDS=200 cargo test --release -p rrvmm-tests --test kvm programs -- --nocapture` records each 200 times;
//! `PAYLOAD=part-of-name` limits that to some. `SEED` repeats what is random.

use super::{LIMIT, check_replay, check_replay_under_kvm, has_kvm, number, options, record};
use crate::load::Load;
use anyhow::{Context as _, Result, ensure};
use rrvmm_tests::payloads::Payload;
use rrvmm_tests::run::{Guest, Luck, Process, rrvmm};
use std::path::Path;

/// With the instructions of user code that could not be done by KVM.
const PROGRAMS: [&str; 11] = [
    "faults", "flags", "hidden", "memory", "selfmod", "spin", "strings", "switches", "vectors", "tells",
    "wide",
];

/// How often each program is recorded.
fn rounds() -> u64 {
    std::env::var("RRVMM_KVM_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1)
}

/// What a run says that depends on no moment.
fn results(console: &str) -> Vec<String> {
    console.lines().filter(|line| line.starts_with("result")).map(str::to_owned).collect()
}

/// Records `guest` once and replays it; gives the kicks it took.
fn round(
    guest: &Guest,
    expected: &[String],
    at: &Path,
    policy: Option<&str>,
    luck: &mut Luck,
) -> Result<u64> {
    let recording = at.join("a.rrvm");
    let load = Load::new(luck);
    let recorded = record(guest, &recording, policy)?.exited(1)?;
    drop(load);
    ensure!(results(&recorded.text()) == expected, "other results under KVM: {}", recorded.text());
    check_replay(&recording, &recorded.stdout, 1)?;
    check_replay_under_kvm(&recording, policy)?;
    std::fs::remove_dir_all(at.join("a.rrvm.cache"))?;
    number(&recorded.errors(), "kicks")
}

fn all_rounds(rounds: u64, mut policy: impl FnMut(&mut Luck) -> Option<String>) -> Result<()> {
    let mut luck = Luck::new();
    let seed = luck.seed();
    let only = std::env::var("PAYLOAD").unwrap_or_default();
    for name in PROGRAMS.into_iter().filter(|name| name.contains(&only)) {
        let guest = Payload::named(&format!("kvm/{name}"))?.build()?;
        let mut run = rrvmm(["run"])?;
        run.args(options(&guest, "tcg"));
        let expected = results(&Process::new(run).limit(LIMIT).run()?.exited(1)?.text());
        ensure!(!expected.is_empty(), "{name} has no results");
        let mut kicks = 0;
        for number in 0..rounds {
            let directory = tempfile::tempdir()?;
            let policy = policy(&mut luck);
            let done = round(&guest, &expected, directory.path(), policy.as_deref(), &mut luck);
            kicks += done.with_context(|| {
                let kept = directory.keep();
                format!(
                    "{name}, round {number}, SEED={seed}, {policy:?}; recording kept in {}",
                    kept.display()
                )
            })?;
        }
        println!("{name}: recorded and replayed {rounds} times, {kicks} kicks");
    }
    Ok(())
}

#[test]
fn programs_recorded_on_a_busy_host_replay_in_the_translator() -> Result<()> {
    if !has_kvm("programs under KVM") {
        return Ok(());
    }
    all_rounds(rounds(), |_| None)
}

#[test]
fn programs_that_go_to_and_fro_at_random_have_the_same_results() -> Result<()> {
    if !has_kvm("programs between KVM and the translator") {
        return Ok(());
    }
    all_rounds(rounds(), |luck| Some(format!("moves={}", luck.bits())))
}
