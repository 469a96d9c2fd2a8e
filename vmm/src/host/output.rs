//! The consoles' output side, which every session has.

use super::pty::Pty;
use super::sink::{FileSink, NullSink, Sink};
use super::stdio::StdoutSink;
use super::unix::SocketConsole;
use super::{ConsoleSpec, Deadline, HostError, Signals};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io;
use std::time::Duration;

/// Unwritten bytes at which a console is flushed without being asked.
const FLUSH_AT: usize = 4096;
/// Most unwritten bytes of a console: then the machine waits, or the oldest are dropped.
const BACKLOG: usize = 1 << 20;
/// How long a session that was asked to stop still waits for its console to take the rest.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// How long the end of a session waits for a reader that may not be there.
const FAREWELL: Duration = Duration::from_millis(200);

/// The consoles of a session, by number, for output.
pub struct Outputs {
    consoles: Vec<Console>,
    signals: Signals,
    deadline: Deadline,
}

struct Console {
    spec: ConsoleSpec,
    sink: Box<dyn Sink>,
    pending: Vec<u8>,
    dropped: u64,
    /// Nobody will ever read it again.
    closed: bool,
}

impl Outputs {
    /// Opens consoles 0, 1, … for output only.
    ///
    /// # Errors
    /// [`HostError`] if one cannot be opened, or two want standard output.
    pub fn open(specs: &[ConsoleSpec], signals: &Signals, deadline: Deadline) -> Result<Self, HostError> {
        check_stdio(specs)?;
        let mut outputs = Self { consoles: Vec::new(), signals: signals.clone(), deadline };
        for (number, spec) in specs.iter().enumerate() {
            let sink: Box<dyn Sink> = match spec {
                ConsoleSpec::Stdio => outputs.stdout(spec)?,
                ConsoleSpec::Null => Box::new(NullSink),
                ConsoleSpec::File(path) => Box::new(FileSink(
                    File::create(path)
                        .map_err(|source| HostError::CreateFile { path: path.clone(), source })?,
                )),
                ConsoleSpec::Pty => {
                    let pty = Pty::open()?;
                    announce_pty(number, &pty);
                    Box::new(pty)
                }
                ConsoleSpec::Unix(path) => Box::new(SocketConsole::listen(path)?),
                ConsoleSpec::Tcp(address) => Box::new(SocketConsole::listen_tcp(number, *address)?),
            };
            outputs.add(spec.clone(), sink);
        }
        Ok(outputs)
    }

    /// No consoles yet.
    pub(super) fn none(signals: &Signals, deadline: Deadline) -> Self {
        Self { consoles: Vec::new(), signals: signals.clone(), deadline }
    }

    pub(super) fn stdout(&self, spec: &ConsoleSpec) -> Result<Box<dyn Sink>, HostError> {
        let sink = StdoutSink::new().map_err(|source| HostError::Write { to: spec.clone(), source })?;
        Ok(Box::new(sink))
    }

    pub(super) fn add(&mut self, spec: ConsoleSpec, sink: Box<dyn Sink>) {
        self.consoles.push(Console { spec, sink, pending: Vec::new(), dropped: 0, closed: false });
    }

    /// Puts out `bytes` at console `number`; a console that does not exist drops them.
    ///
    /// They are on their way at the latest after the next [`flush`](Self::flush). Waits while the reader does not keep up,
    /// see the [module](super).
    ///
    /// # Errors
    /// [`HostError::Write`] if the host refuses them (a full disk, for example).
    pub fn write(&mut self, number: u8, bytes: &[u8]) -> Result<(), HostError> {
        let Some(console) = self.consoles.get_mut(usize::from(number)) else { return Ok(()) };
        if console.closed {
            return Ok(());
        }
        console.pending.extend_from_slice(bytes);
        if console.pending.len() >= FLUSH_AT || bytes.contains(&b'\n') {
            console.flush()?;
        }
        if console.pending.len() > BACKLOG {
            if console.sink.has_reader_for_certain() {
                console.wait_until_below(FLUSH_AT, None, &self.signals, self.deadline)?;
            } else {
                console.drop_oldest();
            }
        }
        Ok(())
    }

    /// Writes what can be written without waiting.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn flush(&mut self) -> Result<(), HostError> {
        self.consoles.iter_mut().try_for_each(Console::flush)
    }

    /// Whether the reader of standard output has gone, so that the session has nobody to speak to.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.consoles.iter().any(|console| console.closed)
    }

    /// Writes the rest, and reports on standard error what had to be dropped.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn finish(mut self) -> Result<(), HostError> {
        for (number, console) in self.consoles.iter_mut().enumerate() {
            let certain = console.sink.has_reader_for_certain();
            let stopping = self.signals.stop_requested().is_some() || self.deadline.passed();
            let patience = match (certain, stopping) {
                (true, false) => None,
                (true, true) => Some(STOP_PATIENCE),
                (false, _) => Some(FAREWELL),
            };
            console.wait_until_below(1, patience, &self.signals, self.deadline)?;
            let lost = console.dropped + console.pending.len() as u64;
            if lost > 0 && !console.closed {
                crate::tell!("rrvmm: {lost} bytes of console {number} ({}) had no reader", console.spec);
            }
        }
        Ok(())
    }

    /// Calls `visit` for what becomes writable when a console with unwritten bytes can go on.
    pub(super) fn for_each_blocked(&mut self, mut visit: impl FnMut(&std::os::fd::BorrowedFd<'_>)) {
        for console in self.consoles.iter_mut().filter(|console| !console.pending.is_empty()) {
            console.sink.with_fd(&mut |fd| {
                if let Some(fd) = fd {
                    visit(&fd);
                }
            });
        }
    }
}

