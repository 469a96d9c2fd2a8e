//! The program as people and scripts use it: on terminals, pipes, files and sockets, ended in every way.

#![allow(clippy::unwrap_used)]

mod guest;
mod terminal;

use rustix::process::Signal;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::{TempDir, tempdir};
use terminal::Terminal;

fn rrvmm(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rrvmm"));
    command.args(arguments);
    command
}

/// `rrvmm VERB` with the echoing guest.
fn echo(directory: &TempDir, verb: &str, arguments: &[&str]) -> Command {
    let mut command = rrvmm(&[verb, "--memory", "16M", "--kernel"]);
    command.arg(guest::echo(directory)).args(arguments);
    command
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs with `typed` on a pipe as standard input.
fn with_input(command: &mut Command, typed: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let typed = typed.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&typed));
    let output = child.wait_with_output().unwrap();
    // The guest may leave before it has read all of it.
    let _ = writer.join().unwrap();
    output
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn info(recording: &Path) -> serde_json::Value {
    let output = rrvmm(&["info", "--json", text(recording)]).output().unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_demo_shows_what_it_says() {
    let output = rrvmm(&["demo"]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    let (first, second) = output.stdout.split_at(output.stdout.len() / 2);
    assert_eq!(first, second, "the replay's console is the recording's");
    assert!(String::from_utf8_lossy(first).contains("primes below 1000000: 78498\n"));
    assert!(errors(&output).contains("every digest of the replay was equal"));
}

#[test]
fn a_terminal_is_raw_while_the_guest_has_it() {
    let directory = tempdir().unwrap();
    let mut terminal = Terminal::run(&mut echo(&directory, "run", &[]));
    terminal.wait_for_raw_mode();
    terminal.type_in(b"\x03\x1a");
    terminal.expect(b"\x03\x1a");
    terminal.type_in(b"\x01\x01.");
    terminal.expect(b"\x01.");
    terminal.type_in(b"\x01x");
    let (status, errors, _) = terminal.finish();
    assert_eq!(status.code(), Some(0));
    assert!(errors.contains("ended by the user"), "{errors}");
}

#[test]
fn what_is_typed_at_a_terminal_is_replayed() {
    let directory = tempdir().unwrap();
    let recording = directory.path().join("typed.rrvm");
    let mut terminal = Terminal::run(&mut echo(&directory, "record", &["-o", text(&recording)]));
    terminal.wait_for_raw_mode();
    for (number, word) in ["one ", "two ", "three "].iter().enumerate() {
        std::thread::sleep(Duration::from_millis(7 * number as u64));
        terminal.type_in(word.as_bytes());
        terminal.expect(word.as_bytes());
    }
    terminal.type_in(b"q");
    let (status, errors, seen) = terminal.finish();
    assert_eq!(status.code(), Some(guest::STATUS), "{errors}");
    assert_eq!(seen, b"one two three q");

    let replayed = rrvmm(&["replay", text(&recording)]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(replayed.status.code(), Some(guest::STATUS));
    assert_eq!(replayed.stdout, seen);
    let verified = rrvmm(&["verify", text(&recording)]).output().unwrap();
    assert!(verified.status.success());
    let info = info(&recording);
    let last = format!("position {} digest {}\n", info["instructions"], info["digest"].as_str().unwrap());
    assert_eq!(String::from_utf8(verified.stdout).unwrap(), last);
}

#[test]
fn a_signal_ends_a_recording_properly() {
    let directory = tempdir().unwrap();
    let recording = directory.path().join("stopped.rrvm");
    let mut terminal = Terminal::run(&mut echo(&directory, "record", &["-o", text(&recording)]));
    terminal.wait_for_raw_mode();
    terminal.type_in(b"hello");
    terminal.expect(b"hello");
    terminal.signal(Signal::TERM);
    let (status, errors, _) = terminal.finish();
    assert_eq!(status.code(), Some(143), "{errors}");
    let info = info(&recording);
    assert_eq!((&info["complete"], &info["end"]), (&true.into(), &"signal".into()));
    let replayed = rrvmm(&["replay", text(&recording)]).output().unwrap();
    assert_eq!((replayed.status.code(), &replayed.stdout[..]), (Some(0), &b"hello"[..]));
}

#[test]
fn a_killed_recording_replays_up_to_its_cut() {
    let directory = tempdir().unwrap();
    let recording = directory.path().join("killed.rrvm");
    let mut terminal = Terminal::run(&mut echo(&directory, "record", &["-o", text(&recording)]));
    terminal.wait_for_raw_mode();
    terminal.type_in(b"hello");
    terminal.expect(b"hello");
    let start = Instant::now();
    while std::fs::metadata(&recording).unwrap().len() < 600 && start.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(2500));
    terminal.signal(Signal::KILL);
    // Nobody can give a terminal back after that, so its state is not looked at.
    std::mem::forget(terminal);
    std::thread::sleep(Duration::from_millis(200));
    let replayed = rrvmm(&["replay", text(&recording)]).output().unwrap();
    assert_eq!((replayed.status.code(), &replayed.stdout[..]), (Some(0), &b"hello"[..]));
    assert!(errors(&replayed).contains("as far as it can be replayed"), "{}", errors(&replayed));
    assert_eq!(info(&recording)["complete"], false);
}

#[test]
fn a_pipe_is_passed_through_whole() {
    let directory = tempdir().unwrap();
    let typed: Vec<u8> =
        (0..6000u32).map(|n| (n * 7 % 251) as u8).map(|b| if b == b'q' { 0 } else { b }).collect();
    let typed = [&typed[..], b"q"].concat();
    let output = with_input(&mut echo(&directory, "run", &[]), &typed);
    assert_eq!(output.status.code(), Some(guest::STATUS), "{}", errors(&output));
    assert!(output.stdout == typed);
}

#[test]
fn a_reader_that_leaves_ends_the_run() {
    let directory = tempdir().unwrap();
    let mut command = echo(&directory, "run", &["--timeout", "60s"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"nobody reads this\n").unwrap();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert!(!errors(&output).contains("panicked"), "{}", errors(&output));
}

#[test]
fn a_reader_that_stalls_does_not_keep_a_signal_away() {
    let directory = tempdir().unwrap();
    let mut command =
        rrvmm(&["run", "--memory", "16M", "--serial", "null", "--debugcon", "stdio", "--kernel"]);
    command.arg(guest::flood(&directory)).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "does not end");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(status.code(), Some(143));
    let mut seen = Vec::new();
    stdout.read_to_end(&mut seen).unwrap();
    assert!(seen.len() >= 4096 && seen.iter().all(|byte| *byte == b'x'), "{} bytes", seen.len());
}

#[test]
fn a_slow_reader_gets_every_byte() {
    let directory = tempdir().unwrap();
    let until = ["--until", "4_000_000", "--serial", "null", "--debugcon", "stdio", "--kernel"];
    let mut command = rrvmm(&["run", "--memory", "16M"]);
    command.args(until).arg(guest::flood(&directory)).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let mut seen = Vec::new();
    stdout.read_to_end(&mut seen).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    // One instruction before the loop of two.
    assert_eq!(seen.len(), 2_000_000);
}

#[test]
fn a_socket_is_a_console() {
    let directory = tempdir().unwrap();
    let socket = directory.path().join("com1");
    let serial = format!("unix={}", text(&socket));
    let mut child = echo(&directory, "run", &["--serial", &serial]).stdin(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    let mut client = loop {
        match UnixStream::connect(&socket) {
            Ok(client) => break client,
            Err(error) => assert!(start.elapsed() < Duration::from_secs(60), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    client.write_all(b"through a socket: q").unwrap();
    let mut heard = String::new();
    client.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "through a socket: q");
    assert_eq!(child.wait().unwrap().code(), Some(guest::STATUS));
    assert!(!socket.exists());
}

#[test]
fn time_and_position_limits_end_a_run() {
    let directory = tempdir().unwrap();
    let output = echo(&directory, "run", &["--timeout", "300ms"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(124), "{}", errors(&output));
    assert!(errors(&output).contains("out of time"));
    let until = ["--until", "1_000_000", "--stats"];
    let output = echo(&directory, "run", &until).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert!(errors(&output).contains("after 1,000,000 instructions"), "{}", errors(&output));
}

/// The value of line `name` of a table of statistics, whose values all begin in one column.
fn stat<'a>(table: &'a str, name: &str) -> &'a str {
    let mut lines = table.lines().skip_while(|line| !line.starts_with("engine "));
    let first = lines.next().expect("no table");
    let column = first.len() - first.trim_start_matches("engine").trim_start().len();
    let line = lines.find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}: {table}"));
    assert!(line.as_bytes()[column - 1] == b' ' && line.as_bytes()[column] != b' ', "not aligned: {line:?}");
    &line[column..]
}

#[test]
fn every_kind_of_run_has_statistics() {
    let directory = tempdir().unwrap();
    let recording = directory.path().join("stats.rrvm");
    let recorded = ["--stats", "-o", text(&recording)];
    let mut tables = vec![
        with_input(&mut echo(&directory, "run", &["--stats"]), b"q"),
        with_input(&mut echo(&directory, "record", &recorded), b"q"),
    ];
    for verb in ["replay", "verify"] {
        tables.push(rrvmm(&[verb, "--stats", text(&recording)]).output().unwrap());
    }
    for output in tables {
        let table = errors(&output);
        for name in ["blocks translated", "instructions in them", "exits to look up", "fetch look-ups"] {
            let digits = stat(&table, name).replace(',', "");
            assert!(digits.parse::<u64>().is_ok(), "{name}: {table}");
        }
        let took: f64 = stat(&table, "time in translation").split(' ').next().unwrap().parse().unwrap();
        assert!(took < 60.0, "{table}");
        assert_ne!(stat(&table, "blocks translated"), "0", "{table}");
        assert!(stat(&table, "host time").contains("million instructions a second"), "{table}");
    }
}

#[test]
fn full_disks_are_errors_that_name_the_file() {
    let directory = tempdir().unwrap();
    let arguments = ["-o", "/dev/full", "--force", "--timeout", "5s"];
    let output = with_input(&mut echo(&directory, "record", &arguments), b"abc");
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    let message = errors(&output);
    assert!(message.contains("/dev/full") && message.contains("No space left"), "{message}");
}

#[test]
fn a_recording_is_not_overwritten_by_accident() {
    let directory = tempdir().unwrap();
    let recording = directory.path().join("kept.rrvm");
    std::fs::write(&recording, "precious").unwrap();
    let output = with_input(&mut echo(&directory, "record", &["-o", text(&recording)]), b"q");
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("--force"));
    assert_eq!(std::fs::read(&recording).unwrap(), b"precious");
    // A machine that cannot start leaves the old recording alone even with --force.
    let broken = ["record", "--kernel", "/dev/null", "--force", "-o", text(&recording)];
    assert_eq!(with_input(&mut rrvmm(&broken), b"").status.code(), Some(1));
    assert_eq!(std::fs::read(&recording).unwrap(), b"precious");
    let forced = ["--force", "-o", text(&recording)];
    let output = with_input(&mut echo(&directory, "record", &forced), b"q");
    assert_eq!(output.status.code(), Some(guest::STATUS), "{}", errors(&output));
    assert_eq!(info(&recording)["complete"], true);
}

#[test]
fn a_recording_needs_no_other_file() {
    let directory = tempdir().unwrap();
    let recording = directory.path().join("echo.rrvm");
    let recorded = with_input(&mut echo(&directory, "record", &["-o", text(&recording)]), b"selfcontained q");
    let elsewhere = tempdir().unwrap();
    let moved = elsewhere.path().join("moved.rrvm");
    std::fs::copy(&recording, &moved).unwrap();
    drop(directory);
    let replayed = rrvmm(&["replay", text(&moved)]).output().unwrap();
    assert_eq!(replayed.stdout, recorded.stdout);
    let events = rrvmm(&["events", text(&moved)]).output().unwrap();
    let events = String::from_utf8(events.stdout).unwrap();
    assert!(events.contains("serial0") && events.contains("wall clock"), "{events}");
}

/// A device's writes are found as an instruction's are, and it is said whose they were.
#[test]
fn the_last_write_to_a_buffer_is_the_disk_controller_s() {
    let directory = tempdir().unwrap();
    let (recording, disk) = (directory.path().join("r.rrvm"), directory.path().join("disk"));
    std::fs::write(&disk, [0x5a; 4096]).unwrap();
    let mut command = rrvmm(&["record", "--memory", "16M", "--kernel"]);
    command.arg(guest::read_disk(&directory)).args(["-o", text(&recording), "--disk"]);
    let output = command.arg(format!("{},if=ide", text(&disk))).output().unwrap();
    assert_eq!(output.status.code(), Some(guest::STATUS), "{}", errors(&output));
    let ask = |question: &str, more: &[&str]| {
        let place = format!("{:#x}:512", guest::SECTOR);
        let mut command = rrvmm(&[question, text(&recording), &place, "--physical"]);
        let output = command.args(more).output().unwrap();
        assert!(output.status.success(), "{}", errors(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let told = ask("last-write", &[]);
    assert!(told.contains("store 512 at 0x6000  by the IDE controller (PCI 00:01.1) after  "), "{told}");
    let found: serde_json::Value = serde_json::from_str(&ask("last-write", &["--json"])).unwrap();
    assert_eq!(found["device"], "the IDE controller (PCI 00:01.1)");
    let position = found["position"].as_u64().unwrap();
    // Before there nothing wrote, and the guest has waited for some microseconds.
    assert_eq!(ask("last-write", &["--json", "--before", &position.to_string()]), "null\n");
    assert!((10_000..20_000).contains(&position), "{position}");
    let hits = ask("hits", &["--access", "--json"]);
    let devices: Vec<bool> = hits.lines().map(|hit| hit.contains("\"device\"")).collect();
    assert_eq!(devices, [true, false], "{hits}");
}
