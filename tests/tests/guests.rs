//! Debian guests under rrvmm: same results as under QEMU, exact replays from a copied file with the originals gone.
//!
//! The normal run boots the cloud kernel and one 32-bit kernel. All five, and a boot recorded under load on the host:
//! `cargo test --release -p rrvmm-tests --test guests -- --ignored --test-threads 1`.

use anyhow::{Result, ensure};
use rrvmm_tests::guests::{self, Kernel, MemtestBits, workload};
use rrvmm_tests::run::{Guest, Outcome, Process, has_program, qemu, rrvmm, skipped};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Generous: the host may be shared.
const LIMIT: Duration = Duration::from_secs(400);

const PURE_RESULTS: &str = include_str!("golden/workload.txt");

fn linux(kernel: Kernel, script: &str) -> Result<Guest> {
    let initrd = guests::cached_initrd(&format!("{script}-{}", kernel.arch().name()))?;
    Ok(Guest::linux(&guests::kernel(kernel)?, &initrd))
}

/// The same guest from copies of its files in `directory`.
fn copied(guest: &Guest, directory: &Path) -> Result<Guest> {
    fs::create_dir_all(directory)?;
    let copy = |from: &Option<PathBuf>, name: &str| -> Result<Option<PathBuf>> {
        let Some(from) = from else { return Ok(None) };
        let to = directory.join(name);
        fs::copy(from, &to)?;
        Ok(Some(to))
    };
    Ok(Guest {
        kernel: copy(&guest.kernel, "vmlinuz")?,
        initrd: copy(&guest.initrd, "initrd")?,
        bios: copy(&guest.bios, "bios")?,
        ..guest.clone()
    })
}

fn record(guest: &Guest, to: &Path) -> Result<Outcome> {
    let mut command = rrvmm(["record"])?;
    command.args(guest.rrvmm_options()).arg("-o").arg(to);
    Process::new(command).limit(LIMIT).run()
}

fn replay(recording: &Path) -> Result<Outcome> {
    Process::new(rrvmm([Path::new("replay"), recording])?).limit(LIMIT).run()
}

fn verify(recording: &Path) -> Result<Outcome> {
    Process::new(rrvmm([Path::new("verify"), recording])?).limit(LIMIT).run()
}

/// Seconds since 1970.
fn wall_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs()
}

/// What a console must say after the standard workload.
fn check_results(who: &str, console: &[u8], started: u64) -> Result<()> {
    let text = String::from_utf8_lossy(console);
    let pure = workload::pure(console);
    ensure!(pure == PURE_RESULTS, "{who} computed:\n{pure}instead of:\n{PURE_RESULTS}its console:\n{text}");
    let clock: u64 = workload::value(console, "@clock").unwrap_or_default().parse().unwrap_or_default();
    ensure!(clock.abs_diff(started) < 600, "{who} has the clock at {clock}, it started at {started}");
    ensure!(
        workload::value(console, "@slept").as_deref() == Some("yes"),
        "{who} did not sleep a second:\n{text}"
    );
    ensure!(
        workload::markers(console).last().map(String::as_str) == Some(workload::DONE),
        "{who} did not end:\n{text}"
    );
    Ok(())
}

/// `verify` passes and ends with what `info` says.
fn check_verdict(recording: &Path) -> Result<()> {
    let verified = verify(recording)?.exited(0)?;
    let last = verified.text().lines().last().unwrap_or_default().to_owned();
    let info = Process::new(rrvmm([Path::new("info"), Path::new("--json"), recording])?).run()?.exited(0)?;
    let info: serde_json::Value = serde_json::from_slice(&info.stdout)?;
    let (position, digest) = (info["instructions"].to_string(), info["digest"].as_str().unwrap_or("none"));
    ensure!(
        last.contains(&position) && last.contains(digest),
        "verify ended with {last:?}, info says {info}"
    );
    ensure!(info["complete"] == true, "info says {info}");
    Ok(())
}

/// `verified`: whether to verify too, which repeats what the replay has done with another command.
fn check_boot(kernel: Kernel, verified: bool) -> Result<()> {
    let guest = linux(kernel, "work")?;
    let scratch = tempfile::tempdir()?;
    let originals = scratch.path().join("originals");
    let recording = originals.join("boot.rrvm");
    let started = wall_clock();
    let recorded = record(&copied(&guest, &originals)?, &recording)?.exited(0)?;
    check_results("rrvmm", &recorded.stdout, started)?;

    let copy = scratch.path().join("elsewhere.rrvm");
    fs::copy(&recording, &copy)?;
    fs::remove_dir_all(&originals)?;
    let replayed = replay(&copy)?.exited(0)?;
    ensure!(replayed.stdout == recorded.stdout, "the replay's console differs:\n{}", replayed.text());
    if verified {
        check_verdict(&copy)?;
    }
    if !has_program("qemu-system-x86_64") {
        skipped(
            &format!("comparing {} with QEMU", kernel.name()),
            "no qemu-system-x86_64 (Debian's qemu-system-x86)",
        );
        return Ok(());
    }
    let started = wall_clock();
    let under_qemu = Process::new(qemu(&guest)).limit(LIMIT).run()?.exited(0)?;
    check_results("QEMU", &under_qemu.stdout, started)?;
    Ok(())
}

