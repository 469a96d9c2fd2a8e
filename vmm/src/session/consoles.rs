//! The host's consoles, as a session sees them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use rrvmm_devices::{Input, Output};
use rrvmm_replay::{EndReason, Position};

use super::host::{Host, Polled};
use super::machine::FullPorts;
use crate::host::{HostError, HostEvent, Live, Outputs, Signals, Stopwatch};

/// Console that shows the bytes of the debug console port; the serial ports are 0 and 1.
const DEBUG_CONSOLE: u8 = 2;

/// Number of the console that is port 0 of the virtio consoles.
const FIRST_PORT: u8 = 3;

/// Consoles that the guest reads and writes.
pub struct LiveConsoles {
    live: Live,
    since: Stopwatch,
    waiting: VecDeque<HostEvent>,
}

impl LiveConsoles {
    /// The host of a session that begins now.
    #[must_use]
    pub fn new(live: Live) -> Self {
        Self { live, since: Stopwatch::start(), waiting: VecDeque::new() }
    }

    /// Leaves outside what is for a port of `full`.
    fn hold_back(&mut self, full: FullPorts) {
        let consoles = (FIRST_PORT..).zip(full.consoles);
        for (console, full) in (0..).zip(full.serial).chain(consoles) {
            self.live.hold_back(console, full);
        }
        for card in self.live.cards() {
            card.hold_back(full.nics.get(usize::from(card.number())).copied().unwrap_or(false));
        }
    }

    /// Ends the consoles, see [`Live::finish`].
    ///
    /// # Errors
    /// The rest of the output cannot be written.
    pub fn finish(self) -> Result<(), HostError> {
        self.live.finish()
    }
}

impl Host for LiveConsoles {
    type Offer = Input;

    fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    fn poll(&mut self, full: FullPorts) -> Result<Polled<Input>, HostError> {
        self.hold_back(full);
        if self.waiting.is_empty() {
            self.waiting.extend(self.live.poll()?);
        }
        Ok(match self.waiting.pop_front() {
            None => Polled::Nothing,
            Some(HostEvent::Typed { console, bytes }) if console >= FIRST_PORT => {
                Polled::Input(Input::Console { port: console - FIRST_PORT, bytes })
            }
            Some(HostEvent::Typed { console, bytes }) => {
                Polled::Input(Input::Serial { port: console, bytes })
            }
            Some(HostEvent::Frame { nic, bytes }) => Polled::Input(Input::Frame { nic, bytes }),
            Some(HostEvent::Input(input)) => Polled::Input(input),
            Some(HostEvent::Quit | HostEvent::OutputClosed) => Polled::Stop(EndReason::Quit),
            Some(HostEvent::Stop(_)) => Polled::Stop(EndReason::Signal),
        })
    }

    fn wait(&mut self, limit: Duration, full: FullPorts) -> Result<(), HostError> {
        self.hold_back(full);
        if self.waiting.is_empty() {
            self.waiting.extend(self.live.wait(Some(limit))?);
        }
        Ok(())
    }

    fn may_offer(&self) -> bool {
        self.live.has_input() || !self.waiting.is_empty()
    }

    fn show(&mut self, outputs: &[Output]) -> Result<(), HostError> {
        for output in outputs {
            if let Output::Frame { nic, bytes } = output
                && let Some(card) = self.live.cards().iter_mut().find(|card| card.number() == *nic)
            {
                card.send(bytes);
            }
        }
        write(self.live.outputs(), outputs)
    }

    fn reached(&mut self, _position: Position) {}
}

/// Consoles that a replay writes again. Nothing can be read from them.
pub struct ReplayConsoles<P> {
    outputs: Outputs,
    signals: Signals,
    since: Stopwatch,
    progress: P,
}

impl<P: FnMut(Position)> ReplayConsoles<P> {
    /// The host of a replay that begins now and tells `progress` how far it has come.
    #[must_use]
    pub fn new(outputs: Outputs, signals: Signals, progress: P) -> Self {
        Self { outputs, signals, since: Stopwatch::start(), progress }
    }

    /// Ends the consoles, see [`Outputs::finish`].
    ///
    /// # Errors
    /// The rest of the output cannot be written.
    pub fn finish(self) -> Result<(), HostError> {
        self.outputs.finish()
    }
}

impl<P: FnMut(Position)> Host for ReplayConsoles<P> {
    type Offer = Infallible;

    fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    fn poll(&mut self, _full: FullPorts) -> Result<Polled<Infallible>, HostError> {
        self.outputs.flush()?;
        Ok(if self.signals.stop_requested().is_some() {
            Polled::Stop(EndReason::Signal)
        } else if self.outputs.is_closed() {
            Polled::Stop(EndReason::Quit)
        } else {
            Polled::Nothing
        })
    }

    fn wait(&mut self, limit: Duration, _full: FullPorts) -> Result<(), HostError> {
        std::thread::sleep(limit);
        Ok(())
    }

    fn may_offer(&self) -> bool {
        false
    }

    fn show(&mut self, outputs: &[Output]) -> Result<(), HostError> {
        write(&mut self.outputs, outputs)
    }

    fn reached(&mut self, position: Position) {
        (self.progress)(position);
    }
}

/// Writes console bytes, those of one console that follow each other at once.
fn write(consoles: &mut Outputs, outputs: &[Output]) -> Result<(), HostError> {
    let mut run: (u8, Vec<u8>) = (0, Vec::new());
    for output in outputs {
        let (console, bytes) = match output {
            Output::Serial { port, byte } => (*port, std::slice::from_ref(byte)),
            Output::DebugConsole(byte) => (DEBUG_CONSOLE, std::slice::from_ref(byte)),
            Output::Console { port, bytes } => (FIRST_PORT.saturating_add(*port), &bytes[..]),
            // What these mean for the run, the machine says by ending it.
            Output::DebugExit { .. } | Output::PowerOff | Output::Reset => continue,
            Output::Frame { .. } => continue,
        };
        if console != run.0 {
            consoles.write(run.0, &run.1)?;
            run = (console, Vec::new());
        }
        run.1.extend_from_slice(bytes);
    }
    consoles.write(run.0, &run.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Card, Deadline, NetSpec};
    use crate::session::machine::MOST_NICS;
    use std::io::Write as _;
    use std::os::unix::net::UnixListener;

    /// A guest that sleeps until something comes has read what it had when the host was last looked at.
    #[test]
    fn what_was_held_back_ends_a_wait_once_there_is_room() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let mut live = Live::open(&[], &Signals::watch().unwrap(), Deadline::default()).unwrap();
        live.attach(vec![Card::open(0, &NetSpec::Unix(path), None).unwrap()]);
        let mut host = LiveConsoles::new(live);
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"\0\0\0\x03abc").unwrap();
        let full = FullPorts { nics: [true; MOST_NICS], ..FullPorts::default() };
        assert!(matches!(host.poll(full).unwrap(), Polled::Nothing));
        host.wait(Duration::from_millis(50), full).unwrap();
        assert!(matches!(host.poll(full).unwrap(), Polled::Nothing));
        let long = Duration::from_secs(60);
        let started = host.elapsed();
        host.wait(long, FullPorts::default()).unwrap();
        assert!(host.elapsed() - started < long);
        let Polled::Input(Input::Frame { nic: 0, bytes }) = host.poll(FullPorts::default()).unwrap() else {
            panic!("the frame");
        };
        assert_eq!(bytes, b"abc");
    }
}