impl Console {
    fn flush(&mut self) -> Result<(), HostError> {
        let mut written = 0;
        while written < self.pending.len() {
            match self.sink.try_write(&self.pending[written..]) {
                Ok(0) => break,
                Ok(length) => written += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    self.closed = true;
                    written = self.pending.len();
                }
                Err(source) => {
                    self.pending.drain(..written);
                    return Err(HostError::Write { to: self.spec.clone(), source });
                }
            }
        }
        self.pending.drain(..written);
        Ok(())
    }

    fn drop_oldest(&mut self) {
        let excess = self.pending.len().saturating_sub(BACKLOG);
        self.pending.drain(..excess);
        self.dropped += excess as u64;
    }

    /// Waits until fewer than `limit` bytes are unwritten. Gives up without progress for `patience`, or if that is
    /// unlimited, when a signal or the deadline asks for the end.
    fn wait_until_below(
        &mut self,
        limit: usize,
        patience: Option<Duration>,
        signals: &Signals,
        deadline: Deadline,
    ) -> Result<(), HostError> {
        loop {
            let before = self.pending.len();
            self.flush()?;
            if self.pending.len() < limit {
                return Ok(());
            }
            if self.pending.len() < before {
                continue;
            }
            let unlimited = patience.is_none();
            if unlimited && (signals.stop_requested().is_some() || deadline.passed()) {
                return Ok(());
            }
            let timeout = if unlimited { deadline.limit(None) } else { patience };
            let ready = self.wait_writable(timeout, unlimited.then_some(signals))?;
            signals.drain();
            if !ready && !unlimited {
                return Ok(());
            }
        }
    }

    /// Whether the sink became writable; otherwise the time is up or a signal has come.
    fn wait_writable(
        &mut self,
        timeout: Option<Duration>,
        signals: Option<&Signals>,
    ) -> Result<bool, HostError> {
        let mut result = Ok(0);
        let mut ready = false;
        self.sink.with_fd(&mut |sink| {
            let mut fds: Vec<PollFd<'_>> = Vec::new();
            fds.extend(sink.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::OUT)));
            fds.extend(signals.map(|signals| PollFd::from_borrowed_fd(signals.fd(), PollFlags::IN)));
            result = poll(&mut fds, timespec(timeout).as_ref());
            ready = sink.is_some() && fds.first().is_some_and(|fd| !fd.revents().is_empty());
        });
        match result {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(ready),
            Err(error) => Err(HostError::Wait(error.into())),
        }
    }
}

/// Says where a console's pseudo terminal is.
pub(super) fn announce_pty(number: usize, pty: &Pty) {
    crate::tell!("rrvmm: console {number} is {}", pty.path());
}

pub(super) fn check_stdio(specs: &[ConsoleSpec]) -> Result<(), HostError> {
    if specs.iter().filter(|spec| **spec == ConsoleSpec::Stdio).count() > 1 {
        return Err(HostError::StdioTwice);
    }
    Ok(())
}

/// A timeout for [`poll`]; one too long to be said is none.
pub(super) fn timespec(timeout: Option<Duration>) -> Option<Timespec> {
    timeout.and_then(|timeout| Timespec::try_from(timeout).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    fn open(spec: ConsoleSpec) -> Outputs {
        Outputs::open(&[spec], &Signals::watch().unwrap(), Deadline::default()).unwrap()
    }

    #[test]
    fn a_full_disk_is_an_error_that_names_the_console() {
        let mut outputs = open(ConsoleSpec::File("/dev/full".into()));
        let error = outputs.write(0, b"line\n").unwrap_err();
        assert!(error.to_string().contains("file=/dev/full"), "{error}");
    }

    #[test]
    fn a_file_gets_every_byte() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("console");
        let mut outputs = open(ConsoleSpec::File(path.clone()));
        for byte in 0..=255 {
            outputs.write(0, &[byte]).unwrap();
        }
        outputs.write(7, b"no such console").unwrap();
        outputs.finish().unwrap();
        assert_eq!(std::fs::read(path).unwrap(), (0..=255).collect::<Vec<u8>>());
    }

    #[test]
    fn without_a_reader_the_oldest_bytes_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let mut outputs = open(ConsoleSpec::Unix(path.clone()));
        outputs.write(0, b"first").unwrap();
        outputs.write(0, &vec![b'x'; BACKLOG]).unwrap();
        assert_eq!(outputs.consoles[0].dropped, 5);
        let mut client = UnixStream::connect(path).unwrap();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            client.read_to_end(&mut all).unwrap();
            all
        });
        outputs.finish().unwrap();
        assert!(reader.join().unwrap() == vec![b'x'; BACKLOG]);
    }

    #[test]
    fn two_consoles_on_stdio_are_refused() {
        let specs = [ConsoleSpec::Stdio, ConsoleSpec::Stdio];
        let refused = Outputs::open(&specs, &Signals::watch().unwrap(), Deadline::default());
        assert!(matches!(refused, Err(HostError::StdioTwice)));
    }
}
