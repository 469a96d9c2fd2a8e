//! The consoles of a live session, with their input.

use super::escape::{Escape, HELP};
use super::inputs::InputReceiver;
use super::output::{Outputs, announce_pty, check_stdio, timespec};
use super::pty::Pty;
use super::sink::{FileSink, NullSink, Sink};
use super::terminal::RawTerminal;
use super::unix::SocketConsole;
use super::{Card, ConsoleSpec, Deadline, HostError, Signals, StopSignal};
use rrvmm_devices::Input;
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// Most bytes taken from a console at once.
const READ_CHUNK: usize = 4096;

/// Something that happened on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostEvent {
    /// Bytes arrived at a console, at least one.
    Typed {
        /// The console's number.
        console: u8,
        /// The bytes, escape keys already taken out.
        bytes: Vec<u8>,
    },
    /// A frame arrived from a network.
    Frame {
        /// Number of the network card.
        nic: u8,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// The user pressed Ctrl-A X.
    Quit,
    /// A key or the pointer, not from a console.
    Input(Input),
    /// A signal asks for the end.
    Stop(StopSignal),
    /// The reader of standard output has gone.
    OutputClosed,
}

/// The consoles of a live session. While it exists, a terminal on standard input may be in raw mode.
pub struct Live {
    outputs: Outputs,
    sources: Vec<(u8, ConsoleSpec, Source)>,
    cards: Vec<Card>,
    /// Bit by console: it has input enough.
    held: u8,
    inputs: Option<InputReceiver>,
    signals: Signals,
    /// The end of the session has been asked for already, and said.
    stop_seen: bool,
}

enum Source {
    Stdin { escape: Escape, terminal: Option<RawTerminal> },
    Pty(File),
    Socket(SocketConsole),
}

impl Live {
    /// Opens consoles 0, 1, … for input and output. A terminal on standard input goes into raw mode if a console is on it.
    ///
    /// # Errors
    /// [`HostError`] if one cannot be opened, or two want standard input and output.
    pub fn open(specs: &[ConsoleSpec], signals: &Signals, deadline: Deadline) -> Result<Self, HostError> {
        Self::open_files(specs, signals, deadline, |path| File::create(path))
    }

    /// As [`Live::open`], for a session that goes on where another one ended: what is in files stays there.
    ///
    /// # Errors
    /// As [`Live::open`].
    pub fn open_again(
        specs: &[ConsoleSpec],
        signals: &Signals,
        deadline: Deadline,
    ) -> Result<Self, HostError> {
        let append = |path: &Path| File::options().append(true).create(true).open(path);
        Self::open_files(specs, signals, deadline, append)
    }

    fn open_files(
        specs: &[ConsoleSpec],
        signals: &Signals,
        deadline: Deadline,
        open: impl Fn(&Path) -> io::Result<File>,
    ) -> Result<Self, HostError> {
        check_stdio(specs)?;
        let mut outputs = Outputs::none(signals, deadline);
        let mut sources = Vec::new();
        for (number, spec) in specs.iter().enumerate() {
            let (sink, source): (Box<dyn Sink>, Option<Source>) = match spec {
                ConsoleSpec::Stdio => {
                    let source = Source::Stdin { escape: Escape::default(), terminal: RawTerminal::enter()? };
                    (outputs.stdout(spec)?, Some(source))
                }
                ConsoleSpec::Null => (Box::new(NullSink), None),
                ConsoleSpec::File(path) => {
                    let file =
                        open(path).map_err(|source| HostError::CreateFile { path: path.clone(), source })?;
                    (Box::new(FileSink(file)), None)
                }
                ConsoleSpec::Pty => {
                    let pty = Pty::open()?;
                    announce_pty(number, &pty);
                    let source = Source::Pty(pty.reader()?);
                    (Box::new(pty), Some(source))
                }
                ConsoleSpec::Unix(path) => {
                    let console = SocketConsole::listen(path)?;
                    (Box::new(console.clone()), Some(Source::Socket(console)))
                }
                ConsoleSpec::Tcp(address) => {
                    let console = SocketConsole::listen_tcp(number, *address)?;
                    (Box::new(console.clone()), Some(Source::Socket(console)))
                }
            };
            outputs.add(spec.clone(), sink);
            sources.extend(source.map(|source| (number as u8, spec.clone(), source)));
        }
        Ok(Self {
            outputs,
            sources,
            cards: Vec::new(),
            held: 0,
            inputs: None,
            signals: signals.clone(),
            stop_seen: false,
        })
    }

    /// Adds the host's ends of network cards.
    pub fn attach(&mut self, cards: Vec<Card>) {
        self.cards.extend(cards);
    }

    /// The host's ends of network cards.
    pub fn cards(&mut self) -> &mut [Card] {
        &mut self.cards
    }

    /// Takes inputs from elsewhere too.
    pub fn listen(&mut self, inputs: InputReceiver) {
        self.inputs = Some(inputs);
    }

    /// The output side.
    pub fn outputs(&mut self) -> &mut Outputs {
        &mut self.outputs
    }

