//! The whole machine as a value that is cheap to make, to keep and to go back to: what did not change is shared.

use super::{OutputDigest, PcMachine, clock::Clock};
use crate::{accel::Accelerator, memory::PAGE_SIZE};
use rrvmm_devices::{Pc, PcConfig, PcState};
use rrvmm_replay::EndReason;
use rrvmm_tcg::x86::{self, engine::Translations};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Pages in a chunk.
pub const PAGES_IN_CHUNK: usize = 256;
use PAGES_IN_CHUNK as CHUNK;
const ZEROS: [u8; PAGE_SIZE] = [0; PAGE_SIZE];

/// The bytes of a page, which more than one table may have.
pub type Page = Arc<[u8; PAGE_SIZE]>;
type Chunk = [Option<Page>; CHUNK];

/// All RAM, by page number; what is not there is zero.
#[derive(Clone, Debug, Default)]
pub struct Pages(Vec<Option<Arc<Chunk>>>);

impl Pages {
    /// The bytes of `page`.
    #[must_use]
    pub fn get(&self, page: usize) -> &[u8; PAGE_SIZE] {
        self.page(page).map_or(&ZEROS, |page| page)
    }

    /// The bytes of `page` as they can be shared; none for zeros.
    #[must_use]
    pub fn page(&self, page: usize) -> Option<&Page> {
        self.chunk(page / CHUNK)?[page % CHUNK].as_ref()
    }

    /// Takes `bytes`, or zeros, as those of `page`.
    pub fn put(&mut self, page: usize, bytes: Option<Page>) {
        Arc::make_mut(self.chunk_mut(page / CHUNK))[page % CHUNK] = bytes;
    }

    /// Takes chunk `n` as `other` has it.
    pub fn share_chunk(&mut self, n: usize, other: &Pages) {
        if let Some(chunk) = other.chunk(n) {
            *self.chunk_mut(n) = Arc::clone(chunk);
        }
    }

    fn chunk_mut(&mut self, n: usize) -> &mut Arc<Chunk> {
        if self.0.len() <= n {
            self.0.resize(n + 1, None);
        }
        self.0[n].get_or_insert_with(|| Arc::new([const { None }; CHUNK]))
    }

    fn set(&mut self, page: usize, bytes: &[u8; PAGE_SIZE]) {
        if self.get(page) == bytes {
            return;
        }
        let is_zero = *bytes == ZEROS;
        self.put(page, (!is_zero).then(|| Arc::new(*bytes)));
    }

    /// Page numbers at which the two may differ, ascending.
    pub fn differing<'a>(&'a self, other: &'a Pages) -> impl Iterator<Item = usize> + 'a {
        (0..self.0.len().max(other.0.len())).flat_map(move |n| {
            let (a, b) = (self.chunk(n), other.chunk(n));
            let pages = if same(a, b) { 0..0 } else { 0..CHUNK };
            let page = |chunk: Option<&'a Arc<Chunk>>, i: usize| chunk.and_then(|c| c[i].as_ref());
            pages.filter(move |&i| !same(page(a, i), page(b, i))).map(move |i| n * CHUNK + i)
        })
    }

    fn chunk(&self, n: usize) -> Option<&Arc<Chunk>> {
        self.0.get(n).and_then(Option::as_ref)
    }

    /// Every page that is not zero, ascending.
    #[cfg(test)]
    fn iter(&self) -> impl Iterator<Item = (usize, &[u8; PAGE_SIZE])> {
        let chunks = self.0.iter().enumerate().filter_map(|(n, chunk)| Some((n, chunk.as_deref()?)));
        chunks.flat_map(|(n, chunk)| {
            let pages = chunk.iter().enumerate();
            pages.filter_map(move |(i, page)| Some((n * CHUNK + i, page.as_deref()?)))
        })
    }

    /// Bytes of memory that `beside` does not already take.
    fn weight(&self, beside: Option<&Pages>) -> usize {
        let mut bytes = self.0.len() * size_of::<Option<Arc<Chunk>>>();
        for (n, chunk) in self.0.iter().enumerate() {
            let Some(chunk) = chunk else { continue };
            let other = beside.and_then(|pages| pages.chunk(n));
            if same(Some(chunk), other) {
                continue;
            }
            let page = |i: usize| other.and_then(|other| other[i].as_ref());
            let own = chunk.iter().enumerate().filter(|(i, p)| p.is_some() && !same(p.as_ref(), page(*i)));
            bytes += size_of::<Chunk>() + own.count() * PAGE_SIZE;
        }
        bytes
    }
}

/// Whether both are the very same value, or none.
fn same<T>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// What is known of RAM without looking at it.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// RAM as it was last saved or restored.
    known: Pages,
    /// Pages written since.
    unsaved: Vec<usize>,
    /// Pages written since the last trace or restore, any number of times.
    pub traced: Vec<usize>,
}

