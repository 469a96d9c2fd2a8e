//! The Python package `asyncvnc` types and points; a program in the guest reads what arrives from evdev.

use super::pictures::screenshot;
use super::shell::{Console, LIMIT, Running};
use anyhow::{Context as _, Result, ensure};
use rrvmm_tests::guests::{self, Kernel, initrd};
use rrvmm_tests::run::{Guest, Process, rrvmm, skipped};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

/// Prints every event of every input device as numbers: type, code, value.
const EVENTS: &str = r#"
n=0
until grep -q Mouse /proc/bus/input/devices || [ $n -gt 20 ]; do sleep 1; n=$((n+1)); done
for event in /dev/input/event*; do
    hexdump -v -e '4/4 "%x " 1/2 " @event %d " 1/2 "%d " 1/4 "%d\n"' $event &
done
sleep 1
echo "@ready"
read line
echo "@done"
poweroff -f
"#;

#[test]
fn a_vnc_client_types_points_and_looks() {
    match guests::python_packages(&["asyncvnc", "pillow"]) {
        Ok(package) => drive(&package).unwrap(),
        Err(error) => skipped("a VNC client", format!("{error:#}")),
    }
}

fn drive(package: &Path) -> Result<()> {
    let kernel = Kernel::Amd64;
    let modules = guests::modules(kernel, &["psmouse", "evdev"])?;
    let scratch = tempfile::tempdir()?;
    let initrd = scratch.path().join("initrd");
    fs::write(&initrd, initrd::with_modules(kernel.arch(), &modules, EVENTS)?)?;
    let mut guest = Guest::linux(&guests::kernel(kernel)?, &initrd);
    guest.cmdline += " console=tty0 console=ttyS0";
    let [console, recording, replayed] =
        ["console", "vnc.rrvm", "replayed"].map(|name| scratch.path().join(name));
    let mut options = guest.rrvmm_options();
    let stdio = options.iter().position(|option| option == "stdio").context("no console")?;
    options[stdio] = format!("unix={}", console.display());
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut command = rrvmm(["record", "--pace", "host"])?;
    command.args(options).arg(format!("--display=vnc={port},password=secret")).arg("-o").arg(&recording);
    let session = Running::start(command)?;
    let mut shell = Console::connect(&console)?;
    shell.wait_for("@ready")?;
    let mut script = Command::new("python3");
    script.env("PYTHONPATH", package).arg("-c").arg(include_str!("vnc.py"));
    script.args([port.to_string(), "secret".to_owned()]);
    let outcome = Process::new(script).limit(LIMIT).run()?.exited(0)?;
    ensure!(outcome.text().contains("SCRIPT ENDS"), "{}", outcome.describe());
    // The last thing that the script does is to release Escape.
    let mut said = shell.wait_for("@event 1 1 0")?;
    shell.type_line("done")?;
    said += &shell.wait_for("@done")?;
    session.ends_well()?;
    // H I with Shift lent, the left button, motion, the wheel: EV_KEY 35, 42, 23, 272; EV_REL 0, 1 and 8.
    for event in ["1 42 1", "1 35 1", "1 35 0", "1 23 1", "1 272 1", "1 272 0", "2 8 -1"] {
        ensure!(said.contains(&format!("@event {event}\r\n")), "no {event:?} in {said}");
    }
    ensure!(said.contains("@event 2 0 ") && said.contains("@event 2 1 "), "no motion in {said}");
    let mut replay = rrvmm(["replay"])?;
    replay.arg(&recording).arg(format!("--serial=file={}", replayed.display()));
    Process::new(replay).limit(LIMIT).run()?.exited(0)?;
    let replayed = fs::read_to_string(&replayed)?;
    ensure!(replayed.contains(&said), "{replayed}");
    screenshot(&recording, None, &scratch.path().join("last.png"))?;
    Ok(())
}