    /// Leaves what comes for `console` outside, or no longer. A terminal is read all the same, for its escape keys.
    pub fn hold_back(&mut self, console: u8, hold: bool) {
        let bit = 1u8.checked_shl(console.into()).unwrap_or(0);
        self.held = if hold { self.held | bit } else { self.held & !bit };
    }

    /// Whether input may still come. When the guest waits and this is false, it waits for ever.
    #[must_use]
    pub fn has_input(&self) -> bool {
        let is_awaited = self.inputs.as_ref().is_some_and(InputReceiver::is_awaited);
        is_awaited || !self.sources.is_empty() || !self.cards.is_empty()
    }

    /// Ends the session's consoles: restores the terminal and writes the rest of the output.
    ///
    /// # Errors
    /// As [`Outputs::finish`].
    pub fn finish(self) -> Result<(), HostError> {
        drop(self.sources);
        self.outputs.finish()
    }

    /// What has happened since the last call, without waiting. Flushes the outputs.
    ///
    /// # Errors
    /// [`HostError`] if a console fails.
    pub fn poll(&mut self) -> Result<Vec<HostEvent>, HostError> {
        self.wait(Some(Duration::ZERO))
    }

    /// Waits until something happens, at most for `timeout` (`None`: as long as it takes), and returns what happened;
    /// nothing if the time is up. Output goes on meanwhile.
    ///
    /// # Errors
    /// [`HostError`] if a console fails.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<Vec<HostEvent>, HostError> {
        let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            self.outputs.flush()?;
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let stop_waits = !self.stop_seen && self.signals.stop_requested().is_some();
            if left != Some(Duration::ZERO) && !stop_waits {
                self.wait_ready(left)?;
            }
            let events = self.collect()?;
            if !events.is_empty() || end.is_some_and(|end| Instant::now() >= end) {
                return Ok(events);
            }
        }
    }

    /// Waits until anything that could be of interest is ready.
    fn wait_ready(&mut self, timeout: Option<Duration>) -> Result<(), HostError> {
        let mut owned: Vec<(OwnedFd, PollFlags)> = Vec::new();
        for (_, _, source) in
            self.sources.iter().filter(|(console, _, source)| source.is_read(self.held, *console))
        {
            owned.push((source.wait_fd().map_err(HostError::Wait)?, PollFlags::IN));
        }
        for card in &self.cards {
            owned.extend(card.wait_fds().map_err(HostError::Wait)?);
        }
        let mut failed = None;
        self.outputs.for_each_blocked(|fd| match fd.try_clone_to_owned() {
            Ok(fd) => owned.push((fd, PollFlags::OUT)),
            Err(error) => failed = Some(error),
        });
        if let Some(error) = failed {
            return Err(HostError::Wait(error));
        }
        let mut fds: Vec<PollFd<'_>> =
            owned.iter().map(|(fd, flags)| PollFd::from_borrowed_fd(fd.as_fd(), *flags)).collect();
        fds.push(PollFd::from_borrowed_fd(self.signals.fd(), PollFlags::IN));
        if let Some(inputs) = &self.inputs {
            fds.push(PollFd::from_borrowed_fd(inputs.fd(), PollFlags::IN));
        }
        match poll(&mut fds, timespec(timeout).as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(HostError::Wait(error.into())),
        }
    }

    fn collect(&mut self) -> Result<Vec<HostEvent>, HostError> {
        let mut events = Vec::new();
        self.signals.drain();
        if self.signals.take_continued() {
            for (_, _, source) in &self.sources {
                if let Source::Stdin { terminal: Some(terminal), .. } = source {
                    terminal.enter_again();
                }
            }
        }
        if let Some(inputs) = &mut self.inputs {
            events.extend(inputs.take().into_iter().map(HostEvent::Input));
        }
        let mut ended = Vec::new();
        for (index, (console, spec, source)) in self.sources.iter_mut().enumerate() {
            if !source.is_read(self.held, *console) {
                continue;
            }
            let failed = |error| HostError::Read { from: spec.clone(), source: error };
            if !source.read_into(*console, &mut events).map_err(failed)? {
                ended.push(index);
            }
        }
        for index in ended.into_iter().rev() {
            self.sources.remove(index);
        }
        for card in &mut self.cards {
            let nic = card.number();
            events.extend(card.receive().into_iter().map(|bytes| HostEvent::Frame { nic, bytes }));
        }
        if !self.stop_seen {
            let stop = self.signals.stop_requested().map(HostEvent::Stop);
            let closed = self.outputs.is_closed().then_some(HostEvent::OutputClosed);
            self.stop_seen = stop.is_some() || closed.is_some();
            events.extend(stop.into_iter().chain(closed));
        }
        Ok(events)
    }
}

impl Source {
    fn is_read(&self, held: u8, console: u8) -> bool {
        let is_terminal = matches!(self, Source::Stdin { terminal: Some(_), .. });
        is_terminal || held.checked_shr(console.into()).unwrap_or(0) & 1 == 0
    }

    fn wait_fd(&self) -> io::Result<OwnedFd> {
        match self {
            Source::Stdin { .. } => io::stdin().as_fd().try_clone_to_owned(),
            Source::Pty(master) => master.as_fd().try_clone_to_owned(),
            Source::Socket(console) => console.wait_fd(),
        }
    }

