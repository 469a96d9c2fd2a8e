//! What happened in a stretch of a run, page by page: enough to say that nothing in it can have been a stop.

use super::PcMachine;
use crate::memory::PAGE_SIZE;
use rrvmm_tcg::stops::{Space, Stops, Watch};

/// What happened in a stretch of a run, as far as it is noted.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Linear pages of which instructions ran or would run next, ascending.
    executed: Box<[u64]>,
    /// RAM pages written, by number, ascending.
    written: Box<[usize]>,
    /// Linear pages written, ascending; not known when there were too many.
    linear: Option<Box<[u64]>>,
    /// Pages accessed in any way; not known when there were too many.
    accessed: Option<Accessed>,
}

/// Pages accessed, ascending.
#[derive(Clone, Debug)]
struct Accessed {
    linear: Box<[u64]>,
    physical: Box<[u64]>,
}

impl Accessed {
    /// Of pairs of linear and physical pages that are ascending.
    fn new(pages: &[(u64, u64)]) -> Self {
        let mut linear: Vec<u64> = pages.iter().map(|&(linear, _)| linear).collect();
        linear.dedup();
        let mut physical: Vec<u64> = pages.iter().map(|&(_, physical)| physical).collect();
        physical.sort_unstable();
        physical.dedup();
        Self { linear: linear.into(), physical: physical.into() }
    }

    fn touches(&self, watch: &Watch) -> bool {
        match watch.space {
            Space::Linear => touches(&self.linear, watch),
            Space::Physical => touches(&self.physical, watch),
        }
    }
}

/// The first byte of the page of `addr`.
fn page_of(addr: u64) -> u64 {
    addr & !(PAGE_SIZE as u64 - 1)
}

/// Whether any of the sorted `pages` has a byte of `watch`.
fn touches(pages: &[u64], watch: &Watch) -> bool {
    let first = page_of(watch.addr);
    let Some(last) = watch.addr.checked_add(watch.len.saturating_sub(1)) else { return true };
    let from = pages.partition_point(|&page| page < first);
    pages.get(from).is_some_and(|&page| page <= last)
}

impl PcMachine {
    /// What happened since the last call or restore.
    pub(super) fn take_trace(&mut self) -> Trace {
        self.memory.follow(&mut *self.accel);
        let mut written = std::mem::take(&mut self.memory.traced);
        written.sort_unstable();
        written.dedup();
        let mut executed = self.accel.take_executed();
        let next = page_of(self.linear_pc());
        if let Err(at) = executed.binary_search(&next) {
            executed.insert(at, next);
        }
        let linear = self.accel.take_linear_writes().map(Vec::into_boxed_slice);
        let accessed = self.accel.take_accesses().map(|pages| Accessed::new(&pages));
        Trace { executed: executed.into(), written: written.into(), linear, accessed }
    }

    /// Whether a stretch with this trace may have hit any of `stops`.
    pub(super) fn may_have_hit(&self, trace: &Trace, stops: &Stops) -> bool {
        let ran = |addr: &u64| trace.executed.binary_search(&page_of(*addr)).is_ok();
        stops.events
            || stops.breakpoints.iter().any(ran)
            || stops.watchpoints.iter().any(|w| self.may_have_accessed(trace, w))
    }

    fn may_have_accessed(&self, trace: &Trace, watch: &Watch) -> bool {
        if watch.on.reads() && trace.accessed.as_ref().is_none_or(|accessed| accessed.touches(watch)) {
            return true;
        }
        if !watch.on.writes() {
            return false;
        }
        match (watch.space, &trace.linear) {
            (Space::Linear, Some(pages)) => touches(pages, watch),
            (Space::Linear, None) => true,
            (Space::Physical, _) => {
                let Some(last) = watch.addr.checked_add(watch.len.saturating_sub(1)) else { return true };
                let mut pages = (page_of(watch.addr)..=last).step_by(PAGE_SIZE);
                // What is not RAM is not noted either.
                pages
                    .any(|at| self.ram_page(at).is_none_or(|page| trace.written.binary_search(&page).is_ok()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rrvmm_tcg::stops::Access;

    #[test]
    fn a_watch_touches_the_pages_it_has_bytes_in() {
        let watch = |addr, len| Watch { space: Space::Linear, addr, len, on: Access::Write };
        let pages = [0x1000, 0x4000];
        assert!(touches(&pages, &watch(0xfff, 2)) && touches(&pages, &watch(0x1fff, 1)));
        assert!(!touches(&pages, &watch(0xfff, 1)) && !touches(&pages, &watch(0x2000, 0x2000)));
        assert!(touches(&pages, &watch(0x2000, 0x2001)) && !touches(&pages, &watch(0x5000, 1)));
        assert!(touches(&[], &watch(u64::MAX, 2)));
    }
}
