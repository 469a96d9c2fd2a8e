//! Guest RAM, laid out as the `pc` board's physical map wants it.
//!
//! RAM starts at 0 and stops at [`LOW_RAM_LIMIT`]; what does not fit below goes on at [`HIGH_RAM_START`]. Firmware
//! is not in here: it never changes, so whoever maps it keeps the image.

mod size;

pub use size::{ParseSizeError, parse_size};

use rrvmm_devices::pc::{HIGH_RAM_START, LOW_RAM_LIMIT, VGA_WINDOW, VIDEO_MEMORY_BASE};
use std::cell::RefCell;
use std::ops::Range;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Bytes in a page, the unit of digests and checkpoints.
pub const PAGE_SIZE: usize = 4096;
/// Least RAM a `pc` can have, in bytes.
pub const MIN_RAM: u64 = 1 << 20;
/// Most RAM a `pc` can have, in bytes: what fits into the 40 physical address bits of `rrvmm-x86-v1`.
pub const MAX_RAM: u64 = (1 << 40) - (HIGH_RAM_START - LOW_RAM_LIMIT);
/// RAM comes in multiples of this many bytes, as [`PcConfig`](rrvmm_devices::PcConfig) wants it.
pub const RAM_GRANULE: u64 = 1 << 20;

/// Why the guest's memory cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// Less RAM than a `pc` can work with.
    #[error("{} of guest memory is too little: a pc needs at least {}; give more with --memory", Size(*.0), Size(MIN_RAM))]
    TooSmall(u64),
    /// More RAM than the guest CPU can address.
    #[error("{} of guest memory is too much: the guest CPU addresses at most {}; give less with --memory", Size(*.0), Size(MAX_RAM))]
    TooLarge(u64),
    /// Not a multiple of [`RAM_GRANULE`].
    #[error("{0} bytes of guest memory is not a multiple of 1 MiB; round the size given to --memory")]
    Unaligned(u64),
    /// More than this host has.
    #[error(
        "{} of guest memory is more than this host has ({} of RAM and swap); give less with --memory",
        Size(*.asked), Size(*.host)
    )]
    HostTooSmall {
        /// Bytes asked for.
        asked: u64,
        /// Bytes of RAM and swap of the host.
        host: u64,
    },
    /// The host refused the mapping.
    #[error("the host gives no {} of memory for the guest; give less with --memory or raise the limit (ulimit -v)", Size(*.asked))]
    Map {
        /// Bytes asked for.
        asked: u64,
        /// What the host said.
        #[source]
        source: vm_memory::mmap::FromRangesError,
    },
}

/// A count of bytes as people write it.
struct Size(u64);

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        size::write_size(f, self.0)
    }
}

/// The guest's RAM.
///
/// Accesses take `&self`, as in `vm-memory`: nothing here keeps two writers apart, the machine's schedule does.
#[derive(Debug)]
pub struct GuestMemory {
    mmap: GuestMemoryMmap<()>,
    ram_size: u64,
    written: RefCell<Vec<Range<u64>>>,
}

impl GuestMemory {
    /// Maps `ram_size` bytes of zeroed RAM.
    ///
    /// # Errors
    /// [`MemoryError`] when the size is out of range or the host cannot give as much.
    pub fn new(ram_size: u64) -> Result<Self, MemoryError> {
        Self::with_video(ram_size, 0)
    }

    /// As [`GuestMemory::new`], with `video` bytes of a display adapter's memory at [`VIDEO_MEMORY_BASE`] beside it.
    ///
    /// # Errors
    /// As for [`GuestMemory::new`].
    pub fn with_video(ram_size: u64, video: u64) -> Result<Self, MemoryError> {
        if ram_size < MIN_RAM {
            return Err(MemoryError::TooSmall(ram_size));
        }
        if ram_size > MAX_RAM {
            return Err(MemoryError::TooLarge(ram_size));
        }
        if !ram_size.is_multiple_of(RAM_GRANULE) {
            return Err(MemoryError::Unaligned(ram_size));
        }
        let host = host_memory();
        if ram_size > host {
            return Err(MemoryError::HostTooSmall { asked: ram_size, host });
        }
        let ranges: Vec<_> = [
            0..ram_size.min(LOW_RAM_LIMIT),
            HIGH_RAM_START..high_end(ram_size),
            VIDEO_MEMORY_BASE..VIDEO_MEMORY_BASE + video,
        ]
        .into_iter()
        .filter(|range| !range.is_empty())
        .map(|range| (GuestAddress(range.start), (range.end - range.start) as usize))
        .collect();
        let mmap = GuestMemoryMmap::from_ranges(&ranges)
            .map_err(|source| MemoryError::Map { asked: ram_size, source })?;
        Ok(Self { mmap, ram_size, written: RefCell::default() })
    }

    /// The mapping, for direct access. It also has the RAM that lies under the VGA window.
    #[must_use]
    pub fn mmap(&self) -> &GuestMemoryMmap<()> {
        &self.mmap
    }

