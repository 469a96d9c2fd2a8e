//! Debian's drivers on our network cards other than virtio's: they work, and the run replays from the recording alone.

use anyhow::{Result, ensure};
use rrvmm_tests::guests::{self, Kernel, initrd, workload};
use rrvmm_tests::run::{AnsweringNetwork, Guest, Process, rrvmm};
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Generous: the host may be shared.
const LIMIT: Duration = Duration::from_secs(400);

/// More than once around the rings of either card, in frames of all sizes.
const SCRIPT: &str = r#"
card=/sys/class/net/eth0
echo "@driver $(basename $(readlink $card/device/driver)) $(cat $card/address)"
ip link set eth0 up
ip addr add 10.0.0.1/24 dev eth0
arp -s 10.0.0.2 02:00:00:00:00:02
i=0; while [ $i -lt 100 ] && ! [ "$(cat $card/carrier)" = 1 ]; do i=$((i+1)); usleep 100000; done
for size in 0 1 17 18 100 999 1472; do
    echo "@ping-$size $(ping -A -c 50 -W 5 -s $size 10.0.0.2 | grep -c 'from 10.0.0.2')"
done
echo "@errors $(cat $card/statistics/*error* $card/statistics/*dropped $card/statistics/collisions | sort -u)"
echo "@interrupts $(grep -c eth0 /proc/interrupts)"
reboot -f
"#;

fn pings(model: &str, driver: &str) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let place = |name: &str| directory.path().join(name);
    let kernel = Kernel::Amd64;
    let modules = guests::modules(kernel, guests::NIC_MODULES)?;
    fs::write(place("initrd"), initrd::with_modules(kernel.arch(), &modules, SCRIPT)?)?;
    let guest = Guest::linux(&guests::kernel(kernel)?, &place("initrd"));
    let recording = place("recording.rrvm");
    let network = AnsweringNetwork::new(&place("network"))?;
    let mut command = rrvmm(["record", "-o", &recording.to_string_lossy()])?;
    command.args(guest.rrvmm_options());
    command.arg("--net").arg(format!("unix={},model={model}", network.path().display()));
    let recorded = Process::new(command).limit(LIMIT).run()?.exited(0)?;
    drop(network);
    let console = recorded.text();
    let value = |marker: &str| workload::value(console.as_bytes(), marker).unwrap_or_default();
    let found = value("@driver");
    ensure!(
        found.starts_with(&format!("{driver} 52:54:00:")),
        "{model}: the driver is {found:?} in\n{console}"
    );
    for size in [0, 1, 17, 18, 100, 999, 1472] {
        let answers = value(&format!("@ping-{size}"));
        ensure!(answers == "50", "{model}: {answers} of 50 pings of {size} bytes were answered:\n{console}");
    }
    for (marker, expected) in [("@errors", "0"), ("@interrupts", "1")] {
        ensure!(value(marker) == expected, "{model}: {marker} is not {expected:?} in\n{console}");
    }
    fs::remove_file(place("initrd"))?;
    let replayed = again("replay", &recording)?;
    ensure!(replayed == console, "{model}: the replay's console differs");
    again("verify", &recording).map(drop)
}

fn again(command: &str, recording: &Path) -> Result<String> {
    let command = rrvmm([command, &recording.to_string_lossy(), "--checkpoint-every", "none"])?;
    Ok(Process::new(command).limit(LIMIT).run()?.exited(0)?.text())
}

#[test]
fn e1000_works_and_replays() -> Result<()> {
    pings("e1000", "e1000")
}

#[test]
fn ne2000_works_and_replays() -> Result<()> {
    pings("ne2000", "ne2k-pci")
}
