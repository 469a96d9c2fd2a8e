//! Whatever comes over the socket, the next gdb is served.

use super::recordings;
use anyhow::{Context as _, Result, ensure};
use rrvmm_tests::run::rrvmm;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

/// `rrvmm replay --gdb`, waiting.
struct Server {
    child: Child,
    address: String,
    errors: Receiver<String>,
}

impl Server {
    fn start(recording: &Path, address: &str) -> Result<Self> {
        let mut command = rrvmm(["replay", "--gdb", address, "--serial", "null"])?;
        let mut child = command.arg(recording).stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let stderr = BufReader::new(child.stderr.take().context("a pipe")?);
        let (sender, errors) = channel();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut server = Self { child, address: String::new(), errors };
        let line = server.says("target remote")?;
        server.address = line.rsplit(' ').next().unwrap_or_default().to_owned();
        Ok(server)
    }

    /// Waits for a line on standard error.
    fn says(&self, part: &str) -> Result<String> {
        loop {
            let line = self.errors.recv_timeout(Duration::from_secs(30));
            let line = line.with_context(|| format!("it never said {part:?}"))?;
            if line.contains(part) {
                return Ok(line);
            }
        }
    }

    fn connect(&self) -> Result<Client<TcpStream>> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Client(stream))
    }

    /// Waits for a client whose predecessor may still be leaving, and checks that it is served.
    fn serves(&self) -> Result<Client<TcpStream>> {
        let started = Instant::now();
        loop {
            let mut client = self.connect()?;
            match client.ask("qSupported:xmlRegisters=i386") {
                Ok(answer) => {
                    ensure!(
                        answer.contains("ReverseStep+") && answer.contains("ReverseContinue+"),
                        "{answer}"
                    );
                    return Ok(client);
                }
                Err(error) if started.elapsed() > Duration::from_secs(20) => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn ends(mut self) -> Result<i32> {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(20) {
            if let Some(status) = self.child.try_wait()? {
                return status.code().context("a signal");
            }
            thread::sleep(Duration::from_millis(10));
        }
        anyhow::bail!("it does not end")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// As much of the protocol as the tests need.
struct Client<S>(S);

impl<S: Read + Write> Client<S> {
    fn send(&mut self, packet: &str) -> Result<()> {
        let sum = packet.bytes().fold(0u8, u8::wrapping_add);
        Ok(write!(self.0, "${packet}#{sum:02x}")?)
    }

    fn receive(&mut self) -> Result<String> {
        let mut packet = Vec::new();
        let mut byte = [0];
        loop {
            self.0.read_exact(&mut byte)?;
            match (byte[0], packet.is_empty()) {
                (b'$', true) => packet.push(b'$'),
                (_, true) => {}
                (b'#', false) => break,
                (byte, false) => packet.push(byte),
            }
        }
        self.0.read_exact(&mut [0; 2])?;
        self.0.write_all(b"+")?;
        Ok(String::from_utf8_lossy(&packet[1..]).into_owned())
    }

    fn ask(&mut self, packet: &str) -> Result<String> {
        self.send(packet)?;
        self.receive()
    }

    /// What comes before the machine stops is text.
    fn stop(&mut self) -> Result<String> {
        loop {
            let packet = self.receive()?;
            if !packet.starts_with('O') {
                return Ok(packet);
            }
        }
    }
}

fn server() -> Result<Server> {
    Server::start(&recordings::payload("bugs/overrun")?, ":0")
}

#[test]
fn garbage_and_broken_packets_leave_the_server_waiting() {
    let server = server().unwrap();
    assert!(server.address.starts_with("127.0.0.1:"), "{}", server.address);
    let garbage: [&[u8]; 14] = [
        b"",
        b"GET / HTTP/1.0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"$",
        b"$m0,ffff",
        b"$g#00",
        b"$g#zz",
        b"$H#48",
        b"$qSupported:#98",
        b"$#00",
        b"-",
        b"$vCont;#15",
        b"$vCont;s:ffffffffffffffffffffffff#00",
        &[b'$'; 40000],
    ];
    for bytes in garbage {
        let mut client = server.connect().unwrap();
        // It may hang up while this is written.
        drop(client.0.write_all(bytes));
        drop(client);
        drop(server.serves().unwrap());
    }
}

#[test]
fn wrong_but_well_formed_packets_get_an_answer_or_the_next_client_does() {
    let server = server().unwrap();
    for packet in [
        "Hg0",
        "Hc-1",
        "m0,10",
        "mffffffffffffffff,100",
        "m,",
        "M0,4:00",
        "Z0,0,1",
        "Z2,ffffffffffffffff,ffffffffffffffff",
        "z4,1,1",
        "Z9,0,0",
        "p1000",
        "Pffff=00",
        "G00",
        "Pzz",
        "qXfer:features:read:target.xml:ffffffff,ffff",
        "qXfer:features:read:none.xml:0,ff",
        "qRcmd,",
        "qRcmd,zz",
        "vCont",
        "bs",
        "bX",
        "T99",
        "vKill",
    ] {
        let mut client = server.serves().unwrap();
        client.send(packet).unwrap();
        drop(client);
    }
    drop(server.serves().unwrap());
}

#[test]
fn a_second_gdb_is_refused_while_one_is_connected() {
    let server = server().unwrap();
    let mut first = server.serves().unwrap();
    let mut second = server.connect().unwrap();
    assert_eq!(second.0.read(&mut [0; 16]).unwrap_or_default(), 0, "it is hung up on");
    server.says("a second gdb").unwrap();
    assert!(first.ask("?").unwrap().starts_with("T05"), "the first is served on");
    drop(first);
    drop(server.serves().unwrap());
}

#[test]
fn breakpoints_are_accepted_wherever_they_are() {
    let server = server().unwrap();
    let mut client = server.serves().unwrap();
    for kind in 0..=4 {
        for addr in ["0", "ffffffffffffffff", "dead0000beef"] {
            assert_eq!(client.ask(&format!("Z{kind},{addr},1")).unwrap(), "OK");
            assert_eq!(client.ask(&format!("z{kind},{addr},1")).unwrap(), "OK");
        }
    }
}

#[test]
fn a_detached_gdb_leaves_a_server_and_a_killing_one_ends_it() {
    let server = server().unwrap();
    let mut client = server.serves().unwrap();
    client.send("vCont;s:1;c").unwrap();
    assert!(client.stop().unwrap().starts_with("T05"));
    assert_eq!(client.ask("D").unwrap(), "OK");
    let mut client = server.serves().unwrap();
    client.send("k").unwrap();
    assert_eq!(server.ends().unwrap(), 0);
}

#[test]
fn a_gdb_that_leaves_in_mid_run_is_no_loss() {
    let recording = recordings::boot(rrvmm_tests::guests::Kernel::CloudAmd64).unwrap();
    let server = Server::start(&recording, ":0").unwrap();
    let mut client = server.serves().unwrap();
    client.send("vCont;c").unwrap();
    thread::sleep(Duration::from_millis(100));
    drop(client);
    let mut client = server.serves().unwrap();
    client.send("vCont;c").unwrap();
    thread::sleep(Duration::from_millis(100));
    client.0.write_all(&[3]).unwrap();
    let stop = client.stop().unwrap();
    assert!(stop.starts_with("T02"), "{stop}");
}

#[test]
fn a_unix_socket_is_for_its_user_only_and_goes_with_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gdb.sock");
    let recording = recordings::payload("bugs/overrun").unwrap();
    let server = Server::start(&recording, path.to_str().unwrap()).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let mut client = Client(UnixStream::connect(&path).unwrap());
    assert!(client.ask("qSupported:xmlRegisters=i386").unwrap().contains("PacketSize"));
    client.send("k").unwrap();
    assert_eq!(server.ends().unwrap(), 0);
    assert!(!path.exists());
}

#[test]
fn an_address_that_others_can_reach_is_warned_about() {
    let recording = recordings::payload("bugs/overrun").unwrap();
    let mut command = rrvmm(["replay", "--gdb", "0.0.0.0:0", "--serial", "null"]).unwrap();
    let mut child = command.arg(&recording).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.contains("warning: whoever reaches 0.0.0.0:"), "{line}");
}

#[test]
fn a_missing_gdb_is_named_with_the_cure() {
    let recording = recordings::payload("bugs/overrun").unwrap();
    let mut command = rrvmm(["debug", "--gdb-program", "no-such-gdb"]).unwrap();
    let output = command.arg(&recording).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors.contains("no-such-gdb is not installed; install it (on Debian: apt install gdb)"),
        "{errors}"
    );
}
