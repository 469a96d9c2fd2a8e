//! Sessions on terminals, typed into at random moments: the replay shows the same.

use anyhow::Result;
use rrvmm_tests::guests::{self, Kernel, workload};
use rrvmm_tests::payloads::Payload;
use rrvmm_tests::run::{Guest, Luck, Outcome, Process, Script, rrvmm, typed_into_terminal};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(300);

fn record(guest: &Guest, pace: &str, to: &Path) -> Result<Command> {
    let mut command = rrvmm(["record"])?;
    command.args(guest.rrvmm_options()).args(["--pace", pace]).arg("-o").arg(to);
    Ok(command)
}

fn replay(recording: &Path) -> Result<Outcome> {
    Process::new(rrvmm([Path::new("replay"), recording])?).limit(LIMIT).run()?.exited(0)
}

fn verify(recording: &Path) -> Result<()> {
    Process::new(rrvmm([Path::new("verify"), recording])?).limit(LIMIT).run()?.exited(0)?;
    Ok(())
}

/// Number of inputs the recording holds.
fn inputs(recording: &Path) -> Result<usize> {
    let events = Process::new(rrvmm([Path::new("events"), recording])?).run()?.exited(0)?;
    Ok(events.text().lines().filter(|line| line.contains("serial0")).count())
}

/// Random bytes but `q` at random moments within about `span`, then `q` until the guest takes it: what comes before it
/// has set up its serial port is lost, as on hardware.
fn random_typing(luck: &mut Luck, keys: u64, span: Duration) -> Script {
    let mut script = Script::new();
    for _ in 0..keys {
        let length = 1 + luck.below(4);
        let bytes = (0..length).map(|_| b'A' + luck.below(26) as u8).collect();
        let bound = Duration::from_nanos(2 * span.as_nanos() as u64 / keys);
        script.push((luck.pause(bound), bytes));
    }
    for _ in 0..100 {
        script.push((luck.pause(Duration::from_millis(50)), b"q".to_vec()));
    }
    script
}

#[test]
fn a_session_on_a_terminal_replays_exactly() {
    let mut luck = Luck::new();
    let guest = Payload::named("interactive/echo").unwrap().build().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let recording = scratch.path().join("typed.rrvm");
    let script = random_typing(&mut luck, 40, Duration::from_secs(3));
    let command = record(&guest, "auto", &recording).unwrap();
    let recorded = typed_into_terminal(command, &script, LIMIT).unwrap().exited(0).unwrap();
    let shown = workload_lines(&recorded.text());
    assert_eq!(workload_lines(&replay(&recording).unwrap().text()), shown, "SEED={}", luck.seed());
    assert!(shown.len() > 40, "{}", recorded.text());
    verify(&recording).unwrap();
    assert!(inputs(&recording).unwrap() >= 20);
}

/// The guest's own lines: a terminal shows them with line ends of its own, and the program's messages between them.
fn workload_lines(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| line.trim_matches('\r').to_owned())
        .filter(|line| line.starts_with(" byte="))
        .collect()
}

#[test]
fn typing_into_linux_on_a_terminal_replays_exactly() {
    let mut luck = Luck::new();
    let kernel = Kernel::CloudAmd64;
    let initrd = guests::cached_initrd("echo-amd64").unwrap();
    let guest = Guest::linux(&guests::kernel(kernel).unwrap(), &initrd);
    let scratch = tempfile::tempdir().unwrap();
    let recording = scratch.path().join("linux.rrvm");
    // Some keys come during the boot; the last lines surely after it.
    let mut script = Script::new();
    for _ in 0..30 {
        script.push((luck.pause(Duration::from_millis(1500)), vec![b'a' + luck.below(26) as u8]));
    }
    script.push((Duration::from_secs(1), b"\n".to_vec()));
    for _ in 0..60 {
        script.push((luck.pause(Duration::from_millis(200)), b"line\n".to_vec()));
    }
    for _ in 0..100 {
        script.push((Duration::from_secs(1), b"quit\n".to_vec()));
    }
    let mut command = record(&guest, "auto", &recording).unwrap();
    command.args(["--timeout", "200s"]);
    let recorded = typed_into_terminal(command, &script, LIMIT).unwrap().exited(0).unwrap();
    let replayed = replay(&recording).unwrap();
    let (said, again) = (workload::markers(&recorded.stdout), workload::markers(&replayed.stdout));
    assert!(said.iter().any(|line| line.starts_with("@line ")), "SEED={}: {}", luck.seed(), recorded.text());
    assert_eq!(said, again, "SEED={}", luck.seed());
    verify(&recording).unwrap();
}
