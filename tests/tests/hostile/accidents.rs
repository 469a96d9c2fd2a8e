//! Accidents while recording: a full disk, a kill, readers that leave.

use crate::tiny::{ENDLESS, Random, STATUS, checked, finish, info, machine, on, text, timed};
use rrvmm_tests::run::skipped;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::{TempDir, tempdir};

/// A file system in memory of a given size, for as long as this exists.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// None if this process may not mount.
    fn mount(kib: u32) -> Option<Self> {
        let directory = tempdir().unwrap();
        let size = format!("size={kib}k");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory.path()).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Self(directory))
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("full.rrvm")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Starts `command` and types random bytes until it ends.
fn type_until_the_end(mut command: Command, seed: u64) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let typist = std::thread::spawn(move || {
        let mut random = Random::seeded(seed);
        // Bytes that do not compress, so that the disk fills soon; never the `q` that ends the guest.
        let mut byte = move || match random.next() as u8 {
            b'q' => b'r',
            byte => byte,
        };
        // Some 25 KB a second, so that there are flushes before the disk is full.
        while stdin.write_all(&std::array::from_fn::<u8, 512, _>(|_| byte())).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let output = child.wait_with_output().unwrap();
    typist.join().unwrap();
    output
}

#[test]
fn a_full_disk_ends_a_recording_that_can_be_replayed() {
    let directory = tempdir().unwrap();
    let kernel = timed(directory.path(), ENDLESS);
    let large = directory.path().join("large");
    fs::write(&large, [fs::read(&kernel).unwrap(), vec![0; 20_000]].concat()).unwrap();
    for (kib, kernel, replayable) in [(8, &large, false), (32, &kernel, true), (64, &kernel, true)] {
        let Some(disk) = SmallDisk::mount(kib) else {
            return skipped("a full disk while recording", "mounting a small tmpfs needs root");
        };
        let path = disk.file();
        let arguments = ["--pace", "free", "--timeout", "60s", "-o", text(&path)];
        let recorded = type_until_the_end(machine("record", kernel, &arguments), kib.into());
        let message = errors(&recorded);
        assert_eq!(recorded.status.code(), Some(1), "{kib} KiB: {message}");
        assert!(message.contains("No space left") && message.contains(text(&path)), "{message}");
        assert!(!message.contains("panicked"), "{message}");
        let replayed = on("replay", &path);
        let told = message.contains("can be replayed, up to instruction");
        assert_eq!(told, replayed.status.code() == Some(0), "{message}\n{}", replayed.describe());
        assert_eq!(told, replayable, "{kib} KiB: {message}");
        assert!(recorded.stdout.starts_with(&replayed.stdout), "{}", replayed.describe());
        if told {
            assert!(replayed.errors().contains("as far as it can be replayed"), "{}", replayed.errors());
            assert!(info(&path)["events"].as_u64().unwrap() > 1, "nothing of the input was saved");
            on("verify", &path).exited(0).unwrap();
        } else {
            assert!(message.contains("nothing of it can be replayed; make room"), "{message}");
        }
    }
}

#[test]
fn a_kill_at_any_moment_leaves_what_was_flushed() {
    const KILLS: u64 = 12;
    let directory = tempdir().unwrap();
    let kernel = timed(directory.path(), ENDLESS);
    let reached = std::thread::scope(|scope| {
        let killers: Vec<_> = (0..4)
            .map(|worker| {
                let (kernel, directory) = (&kernel, directory.path());
                scope.spawn(move || {
                    let mine = (0..KILLS).filter(|number| number % 4 == worker);
                    mine.map(|number| kill_once(directory, kernel, number)).collect::<Vec<u64>>()
                })
            })
            .collect();
        killers.into_iter().flat_map(|killer| killer.join().unwrap()).collect::<Vec<u64>>()
    });
    assert!(reached.iter().filter(|position| **position > 0).count() >= 3, "saved up to {reached:?}");
}

/// Kills a recording after a random time and returns how far what it left can be replayed.
fn kill_once(directory: &Path, kernel: &Path, number: u64) -> u64 {
    let mut random = Random::seeded(900 + number);
    let path = directory.join(format!("killed-{number}.rrvm"));
    let printed = directory.join(format!("printed-{number}"));
    let mut command = machine("record", kernel, &["--pace", "host", "-o", text(&path)]);
    let streams = command.stdin(Stdio::piped()).stdout(File::create(&printed).unwrap());
    let mut child = streams.stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Every third is killed soon after its start, perhaps before there is a file.
    let life = if number.is_multiple_of(3) { random.below(80) } else { random.below(1500) + 1300 };
    let end = Instant::now() + Duration::from_millis(life as u64);
    while Instant::now() < end {
        let length = random.below(20);
        stdin.write_all(&random.word(length)).unwrap();
        std::thread::sleep(Duration::from_millis(random.next() % 40).min(end - Instant::now().min(end)));
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "it ended before it was killed");
    if !path.exists() {
        return 0;
    }
    let replayed = on("replay", &path);
    let printed = fs::read(&printed).unwrap();
    let common = printed.len().min(replayed.stdout.len());
    assert_eq!(printed[..common], replayed.stdout[..common], "killed after {life} ms");
    if replayed.status.code() == Some(1) {
        assert!(replayed.errors().contains("record") && life < 1300, "{life} ms: {}", replayed.describe());
        return 0;
    }
    let replayed = replayed.exited(0).unwrap();
    assert!(replayed.errors().contains("as far as it can be replayed"), "{}", replayed.errors());
    on("verify", &path).exited(0).unwrap();
    info(&path)["instructions"].as_u64().unwrap()
}

fn wait(mut child: Child) -> Output {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    assert!(
        !errors(&output).contains("panicked") && output.status.code() != Some(101),
        "{}",
        errors(&output)
    );
    output
}

#[test]
fn a_client_that_leaves_its_socket_does_not_end_the_recording() {
    let directory = tempdir().unwrap();
    let kernel = timed(directory.path(), ENDLESS);
    let (path, socket) = (directory.path().join("socket.rrvm"), directory.path().join("com1"));
    let serial = format!("unix={}", text(&socket));
    let mut command = machine("record", &kernel, &["--pace", "host", "--serial", &serial, "-o", text(&path)]);
    let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    for word in ["one", "two", "three"] {
        let start = Instant::now();
        let mut client = loop {
            match UnixStream::connect(&socket) {
                Ok(client) => break client,
                Err(error) => assert!(start.elapsed() < Duration::from_secs(30), "{error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        client.write_all(word.as_bytes()).unwrap();
        client.read_exact(&mut [0; 6]).unwrap();
        // Dead in the middle of a conversation.
        drop(client);
    }
    std::thread::sleep(Duration::from_millis(50));
    let mut last = UnixStream::connect(&socket).unwrap();
    last.write_all(b"q").unwrap();
    assert_eq!(wait(child).status.code(), Some(STATUS));
    let replayed = on("replay", &path).exited(STATUS).unwrap();
    for letter in "onetwothree".chars() {
        assert!(replayed.text().contains(letter), "{letter} was typed: {}", replayed.text());
    }
    on("verify", &path).exited(0).unwrap();
}

#[test]
fn readers_that_leave_end_a_recording_properly() {
    let directory = tempdir().unwrap();
    let kernel = timed(directory.path(), ENDLESS);
    let path = directory.path().join("unread.rrvm");
    let arguments = ["--pace", "host", "--timeout", "50s", "-o", text(&path)];
    let mut command = machine("record", &kernel, &arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Both readers go: what the program wants to say at its end has no reader either.
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(wait(child).status.code(), Some(0));
    assert_eq!((&info(&path)["complete"], &info(&path)["end"]), (&true.into(), &"quit".into()));
    on("verify", &path).exited(0).unwrap();
    for verb in ["info", "events", "replay", "verify"] {
        let mut command = crate::tiny::program([verb.as_ref(), path.as_os_str()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(wait(child).status.code(), Some(0), "{verb}");
    }
}

#[test]
fn a_closed_standard_output_is_no_reader_and_no_panic() {
    let directory = tempdir().unwrap();
    let kernel = timed(directory.path(), 40);
    let path = directory.path().join("closed.rrvm");
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh"]);
    let record = machine("record", &kernel, &["-o", text(&path)]);
    command.arg(record.get_program()).args(record.get_args());
    assert_eq!(finish(command).status.code(), Some(STATUS));
    on("verify", &path).exited(0).unwrap();
    // Console output that a full device refuses is an error, and says so; the recording is closed up to there.
    let path = directory.path().join("refused.rrvm");
    let kernel = timed(directory.path(), ENDLESS);
    let mut command = machine("record", &kernel, &["--serial", "file=/dev/full", "-o", text(&path)]);
    command.stdin(Stdio::null());
    let outcome = checked(rrvmm_tests::run::Process::new(command).run().unwrap()).exited(1).unwrap();
    assert!(outcome.errors().contains("file=/dev/full"), "{}", outcome.errors());
    on("replay", &path).exited(0).unwrap();
}
