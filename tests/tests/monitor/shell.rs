//! A shell in a guest, typed to over a Unix socket.

use anyhow::{Context as _, Result, bail, ensure};
use rrvmm_tests::guests::{self, Kernel};
use rrvmm_tests::run::{Guest, Outcome, Process, rrvmm};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

pub const LIMIT: Duration = Duration::from_secs(300);

/// A session in the background; it does not outlive the test.
pub struct Running(Child);

impl Running {
    pub fn start(mut command: Command) -> Result<Self> {
        Ok(Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?))
    }

    /// Waits for its end, which must be of its own and good.
    pub fn ends_well(mut self) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            if let Some(status) = self.0.try_wait()? {
                ensure!(status.success(), "the session ended with {status}");
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("the session does not end")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Connects to a socket that is about to be made.
pub fn connect(path: &Path) -> Result<UnixStream> {
    let start = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => {
                stream.set_read_timeout(Some(LIMIT))?;
                return Ok(stream);
            }
            Err(error) if start.elapsed() > LIMIT => return Err(error).context(path.display().to_string()),
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// The other end of a guest's console.
pub struct Console {
    stream: UnixStream,
    shown: Vec<u8>,
}

impl Console {
    pub fn connect(path: &Path) -> Result<Self> {
        Ok(Self { stream: connect(path)?, shown: Vec::new() })
    }

    /// Reads until `text` is shown; gives everything up to it.
    pub fn wait_for(&mut self, text: &str) -> Result<String> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(at) = self.shown.windows(text.len()).position(|part| part == text.as_bytes()) {
                let read: Vec<u8> = self.shown.drain(..at + text.len()).collect();
                return Ok(String::from_utf8_lossy(&read).into_owned());
            }
            let length = self.stream.read(&mut buffer).with_context(|| self.seen(text))?;
            ensure!(length > 0, "the console closed: {}", self.seen(text));
            self.shown.extend(&buffer[..length]);
        }
    }

    pub fn type_line(&mut self, line: &str) -> Result<()> {
        Ok(self.stream.write_all(format!("{line}\n").as_bytes())?)
    }

    /// Has the shell evaluate `line` and waits for `answer` and its prompt.
    pub fn ask(&mut self, line: &str, answer: &str) -> Result<()> {
        self.type_line(line)?;
        self.wait_for(&format!("\n{answer}\r\n"))?;
        self.wait_for("@prompt ").map(drop)
    }

    fn seen(&self, text: &str) -> String {
        format!("waiting for {text:?} after {:?}", String::from_utf8_lossy(&self.shown))
    }
}

/// What a monitor command says.
pub fn monitor(socket: &Path, command: &str) -> Result<Outcome> {
    let mut ask = rrvmm(["monitor"])?;
    ask.arg(socket).args(command.split(' '));
    Process::new(ask).limit(LIMIT).run()
}

/// The number after `position ` in what a command said.
pub fn position(said: &str) -> Result<u64> {
    let digits = said.split("position ").nth(1).context("no position")?;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    Ok(digits[..end].parse()?)
}

/// A recorded session: three commands typed at a shell, with the monitor looking in.
pub struct Recorded {
    pub path: PathBuf,
    /// Where the shell waited for its second command.
    pub prompt: u64,
}

/// The one of this process.
pub fn recorded() -> &'static Recorded {
    static RECORDED: OnceLock<Recorded> = OnceLock::new();
    RECORDED.get_or_init(|| record().unwrap())
}

fn record() -> Result<Recorded> {
    let initrd = guests::cached_initrd("shell-amd64")?;
    let guest = Guest::linux(&guests::kernel(Kernel::CloudAmd64)?, &initrd);
    let scratch = tempfile::tempdir()?;
    let (console, socket) = (scratch.path().join("console"), scratch.path().join("monitor"));
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("monitor-shell.rrvm");
    let mut options = guest.rrvmm_options();
    let stdio = options.iter().position(|option| option == "stdio").context("no console")?;
    options[stdio] = format!("unix={}", console.display());
    let mut command = rrvmm(["record", "--force", "--pace", "host"])?;
    command.args(options).arg("--monitor").arg(&socket).arg("-o").arg(&path);
    let session = Running::start(command)?;
    let mut shell = Console::connect(&console)?;
    shell.wait_for("@prompt ")?;
    shell.ask("echo first-$((40+2))", "first-42")?;
    // Stopped, the machine stands; what is typed meanwhile waits for it.
    monitor(&socket, "stop")?.exited(0)?;
    let here = monitor(&socket, "where")?.exited(0)?.text();
    shell.type_line("echo second-$((40+3))")?;
    thread::sleep(Duration::from_millis(100));
    ensure!(monitor(&socket, "where")?.exited(0)?.text() == here, "it runs on: {here}");
    ensure!(monitor(&socket, "info status")?.text().contains("paused"));
    let events = monitor(&socket, "replay_events --device serial0")?.exited(0)?.text();
    ensure!(events.contains("first-"), "{events}");
    ensure!(monitor(&socket, "checkpoint")?.exited(0)?.text().contains("safe up to"));
    ensure!(monitor(&socket, "replay_seek 5")?.status.code() == Some(1), "there is nowhere to go yet");
    monitor(&socket, "cont")?.exited(0)?;
    shell.wait_for("\nsecond-43\r\n")?;
    shell.wait_for("@prompt ")?;
    shell.type_line("poweroff -f")?;
    session.ends_well()?;
    Ok(Recorded { path, prompt: position(&here)? })
}
