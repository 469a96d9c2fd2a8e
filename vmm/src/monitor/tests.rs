//! Clients of all kinds at a recording of the built-in guest.

use super::*;
use crate::explore::Desk;
use crate::explore::sample::{LENGTH, explorer_of_the_demo};
use crate::host::HostError;
use rrvmm_replay::Position;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A session with a monitor, on a thread of its own.
struct Session {
    path: PathBuf,
    _directory: tempfile::TempDir,
    _bound: Bound,
    machine: Option<JoinHandle<()>>,
    handle: crate::explore::Handle,
}

impl Session {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("monitor");
        let mut bound = Bound::new(&path).unwrap();
        let events = bound.events();
        let (tell, told) = std::sync::mpsc::channel();
        let machine = thread::spawn(move || {
            let (mut desk, handle) = Desk::new(explorer_of_the_demo());
            tell.send(handle).unwrap();
            desk.serve(|_| Ok::<(), ()>(())).unwrap();
        });
        let handle = told.recv().unwrap();
        let end = Position::from_count(LENGTH);
        let refuse = |_| Err(Refused("not here".to_owned()));
        let exploring = Exploring::new(handle.clone(), "demo.rrvm".into(), end, events, refuse);
        bound.serve(Arc::new(exploring));
        Self { path, _directory: directory, _bound: bound, machine: Some(machine), handle }
    }

    fn client(&self) -> Client {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let from = BufReader::new(stream.try_clone().unwrap());
        let mut client = Client { stream, from, events: Vec::new() };
        assert!(client.read()["QMP"]["version"]["package"].as_str().unwrap().starts_with("rrvmm "));
        client
    }

    /// A client that has negotiated.
    fn ready(&self) -> Client {
        let mut client = self.client();
        assert_eq!(client.execute(&json!({"execute": "qmp_capabilities"})), json!({"return": {}}));
        client
    }

    fn ends(mut self) {
        self.machine.take().unwrap().join().unwrap();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.handle.quit();
    }
}

struct Client {
    stream: UnixStream,
    from: BufReader<UnixStream>,
    events: Vec<String>,
}

impl Client {
    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// The next answer; events before it are put aside.
    fn answer(&mut self) -> Value {
        loop {
            let message = self.read();
            match message["event"].as_str() {
                Some(event) => {
                    assert!(message["timestamp"]["seconds"].as_i64().unwrap() > 1_600_000_000);
                    self.events.push(event.to_owned());
                }
                None => return message,
            }
        }
    }

    fn execute(&mut self, command: &Value) -> Value {
        self.send(format!("{command}\r\n").as_bytes());
        self.answer()
    }

    fn value(&mut self, name: &str) -> Value {
        self.execute(&json!({"execute": name}))["return"].take()
    }

    fn human(&mut self, line: &str) -> Value {
        let arguments = json!({"command-line": line});
        self.execute(&json!({"execute": "human-monitor-command", "arguments": arguments}))
    }

    fn seek(&mut self, to: u64) -> Value {
        self.execute(&json!({"execute": "replay-seek", "arguments": {"icount": to}, "id": to}))
    }

    fn position(&mut self) -> u64 {
        self.value("query-replay")["icount"].as_u64().unwrap()
    }

    fn wait_for(&mut self, event: &str) {
        while !self.events.iter().any(|seen| seen == event) {
            let message = self.read();
            self.events.push(message["event"].as_str().expect("an event").to_owned());
        }
        self.events.clear();
    }
}

fn class(answer: &Value) -> &str {
    answer["error"]["class"].as_str().unwrap_or_default()
}

#[test]
fn a_client_goes_to_and_fro() {
    let session = Session::start();
    let mut client = session.ready();
    assert_eq!(
        client.value("query-status"),
        json!({"status": "paused", "running": false, "singlestep": false})
    );
    assert_eq!(client.seek(2_000_000), json!({"return": {}, "id": 2_000_000}));
    assert_eq!(client.position(), 2_000_000);
    let there = client.human("digest")["return"].take();
    assert_eq!(client.seek(1_000), json!({"return": {}, "id": 1_000}));
    assert_eq!(client.events, ["RESUME", "STOP", "RESUME", "STOP"]);
    assert_eq!(client.position(), 1_000);
    client.events.clear();
    // Forwards to the same place: the same state.
    client.execute(&json!({"execute": "replay-break", "arguments": {"icount": 2_000_000}}));
    client.value("cont");
    client.wait_for("STOP");
    assert_eq!(client.value("query-status")["status"], "debug");
    assert_eq!(client.human("digest")["return"], there);
    // It stops there once.
    client.value("cont");
    client.wait_for("SHUTDOWN");
    client.wait_for("STOP");
    assert_eq!(
        (client.value("query-status")["status"].take(), client.position()),
        (json!("shutdown"), LENGTH)
    );
    assert_eq!(class(&client.execute(&json!({"execute": "cont"}))), "GenericError");
    let beyond = client.seek(LENGTH + 1);
    assert!(beyond["error"]["desc"].as_str().unwrap().contains("ends before that"), "{beyond}");
    assert!(client.seek(LENGTH)["return"].is_object());
}

