//! A kernel that SeaBIOS and GRUB have started, from a disk behind AHCI: it hears its disk controller and its card, whichever of
//! the tables that SeaBIOS leaves it believes.

use anyhow::{Context as _, Result, ensure};
use rrvmm_tests::guests::{self, Kernel, initrd, workload};
use rrvmm_tests::run::{AnsweringNetwork, Guest, Process, md5, rrvmm, skipped};
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

/// Generous: the host may be shared.
const LIMIT: Duration = Duration::from_secs(400);
/// Bytes that are read from the disk.
const READ: usize = 4 << 20;

const SCRIPT: &str = r#"
i=0; while [ $i -lt 250 ] && ! [ -b /dev/sda ]; do i=$((i+1)); usleep 20000; done
echo "@disk $(head -c 4194304 /dev/sda | md5sum | cut -c1-32)"
ip link set eth0 up
ip addr add 10.0.0.1/24 dev eth0
arp -s 10.0.0.2 02:00:00:00:00:02
i=0; while [ $i -lt 100 ] && ! [ "$(cat /sys/class/net/eth0/carrier)" = 1 ]; do i=$((i+1)); usleep 100000; done
echo "@ping $(ping -A -c 20 -W 5 10.0.0.2 | grep -c 'from 10.0.0.2')"
for device in ahci eth0; do
    echo "@$device $(grep $device /proc/interrupts | sed 's/^ *\([0-9]*\): *\([0-9]*\) *\([^ ]*\) .*/\1 \3 \2/')"
done
echo "@trouble $(dmesg | grep -ciE 'nobody cared|timeout|exception|lost interrupt')"
reboot -f
"#;

/// Boots a kernel with `option` in its command line, and expects each device's interrupts at the controller, at one of the inputs.
fn hears(option: &str, controller: &str, inputs: [u32; 2]) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let place = |name: &str| directory.path().join(name);
    let kernel = Kernel::Amd64;
    let modules = guests::modules(kernel, &[guests::DISK_MODULES, guests::NIC_MODULES].concat())?;
    fs::write(place("initrd"), initrd::with_modules(kernel.arch(), &modules, SCRIPT)?)?;
    let cmdline = format!("console=ttyS0 reboot=t panic=-1 {option}");
    guests::grub_disk(&place("disk"), &guests::kernel(kernel)?, &place("initrd"), &cmdline)?;
    let mut read = vec![0; READ];
    File::open(place("disk"))?.read_exact(&mut read)?;
    let recording = place("recording.rrvm");
    let network = AnsweringNetwork::new(&place("network"))?;
    let guest = Guest { memory_mib: 256, ..Guest::firmware(&guests::seabios()?) };
    let mut command = rrvmm(["record", "-o", &recording.to_string_lossy()])?;
    command.args(guest.rrvmm_options());
    command.arg("--disk").arg(format!("{},if=ahci", place("disk").display()));
    command.arg("--net").arg(format!("unix={},model=e1000", network.path().display()));
    let recorded = Process::new(command).limit(LIMIT).run()?.exited(0)?;
    drop(network);
    let console = recorded.text();
    let value = |marker: &str| workload::value(console.as_bytes(), marker).unwrap_or_default();
    for (marker, expected) in
        [("@disk", md5(&read)?), ("@ping", "20".to_owned()), ("@trouble", "0".to_owned())]
    {
        ensure!(value(marker) == expected, "{option}: {marker} is not {expected:?} in\n{console}");
    }
    for (marker, input) in ["@ahci", "@eth0"].into_iter().zip(inputs) {
        let found = value(marker);
        let count =
            found.strip_prefix(&format!("{input} {controller} ")).and_then(|count| count.parse::<u32>().ok());
        ensure!(count.is_some_and(|count| count > 20), "{option}: {marker} is {found:?} in\n{console}");
    }
    fs::remove_file(place("disk"))?;
    ensure!(replayed(&recording)? == console, "{option}: the replay's console differs");
    Ok(())
}

fn replayed(recording: &Path) -> Result<String> {
    let command = rrvmm(["replay", &recording.to_string_lossy(), "--checkpoint-every", "none"])?;
    let outcome = Process::new(command).limit(LIMIT).run()?.exited(0).context("replaying")?;
    Ok(outcome.text())
}

/// GRUB comes from the Debian system, which only root can make.
fn unless_skipped(option: &str, controller: &str, inputs: [u32; 2]) {
    match guests::debian() {
        Err(error) if !rustix::process::geteuid().is_root() => {
            skipped("a kernel booted by GRUB", format!("{error:#}"))
        }
        Ok(_) | Err(_) => hears(option, controller, inputs).unwrap(),
    }
}

/// Our tables, which SeaBIOS places: the links have inputs of their own.
#[test]
fn a_kernel_booted_by_grub_hears_its_devices() {
    unless_skipped("", "IO-APIC", [18, 19]);
}

#[test]
#[ignore = "half a minute; part of the matrix in docs/testing.md"]
fn a_kernel_that_believes_seabios_s_mp_table_hears_its_devices() {
    unless_skipped("acpi=off", "IO-APIC", [11, 11]);
}

#[test]
#[ignore = "half a minute; part of the matrix in docs/testing.md"]
fn a_kernel_without_an_io_apic_hears_its_devices() {
    unless_skipped("noapic", "XT-PIC", [11, 11]);
}
