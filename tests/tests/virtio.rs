//! Debian's virtio drivers on our devices: they work, by every kind of interrupt, and the run replays from the recording
//! alone.

use anyhow::{Context as _, Result, ensure};
use rrvmm_tests::guests::{self, Kernel, initrd, workload};
use rrvmm_tests::run::{AnsweringNetwork, Guest, Outcome, Process, md5, rrvmm};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Generous: the host may be shared.
const LIMIT: Duration = Duration::from_secs(400);

/// Uses each device, and says what came of it.
const SCRIPT: &str = r#"
echo "@disk $(md5sum < /dev/vda | cut -c1-32) $(cat /sys/block/vda/serial)"
head -c 300000 /dev/vda | tail -c 200000 > /tmp/piece
dd if=/tmp/piece of=/dev/vda bs=4096 seek=100 conv=fsync 2>/dev/null
echo 3 > /proc/sys/vm/drop_caches
echo "@written $(dd if=/dev/vda bs=4096 skip=100 2>/dev/null | head -c 200000 | cmp - /tmp/piece && echo same)"
echo "@read-only $(cat /sys/block/vdb/ro) $(md5sum < /dev/vdb | cut -c1-32)"
echo "@rng $(cat /sys/class/misc/hw_random/rng_available) $(head -c 1000 /dev/hwrng | wc -c)"
echo "to the host" > /dev/hvc0
ip link set eth0 up
ip addr add 10.0.0.1/24 dev eth0
arp -s 10.0.0.2 02:00:00:00:00:02
echo "@ping $(ping -c 3 -s 1000 10.0.0.2 | grep -c 'from 10.0.0.2')"
echo "@interrupts $(grep -c virtio /proc/interrupts)"
poweroff -f
"#;

/// Every byte follows from its place.
fn disk(seed: u8, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n / 512) as u8 ^ (n % 251) as u8 ^ seed).collect()
}

/// A guest with all devices, and where its files are.
struct Bench {
    directory: tempfile::TempDir,
    guest: Guest,
}

impl Bench {
    fn new(script: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let place = |name: &str| directory.path().join(name);
        let kernel = Kernel::CloudAmd64;
        let modules = guests::modules(kernel, guests::VIRTIO_MODULES)?;
        fs::write(place("initrd"), initrd::with_modules(kernel.arch(), &modules, script)?)?;
        fs::write(place("disk"), disk(1, 4 << 20))?;
        fs::write(place("read-only"), disk(2, 1 << 20))?;
        let guest = Guest::linux(&guests::kernel(kernel)?, &place("initrd"));
        Ok(Self { directory, guest })
    }

    fn place(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs it as `arguments` say.
    fn run(&self, arguments: &[&str], cmdline: &str) -> Result<Outcome> {
        let network = AnsweringNetwork::new(&self.place("network"))?;
        let mut guest = self.guest.clone();
        guest.cmdline = format!("{} {cmdline}", guest.cmdline);
        let mut command = rrvmm(arguments)?;
        command.args(guest.rrvmm_options()).arg("--disk").arg(self.place("disk"));
        command.arg("--disk").arg(format!("{},ro", self.place("read-only").display()));
        command.arg("--net").arg(format!("unix={}", network.path().display())).args(["--virtio", "rng"]);
        command.arg("--virtio-console").arg(format!("file={}", self.place("console").display()));
        Process::new(command).limit(LIMIT).run()?.exited(0)
    }

    fn check(&self, console: &[u8]) -> Result<()> {
        let value = |marker| workload::value(console, marker).unwrap_or_default();
        let text = String::from_utf8_lossy(console);
        let disk_line = format!("{} disk0", md5(&disk(1, 4 << 20))?);
        ensure!(value("@disk") == disk_line, "the disk was read as {:?}:\n{text}", value("@disk"));
        ensure!(value("@written") == "same", "what was written is not there:\n{text}");
        let read_only = format!("1 {}", md5(&disk(2, 1 << 20))?);
        ensure!(value("@read-only") == read_only, "{:?}:\n{text}", value("@read-only"));
        let rng = value("@rng").split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(rng == "virtio_rng.0 1000", "{rng:?}:\n{text}");
        ensure!(value("@ping") == "3", "{} pings were answered:\n{text}", value("@ping"));
        let said = fs::read(self.place("console"))?;
        ensure!(said == b"to the host\r\n", "the console has {:?}", String::from_utf8_lossy(&said));
        ensure!(fs::read(self.place("disk"))? == disk(1, 4 << 20), "the image was changed");
        Ok(())
    }
}

#[test]
fn debian_s_drivers_work_and_the_run_replays_from_the_recording_alone() {
    let bench = Bench::new(SCRIPT).unwrap();
    let recording = bench.place("run.rrvm");
    let recorded = bench.run(&["record", "-o", recording.to_str().unwrap()], "").unwrap();
    bench.check(&recorded.stdout).unwrap();
    for file in ["disk", "read-only", "initrd"] {
        fs::remove_file(bench.place(file)).unwrap();
    }
    let replay = |command: &str| -> Result<Outcome> {
        Process::new(rrvmm([Path::new(command), &recording])?).limit(LIMIT).run()?.exited(0)
    };
    let replayed = replay("replay").unwrap();
    assert_eq!(replayed.text(), recorded.text());
    // The console's port says the same again too.
    let (said, console) = (fs::read(bench.place("console")).unwrap(), bench.place("console again"));
    let mut again = rrvmm(["replay", "--serial", "null", "--virtio-console"]).unwrap();
    again.arg(format!("file={}", console.display())).arg(&recording);
    Process::new(again).limit(LIMIT).run().unwrap().exited(0).unwrap();
    assert_eq!(fs::read(console).unwrap(), said);
    replay("verify").unwrap();
}

#[test]
fn they_work_by_pins_and_by_the_old_interrupt_controller() {
    for cmdline in ["pci=nomsi", "noapic nolapic"] {
        let bench = Bench::new(SCRIPT).unwrap();
        let outcome = bench.run(&["run"], cmdline).unwrap();
        bench.check(&outcome.stdout).with_context(|| cmdline.to_owned()).unwrap();
    }
}

#[test]
fn a_device_in_memory_is_found_by_acpi() {
    let bench = Bench::new("echo @rng $(head -c 100 /dev/hwrng | wc -c) $(readlink /sys/bus/virtio/devices/virtio*)\npoweroff -f\n")
        .unwrap();
    let mut command = rrvmm(["run"]).unwrap();
    command.args(bench.guest.rrvmm_options()).args(["--virtio-mmio", "rng"]);
    let outcome = Process::new(command).limit(LIMIT).run().unwrap().exited(0).unwrap();
    let found = workload::value(&outcome.stdout, "@rng").unwrap_or_default();
    assert!(found.starts_with("100 ") && found.contains("LNRO0005:00"), "{}", outcome.text());
}
