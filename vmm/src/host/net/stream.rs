//! Frames over a stream socket, each after its length as four bytes, highest first: what passt and QEMU's `-netdev stream`
//! speak.

use super::LONGEST_FRAME;
use crate::host::HostError;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Most bytes that wait for a reader that does not keep up; frames beyond are lost.
const MOST_WAITING: usize = 1 << 20;
const READ_CHUNK: usize = 64 << 10;
const LENGTH: usize = 4;

/// The connection.
pub struct Stream {
    socket: UnixStream,
    /// What has been read and not been taken yet, from `taken` on.
    inbox: Vec<u8>,
    taken: usize,
    outbox: Vec<u8>,
    ended: bool,
}

impl Stream {
    /// Connects to who listens at `path`.
    pub fn connect(path: &Path) -> Result<Self, HostError> {
        let refused = |source| HostError::Connect { path: path.to_owned(), source };
        Self::new(UnixStream::connect(path).map_err(refused)?)
    }

    /// Over a connection that there is already.
    pub fn new(socket: UnixStream) -> Result<Self, HostError> {
        socket.set_nonblocking(true).map_err(HostError::Network)?;
        Ok(Self { socket, inbox: Vec::new(), taken: 0, outbox: Vec::new(), ended: false })
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether there is something that the peer has had no room for.
    pub fn has_more(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Sends a frame, or drops it if too much waits already.
    pub fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        if self.outbox.len() + frame.len() <= MOST_WAITING {
            self.outbox.extend((frame.len() as u32).to_be_bytes());
            self.outbox.extend(frame);
        }
        self.flush()
    }

    /// Writes what the peer has room for.
    pub fn flush(&mut self) -> io::Result<()> {
        let mut done = 0;
        while done < self.outbox.len() {
            match self.socket.write(&self.outbox[done..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => done += n,
                Err(error) if is_temporary(&error) => break,
                Err(error) => return Err(error),
            }
        }
        self.outbox.drain(..done);
        Ok(())
    }

    /// The next frame, if all of it is there.
    pub fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(frame) = self.next()? {
                return Ok(Some(frame));
            }
            if self.ended {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other end has closed it"));
            }
            if !self.read()? {
                return Ok(None);
            }
        }
    }

    /// The next frame of those that were read.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let rest = &self.inbox[self.taken..];
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length) as usize;
        if length > LONGEST_FRAME {
            let what = format!("the other end sent a frame of {length} bytes, which no network has");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let frame = frame.to_vec();
        self.taken += LENGTH + length;
        Ok(Some(frame))
    }

    /// Reads on. False if there is nothing now.
    fn read(&mut self) -> io::Result<bool> {
        self.inbox.drain(..std::mem::take(&mut self.taken));
        let old = self.inbox.len();
        self.inbox.resize(old + READ_CHUNK, 0);
        let read = self.socket.read(&mut self.inbox[old..]);
        self.inbox.truncate(old + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => {
                self.ended = true;
                Ok(true)
            }
            Ok(_) => Ok(true),
            Err(error) if is_temporary(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Stream, UnixStream) {
        let (own, peer) = UnixStream::pair().unwrap();
        (Stream::new(own).unwrap(), peer)
    }

    #[test]
    fn frames_come_whole_however_they_are_cut() {
        let (mut stream, mut peer) = pair();
        assert_eq!(stream.receive().unwrap(), None);
        peer.write_all(b"\0\0\0\x03ab").unwrap();
        assert_eq!(stream.receive().unwrap(), None);
        peer.write_all(b"c\0\0\0\x01d\0\0").unwrap();
        assert_eq!(stream.receive().unwrap(), Some(b"abc".to_vec()));
        assert_eq!(stream.receive().unwrap(), Some(b"d".to_vec()));
        assert_eq!(stream.receive().unwrap(), None);
        drop(peer);
        assert!(stream.receive().is_err());
    }

    #[test]
    fn a_frame_of_no_network_ends_it() {
        let (mut stream, mut peer) = pair();
        peer.write_all(b"GET / HTTP/1.0\r\n").unwrap();
        assert!(stream.receive().is_err());
    }

    #[test]
    fn a_peer_that_does_not_read_costs_frames_and_not_memory() {
        let (mut stream, peer) = pair();
        for _ in 0..4000 {
            stream.send(&[0; 1500]).unwrap();
        }
        assert!(stream.has_more() && stream.outbox.len() <= MOST_WAITING + LENGTH);
        drop(peer);
        assert!(stream.send(&[0; 10]).is_err());
    }
}
