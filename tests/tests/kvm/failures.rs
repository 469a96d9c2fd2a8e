//! No KVM, one that may not be used, and one that fails while the guest runs.

use super::{LIMIT, check_replay, has_kvm, options, record};
use anyhow::{Result, ensure};
use rrvmm_tests::payloads::Payload;
use rrvmm_tests::run::{Process, rrvmm, rrvmm_program, skipped};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

/// Exit status when a machine cannot be made.
const FAILED: i32 = 1;
/// That of a program that came to its end.
const GUEST_DONE: i32 = 1;

#[test]
fn the_translator_goes_on_where_kvm_stops() -> Result<()> {
    if !has_kvm("KVM failing") {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let recording = directory.path().join("a.rrvm");
    for program in ["kvm/spin", "kvm/faults"] {
        let guest = Payload::named(program)?.build()?;
        for stretch in [1, 3] {
            let recorded = record(&guest, &recording, Some(&format!("exit={stretch}")))?.exited(1)?;
            let said = recorded.errors();
            ensure!(said.contains("the translator goes on alone"), "{said}");
            ensure!(recorded.text().contains("result"), "{}", recorded.describe());
            check_replay(&recording, &recorded.stdout, 1)?;
        }
    }
    Ok(())
}

#[test]
fn a_recording_is_good_up_to_where_kvm_loses_the_state() -> Result<()> {
    if !has_kvm("KVM losing the guest's state") {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let recording = directory.path().join("a.rrvm");
    let guest = Payload::named("kvm/spin")?.build()?;
    // Often to and fro, however few ticks a fast host has the guest see.
    let recorded = record(&guest, &recording, Some("moves=1,lost=4"))?;
    ensure!(recorded.status.code() == Some(FAILED), "{}", recorded.describe());
    ensure!(recorded.errors().contains("the recording is good up to here"), "{}", recorded.describe());
    let verified = Process::new(rrvmm([Path::new("verify"), &recording])?).limit(LIMIT).run()?;
    ensure!(verified.text().starts_with("position "), "{}", verified.describe());
    Ok(())
}

/// Runs a guest with `accel` as root of a small world of its own, which `wrap` makes: a command to which rrvmm's is added.
/// Gives the exit status and all it says.
fn run_in(wrap: &[&str], accel: &str) -> Result<(Option<i32>, String)> {
    let directory = tempfile::tempdir()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let copy = |from: &Path, name: &str| {
        let to = directory.path().join(name);
        fs::copy(from, &to).map(|_| to)
    };
    let program = copy(&rrvmm_program()?, "rrvmm")?;
    let mut guest = Payload::named("kvm/spin")?.build()?;
    if let Some(kernel) = &mut guest.kernel {
        *kernel = copy(kernel, "kernel")?;
    }
    let mut command = Command::new(wrap[0]);
    command.args(&wrap[1..]).arg(program).arg("run").args(options(&guest, accel)).current_dir("/");
    let done = Process::new(command).limit(LIMIT).run()?;
    Ok((done.status.code(), done.text() + &done.errors()))
}

/// Checks that `--accel kvm` is refused with `cure`, and that `--accel auto` does without it.
fn check_without(wrap: &[&str], cure: &str) -> Result<()> {
    let (status, said) = run_in(wrap, "kvm")?;
    ensure!(status == Some(FAILED) && said.contains(cure), "{status:?}: {said}");
    ensure!(!said.contains("result"), "the guest ran: {said}");
    let (status, said) = run_in(wrap, "auto")?;
    ensure!(
        status == Some(GUEST_DONE) && said.contains("result"),
        "auto does without KVM: {status:?}: {said}"
    );
    Ok(())
}

#[test]
fn without_permission_the_cure_is_named() -> Result<()> {
    if !has_kvm("KVM without permission") {
        return Ok(());
    }
    if !rustix::process::geteuid().is_root() {
        skipped("KVM without permission", "only root can become somebody else");
        return Ok(());
    }
    check_without(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"], "usermod -aG kvm")
}

#[test]
fn without_kvm_the_cure_is_named() -> Result<()> {
    // Its own mounts, and a /dev with nothing in it.
    let bare = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /dev && exec \"$@\"", "sh"];
    let probe = Command::new(bare[0]).args(&bare[1..]).arg("true").output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        skipped("no /dev/kvm", "a world without it takes root and `unshare --mount`");
        return Ok(());
    }
    check_without(&bare, "load the module kvm_intel or kvm_amd")
}
