//! A tap interface, in a network namespace of its own.

use super::machine::Machine;
use anyhow::{Result, ensure};
use rrvmm_tests::guests::{self, Arch};
use rrvmm_tests::run::{Process, SESSION_LIMIT, md5, rrvmm_program, skipped};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The host's side: an interface, a server on it, and the machine, all gone with this shell. Its arguments are busybox, the server's
/// directory, and the machine's command. When a file `down` is there, the interface goes.
const HOST: &str = r#"
set -e
busybox=$1; files=$2; shift 2
ip tuntap add dev rrtap0 mode tap
ip addr add 10.9.0.1/24 dev rrtap0
ip link set rrtap0 up
$busybox httpd -f -p 10.9.0.1:80 -h $files &
(until [ -e $files/down ]; do sleep 0.1; done; ip link set rrtap0 down; touch $files/is-down
 until [ -e $files/up ]; do sleep 0.1; done; ip link set rrtap0 up; touch $files/is-up
 until [ -e $files/gone ]; do sleep 0.1; done; ip link del rrtap0; touch $files/is-gone) &
"$@"
"#;

#[test]
fn a_tap_interface_carries_a_guest_s_packets() -> Result<()> {
    let Some(mut command) = in_own_network("a machine on a tap interface") else { return Ok(()) };
    let machine = Machine::new()?;
    let files = machine.place("files");
    fs::create_dir(&files)?;
    let data: Vec<u8> = (0..3_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(files.join("data"), &data)?;
    let program = rrvmm_program()?;
    command.args(["sh", "-c", HOST, "sh"]).arg(guests::busybox(Arch::Amd64)?).arg(&files).arg(&program);
    command.args(machine.arguments("tap=rrtap0"));
    let mut session = machine.start(command)?;
    let console = &mut session.console;
    console.command("ip link set eth0 up; ip addr add 10.9.0.2/24 dev eth0")?;
    console.ask("ping -c 3 10.9.0.1 | grep -c 'from 10.9.0.1'", "3")?;
    let fetch = "timeout 20 wget -q -O - http://10.9.0.1/data | md5sum | cut -c1-32";
    console.ask(fetch, &md5(&data)?)?;
    // An interface that is down comes back; one that goes is said.
    change(&files, "down")?;
    console.ask("ping -c 1 -W 1 10.9.0.1 >/dev/null || echo @down", "@down")?;
    change(&files, "up")?;
    console.ask(fetch, &md5(&data)?)?;
    ensure!(!machine.errors().contains("gone"), "{}", machine.errors());
    change(&files, "gone")?;
    console.ask("ping -c 1 -W 1 10.9.0.1 >/dev/null || echo @gone", "@gone")?;
    ensure!(machine.errors().contains("the network of card 0 (tap=rrtap0) is gone"), "{}", machine.errors());
    machine.ends_and_replays(session, program)
}

#[test]
fn a_tap_without_permission_is_an_error_that_says_so() -> Result<()> {
    let Some(mut command) = in_own_network("a tap interface without permission") else { return Ok(()) };
    let machine = Machine::new()?;
    command.args(["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]);
    command.arg(rrvmm_program()?).args(machine.arguments("tap=rrtap0"));
    let outcome = Process::new(command).limit(SESSION_LIMIT).run()?;
    let errors = outcome.errors();
    ensure!(!outcome.status.success() && errors.contains("rrtap0"), "{}", outcome.describe());
    ensure!(errors.contains("not permitted") && !errors.contains("panicked"), "{errors}");
    ensure!(!machine.place("run.rrvm").exists(), "it leaves a recording of nothing");
    Ok(())
}

/// Has the host's side do what `what` says.
fn change(files: &Path, what: &str) -> Result<()> {
    fs::write(files.join(what), "")?;
    let done = files.join(format!("is-{what}"));
    let start = std::time::Instant::now();
    while !done.exists() {
        ensure!(start.elapsed() < SESSION_LIMIT, "the interface does not go {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Ok(())
}

/// What runs its arguments where interfaces can be made, and ends all of them when it ends; none where that cannot be had.
fn in_own_network(what: &str) -> Option<Command> {
    let own = || {
        let mut command = Command::new("unshare");
        command.args(["--net", "--pid", "--fork", "--kill-child"]);
        command
    };
    if !Path::new("/dev/net/tun").exists() {
        skipped(what, "there is no /dev/net/tun");
        return None;
    }
    let mut probe = own();
    probe.args(["ip", "tuntap", "add", "dev", "rrtap0", "mode", "tap"]);
    match Process::new(probe).run().and_then(|outcome| outcome.exited(0)) {
        Ok(_) => Some(own()),
        Err(error) => {
            skipped(what, format!("this user cannot make one: {error:#}"));
            None
        }
    }
}