#[test]
fn people_have_their_words() {
    let session = Session::start();
    let ask = |line: &str| ask(&session.path, line);
    assert_eq!(ask("replay_info").unwrap(), format!("Replaying demo.rrvm: position 0 of {LENGTH}\n"));
    assert!(ask("replay_seek 1_234_567").unwrap().contains("position 1234567"));
    assert!(ask("replay_events --device digest --to 2000000").unwrap().lines().count() == 1);
    assert!(ask("replay_events --device=nothing").unwrap().is_empty());
    assert!(ask("info registers").unwrap().contains("cr3"));
    assert!(ask("info status").unwrap().contains("paused"));
    assert_eq!(ask("checkpoint").unwrap(), "checkpoint at position 1234567\n");
    assert!(ask("help").unwrap().contains("replay_seek"));
    assert!(ask("x/4xb 0x100000").unwrap().contains("100000"));
    for wrong in [
        "nonsense",
        "replay_seek",
        "replay_seek x",
        "info x",
        "replay_events --x",
        "screendump",
        "screendump -f gif a",
    ] {
        assert!(matches!(ask(wrong), Err(AskError::Refused(_))), "{wrong}");
    }
    // Written to where nobody may: the machine is where it was.
    assert!(ask("where").unwrap().starts_with("position 1234567"));
    assert_eq!(ask("quit").unwrap(), "");
    session.ends();
}

#[test]
fn nonsense_ends_nothing() {
    let session = Session::start();
    let mut client = session.client();
    assert_eq!(class(&client.execute(&json!({"execute": "query-status"}))), "CommandNotFound");
    let wanted = json!({"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}});
    assert_eq!(class(&client.execute(&wanted)), "GenericError");
    assert_eq!(
        client.execute(&json!({"execute": "qmp_capabilities", "id": {"a": 1}}))["id"],
        json!({"a": 1})
    );
    assert_eq!(class(&client.execute(&json!({"execute": "qmp_capabilities"}))), "CommandNotFound");
    assert_eq!(class(&client.execute(&json!({"execute": "device_add", "id": 9}))), "CommandNotFound");
    let more = json!({"execute": "stop", "arguments": {"now": true}});
    assert_eq!(class(&client.execute(&more)), "GenericError");
    for bytes in [&b"\xff\x00{}\n"[..], b"{\"execute\"\n}", b"}\n", b"\"quit\"\n"] {
        client.send(bytes);
        assert_eq!(class(&client.answer()), "GenericError");
    }
    client.send(b"\r\n\n   \n");
    client.send(&vec![b'{'; 3 << 20]);
    client.send(b"\n");
    assert!(client.answer()["error"]["desc"].as_str().unwrap().contains("longer than"));
    assert_eq!(client.value("query-status")["status"], "paused");
    // A message without a line end, half a message, and gone.
    client.send(b"{\"execute\": \"query-version\"}");
    assert!(client.answer()["return"].is_object());
    client.send(b"{\"execute\": \"quit\"");
    drop(client);
    let mut next = session.ready();
    assert!(next.seek(5)["return"].is_object());
    // Gone in the middle of a motion.
    next.send(b"{\"execute\": \"replay-seek\", \"arguments\": {\"icount\": 2500000}}\n");
    drop(next);
    assert!(session.ready().seek(7)["return"].is_object());
}

#[test]
fn several_clients_are_served_and_told() {
    let session = Session::start();
    let (mut first, mut second) = (session.ready(), session.ready());
    first.seek(1_000_000);
    second.wait_for("STOP");
    assert_eq!(second.position(), 1_000_000);
    let crowd: Vec<Client> = (0..14).map(|_| session.ready()).collect();
    let late = UnixStream::connect(&session.path).unwrap();
    let mut line = String::new();
    BufReader::new(late).read_line(&mut line).unwrap();
    assert!(line.contains("GenericError") && line.contains("connected already"), "{line}");
    drop(crowd);
    assert_eq!(first.value("query-status")["status"], "paused");
}

#[test]
fn whoever_does_not_read_is_cut_off_alone() {
    let session = Session::start();
    let _deaf = session.ready();
    let mut client = session.ready();
    for round in 0..2_000 {
        client.seek(round % 7);
    }
    assert_eq!(client.position(), 1_999 % 7);
}

#[test]
fn a_run_is_stopped_and_goes_on() {
    let session = Session::start();
    let mut client = session.ready();
    client.value("cont");
    client.value("stop");
    let stopped = client.position();
    let (status, again) = (client.value("query-status"), client.position());
    assert_eq!(again, stopped);
    assert!(status["status"] == "paused" || status["status"] == "shutdown", "{status}");
}

#[test]
fn only_this_user_may_connect() {
    let session = Session::start();
    assert_eq!(std::fs::metadata(&session.path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(Bound::new(&session.path), Err(HostError::SocketTaken { .. })));
    let path = session.path.clone();
    drop(session);
    assert!(!path.exists());
}