    /// Bytes of RAM.
    #[must_use]
    pub fn ram_size(&self) -> u64 {
        self.ram_size
    }

    /// The RAM below 4 GiB.
    #[must_use]
    pub fn low_ram(&self) -> Range<u64> {
        0..self.ram_size.min(LOW_RAM_LIMIT)
    }

    /// The RAM from 4 GiB on; empty if all of it fits below.
    #[must_use]
    pub fn high_ram(&self) -> Range<u64> {
        HIGH_RAM_START..high_end(self.ram_size)
    }

    /// Writes `bytes` at physical address `start`.
    ///
    /// # Errors
    /// Not all of the range is RAM.
    pub fn write(&self, start: u64, bytes: &[u8]) -> Result<(), vm_memory::GuestMemoryError> {
        self.written.borrow_mut().push(start..start.saturating_add(bytes.len() as u64));
        self.mmap.write_slice(bytes, GuestAddress(start))
    }

    /// What [`write`](Self::write) wrote; all else is zero until the guest runs.
    #[must_use]
    pub fn written(&self) -> Vec<Range<u64>> {
        self.written.borrow().clone()
    }

    /// Whether the whole of `range` is RAM that the guest's CPU reaches (not under the VGA window).
    #[must_use]
    pub fn is_ram(&self, range: &Range<u64>) -> bool {
        let within = |outer: &Range<u64>| outer.start <= range.start && range.end <= outer.end;
        let clear_of_vga = range.end <= VGA_WINDOW.start || range.start >= VGA_WINDOW.end;
        range.start <= range.end && (within(&self.low_ram()) && clear_of_vga || within(&self.high_ram()))
    }
}

fn high_end(ram_size: u64) -> u64 {
    HIGH_RAM_START + ram_size.saturating_sub(LOW_RAM_LIMIT)
}

/// Bytes of RAM and swap of the host. Guest pages are only given when touched, so this is a bound, not a promise.
fn host_memory() -> u64 {
    let info = rustix::system::sysinfo();
    (info.totalram as u64).saturating_add(info.totalswap as u64).saturating_mul(u64::from(info.mem_unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::GuestMemoryBackend;

    const MIB: u64 = 1 << 20;

    #[test]
    fn small_ram_is_one_region() {
        let memory = GuestMemory::new(64 * MIB).unwrap();
        assert_eq!(memory.low_ram(), 0..64 * MIB);
        assert!(memory.high_ram().is_empty());
        assert_eq!(memory.mmap().num_regions(), 1);
    }

    #[test]
    fn ram_above_three_gib_goes_on_at_four() {
        // Mapped without touching it; the check against the host's size may refuse on a very small host.
        let memory = match GuestMemory::new(4096 * MIB) {
            Err(MemoryError::HostTooSmall { .. }) => {
                return eprintln!("SKIPPED: the host has less than 4 GiB");
            }
            other => other.unwrap(),
        };
        assert_eq!(memory.low_ram(), 0..LOW_RAM_LIMIT);
        assert_eq!(memory.high_ram(), HIGH_RAM_START..HIGH_RAM_START + 1024 * MIB);
        assert!(!memory.is_ram(&(LOW_RAM_LIMIT - 4096..LOW_RAM_LIMIT + 1)));
        assert!(memory.is_ram(&(HIGH_RAM_START..HIGH_RAM_START + 1024 * MIB)));
        assert_eq!(memory.mmap().num_regions(), 2);
    }

    #[test]
    fn what_was_written_is_known() {
        let memory = GuestMemory::new(MIB).unwrap();
        memory.write(MIB - 5, &[0xA5; 5]).unwrap();
        let mut bytes = [1; 6];
        memory.mmap().read_slice(&mut bytes, GuestAddress(MIB - 6)).unwrap();
        assert_eq!(bytes, [0, 0xA5, 0xA5, 0xA5, 0xA5, 0xA5]);
        assert_eq!(memory.written(), std::slice::from_ref(&(MIB - 5..MIB)));
        assert!(memory.write(MIB - 5, &[0; 6]).is_err());
    }

    #[test]
    fn sizes_out_of_range_say_what_to_do() {
        for (ram, word) in [
            (64 << 10, "too little"),
            (MAX_RAM + RAM_GRANULE, "too much"),
            (MIB + 512, "multiple of 1 MiB"),
            (MAX_RAM, "--memory"),
        ] {
            let message = GuestMemory::new(ram).expect_err("must be refused").to_string();
            assert!(message.contains(word), "{message}");
        }
    }

    #[test]
    fn the_vga_window_is_not_ram() {
        let memory = GuestMemory::new(2 * MIB).unwrap();
        assert!(memory.is_ram(&(0..0xA_0000)));
        assert!(!memory.is_ram(&(0x9_F000..0xA_0001)));
        assert!(memory.is_ram(&(0xC_0000..2 * MIB)));
        assert!(!memory.is_ram(&(MIB..2 * MIB + 1)));
        #[allow(clippy::reversed_empty_ranges)]
        let wrapped = u64::MAX - 10..5;
        assert!(!memory.is_ram(&wrapped));
    }
}
