//! Where console output ends up: one small interface over files, terminals and sockets.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;

/// Takes output bytes.
pub(super) trait Sink: Send {
    /// Writes as many of `bytes` as can be written now.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if that is none; [`io::ErrorKind::BrokenPipe`] if nobody will ever read them.
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Calls `wait` with what becomes writable when more can be written; `None` if there is nothing to wait for.
    fn with_fd(&mut self, wait: &mut dyn FnMut(Option<BorrowedFd<'_>>));

    /// Whether somebody reads what is written, sooner or later. Otherwise the machine must not wait.
    fn has_reader_for_certain(&self) -> bool;
}

/// Whether writing to `fd` makes progress now. (An error condition counts: writing then reports it.)
pub(super) fn writable(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut fds, Some(&now)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Drops everything.
#[derive(Debug)]
pub(super) struct NullSink;

impl Sink for NullSink {
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn with_fd(&mut self, wait: &mut dyn FnMut(Option<BorrowedFd<'_>>)) {
        wait(None);
    }

    fn has_reader_for_certain(&self) -> bool {
        true
    }
}

/// A file.
#[derive(Debug)]
pub(super) struct FileSink(pub(super) File);

impl Sink for FileSink {
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn with_fd(&mut self, wait: &mut dyn FnMut(Option<BorrowedFd<'_>>)) {
        wait(Some(std::os::fd::AsFd::as_fd(&self.0)));
    }

    fn has_reader_for_certain(&self) -> bool {
        true
    }
}
