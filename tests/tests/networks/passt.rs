//! passt ends in the middle of a download.

use super::machine::Machine;
use anyhow::{Context as _, Result, ensure};
use rrvmm_tests::run::{rrvmm, rrvmm_program};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Sets the card up from what passt says over DHCP.
const SETTING_UP: &str = r#"cat > /tmp/dhcp <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/24 dev $interface
ip route add $router dev $interface
ip route add default via $router
echo $router > /tmp/gateway
END
chmod +x /tmp/dhcp; ip link set eth0 up"#;

#[test]
fn a_recording_goes_on_when_passt_dies_and_replays() -> Result<()> {
    let machine = Machine::new()?;
    let program = rrvmm_program()?;
    let mut command = rrvmm(machine.arguments("user"))?;
    command.args(["--pace", "host"]);
    let mut session = machine.start(command)?;
    let console = &mut session.console;
    let port = serve_without_end()?;
    console.ask("[ $(cat /sys/class/net/eth0/mtu) = 65520 ] && echo @long", "@long")?;
    for line in SETTING_UP.lines() {
        console.type_line(line)?;
    }
    console.ask("udhcpc -i eth0 -q -s /tmp/dhcp >/dev/null 2>&1 && echo @configured", "@configured")?;
    // busybox's own time limit (-T) crashes, on the host too.
    console.type_line(&format!("timeout 5 wget -q -O /tmp/got http://$(cat /tmp/gateway):{port}/"))?;
    thread::sleep(Duration::from_secs(2));
    let passt = child(session.running.id(), "passt").context("passt runs")?;
    kill_process(passt, Signal::KILL)?;
    console.wait_for("@prompt ")?;
    console.ask("[ $(stat -c %s /tmp/got) -gt 100000 ] && echo @flowed", "@flowed")?;
    console.ask("ping -c 1 -W 1 $(cat /tmp/gateway) >/dev/null || echo @nobody", "@nobody")?;
    let errors = machine.errors();
    ensure!(
        errors.contains("the network of card 0 (user) is gone") && errors.contains("goes on"),
        "{errors}"
    );
    machine.ends_and_replays(session, program)
}

/// A server on the loopback interface that answers whoever asks with bytes for as long as they are taken.
fn serve_without_end() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || answer(client));
        }
    });
    Ok(port)
}

/// At a pace that leaves the guest's memory room for a minute.
fn answer(mut client: TcpStream) -> Option<()> {
    BufReader::new(client.try_clone().ok()?)
        .lines()
        .find(|line| line.as_ref().is_ok_and(String::is_empty))?
        .ok()?;
    client.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").ok()?;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        client.write_all(&[b'r'; 10_000]).ok()?;
        thread::sleep(Duration::from_millis(5));
    }
    None
}

/// The child of `parent` whose program's name begins with `name`.
fn child(parent: u32, name: &str) -> Option<Pid> {
    let is_wanted = |stat: &str| {
        let (head, tail) = stat.rsplit_once(") ")?;
        let program = head.split_once('(')?.1;
        let its_parent: u32 = tail.split(' ').nth(1)?.parse().ok()?;
        (program.starts_with(name) && its_parent == parent).then_some(())
    };
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        is_wanted(&fs::read_to_string(entry.path().join("stat")).ok()?)?;
        Pid::from_raw(id)
    })
}