    /// Adds what was typed to `events`; false if nothing will come any more.
    fn read_into(&mut self, console: u8, events: &mut Vec<HostEvent>) -> io::Result<bool> {
        let mut buffer = [0; READ_CHUNK];
        let mut typed = |bytes: Vec<u8>| {
            if !bytes.is_empty() {
                events.push(HostEvent::Typed { console, bytes });
            }
        };
        match self {
            Source::Stdin { escape, terminal } => {
                let Some(length) = read_stdin(&mut buffer)? else { return Ok(true) };
                let bytes = &buffer[..length];
                if terminal.is_none() {
                    typed(bytes.to_vec());
                } else {
                    let sorted = escape.sort(bytes);
                    typed(sorted.bytes);
                    if sorted.help {
                        // In raw mode, so no newline is added.
                        let _ = write!(io::stderr(), "{HELP}");
                    }
                    if sorted.quit {
                        events.push(HostEvent::Quit);
                    }
                }
                Ok(length > 0)
            }
            Source::Pty(master) => match master.read(&mut buffer) {
                Ok(length) => {
                    typed(buffer[..length].to_vec());
                    Ok(true)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
                Err(error) => Err(error),
            },
            Source::Socket(console) => {
                let length = console.read(&mut buffer);
                typed(buffer[..length].to_vec());
                Ok(true)
            }
        }
    }
}

/// Reads standard input if it is ready, past the buffer of [`std::io::stdin`]; `None` if there is nothing yet. A terminal
/// that has gone is the end.
fn read_stdin(buffer: &mut [u8]) -> io::Result<Option<usize>> {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    match poll(&mut fds, timespec(Some(Duration::ZERO)).as_ref()) {
        Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    match rustix::io::read(&stdin, buffer) {
        Ok(length) => Ok(Some(length)),
        Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(None),
        Err(rustix::io::Errno::IO) => Ok(Some(0)),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;

    const SOON: Option<Duration> = Some(Duration::from_secs(20));

    fn typed(bytes: &[u8]) -> Vec<HostEvent> {
        vec![HostEvent::Typed { console: 0, bytes: bytes.to_vec() }]
    }

    #[test]
    fn clients_of_a_socket_come_and_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        // What a killed process leaves behind.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let specs = [ConsoleSpec::Unix(path.clone())];
        let signals = Signals::watch().unwrap();
        let mut live = Live::open(&specs, &signals, Deadline::default()).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let taken = Live::open(&specs, &signals, Deadline::default()).err().expect("one listener per path");
        assert!(matches!(taken, HostError::SocketTaken { .. }), "{taken}");
        // The attempt above looked like a client that went away at once.
        assert_eq!(live.poll().unwrap(), []);
        for round in 0..3u8 {
            let mut client = UnixStream::connect(&path).unwrap();
            client.write_all(&[round, 1]).unwrap();
            assert_eq!(live.wait(SOON).unwrap(), typed(&[round, 1]));
            live.outputs().write(0, &[round, b'\n']).unwrap();
            let mut echo = [0; 2];
            client.read_exact(&mut echo).unwrap();
            assert_eq!(echo, [round, b'\n']);
        }
        live.finish().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_pty_passes_bytes_unchanged() {
        let pty = Pty::open().unwrap();
        let mut client = File::options().read(true).write(true).open(pty.path()).unwrap();
        let mut live =
            Live::open(&[ConsoleSpec::Null], &Signals::watch().unwrap(), Deadline::default()).unwrap();
        live.sources.push((0, ConsoleSpec::Pty, Source::Pty(pty.reader().unwrap())));
        live.outputs.add(ConsoleSpec::Pty, Box::new(pty));
        client.write_all(b"a\x01\x03\r\n\x04").unwrap();
        assert_eq!(live.wait(SOON).unwrap(), typed(b"a\x01\x03\r\n\x04"));
        live.outputs().write(1, b"b\r\n").unwrap();
        let mut got = [0; 3];
        client.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"b\r\n");
    }

    #[test]
    fn what_is_held_back_comes_later() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let specs = [ConsoleSpec::Unix(path.clone())];
        let mut live = Live::open(&specs, &Signals::watch().unwrap(), Deadline::default()).unwrap();
        let mut client = UnixStream::connect(&path).unwrap();
        client.write_all(b"later").unwrap();
        live.hold_back(0, true);
        assert_eq!(live.wait(Some(Duration::from_millis(20))).unwrap(), []);
        assert!(live.has_input());
        live.hold_back(0, false);
        assert_eq!(live.wait(SOON).unwrap(), typed(b"later"));
    }

    #[test]
    fn waiting_ends_when_the_time_is_up() {
        let mut live =
            Live::open(&[ConsoleSpec::Null], &Signals::watch().unwrap(), Deadline::default()).unwrap();
        assert!(!live.has_input());
        let start = Instant::now();
        assert_eq!(live.wait(Some(Duration::from_millis(30))).unwrap(), []);
        assert!(start.elapsed() >= Duration::from_millis(30));
    }
}