impl Memory {
    /// Takes note of what was written.
    pub fn follow(&mut self, accel: &mut dyn Accelerator) {
        let written = accel.take_written();
        self.unsaved.extend_from_slice(&written);
        self.traced.extend_from_slice(&written);
    }

    fn save(&mut self, accel: &mut dyn Accelerator) -> Pages {
        self.follow(accel);
        for page in self.unsaved.drain(..) {
            self.known.set(page, accel.page(page));
        }
        self.known.clone()
    }

    fn restore(&mut self, accel: &mut dyn Accelerator, pages: &Pages) {
        self.follow(accel);
        self.unsaved.extend(self.known.differing(pages));
        for page in self.unsaved.drain(..) {
            if page < accel.pages() {
                accel.set_page(page, pages.get(page));
            }
        }
        self.known = pages.clone();
        // What was just written is known.
        accel.take_written();
        self.traced.clear();
    }
}

/// Everything of a machine but its RAM.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CoreState {
    pub(super) cpu: x86::State,
    pub(super) board: PcState,
    pub(super) clock: Clock,
    pub(super) nmi: bool,
    pub(super) ended: Option<EndReason>,
    pub(super) output_digest: OutputDigest,
}

impl CoreState {
    /// Whether it can be that of a machine of `config`.
    #[must_use]
    pub fn fits(&self, config: &PcConfig) -> bool {
        Pc::new(config).load(&self.board).is_ok()
    }
}

/// The whole machine as plain data. Copies share what is big.
#[derive(Clone, Debug)]
pub struct Snapshot {
    core: Arc<CoreState>,
    pages: Pages,
    /// Only of use in the process that made them; without them the machine must be at a digest, which drops them.
    translations: Option<Arc<Translations>>,
}

impl Snapshot {
    /// Of a machine that comes to a digest, which drops what its CPU remembers of the page tables. `core` fits the machine.
    #[must_use]
    pub fn at_digest(core: CoreState, pages: Pages) -> Self {
        Self { core: Arc::new(core), pages, translations: None }
    }

    /// Everything but RAM.
    #[must_use]
    pub fn core(&self) -> &CoreState {
        &self.core
    }

    /// RAM.
    #[must_use]
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// Bytes of host memory that it takes and `beside` does not already take.
    #[must_use]
    pub fn weight(&self, beside: Option<&Snapshot>) -> usize {
        let translations = self.translations.as_ref().map_or(0, |t| t.weight());
        size_of::<CoreState>() + translations + self.pages.weight(beside.map(|other| &other.pages))
    }
}

impl PcMachine {
    /// The machine's state; takes the time of what was written since the last save or restore.
    pub(super) fn take_snapshot(&mut self) -> Snapshot {
        let core = CoreState {
            cpu: self.accel.save(),
            board: self.board.save(),
            clock: self.clock,
            nmi: self.nmi,
            ended: self.ended,
            output_digest: self.output_digest,
        };
        Snapshot {
            core: Arc::new(core),
            pages: self.memory.save(&mut *self.accel),
            translations: Some(Arc::new(self.accel.translations())),
        }
    }

    /// Puts the machine into a saved state; takes the time of what differs.
    pub(super) fn return_to(&mut self, state: &Snapshot) {
        self.memory.restore(&mut *self.accel, &state.pages);
        let core = &state.core;
        self.board.load(&core.board).expect("a snapshot of this very board fits it");
        (self.clock, self.nmi, self.ended, self.output_digest) =
            (core.clock, core.nmi, core.ended, core.output_digest);
        self.outputs.clear();
        // What this forgets is restored after it.
        self.follow_chipset();
        self.accel.load(&core.cpu);
        if let Some(translations) = &state.translations {
            self.accel.set_translations(translations);
        }
        // Nothing has run here yet.
        self.accel.take_executed();
        self.accel.take_linear_writes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_share_what_is_equal_and_zero_is_free() {
        let mut a = Pages::default();
        a.set(3, &ZEROS);
        assert_eq!(a.weight(None), 0);
        a.set(3, &[1; PAGE_SIZE]);
        a.set(700, &[2; PAGE_SIZE]);
        let before = a.clone();
        assert_eq!(a.differing(&before).count(), 0);
        a.set(3, &[1; PAGE_SIZE]);
        assert_eq!(a.differing(&before).count(), 0);
        a.set(4, &[3; PAGE_SIZE]);
        a.set(700, &ZEROS);
        assert_eq!(a.differing(&before).collect::<Vec<_>>(), [4, 700]);
        assert_eq!(before.differing(&a).collect::<Vec<_>>(), [4, 700]);
        assert_eq!(a.iter().map(|(n, p)| (n, p[0])).collect::<Vec<_>>(), [(3, 1), (4, 3)]);
        assert_eq!(before.get(700)[9], 2);
        let table = a.0.len() * 8;
        assert_eq!(a.weight(Some(&before)), table + 2 * size_of::<Chunk>() + PAGE_SIZE);
        assert_eq!(a.weight(Some(&a.clone())), table);
    }
}
