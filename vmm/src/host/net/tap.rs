//! A tap interface (Linux, `Documentation/networking/tuntap.rst`). One of the files that may use `unsafe`: there is no safe
//! call that attaches to one.

use super::LONGEST_FRAME;
use crate::host::HostError;
use rustix::fs::OFlags;
use rustix::ioctl::{Setter, ioctl};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

/// `TUNSETIFF`: `_IOW('T', 202, int)`.
const TUNSETIFF: u32 = 0x4004_54ca;
/// Frames, and nothing before them.
const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;
/// Bytes of an interface's name, with a zero at its end.
const NAME: usize = 16;

/// `struct ifreq`, as far as it is used here.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; NAME],
    flags: u16,
    rest: [u8; 22],
}

/// The interface.
pub struct Tap(File);

impl Tap {
    /// Attaches to the interface `name`, which is made if there is none and this user may.
    pub fn open(name: &str) -> Result<Self, HostError> {
        let failed = |source| HostError::Tap { name: name.to_owned(), source };
        let mut request = InterfaceRequest { name: [0; NAME], flags: IFF_TAP | IFF_NO_PI, rest: [0; 22] };
        if name.len() >= NAME {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "the name is too long")));
        }
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        let file = File::options()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open("/dev/net/tun")
            .map_err(failed)?;
        // SAFETY: TUNSETIFF takes a pointer to a `struct ifreq`, which `InterfaceRequest` has the size and layout of, and
        // only reads and writes it during the call.
        let attached = unsafe { ioctl(&file, Setter::<TUNSETIFF, InterfaceRequest>::new(request)) };
        attached.map_err(|error| failed(error.into()))?;
        Ok(Self(file))
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Sends a frame; it is lost if there is no room.
    pub fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        match self.0.write(frame) {
            Ok(_) => Ok(()),
            Err(error) if is_of_this_frame(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The next frame, if there is one.
    pub fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = [0; LONGEST_FRAME];
        match self.0.read(&mut buffer) {
            Ok(length) => Ok(Some(buffer[..length].to_vec())),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether the next frame may fare better: no room, the interface is down, or the frame is too short to be one.
fn is_of_this_frame(error: &io::Error) -> bool {
    const EIO: i32 = 5;
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::InvalidInput
    ) || error.raw_os_error() == Some(EIO)
}