#[test]
fn the_cloud_kernel_boots_works_replays_and_powers_off() {
    check_boot(Kernel::CloudAmd64, true).unwrap();
}

#[test]
fn a_32_bit_kernel_boots_works_replays_and_powers_off() {
    check_boot(Kernel::I686, false).unwrap();
}

#[test]
#[ignore = "the whole matrix takes minutes; docs/testing.md says how to run it"]
fn matrix_all_five_kernels() {
    for kernel in Kernel::ALL {
        check_boot(kernel, true).unwrap_or_else(|error| panic!("{}: {error:#}", kernel.name()));
        eprintln!(
            "{} {}: equal to QEMU, replayed, verified",
            kernel.name(),
            guests::kernel_version(kernel).unwrap()
        );
    }
}

/// One boot, recorded by one engine and verified by the other, either way, and looked at in both at many moments between
/// the digests.
#[cfg(target_arch = "x86_64")]
fn check_engines(kernel: Kernel) -> Result<()> {
    let guest = linux(kernel, "boot")?;
    let scratch = tempfile::tempdir()?;
    for (recorder, verifier) in [("interp", "jit"), ("jit", "interp")] {
        let recording = scratch.path().join(format!("{recorder}.rrvm"));
        let mut record = rrvmm(["record", "--engine", recorder])?;
        record.args(guest.rrvmm_options()).arg("-o").arg(&recording);
        Process::new(record).limit(LIMIT).run()?.exited(0)?;
        let mut verify = rrvmm(["verify", "--engine", verifier])?;
        verify.arg(&recording);
        Process::new(verify).limit(LIMIT).run()?.exited(0)?;
    }
    let mut diff = rrvmm(["diff", "--engine", "interp", "--against", "jit"])?;
    diff.arg(scratch.path().join("interp.rrvm"));
    Process::new(diff).limit(LIMIT).run()?.exited(0)?;
    Ok(())
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_boot_is_the_same_run_in_both_engines() {
    check_engines(Kernel::CloudAmd64).unwrap();
}

#[cfg(target_arch = "x86_64")]
#[test]
#[ignore = "five boots in either engine, verified by the other; docs/testing.md says how to run it"]
fn matrix_every_boot_is_the_same_run_in_both_engines() {
    for kernel in Kernel::ALL {
        check_engines(kernel).unwrap_or_else(|error| panic!("{}: {error:#}", kernel.name()));
        eprintln!("{}: the same run in both engines", kernel.name());
    }
}

/// Keeps the host's processors busy while it lives.
struct Load(Vec<Child>);

impl Load {
    fn start() -> Self {
        let busy = || Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn();
        Self((0..4).map(|_| busy().expect("a shell")).collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

#[test]
#[ignore = "four boots; docs/testing.md says how to run it"]
fn matrix_recorded_under_load_replayed_idle_and_the_other_way_round() {
    let guest = linux(Kernel::CloudAmd64, "boot").unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let (loaded, idle) = (scratch.path().join("loaded.rrvm"), scratch.path().join("idle.rrvm"));
    let load = Load::start();
    let recorded_loaded = record(&guest, &loaded).unwrap().exited(0).unwrap();
    drop(load);
    let recorded_idle = record(&guest, &idle).unwrap().exited(0).unwrap();
    let replayed_idle = replay(&loaded).unwrap().exited(0).unwrap();
    let load = Load::start();
    let replayed_loaded = replay(&idle).unwrap().exited(0).unwrap();
    verify(&idle).unwrap().exited(0).unwrap();
    drop(load);
    verify(&loaded).unwrap().exited(0).unwrap();
    assert_eq!(recorded_loaded.text(), replayed_idle.text());
    assert_eq!(recorded_idle.text(), replayed_loaded.text());
}

/// Runs `guest` until its console says `text`.
fn reaches(guest: &Guest, text: &str) -> Result<()> {
    let mut command = rrvmm(["run"])?;
    command.args(guest.rrvmm_options());
    let outcome = Process::new(command).limit(LIMIT).stop_at(text).run()?;
    ensure!(outcome.text().contains(text), "it never said {text:?}: {}", outcome.describe());
    Ok(())
}

#[test]
fn memtest86_starts_testing() {
    for bits in [MemtestBits::Ia32, MemtestBits::X64] {
        let mut guest = Guest::multiboot(&guests::memtest(bits).unwrap());
        guest.cmdline = "console=ttyS0,115200".to_owned();
        reaches(&guest, "Testing").unwrap_or_else(|error| panic!("{bits:?}: {error:#}"));
    }
}

#[test]
fn seabios_finds_no_bootable_device() {
    let image = guests::seabios().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let log = scratch.path().join("debug-console");
    let recording = scratch.path().join("seabios.rrvm");
    let mut command = rrvmm(["record"]).unwrap();
    let guest = Guest::firmware(&image);
    command.args(guest.rrvmm_options()).arg("-o").arg(&recording).args(["--timeout", "300s"]);
    command.arg(format!("--debugcon=file={}", log.display()));
    Process::new(command).limit(LIMIT).run().unwrap().exited(0).unwrap();
    let said = fs::read_to_string(&log).unwrap();
    assert!(said.contains("No bootable device."), "{said}");
    verify(&recording).unwrap().exited(0).unwrap();
}
