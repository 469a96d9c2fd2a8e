//! User code that does under KVM what the translator does not: a replay says where it loses the run, and goes on behind.

use super::{LIMIT, has_kvm, options};
use anyhow::{Result, ensure};
use rrvmm_tests::payloads::Payload;
use rrvmm_tests::run::{Process, rrvmm, skipped};
use std::fs;
use std::path::Path;

#[test]
fn a_replay_that_loses_the_run_says_so_and_goes_on_with_the_next_state() -> Result<()> {
    if !has_kvm("a replay that loses the run") {
        return Ok(());
    }
    if !fs::read_to_string("/proc/cpuinfo")?.contains(" bmi1") {
        skipped("a replay that loses the run", "this host's processor has no TZCNT");
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let recording = directory.path().join("a.rrvm");
    let guest = Payload::named("kvm/tzcnt")?.build()?;
    let mut record = rrvmm(["record", "--state-every", "10ms", "-o"])?;
    record.arg(&recording).args(options(&guest, "kvm"));
    let recorded = Process::new(record).limit(LIMIT).run()?.exited(1)?;
    // 4,000 times 64, which is what TZCNT makes of zero.
    ensure!(recorded.text().contains("sum=000000000003e800"), "{}", recorded.describe());

    let verified = Process::new(rrvmm([Path::new("verify"), &recording])?).limit(LIMIT).run()?.exited(1)?;
    let said = verified.errors();
    ensure!(said.contains("not everything in") && said.contains("goes on with a state"), "{said}");
    let replayed = Process::new(rrvmm([Path::new("replay"), &recording])?).limit(LIMIT).run()?.exited(1)?;
    ensure!(replayed.stdout == recorded.stdout, "{}", replayed.describe());
    Ok(())
}
