//! The host's end of a network card.
//!
//! What arrives is an input of the machine; what the guest sends goes out and is nobody's state. A network that goes away
//! in the middle of a run is said once, and the run goes on without it.

mod acknowledgements;
mod passt;
mod spec;
mod stream;
mod tap;

pub use spec::{NetSpec, ParseNetError};

use super::HostError;
use crate::tell;
use acknowledgements::Acknowledgements;
use passt::Passt;
use rustix::event::PollFlags;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use stream::Stream;
use tap::Tap;

/// Longest frame: what 65535 bytes of IP need, with a VLAN tag.
const LONGEST_FRAME: usize = 65535 + 18;
/// Most frames taken from a network at once.
const MOST_FRAMES: usize = 256;

/// Where frames go and come from.
enum Wire {
    /// A stream socket.
    Stream {
        stream: Stream,
        /// Ends when this goes.
        passt: Option<(Passt, Acknowledgements)>,
    },
    Tap(Tap),
}

/// The host's end of one network card.
pub struct Card {
    number: u8,
    spec: NetSpec,
    /// None once the network has gone.
    wire: Option<Wire>,
    /// Bytes have enough waiting in the guest: more stay outside.
    held: bool,
}

impl Card {
    /// Opens the network for card `number`, whose packets are of at most `mtu` bytes, if it knows.
    ///
    /// # Errors
    /// [`HostError`] says what is missing.
    pub fn open(number: u8, spec: &NetSpec, mtu: Option<u16>) -> Result<Self, HostError> {
        let wire = match spec {
            NetSpec::User => {
                let (passt, stream) = Passt::start(mtu)?;
                Wire::Stream {
                    stream: Stream::new(stream)?,
                    passt: Some((passt, Acknowledgements::default())),
                }
            }
            NetSpec::Unix(path) => Wire::Stream { stream: Stream::connect(path)?, passt: None },
            NetSpec::Tap(name) => Wire::Tap(Tap::open(name)?),
        };
        Ok(Self { number, spec: spec.clone(), wire: Some(wire), held: false })
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u8 {
        self.number
    }

    /// Leaves what comes outside, or no longer.
    pub fn hold_back(&mut self, hold: bool) {
        self.held = hold;
    }

    /// Sends a frame. One for which there is no room is lost, as on any network.
    pub fn send(&mut self, frame: &[u8]) {
        let sent = match &mut self.wire {
            Some(Wire::Stream { stream, passt: Some((_, told)) }) => {
                told.tell(passt::without_padding(frame)).map_or(Ok(()), |frame| stream.send(&frame))
            }
            Some(Wire::Stream { stream, passt: None }) => stream.send(frame),
            Some(Wire::Tap(tap)) => tap.send(frame),
            None => Ok(()),
        };
        self.check(sent);
    }

    /// The frames that have arrived, without waiting; goes on with sending.
    pub fn receive(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let flushed = match &mut self.wire {
            Some(Wire::Stream { stream, .. }) => stream.flush(),
            Some(Wire::Tap(_)) | None => Ok(()),
        };
        self.check(flushed);
        while !self.held && frames.len() < MOST_FRAMES {
            let received = match &mut self.wire {
                Some(Wire::Stream { stream, .. }) => stream.receive(),
                Some(Wire::Tap(tap)) => tap.receive(),
                None => Ok(None),
            };
            match received {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    self.check(Err(error));
                    break;
                }
            }
        }
        frames
    }

    /// What to wait for until there is something to do.
    ///
    /// # Errors
    /// The host is out of file descriptors.
    pub fn wait_fds(&self) -> io::Result<Vec<(OwnedFd, PollFlags)>> {
        let mut fds: Vec<(BorrowedFd<'_>, PollFlags)> = Vec::new();
        match &self.wire {
            Some(Wire::Stream { stream, .. }) => {
                if !self.held {
                    fds.push((stream.received_fd(), PollFlags::IN));
                }
                if stream.has_more() {
                    fds.push((stream.fd(), PollFlags::OUT));
                }
            }
            Some(Wire::Tap(tap)) if !self.held => fds.push((tap.fd(), PollFlags::IN)),
            Some(Wire::Tap(_)) | None => {}
        }
        fds.into_iter().map(|(fd, flags)| Ok((fd.try_clone_to_owned()?, flags))).collect()
    }

    fn check(&mut self, done: io::Result<()>) {
        if let Err(error) = done {
            self.wire = None;
            tell!(
                "rrvmm: the network of card {} ({}) is gone: {error}; the run goes on without it",
                self.number,
                self.spec
            );
        }
    }
}
