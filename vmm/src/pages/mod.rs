//! A table of pages as a value that is cheap to copy and to compare: copies share what did not change. RAM and what a guest
//! has written to its disks are kept in such tables.

mod page;
mod slab;

use crate::memory::PAGE_SIZE;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

pub use page::Page;

/// Pages in a chunk.
pub const PAGES_IN_CHUNK: usize = 256;
use PAGES_IN_CHUNK as CHUNK;
const ZEROS: [u8; PAGE_SIZE] = [0; PAGE_SIZE];

type Chunk = [Option<Page>; CHUNK];

/// Pages by number. What a page that is not there stands for is its owner's business: in RAM it is zero, on a disk it has
/// not been written.
#[derive(Clone, Debug, Default)]
pub struct Pages(BTreeMap<usize, Arc<Chunk>>);

impl Pages {
    /// The bytes of `page`; zeros where none is.
    #[must_use]
    pub fn get(&self, page: usize) -> &[u8; PAGE_SIZE] {
        self.page(page).map_or(&ZEROS, |page| page)
    }

    /// The bytes of `page` as they can be shared.
    #[must_use]
    pub fn page(&self, page: usize) -> Option<&Page> {
        self.0.get(&(page / CHUNK))?[page % CHUNK].as_ref()
    }

    /// Takes `bytes`, or nothing, as those of `page`.
    pub fn put(&mut self, page: usize, bytes: Option<Page>) {
        Arc::make_mut(self.chunk_mut(page / CHUNK))[page % CHUNK] = bytes;
    }

    /// Takes a copy of `bytes` as those of `page`.
    pub fn write(&mut self, page: usize, bytes: &[u8; PAGE_SIZE]) {
        let place = &mut Arc::make_mut(self.chunk_mut(page / CHUNK))[page % CHUNK];
        match place.as_mut().and_then(Page::own_mut) {
            Some(own) => own.copy_from_slice(bytes),
            None => *place = Some(Page::new(bytes)),
        }
    }

    /// The bytes of `page` to change, if it is there. They are this table's alone from then on.
    pub fn page_mut(&mut self, page: usize) -> Option<&mut [u8; PAGE_SIZE]> {
        let chunk = self.0.get_mut(&(page / CHUNK))?;
        chunk[page % CHUNK].as_ref()?;
        Arc::make_mut(chunk)[page % CHUNK].as_mut().map(Page::to_mut)
    }

    /// Takes chunk `n` as `other` has it.
    pub fn share_chunk(&mut self, n: usize, other: &Pages) {
        if let Some(chunk) = other.0.get(&n) {
            self.0.insert(n, Arc::clone(chunk));
        }
    }

    /// Takes `bytes` as those of `page` of RAM.
    pub fn set(&mut self, page: usize, bytes: &[u8; PAGE_SIZE]) {
        if self.get(page) == bytes {
            return;
        }
        let is_zero = *bytes == ZEROS;
        self.put(page, (!is_zero).then(|| Page::new(bytes)));
    }

    /// Takes the chunks of `other`, which shares them, under numbers that are `by` larger.
    pub fn take_shifted(&mut self, other: &Pages, by: usize) {
        self.0.extend(other.0.iter().map(|(n, chunk)| (n + by, Arc::clone(chunk))));
    }

    /// The chunks in `range`, shared, under numbers from zero on.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Pages {
        let start = range.start;
        Pages(self.0.range(range).map(|(n, chunk)| (n - start, Arc::clone(chunk))).collect())
    }

    /// Page numbers at which the two may differ, ascending.
    pub fn differing<'a>(&'a self, other: &'a Pages) -> impl Iterator<Item = usize> + 'a {
        let mut chunks: Vec<usize> = self.0.keys().chain(other.0.keys()).copied().collect();
        chunks.sort_unstable();
        chunks.dedup();
        chunks.into_iter().flat_map(move |n| {
            let (a, b) = (self.0.get(&n), other.0.get(&n));
            let pages = if same(a, b, Arc::ptr_eq) { 0..0 } else { 0..CHUNK };
            let page = |chunk: Option<&'a Arc<Chunk>>, i: usize| chunk.and_then(|c| c[i].as_ref());
            pages.filter(move |&i| !same(page(a, i), page(b, i), Page::is)).map(move |i| n * CHUNK + i)
        })
    }

    /// Every page that is there, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Page)> {
        self.0.iter().flat_map(|(n, chunk)| {
            let pages = chunk.iter().enumerate();
            pages.filter_map(move |(i, page)| Some((n * CHUNK + i, page.as_ref()?)))
        })
    }

    /// Bytes of memory that `beside` does not already take.
    #[must_use]
    pub fn weight(&self, beside: Option<&Pages>) -> usize {
        let mut bytes = self.0.len() * size_of::<(usize, Arc<Chunk>)>();
        for (n, chunk) in &self.0 {
            let other = beside.and_then(|pages| pages.0.get(n));
            if same(Some(chunk), other, Arc::ptr_eq) {
                continue;
            }
            let page = |i: usize| other.and_then(|other| other[i].as_ref());
            let own = chunk
                .iter()
                .enumerate()
                .filter(|(i, p)| p.is_some() && !same(p.as_ref(), page(*i), Page::is));
            bytes += size_of::<Chunk>() + own.count() * PAGE_SIZE;
        }
        bytes
    }

    fn chunk_mut(&mut self, n: usize) -> &mut Arc<Chunk> {
        self.0.entry(n).or_insert_with(|| Arc::new([const { None }; CHUNK]))
    }
}

/// Whether both are the very same value, of which `is` tells, or none.
fn same<T>(a: Option<&T>, b: Option<&T>, is: fn(&T, &T) -> bool) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => is(a, b),
        (None, None) => true,
        _ => false,
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
        let table = a.0.len() * 16;
        assert_eq!(a.weight(Some(&before)), table + 2 * size_of::<Chunk>() + PAGE_SIZE);
        assert_eq!(a.weight(Some(&a.clone())), table);
    }

    #[test]
    fn tables_go_into_one_and_come_out_again() {
        let (mut a, mut b) = (Pages::default(), Pages::default());
        a.set(3, &[1; PAGE_SIZE]);
        b.set(300, &[2; PAGE_SIZE]);
        let mut all = a.clone();
        all.take_shifted(&b, 1000);
        assert_eq!((all.get(3)[0], all.get(1000 * CHUNK + 300)[0]), (1, 2));
        assert_eq!(all.part(0..1000).differing(&a).count(), 0);
        assert_eq!(all.part(1000..2000).differing(&b).count(), 0);
    }

    #[test]
    fn a_changed_page_is_its_tables_own() {
        let mut a = Pages::default();
        a.put(5, Some(Page::new(&[1; PAGE_SIZE])));
        let before = a.clone();
        assert_eq!(a.page_mut(6), None);
        a.page_mut(5).unwrap()[0] = 9;
        assert_eq!((a.get(5)[0], before.get(5)[0]), (9, 1));
    }
}
