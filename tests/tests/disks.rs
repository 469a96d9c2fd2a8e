//! Disks behind IDE and AHCI, with Debian's drivers: what the guest finds on them and writes is right, and the run replays
//! from the recording alone, cut off or not. GRUB's CD boots through SeaBIOS.

use anyhow::{Context as _, Result, ensure};
use rrvmm_tests::guests::{self, Kernel, initrd, workload};
use rrvmm_tests::run::{Guest, Process, md5, rrvmm};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Generous: the host may be shared.
const LIMIT: Duration = Duration::from_secs(400);

/// Reads everything, writes pieces of odd sizes in odd places, reads them back past the cache, and the disc too.
const SCRIPT: &str = r#"
i=0; while [ $i -lt 250 ] && ! { [ -b /dev/sda ] && [ -b /dev/sr0 ]; }; do i=$((i+1)); usleep 20000; done
echo "@disk $(md5sum < /dev/sda | cut -c1-32)"
echo "@disc $(md5sum < /dev/sr0 | cut -c1-32)"
head -c 300000 /dev/sda | tail -c 200000 > /tmp/piece
dd if=/tmp/piece of=/dev/sda bs=512 seek=777 conv=fsync 2>/dev/null
dd if=/tmp/piece of=/dev/sda bs=4096 seek=500 conv=fsync 2>/dev/null
echo 3 > /proc/sys/vm/drop_caches
echo "@written $(dd if=/dev/sda bs=4096 skip=500 2>/dev/null | head -c 200000 | cmp - /tmp/piece && echo same)"
echo "@whole $(dd if=/dev/sda bs=64k iflag=direct 2>/dev/null | md5sum | cut -c1-32)"
echo "@errors $(dmesg | grep -ciE 'ata[0-9.]+: .*(error|failed|timeout|exception)')"
reboot -f
"#;

/// Every byte follows from its place; some blocks are zero.
fn disk(seed: u8, bytes: usize) -> Vec<u8> {
    let byte = |n: usize| if n / 4096 % 5 == 3 { 0 } else { (n / 512) as u8 ^ (n % 251) as u8 ^ seed };
    (0..bytes).map(byte).collect()
}

/// What the script leaves on the disk.
fn written(mut disk: Vec<u8>) -> Vec<u8> {
    let piece = disk[100_000..300_000].to_vec();
    for at in [777 * 512, 500 * 4096] {
        disk[at..at + piece.len()].copy_from_slice(&piece);
    }
    disk
}

fn attached_by(interface: &str) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let place = |name: &str| directory.path().join(name);
    let kernel = Kernel::Amd64;
    let modules = guests::modules(kernel, guests::DISK_MODULES)?;
    fs::write(place("initrd"), initrd::with_modules(kernel.arch(), &modules, SCRIPT)?)?;
    let (image, disc) = (disk(1, 4 << 20), disk(2, 1 << 20));
    fs::write(place("disk"), &image)?;
    fs::write(place("disc"), &disc)?;
    let guest = Guest::linux(&guests::kernel(kernel)?, &place("initrd"));
    let recording = place("recording.rrvm");
    let mut command = rrvmm(["record", "-o", &recording.to_string_lossy()])?;
    command.args(guest.rrvmm_options());
    command.arg("--disk").arg(format!("{},if={interface},commit", place("disk").display()));
    command.arg("--disk").arg(format!("{},if={interface},media=cdrom", place("disc").display()));
    let recorded = Process::new(command).limit(LIMIT).run()?.exited(0)?;
    let console = recorded.text();
    let value = |marker| workload::value(console.as_bytes(), marker).unwrap_or_default();
    for (marker, expected) in [
        ("@disk", md5(&image)?),
        ("@disc", md5(&disc)?),
        ("@written", "same".to_owned()),
        ("@whole", md5(&written(image.clone()))?),
        ("@errors", "0".to_owned()),
    ] {
        ensure!(value(marker) == expected, "{interface}: {marker} is not {expected:?} in\n{console}");
    }
    ensure!(fs::read(place("disk"))? == written(image), "{interface}: committed is not what was written");
    fs::remove_file(place("disk"))?;
    fs::remove_file(place("disc"))?;
    let replayed = replay(&recording)?;
    ensure!(replayed == console, "{interface}: the replay's console differs");
    // Whatever is left of a recording replays up to there.
    let whole = fs::read(&recording)?;
    fs::write(&recording, &whole[..whole.len() - 300_000])?;
    verify(&recording)
}

fn replay(recording: &Path) -> Result<String> {
    let command = rrvmm(["replay", &recording.to_string_lossy(), "--checkpoint-every", "none"])?;
    Ok(Process::new(command).limit(LIMIT).run()?.exited(0)?.text())
}

fn verify(recording: &Path) -> Result<()> {
    let command = rrvmm(["verify", &recording.to_string_lossy(), "--checkpoint-every", "none"])?;
    Process::new(command).limit(LIMIT).run()?.exited(0).map(drop)
}

#[test]
fn ide_disks_and_discs_work_and_replay() -> Result<()> {
    attached_by("ide")
}

#[test]
fn ahci_disks_and_discs_work_and_replay() -> Result<()> {
    attached_by("ahci")
}

/// GRUB's menu, drawn by a video BIOS, after SeaBIOS has found the drive and GRUB its modules on the disc.
#[test]
fn grubs_disc_boots_through_seabios() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let place = |name: &str| directory.path().join(name);
    fs::copy(guests::grub_disc()?, place("disc"))?;
    let recording = place("recording.rrvm");
    let mut command = rrvmm(["record", "-o", &recording.to_string_lossy()])?;
    command.args(["--memory", "128M", "--serial", "null", "--debugcon", "stdio", "--until", "300000000"]);
    command.arg("--bios").arg(guests::seabios()?).arg("--cdrom").arg(place("disc"));
    let recorded = Process::new(command).limit(LIMIT).run()?;
    let log = recorded.text();
    ensure!(log.contains("Booting from DVD/CD") && log.contains("RRVMM DVD-ROM"), "SeaBIOS says\n{log}");
    fs::remove_file(place("disc"))?;
    verify(&recording)?;
    let info =
        Process::new(rrvmm(["info", "--json", &recording.to_string_lossy()])?).run()?.exited(0)?.text();
    let info: serde_json::Value = serde_json::from_str(&info)?;
    let embedded = info["disks"][0]["embedded"].as_u64().context("info tells of the disc")?;
    // GRUB's modules for its menu are some hundred kilobytes.
    ensure!((50..1000).contains(&embedded), "{embedded} blocks of the disc are in the recording");
    Ok(())
}
