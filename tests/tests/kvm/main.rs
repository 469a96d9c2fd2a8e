//! `--accel kvm`: user code on the host's CPU, recorded, then replayed by the translator from the recording alone.
//!
//! Where there is no usable /dev/kvm, the tests say so loudly and do nothing. `$RRVMM_TEST_KVM` is passed on to rrvmm, which
//! then moves the guest to KVM and back at random moments or fails as if KVM did (`vmm/src/accel/kvm/policy.rs`).

mod debian;
mod failures;
mod gaps;
mod load;
mod programs;
mod simulated;

use anyhow::{Context as _, Result, ensure};
use rrvmm_tests::run::{Guest, Outcome, Process, rrvmm, skipped};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Generous: the host may be shared.
const LIMIT: Duration = Duration::from_secs(400);

/// Name of the variable by which rrvmm's ways with KVM are changed.
const POLICY: &str = "RRVMM_TEST_KVM";

/// Whether KVM can be used here. If not, says that `what` was not done.
fn has_kvm(what: &str) -> bool {
    let opened = fs::OpenOptions::new().read(true).write(true).open("/dev/kvm");
    if let Err(error) = &opened {
        skipped(what, format_args!("/dev/kvm: {error}"));
    }
    opened.is_ok()
}

/// Runs `guest` under KVM and records it. `policy` is what [`POLICY`] is set to.
fn record(guest: &Guest, recording: &Path, policy: Option<&str>) -> Result<Outcome> {
    let mut command = rrvmm(["record", "--stats", "--force", "-o"])?;
    command.arg(recording).args(options(guest, "kvm"));
    if let Some(policy) = policy {
        command.env(POLICY, policy);
    }
    Process::new(command).limit(LIMIT).run()
}

fn options(guest: &Guest, accel: &str) -> impl Iterator<Item = String> {
    let of_guest = guest.rrvmm_options().into_iter();
    of_guest.map(move |option| if option == "tcg" { accel.to_owned() } else { option })
}

/// Replays a recording whose guest printed `console` and ended with `status`, and compares every digest in it.
fn check_replay(recording: &Path, console: &[u8], status: i32) -> Result<()> {
    let verified = Process::new(rrvmm([Path::new("verify"), recording])?).limit(LIMIT).run()?.exited(0)?;
    ensure!(verified.text().starts_with("position "), "{}", verified.describe());
    let replayed = Process::new(rrvmm([Path::new("replay"), recording])?).limit(LIMIT).run()?;
    let replayed = replayed.exited(status)?;
    ensure!(replayed.stdout == console, "the replay's console differs: {}", replayed.text());
    Ok(())
}

/// Replays a recording under KVM and compares every digest in it. Gives what it says.
fn check_replay_under_kvm(recording: &Path, policy: Option<&str>) -> Result<String> {
    let mut verify = rrvmm(["verify", "--accel", "kvm", "--stats"])?;
    verify.arg(recording);
    if let Some(policy) = policy {
        verify.env(POLICY, policy);
    }
    let verified = Process::new(verify).limit(LIMIT).run()?.exited(0)?;
    ensure!(verified.text().starts_with("position uncounted digest "), "{}", verified.describe());
    Ok(verified.errors())
}

/// A line of `--stats`.
fn number(said: &str, name: &str) -> Result<u64> {
    let line = said.lines().find_map(|line| line.strip_prefix(name));
    let line = line.with_context(|| format!("no {name:?} in {said}"))?;
    Ok(line.chars().filter(char::is_ascii_digit).collect::<String>().parse()?)
}
