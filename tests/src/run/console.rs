//! A machine in the background, and the other end of its console.

use anyhow::{Context as _, Result, bail, ensure};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a session may take for a step: generous, since the host may be shared.
pub const SESSION_LIMIT: Duration = Duration::from_secs(300);

/// A session in the background; it does not outlive the test.
pub struct Running(Child);

impl Running {
    /// Starts it with nothing on its standard input. Its standard output is dropped, its standard error goes where `command` says.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(mut command: Command) -> Result<Self> {
        Ok(Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?))
    }

    /// The host's number of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits for its end, which must be of its own and good.
    ///
    /// # Errors
    /// It ends otherwise, or not at all.
    pub fn ends_well(mut self) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < SESSION_LIMIT {
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
///
/// # Errors
/// Nobody listens there.
pub fn connect(path: &Path) -> Result<UnixStream> {
    let start = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => {
                stream.set_read_timeout(Some(SESSION_LIMIT))?;
                return Ok(stream);
            }
            Err(error) if start.elapsed() > SESSION_LIMIT => {
                return Err(error).context(path.display().to_string());
            }
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// The other end of a guest's console, with a shell behind it whose prompt is `@prompt `.
pub struct Console {
    stream: UnixStream,
    /// All that it has shown.
    shown: Vec<u8>,
    /// How much of that has been waited for.
    seen: usize,
}

impl Console {
    /// Connects to the socket of a console that is about to be made.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(path: &Path) -> Result<Self> {
        Ok(Self { stream: connect(path)?, shown: Vec::new(), seen: 0 })
    }

    /// Reads until `text` is shown; gives everything up to it since the last time.
    ///
    /// # Errors
    /// It is not shown in time, or the console closes.
    pub fn wait_for(&mut self, text: &str) -> Result<String> {
        let mut from = self.seen;
        loop {
            let find = |part: &[u8]| part == text.as_bytes();
            if let Some(at) = self.shown[from..].windows(text.len()).position(find) {
                let end = from + at + text.len();
                let read = &self.shown[std::mem::replace(&mut self.seen, end)..end];
                return Ok(String::from_utf8_lossy(read).into_owned());
            }
            // It may have begun.
            from = from.max((self.shown.len() + 1).saturating_sub(text.len()));
            let more = self.read().with_context(|| self.waits_for(text))?;
            ensure!(more, "the console closed: {}", self.waits_for(text));
        }
    }

    /// Reads until the console closes; gives all that it has ever shown.
    ///
    /// # Errors
    /// It does not close in time.
    pub fn to_end(mut self) -> Result<Vec<u8>> {
        while self.read()? {}
        Ok(self.shown)
    }

    /// Types `line` and the return key.
    ///
    /// # Errors
    /// The console has closed.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        Ok(self.stream.write_all(format!("{line}\n").as_bytes())?)
    }

    /// Has the shell evaluate `line` and waits for `answer` and its prompt.
    ///
    /// # Errors
    /// It answers otherwise.
    pub fn ask(&mut self, line: &str, answer: &str) -> Result<()> {
        self.type_line(line)?;
        self.wait_for(&format!("\n{answer}\r\n"))?;
        self.wait_for("@prompt ").map(drop)
    }

    /// Has the shell evaluate `line`; gives what is shown behind that line and before the prompt, without carriage returns.
    ///
    /// # Errors
    /// There is no prompt in time.
    pub fn command(&mut self, line: &str) -> Result<String> {
        self.type_line(line)?;
        self.wait_for("\n")?;
        let said = self.wait_for("@prompt ")?;
        Ok(said.trim_end_matches("@prompt ").replace('\r', ""))
    }

    /// Reads on; false if the console has closed.
    fn read(&mut self) -> Result<bool> {
        let mut buffer = [0; 4096];
        let length = self.stream.read(&mut buffer)?;
        self.shown.extend(&buffer[..length]);
        Ok(length > 0)
    }

    fn waits_for(&self, text: &str) -> String {
        format!("waiting for {text:?} after {:?}", String::from_utf8_lossy(&self.shown[self.seen..]))
    }
}
