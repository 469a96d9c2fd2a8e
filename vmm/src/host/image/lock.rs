//! The locks by which programs say what they do with an image. QEMU's scheme (its documentation on image locking): byte 100 plus n of the
//! file is locked for reading by who uses right n, byte 200 plus n by who does not let others use it. Nobody holds a
//! lock for writing, so everybody can ask who holds what.

use nix::fcntl::{FcntlArg, fcntl};
use std::fs::File;
use std::io;

/// Somebody writes.
const WRITE: i64 = 1;
/// Somebody changes the size.
const RESIZE: i64 = 3;
const USES: i64 = 100;
const REFUSES: i64 = 200;

/// Says that this program reads `file` and lets nobody write to it, for as long as it is open.
///
/// False if somebody does write to it.
pub(super) fn lock_for_reading(file: &File) -> io::Result<bool> {
    for right in [WRITE, RESIZE] {
        claim(file, REFUSES + right)?;
    }
    Ok(!is_claimed(file, USES + WRITE)? && !is_claimed(file, USES + RESIZE)?)
}

/// Says that this program writes to `file`, which it has locked for reading through `own`.
///
/// False if somebody else does not want that.
pub(super) fn lock_for_writing(file: &File, own: &File) -> io::Result<bool> {
    claim(file, USES + WRITE)?;
    for right in [WRITE, RESIZE] {
        release(own, REFUSES + right)?;
    }
    Ok(!is_claimed(file, REFUSES + WRITE)?)
}

fn claim(file: &File, byte: i64) -> io::Result<()> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&lock(libc::F_RDLCK, byte))) {
        // A file system without locks.
        Ok(_) | Err(nix::Error::ENOLCK | nix::Error::EOPNOTSUPP) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn release(file: &File, byte: i64) -> io::Result<()> {
    fcntl(file, FcntlArg::F_OFD_SETLK(&lock(libc::F_UNLCK, byte)))?;
    Ok(())
}

/// Whether another open file has the byte.
fn is_claimed(file: &File, byte: i64) -> io::Result<bool> {
    let mut found = lock(libc::F_WRLCK, byte);
    match fcntl(file, FcntlArg::F_OFD_GETLK(&mut found)) {
        Ok(_) => Ok(i32::from(found.l_type) != libc::F_UNLCK),
        Err(nix::Error::ENOLCK | nix::Error::EOPNOTSUPP) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn lock(kind: i32, byte: i64) -> libc::flock {
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: byte, l_len: 1, l_pid: 0 }
}
