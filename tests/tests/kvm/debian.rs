//! Debian under `--accel kvm`.

use super::{LIMIT, check_replay, check_replay_under_kvm, has_kvm, number, options, record};
use anyhow::{Result, ensure};
use rrvmm_tests::guests::{self, Kernel, initrd};
use rrvmm_tests::run::{Debugger, Guest, Luck, Process, rrvmm};
use std::fs;

/// Programs that only compute, loops that change memory alone, strings, system calls, signals, processes.
const SCRIPT: &str = r#"
dd if=/dev/zero of=/tmp/zeros bs=64k count=128 2>/dev/null
i=0; while [ $i -lt 4 ]; do sha256sum /tmp/zeros > /tmp/sum; i=$((i+1)); done
echo "@sha $(cut -c1-16 /tmp/sum)"
awk 'BEGIN{x=1;for(i=0;i<20000;i++){x=(x*16807)%2147483647;print x}}' > /tmp/numbers
sort -n /tmp/numbers > /tmp/sorted
echo "@sort $(md5sum < /tmp/sorted | cut -c1-16)"
gzip -c /tmp/numbers | gunzip -c | cmp - /tmp/numbers && echo "@gzip same"
awk 'BEGIN{s=0;for(i=1;i<300000;i++)s+=1/i;printf "@awk %.9f\n",s}'
(while :; do :; done) & spinner=$!
usleep 200000; kill $spinner; echo "@spun"
i=0; while [ $i -lt 40 ]; do /bin/busybox true; i=$((i+1)); done
reboot -f
"#;

/// Steps on and back again in user code and in the kernel, and compares all there is at each place.
const STEP_BACK: &str = r#"
whole, levels = end(), []
for part in range(3, 16):
    seek(whole * part // 16)
    levels.append(int(gdb.parse_and_eval("$cs")) & 3)
    states = [state()]
    for step in range(3):
        run("stepi")
        states.append(state())
    for before in reversed(states[:-1]):
        run("reverse-stepi")
        same(before, state(), "back in part", part)
check(0 in levels and 3 in levels, "never in kernel or user code:", levels)
go("continue")
# The instruction that shuts the processor down never completes: it is the first that is gone back over.
stops = [position(), go("reverse-stepi"), position(), go("reverse-stepi"), position()]
check(stops == [whole, "end", whole, "end", whole - 1], "back from the end at", whole, stops)
"#;

/// The lines that the script marks.
fn marked(console: &str) -> Vec<String> {
    console.lines().filter(|line| line.starts_with('@')).map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn debian_recorded_under_kvm_replays_in_the_translator() -> Result<()> {
    if !has_kvm("Debian under KVM") {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let kernel = Kernel::CloudAmd64;
    let image = directory.path().join("initrd");
    fs::write(&image, initrd::with_modules(kernel.arch(), &[], SCRIPT)?)?;
    let guest = Guest::linux(&guests::kernel(kernel)?, &image);
    let mut run = rrvmm(["run"])?;
    run.args(options(&guest, "tcg"));
    let translated = Process::new(run).limit(LIMIT).run()?.exited(0)?.text();
    let expected = marked(&translated);
    ensure!(expected.len() == 5, "the script did not come to its end: {translated}");
    // Once as everybody has it, once to KVM and back at random moments.
    let moves = format!("moves={}", Luck::new().bits());
    for policy in [None, Some(moves.as_str())] {
        let recording = directory.path().join("a.rrvm");
        let recorded = record(&guest, &recording, policy)?.exited(0)?;
        let (console, said) = (recorded.text(), recorded.errors());
        ensure!(marked(&console) == expected, "{policy:?}: under KVM programs have other results: {console}");
        ensure!(number(&said, "stretches of user code under KVM")? > 0, "KVM ran nothing: {said}");
        check_replay(&recording, &recorded.stdout, 0)?;
        check_replay_under_kvm(&recording, None)?;
        if let Some(gdb) = Debugger::over(&recording).filter(|_| policy.is_none()) {
            gdb.limit(LIMIT).python(STEP_BACK)?;
        }
    }
    Ok(())
}
