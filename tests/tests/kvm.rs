//! Debian under `--accel kvm`: user code on the host's CPU, recorded, then replayed by the translator from the recording alone.

use anyhow::{Context as _, Result, ensure};
use rrvmm_tests::guests::{self, Kernel, initrd};
use rrvmm_tests::run::{Guest, Process, rrvmm};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Generous: the host may be shared.
const LIMIT: Duration = Duration::from_secs(400);

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

/// The lines that the script marks.
fn marked(console: &str) -> Vec<String> {
    console.lines().filter(|line| line.starts_with('@')).map(|line| line.trim_end().to_owned()).collect()
}

/// A line of `--stats`.
fn number(said: &str, name: &str) -> Result<u64> {
    let line = said.lines().find_map(|line| line.strip_prefix(name));
    let digits: String = line
        .with_context(|| format!("no {name:?} in {said}"))?
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    Ok(digits.parse()?)
}

fn run(command: &[&str], accel: &str, guest: &Guest, recording: Option<&Path>) -> Result<(String, String)> {
    let mut process = rrvmm(command)?;
    let accel = |option: String| if option == "tcg" { accel.to_owned() } else { option };
    process.args(guest.rrvmm_options().into_iter().map(accel));
    if let Some(recording) = recording {
        process.arg("-o").arg(recording);
    }
    let done = Process::new(process).limit(LIMIT).run()?.exited(0)?;
    Ok((done.text(), String::from_utf8_lossy(&done.stderr).into_owned()))
}

#[test]
fn debian_recorded_under_kvm_replays_in_the_translator() -> Result<()> {
    if let Err(error) = fs::OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        eprintln!("!!! SKIPPED: nothing was recorded under KVM: /dev/kvm: {error} !!!");
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let kernel = Kernel::CloudAmd64;
    let image = directory.path().join("initrd");
    fs::write(&image, initrd::with_modules(kernel.arch(), &[], SCRIPT)?)?;
    let guest = Guest::linux(&guests::kernel(kernel)?, &image);
    let (translated, _) = run(&["run"], "tcg", &guest, None)?;
    let expected = marked(&translated);
    ensure!(expected.len() == 5, "the script did not come to its end: {translated}");
    for round in 0..2 {
        let recording = directory.path().join(format!("{round}.rrvm"));
        let (console, said) = run(&["record", "--stats"], "kvm", &guest, Some(&recording))?;
        ensure!(marked(&console) == expected, "under KVM programs have other results: {console}");
        ensure!(number(&said, "stretches of user code under KVM")? > 0, "KVM ran nothing: {said}");
        let verified =
            Process::new(rrvmm([Path::new("verify"), &recording])?).limit(LIMIT).run()?.exited(0)?;
        ensure!(verified.text().starts_with("position "), "{}", verified.text());
        let replayed =
            Process::new(rrvmm([Path::new("replay"), &recording])?).limit(LIMIT).run()?.exited(0)?;
        ensure!(replayed.text() == console, "the replay's console differs: {}", replayed.text());
    }
    Ok(())
}
