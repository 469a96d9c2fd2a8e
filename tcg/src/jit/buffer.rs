//! Memory for machine code, mapped twice: writable here, executable there; no page is ever both.
//!
//! One of the files that may use `unsafe`.

use std::{io, ptr};

/// Bytes for link records, which machine code reads and never executes.
const LINKS: usize = 8 << 20;

/// Two views of the same memory: link records first, code after.
pub(super) struct Buffer {
    write: *mut u8,
    execute: *mut u8,
    /// Bytes mapped.
    len: usize,
    used: usize,
    links: usize,
}

// SAFETY: the mappings belong to this value alone.
unsafe impl Send for Buffer {}

impl Buffer {
    /// Maps the buffer, with room for `code` bytes of code.
    ///
    /// # Errors
    /// What the host says.
    pub fn new(code: usize) -> io::Result<Self> {
        let len = code + LINKS;
        // SAFETY: a plain system call on a constant name.
        let fd = unsafe { libc::memfd_create(c"rrvmm-code".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` is ours; the two mappings are new, of the file's length, and nothing else knows them.
        unsafe {
            let sized = libc::ftruncate(fd, len as libc::off_t) == 0;
            let map = |protection| libc::mmap(ptr::null_mut(), len, protection, libc::MAP_SHARED, fd, 0);
            let write = map(libc::PROT_READ | libc::PROT_WRITE);
            let execute = map(libc::PROT_READ | libc::PROT_EXEC);
            let error = io::Error::last_os_error();
            libc::close(fd);
            if !sized || write == libc::MAP_FAILED || execute == libc::MAP_FAILED {
                for view in [write, execute] {
                    if view != libc::MAP_FAILED {
                        libc::munmap(view, len);
                    }
                }
                return Err(error);
            }
            Ok(Self { write: write.cast(), execute: execute.cast(), len, used: LINKS, links: 0 })
        }
    }

    /// Address at which the next code will run.
    pub fn next(&self) -> u64 {
        self.execute as u64 + self.used as u64
    }

    /// Whether `len` more bytes of code and two more links fit.
    pub fn fits(&self, len: usize) -> bool {
        self.used + len + 64 <= self.len && self.links + 64 <= LINKS
    }

    /// Appends code. The caller has asked [`Buffer::fits`].
    pub fn push(&mut self, code: &[u8]) {
        assert!(self.fits(code.len()));
        // SAFETY: the range is within the writable mapping, as just checked.
        unsafe { ptr::copy_nonoverlapping(code.as_ptr(), self.write.add(self.used), code.len()) };
        self.used = (self.used + code.len() + 15) & !15;
    }

    /// A new link record that leads nowhere yet. Returns its number.
    pub fn link(&mut self) -> u32 {
        let at = self.links;
        assert!(at + 16 <= LINKS);
        self.links += 16;
        let n = (at / 16) as u32;
        self.set_link(n, crate::itlb::NEVER, 0);
        n
    }

    /// Where machine code finds link `n`: the token it holds for, then the address to jump to, in 8 bytes each.
    pub fn link_address(&self, n: u32) -> u64 {
        self.execute as u64 + u64::from(n) * 16
    }

    /// Fills link `n`.
    pub fn set_link(&mut self, n: u32, token: u32, target: u64) {
        let at = n as usize * 16;
        assert!(at + 16 <= LINKS);
        // SAFETY: the record is within the writable mapping and aligned; machine code does not run now.
        unsafe {
            let p = self.write.add(at).cast::<u64>();
            p.write(u64::from(token));
            p.add(1).write(target);
        }
    }

    /// Bytes of code.
    pub fn used(&self) -> usize {
        self.used - LINKS
    }

    /// Forgets everything after the first `keep` bytes of code.
    pub fn reset(&mut self, keep: usize) {
        self.used = LINKS + keep;
        self.links = 0;
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: both mappings were made by `new` with this length and nobody runs in them now.
        unsafe {
            libc::munmap(self.write.cast(), self.len);
            libc::munmap(self.execute.cast(), self.len);
        }
    }
}
