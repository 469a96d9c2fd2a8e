//! Frames over a stream socket, each after its length as four bytes, highest first: what passt and QEMU's `-netdev stream`
//! speak.
//!
//! A thread reads them as they come, however full the socket would be until the machine looks, every few milliseconds.

use super::LONGEST_FRAME;
use crate::host::HostError;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Most bytes that wait for a reader that does not keep up; frames beyond are lost.
const MOST_WAITING: usize = 1 << 20;
/// Most bytes of frames that wait for the machine; the rest stays outside.
const MOST_RECEIVED: usize = 16 << 20;
const READ_CHUNK: usize = 64 << 10;
const LENGTH: usize = 4;

/// The connection.
pub struct Stream {
    socket: UnixStream,
    inbox: Arc<Inbox>,
    /// Taken out of the inbox together.
    taken: VecDeque<Vec<u8>>,
    reading: Option<JoinHandle<()>>,
    outbox: Vec<u8>,
}

/// Frames on their way from the thread that reads them.
struct Inbox {
    state: Mutex<Received>,
    changed: Condvar,
    /// Readable as long as there may be something to take.
    ready: OwnedFd,
}

#[derive(Default)]
struct Received {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Why no more come.
    ended: Option<io::Error>,
    /// Nobody wants more.
    is_closed: bool,
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
        let ready = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let ready = ready.map_err(|error| HostError::Network(error.into()))?;
        let inbox = Arc::new(Inbox { state: Mutex::default(), changed: Condvar::new(), ready });
        let reader = Reader { socket: socket.try_clone().map_err(HostError::Network)?, bytes: Vec::new() };
        let to = Arc::clone(&inbox);
        let reading = thread::Builder::new().name("network".to_owned()).spawn(move || reader.run(&to));
        let reading = Some(reading.map_err(HostError::Network)?);
        Ok(Self { socket, inbox, taken: VecDeque::new(), reading, outbox: Vec::new() })
    }

    /// Readable when there may be something to receive.
    pub fn received_fd(&self) -> BorrowedFd<'_> {
        self.inbox.ready.as_fd()
    }

    /// Writable when the peer has room.
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
        if self.taken.is_empty() {
            self.inbox.take(&mut self.taken)?;
        }
        Ok(self.taken.pop_front())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.inbox.state().is_closed = true;
        self.inbox.changed.notify_all();
        // Wakes the thread. If the other end has gone, it is awake.
        let _ = self.socket.shutdown(Shutdown::Both);
        if let Some(reading) = self.reading.take() {
            // It has nothing to say.
            let _ = reading.join();
        }
    }
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, Received> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all frames; the reason if there are none and no more come.
    fn take(&self, frames: &mut VecDeque<Vec<u8>>) -> io::Result<()> {
        let mut state = self.state();
        if !state.frames.is_empty() {
            std::mem::swap(frames, &mut state.frames);
            state.bytes = 0;
            self.changed.notify_all();
            return Ok(());
        }
        // There is nothing to read if it has been read.
        let _ = rustix::io::read(&self.ready, &mut [0; 8]);
        state.ended.take().map_or(Ok(()), Err)
    }

    fn say_ready(&self) {
        // It cannot be full.
        let _ = rustix::io::write(&self.ready, &1u64.to_ne_bytes());
    }
}

/// The thread's side.
struct Reader {
    socket: UnixStream,
    /// The beginning of the next frame.
    bytes: Vec<u8>,
}

impl Reader {
    fn run(mut self, to: &Inbox) {
        loop {
            let mut frames = Vec::new();
            let read = self.read(&mut frames);
            let mut state = to.state();
            state.bytes += frames.iter().map(Vec::len).sum::<usize>();
            state.frames.extend(frames);
            let is_last = read.is_err();
            state.ended = read.err();
            to.say_ready();
            let state = to
                .changed
                .wait_while(state, |state| state.bytes > MOST_RECEIVED && !state.is_closed)
                .unwrap_or_else(PoisonError::into_inner);
            if is_last || state.is_closed {
                return;
            }
        }
    }

    /// Waits for bytes, and reads what frames they make whole.
    fn read(&mut self, frames: &mut Vec<Vec<u8>>) -> io::Result<()> {
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let old = self.bytes.len();
        self.bytes.resize(old + READ_CHUNK, 0);
        let read = self.socket.read(&mut self.bytes[old..]);
        self.bytes.truncate(old + *read.as_ref().unwrap_or(&0));
        let ended = match read {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) if is_temporary(&error) => false,
            Err(error) => return Err(error),
        };
        let mut rest = &self.bytes[..];
        while let Some(frame) = next(&mut rest)? {
            frames.push(frame.to_vec());
        }
        let used = self.bytes.len() - rest.len();
        self.bytes.drain(..used);
        if ended {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other end has closed it"));
        }
        Ok(())
    }
}

/// The first frame of `bytes`, if all of it is there.
fn next<'a>(bytes: &mut &'a [u8]) -> io::Result<Option<&'a [u8]>> {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length > LONGEST_FRAME {
        let what = format!("the other end sent a frame of {length} bytes, which no network has");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let Some((frame, rest)) = rest.split_at_checked(length) else { return Ok(None) };
    *bytes = rest;
    Ok(Some(frame))
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

    /// What comes, however long the thread takes.
    fn receive(stream: &mut Stream) -> io::Result<Vec<u8>> {
        loop {
            let mut fds = [PollFd::from_borrowed_fd(stream.received_fd(), PollFlags::IN)];
            poll(&mut fds, None)?;
            if let Some(frame) = stream.receive()? {
                return Ok(frame);
            }
        }
    }

    #[test]
    fn frames_come_whole_however_they_are_cut() {
        let (mut stream, mut peer) = pair();
        assert_eq!(stream.receive().unwrap(), None);
        peer.write_all(b"\0\0\0\x03ab").unwrap();
        thread::sleep(std::time::Duration::from_millis(20));
        assert_eq!(stream.receive().unwrap(), None);
        peer.write_all(b"c\0\0\0\x01d\0\0").unwrap();
        assert_eq!(receive(&mut stream).unwrap(), b"abc");
        assert_eq!(receive(&mut stream).unwrap(), b"d");
        assert_eq!(stream.receive().unwrap(), None);
        drop(peer);
        assert!(receive(&mut stream).is_err());
    }

    #[test]
    fn a_frame_of_no_network_ends_it() {
        let (mut stream, mut peer) = pair();
        peer.write_all(b"GET / HTTP/1.0\r\n").unwrap();
        assert!(receive(&mut stream).is_err());
    }

    #[test]
    fn a_peer_that_writes_much_is_read_meanwhile() {
        let (mut stream, mut peer) = pair();
        let frame = [&1500u32.to_be_bytes()[..], &[7; 1500]].concat();
        // More than a socket has room for.
        for _ in 0..1000 {
            peer.write_all(&frame).unwrap();
        }
        for _ in 0..1000 {
            assert_eq!(receive(&mut stream).unwrap(), frame[4..]);
        }
    }

    #[test]
    fn one_that_is_dropped_in_the_middle_ends() {
        let (stream, mut peer) = pair();
        peer.write_all(b"\0\0\0\x03ab").unwrap();
        drop(stream);
        assert!(peer.write_all(&[0; 10]).is_err());
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
