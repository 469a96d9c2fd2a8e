//! A pseudo terminal as a console.

use super::HostError;
use super::sink::Sink;
use rustix::fs::{Mode, OFlags, fcntl_setfl};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Our side of a pseudo terminal.
///
/// The other side is held open too, so that clients may come and go without an end of file here.
#[derive(Debug)]
pub(super) struct Pty {
    master: File,
    path: CString,
    _slave: OwnedFd,
}

impl Pty {
    /// Opens a new pseudo terminal in raw mode.
    pub(super) fn open() -> Result<Self, HostError> {
        open().map_err(|error| HostError::Pty(error.into()))
    }

    /// The path a client opens.
    pub(super) fn path(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// A second handle to our side, for reading.
    pub(super) fn reader(&self) -> Result<File, HostError> {
        self.master.try_clone().map_err(HostError::Pty)
    }
}

fn open() -> rustix::io::Result<Pty> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let path = ptsname(&master, Vec::new())?;
    let slave = rustix::fs::open(&path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    let mut settings = tcgetattr(&slave)?;
    settings.make_raw();
    tcsetattr(&slave, OptionalActions::Now, &settings)?;
    fcntl_setfl(&master, OFlags::NONBLOCK)?;
    Ok(Pty { master: master.into(), path, _slave: slave })
}

impl Sink for Pty {
    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.master.write(bytes)
    }

    fn with_fd(&mut self, wait: &mut dyn FnMut(Option<BorrowedFd<'_>>)) {
        wait(Some(self.master.as_fd()));
    }

    fn has_reader_for_certain(&self) -> bool {
        false
    }
}
