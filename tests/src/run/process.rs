//! One child process to its end, or to a time limit, or to the moment it prints something awaited.

use super::interactive::Script;
use anyhow::{Context as _, Result, ensure};
use std::io::{Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// What a process left behind.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit status; a signal's when it was stopped.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: Vec<u8>,
    /// All of its standard error.
    pub stderr: Vec<u8>,
    /// How long it ran on the host.
    pub elapsed: Duration,
    /// Whether it was stopped because the time limit passed.
    pub timed_out: bool,
}

impl Outcome {
    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    #[must_use]
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Everything, for a failure message: status, time, the ends of both streams.
    #[must_use]
    pub fn describe(&self) -> String {
        let tail = |text: &str| {
            let skip = text.lines().count().saturating_sub(40);
            text.lines().skip(skip).collect::<Vec<_>>().join("\n")
        };
        format!(
            "{}{} after {:.1} s\n--- standard output ends:\n{}\n--- standard error ends:\n{}",
            self.status,
            if self.timed_out { " (stopped: time limit)" } else { "" },
            self.elapsed.as_secs_f64(),
            tail(&self.text()),
            tail(&self.errors())
        )
    }

    /// The outcome itself, or an error that describes it when the process did not exit with `status`.
    ///
    /// # Errors
    /// The process ended otherwise.
    pub fn exited(self, status: i32) -> Result<Self> {
        ensure!(
            !self.timed_out && self.status.code() == Some(status),
            "wanted exit status {status}: {}",
            self.describe()
        );
        Ok(self)
    }
}

/// A process about to run.
pub struct Process {
    command: Command,
    limit: Duration,
    stop_at: Option<Vec<u8>>,
    script: Script,
    on_terminal: bool,
}

enum Heard {
    Output(Vec<u8>),
    Errors(Vec<u8>),
}

impl Process {
    /// Runs `command` for at most a minute, with nothing on its standard input.
    #[must_use]
    pub fn new(command: Command) -> Self {
        Self {
            command,
            limit: Duration::from_secs(60),
            stop_at: None,
            script: Vec::new(),
            on_terminal: false,
        }
    }

    /// Another time limit.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Stops the process, without calling that a failure, as soon as its standard output contains `text`.
    #[must_use]
    pub fn stop_at(mut self, text: &str) -> Self {
        self.stop_at = Some(text.as_bytes().to_vec());
        self
    }

    /// Bytes for its standard input, written at the start.
    #[must_use]
    pub fn input(self, bytes: &[u8]) -> Self {
        self.script(vec![(Duration::ZERO, bytes.to_vec())])
    }

    /// Bytes for its standard input, each after a pause.
    #[must_use]
    pub fn script(mut self, script: Script) -> Self {
        self.script = script;
        self
    }

    /// Leaves standard input and output as the command has them.
    #[must_use]
    pub(super) fn on_terminal(mut self) -> Self {
        self.on_terminal = true;
        self
    }

    /// Runs it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(mut self) -> Result<Outcome> {
        let start = Instant::now();
        if !self.on_terminal {
            let stdin = if self.script.is_empty() { Stdio::null() } else { Stdio::piped() };
            self.command.stdin(stdin).stdout(Stdio::piped());
        }
        let mut child = self
            .command
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", self.command.get_program().to_string_lossy()))?;
        // The command holds its own ends of a terminal, which must close with the child.
        self.command.stdin(Stdio::null()).stdout(Stdio::null());
        if let Some(mut stdin) = child.stdin.take() {
            let script = std::mem::take(&mut self.script);
            thread::spawn(move || {
                for (pause, bytes) in script {
                    thread::sleep(pause);
                    // The process may end without reading: what it printed tells why.
                    if stdin.write_all(&bytes).and_then(|()| stdin.flush()).is_err() {
                        break;
                    }
                }
            });
        }
        let heard = listen(&mut child);
        let mut outcome = Outcome {
            status: ExitStatus::default(),
            stdout: Vec::new(),
            stderr: Vec::new(),
            elapsed: Duration::ZERO,
            timed_out: false,
        };
        loop {
            match heard.recv_timeout(self.limit.saturating_sub(start.elapsed())) {
                Ok(Heard::Output(bytes)) => {
                    outcome.stdout.extend(bytes);
                    if self.stop_at.as_ref().is_some_and(|text| contains(&outcome.stdout, text)) {
                        self.stop_at = None;
                        child.kill()?;
                    }
                }
                Ok(Heard::Errors(bytes)) => outcome.stderr.extend(bytes),
                Err(RecvTimeoutError::Timeout) if !outcome.timed_out => {
                    outcome.timed_out = true;
                    child.kill()?;
                    self.limit = start.elapsed() + Duration::from_secs(5);
                }
                Err(_) => break,
            }
        }
        outcome.status = child.wait()?;
        outcome.elapsed = start.elapsed();
        Ok(outcome)
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

type Stream = Option<Box<dyn Read + Send>>;
type Wrap = fn(Vec<u8>) -> Heard;

/// Forwards both streams of `child`; the receiver disconnects when both have ended.
fn listen(child: &mut Child) -> Receiver<Heard> {
    let (sender, receiver) = channel();
    let streams: [(Stream, Wrap); 2] = [
        (child.stdout.take().map(|stream| Box::new(stream) as _), Heard::Output),
        (child.stderr.take().map(|stream| Box::new(stream) as _), Heard::Errors),
    ];
    for (stream, wrap) in streams {
        let (Some(mut stream), sender) = (stream, sender.clone()) else { continue };
        thread::spawn(move || {
            let mut buffer = [0; 1 << 16];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                if sender.send(wrap(buffer[..length].to_vec())).is_err() {
                    break;
                }
            }
        });
    }
    receiver
}

/// Whether `name` is a program on the search path.
#[must_use]
pub fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

/// The MD5 digest of `bytes`, as md5sum prints it.
///
/// # Errors
/// There is no md5sum.
pub fn md5(bytes: &[u8]) -> Result<String> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(bytes)?;
    let mut command = Command::new("md5sum");
    command.arg(file.path());
    let said = Process::new(command).run()?.exited(0)?.text();
    Ok(said.split(' ').next().unwrap_or_default().to_owned())
}

/// The same command under a limit of its address space, in KiB.
#[must_use]
pub fn with_memory_limit(command: &Command, kib: u64) -> Command {
    let mut limited = Command::new("sh");
    limited
        .args(["-c", &format!("ulimit -v {kib} && exec \"$@\""), "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(directory) = command.get_current_dir() {
        limited.current_dir(directory);
    }
    limited
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::new(command)
    }

    #[test]
    fn both_streams_and_the_status_are_kept() {
        let outcome = shell("read x; echo $x; echo two >&2; exit 3").input(b"one\n").run().unwrap();
        assert_eq!((outcome.text().as_str(), outcome.errors().as_str()), ("one\n", "two\n"));
        assert!(outcome.exited(0).is_err());
    }

    #[test]
    fn a_time_limit_stops_it() {
        let outcome = shell("echo on; exec sleep 60").limit(Duration::from_millis(200)).run().unwrap();
        assert!(outcome.timed_out && outcome.elapsed < Duration::from_secs(30));
        assert_eq!(outcome.text(), "on\n");
    }

    #[test]
    fn an_awaited_text_stops_it() {
        let outcome = shell("echo here it is; exec sleep 60").stop_at("it is").run().unwrap();
        assert!(!outcome.timed_out && outcome.elapsed < Duration::from_secs(30));
    }
}
