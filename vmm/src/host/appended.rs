//! The file of a recording while it grows.
//!
//! Whole pieces do not pass the host's page cache, which takes a new page for each page of the file as long as there are any: 512 MiB took
//! 0.04 s of processor time past it, 0.2 s through it, and 1.0 s where a hypervisor had to find the memory first (docs/performance.md).
//! And however long a recording gets, what others have in memory stays there.

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// Bytes that are written at once. A piece begins at a multiple of them.
const PIECE: usize = 1 << 20;
/// What a piece's address in memory is a multiple of; no disk asks for more.
const ALIGNED: usize = 4096;
/// How long so many pieces may take. A slower disk is left to the host, which has more room for what waits.
const WATCHED: u32 = 16;
const PATIENCE: Duration = Duration::from_millis(160);

/// A file that is written from its beginning to its end.
///
/// What comes before the first [`flush`](Write::flush), which every reader begins with, stays in the host's page cache, and so does what
/// of a piece there is when it is flushed. What is not flushed can be lost with the process.
pub struct Appended {
    file: File,
    /// Room for a piece and for what lies before it.
    buffer: Box<[u8]>,
    /// Where the piece begins in it.
    start: usize,
    /// Bytes of the piece that there are,
    filled: usize,
    /// and those that are in the file.
    saved: usize,
    way: Way,
}

/// How pieces are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Not yet: before the first flush everything is written as it comes, and this long it is.
    None { length: u64 },
    /// Past the page cache: so many in that time.
    Direct { pieces: u32, took: Duration },
    /// Through the page cache.
    Cached,
}

impl Appended {
    /// `file` is empty.
    #[must_use]
    pub fn new(file: File) -> Self {
        let buffer = vec![0; PIECE + ALIGNED].into_boxed_slice();
        let start = buffer.as_ptr().align_offset(ALIGNED).min(ALIGNED);
        Self { file, buffer, start, filled: 0, saved: 0, way: Way::None { length: 0 } }
    }

    /// The file with everything in it.
    ///
    /// # Errors
    /// Something could not be written.
    pub fn finish(mut self) -> io::Result<File> {
        self.save()?;
        Ok(self.file)
    }

    /// Writes what of the piece is not in the file, through the cache.
    fn save(&mut self) -> io::Result<()> {
        while self.saved < self.filled {
            match self.file.write(&self.buffer[self.start..][self.saved..self.filled]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(length) => self.saved += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes a whole piece past the cache as far as that goes.
    fn save_directly(&mut self, mut pieces: u32, mut took: Duration) -> io::Result<()> {
        let started = Instant::now();
        let flags = fcntl_getfl(&self.file)?;
        let is_possible = fcntl_setfl(&self.file, flags | OFlags::DIRECT).is_ok();
        let written = is_possible.then(|| self.file.write(&self.buffer[self.start..][..PIECE]));
        fcntl_setfl(&self.file, flags)?;
        // What is wrong with the disk, and not with this way, the other way will say.
        let Some(Ok(length)) = written else {
            self.way = Way::Cached;
            return Ok(());
        };
        self.saved = length;
        (pieces, took) = (pieces + 1, took + started.elapsed());
        self.way = match pieces {
            WATCHED if took > PATIENCE => Way::Cached,
            WATCHED => Way::Direct { pieces: 0, took: Duration::ZERO },
            _ => Way::Direct { pieces, took },
        };
        Ok(())
    }

    /// Makes room where the piece is whole.
    fn turn(&mut self) -> io::Result<()> {
        if self.filled == PIECE {
            if let (0, Way::Direct { pieces, took }) = (self.saved, self.way) {
                self.save_directly(pieces, took)?;
            }
            self.save()?;
            (self.filled, self.saved) = (0, 0);
        }
        Ok(())
    }
}

impl Write for Appended {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Way::None { length } = &mut self.way {
            let written = self.file.write(bytes)?;
            *length += written as u64;
            return Ok(written);
        }
        self.turn()?;
        let taken = bytes.len().min(PIECE - self.filled);
        self.buffer[self.start + self.filled..][..taken].copy_from_slice(&bytes[..taken]);
        self.filled += taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Way::None { length } = self.way {
            // Pipes take this for something else.
            let is_file = self.file.metadata()?.is_file();
            self.way = if is_file { Way::Direct { pieces: 0, took: Duration::ZERO } } else { Way::Cached };
            self.filled = (length % PIECE as u64) as usize;
            self.saved = self.filled;
        }
        self.save()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::OwnedFd;
    use std::thread;

    fn pattern(length: usize) -> Vec<u8> {
        (0..length as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    #[test]
    fn everything_is_in_the_file_however_it_was_written() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut appended = Appended::new(file.reopen().unwrap());
        let all = pattern(9 * PIECE + 12_345);
        let (beginning, mut rest) = all.split_at(PIECE / 2 + 77);
        appended.write_all(beginning).unwrap();
        assert_eq!(file.path().metadata().unwrap().len(), beginning.len() as u64);
        for (n, length) in (0..).zip([1, 100, 65_536, 3 * PIECE + 1, 4095, PIECE - 1].iter().cycle()) {
            let (now, later) = rest.split_at((*length).min(rest.len()));
            appended.write_all(now).unwrap();
            if n % 5 == 0 {
                appended.flush().unwrap();
                assert_eq!(file.path().metadata().unwrap().len(), (all.len() - later.len()) as u64);
            }
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        if appended.way == Way::Cached {
            println!("SKIPPED in part: this disk cannot be written past the cache, or is slow");
        }
        appended.finish().unwrap();
        assert!(std::fs::read(file.path()).unwrap() == all);
    }

    #[test]
    fn a_pipe_gets_everything() {
        let (mut reader, writer) = io::pipe().unwrap();
        let reading = thread::spawn(move || {
            let mut read = Vec::new();
            io::Read::read_to_end(&mut reader, &mut read).map(|_| read).unwrap()
        });
        let mut appended = Appended::new(File::from(OwnedFd::from(writer)));
        let all = pattern(3 * PIECE);
        appended.write_all(&all[..10]).unwrap();
        appended.flush().unwrap();
        assert_eq!(appended.way, Way::Cached);
        appended.write_all(&all[10..]).unwrap();
        drop(appended.finish().unwrap());
        assert!(reading.join().unwrap() == all);
    }

    #[test]
    fn a_full_disk_is_an_error_again_and_again() {
        let mut appended = Appended::new(File::options().write(true).open("/dev/full").unwrap());
        appended.flush().unwrap();
        let whole = vec![1; 2 * PIECE];
        for _ in 0..2 {
            assert_eq!(appended.write_all(&whole).unwrap_err().kind(), io::ErrorKind::StorageFull);
            assert_eq!(appended.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
        }
        assert!(appended.finish().is_err());
    }
}
