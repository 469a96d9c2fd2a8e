//! Keeps account of what lies where in guest memory while it is being filled, so that no part overwrites another.

use super::LoadError;
use crate::memory::GuestMemory;
use std::borrow::Cow;
use std::ops::Range;

/// Where small boot structures go. Linux copies its long-mode trampoline to the pages right below the EBDA while it
/// still runs on these structures (`find_trampoline_placement` in arch/x86/boot/compressed/pgtable_64.c), so they stay
/// well below.
const LOW: Range<u64> = 0x1000..0x8_0000;
/// Where an initrd and modules may go at the lowest.
const HIGH_START: u64 = 0x10_0000;

struct Taken {
    what: Cow<'static, str>,
    range: Range<u64>,
}

/// Guest memory being filled.
pub(super) struct Placement<'m> {
    memory: &'m GuestMemory,
    taken: Vec<Taken>,
}

impl<'m> Placement<'m> {
    pub(super) fn new(memory: &'m GuestMemory) -> Self {
        Self { memory, taken: Vec::new() }
    }

    pub(super) fn memory(&self) -> &'m GuestMemory {
        self.memory
    }

    /// Takes `size` bytes at `start` for `what`; zero bytes take nothing.
    pub(super) fn claim(
        &mut self,
        what: impl Into<Cow<'static, str>>,
        start: u64,
        size: u64,
    ) -> Result<(), LoadError> {
        let what = what.into();
        if size == 0 {
            return Ok(());
        }
        let end = start.saturating_add(size);
        if end - start != size || !self.memory.is_ram(&(start..end)) {
            return Err(LoadError::NotRam { what, start, end, ram: self.memory.ram_size() });
        }
        if let Some(other) = self.taken.iter().find(|taken| overlap(&taken.range, &(start..end))) {
            return Err(LoadError::Overlap { what, other: other.what.clone(), start, end });
        }
        self.taken.push(Taken { what, range: start..end });
        Ok(())
    }

    /// Writes into a range that was claimed before.
    pub(super) fn fill(&self, start: u64, bytes: &[u8]) -> Result<(), LoadError> {
        self.memory.write(start, bytes).map_err(LoadError::Write)
    }

    /// Takes the range at `start` and writes `bytes` there.
    pub(super) fn write_at(
        &mut self,
        what: impl Into<Cow<'static, str>>,
        start: u64,
        bytes: &[u8],
    ) -> Result<(), LoadError> {
        self.claim(what, start, bytes.len() as u64)?;
        self.fill(start, bytes)
    }

    /// Writes `bytes` to the lowest free place of the memory for small boot structures; returns its address.
    pub(super) fn write_low(
        &mut self,
        what: &'static str,
        bytes: &[u8],
        align: u64,
    ) -> Result<u64, LoadError> {
        let start = self
            .lowest_free(&LOW, bytes.len() as u64, align)
            .ok_or_else(|| no_room(what.into(), bytes.len(), &LOW))?;
        self.write_at(what, start, bytes)?;
        Ok(start)
    }

    /// Writes `bytes` page-aligned to the lowest free place from `from` on, at least 1 MiB; returns its address.
    pub(super) fn write_after(&mut self, what: String, bytes: &[u8], from: u64) -> Result<u64, LoadError> {
        let within = from.max(HIGH_START)..self.memory.low_ram().end;
        let Some(start) = self.lowest_free(&within, bytes.len() as u64, 0x1000) else {
            return Err(no_room(what.into(), bytes.len(), &within));
        };
        self.write_at(what, start, bytes)?;
        Ok(start)
    }

    /// Writes `bytes` page-aligned to the highest free place that ends at or below `limit`; returns its address.
    pub(super) fn write_before(
        &mut self,
        what: &'static str,
        bytes: &[u8],
        limit: u64,
    ) -> Result<u64, LoadError> {
        let within = HIGH_START..limit.min(self.memory.low_ram().end);
        let size = bytes.len() as u64;
        let mut end = within.end;
        let start = loop {
            let start =
                end.checked_sub(size).map(|start| start & !0xFFF).filter(|start| *start >= within.start);
            let Some(start) = start else { return Err(no_room(what.into(), bytes.len(), &within)) };
            match self.taken.iter().find(|taken| overlap(&taken.range, &(start..start + size))) {
                Some(taken) => end = taken.range.start,
                None => break start,
            }
        };
        self.write_at(what, start, bytes)?;
        Ok(start)
    }

    fn lowest_free(&self, within: &Range<u64>, size: u64, align: u64) -> Option<u64> {
        let mut start = within.start.next_multiple_of(align);
        loop {
            if start.checked_add(size)? > within.end {
                return None;
            }
            match self.taken.iter().find(|taken| overlap(&taken.range, &(start..start + size))) {
                Some(taken) => start = taken.range.end.next_multiple_of(align),
                None => return Some(start),
            }
        }
    }
}

fn no_room(what: Cow<'static, str>, size: usize, within: &Range<u64>) -> LoadError {
    LoadError::NoRoom { what, size: size as u64, start: within.start, end: within.end }
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_never_overlap() {
        let memory = GuestMemory::new(4 << 20).unwrap();
        let mut place = Placement::new(&memory);
        place.claim("the kernel", 0x20_0000, 0x1800).unwrap();
        assert!(matches!(place.claim("b", 0x20_1000, 1), Err(LoadError::Overlap { .. })));
        assert!(matches!(place.claim("b", 0x40_0000 - 1, 2), Err(LoadError::NotRam { .. })));
        assert!(matches!(place.claim("b", u64::MAX, 2), Err(LoadError::NotRam { .. })));
        assert!(matches!(place.claim("b", 0x9_F000, 0x2000), Err(LoadError::NotRam { .. })));
        assert_eq!(place.write_after("m".into(), &[1; 16], 0x1F_FFFF).unwrap(), 0x20_2000);
        assert_eq!(place.write_before("i", &[1; 0x2000], u64::MAX).unwrap(), 0x3F_E000);
        assert_eq!(place.write_before("j", &[1; 0x2000], u64::MAX).unwrap(), 0x3F_C000);
        assert_eq!(place.write_before("k", &[1; 0x20_0000], u64::MAX).map_err(|_| ()), Err(()));
    }

    #[test]
    fn low_memory_fills_up_and_then_says_so() {
        let memory = GuestMemory::new(1 << 20).unwrap();
        let mut place = Placement::new(&memory);
        assert_eq!(place.write_low("a", &[1; 10], 16).unwrap(), 0x1000);
        assert_eq!(place.write_low("b", &[1; 0x1000], 0x1000).unwrap(), 0x2000);
        assert_eq!(place.write_low("c", &[1; 10], 16).unwrap(), 0x1010);
        let error = place.write_low("d", &vec![1; 0x8_0000], 16).unwrap_err();
        assert!(matches!(error, LoadError::NoRoom { .. }), "{error}");
    }
}
