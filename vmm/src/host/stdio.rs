//! Standard input and output as a console.
//!
//! Their modes are left as they are, because other processes share them: instead of switching them to non-blocking, they are
//! asked first and then given no more than they can take.

use super::sink::{Sink, writable};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

/// What a pipe takes without blocking once it is writable (PIPE_BUF on Linux).
const CHUNK: usize = 4096;

/// Standard output.
#[derive(Debug)]
pub(super) struct StdoutSink {
    stdout: std::fs::File,
}

impl StdoutSink {
    /// Takes standard output past the line buffer of [`std::io::stdout`].
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { stdout: io::stdout().as_fd().try_clone_to_owned()?.into() })
    }
}

impl Sink for StdoutSink {
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !writable(self.stdout.as_fd())? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.stdout.write(&bytes[..bytes.len().min(CHUNK)])
    }

    fn with_fd(&mut self, wait: &mut dyn FnMut(Option<BorrowedFd<'_>>)) {
        wait(Some(self.stdout.as_fd()));
    }

    fn has_reader_for_certain(&self) -> bool {
        true
    }
}
