//! Memory for pages, in slabs. A page that the process has not touched costs its first writer more than what he writes there, so a
//! thread touches slabs ahead once much memory is asked for. One of the files that may use `unsafe`: no allocator of the
//! language gives out memory ahead.

use crate::memory::PAGE_SIZE;
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

type Bytes = [u8; PAGE_SIZE];

/// Rooms in a slab.
const ROOMS: usize = 512;
/// Bytes of a slab, and a multiple of this is its address.
const SIZE: usize = ROOMS * PAGE_SIZE;
const LAYOUT: Layout = match Layout::from_size_align(SIZE, SIZE) {
    Ok(layout) => layout,
    Err(_) => panic!("the size of a slab is no power of two"),
};
/// Slabs that are kept ready where much memory is asked for.
const AHEAD: usize = 4;
/// Bytes that are touched at once: whoever maps memory meanwhile waits so long.
const TOUCHED: usize = 64 * PAGE_SIZE;

static SLABS: Mutex<Slabs> = Mutex::new(Slabs::NONE);
/// Fewer slabs are ready than should be.
static WANTED: Condvar = Condvar::new();

/// Memory for one page, part of a slab.
#[derive(Debug)]
pub(super) struct Room(NonNull<Bytes>);

// SAFETY: the bytes are this value's alone until it is dropped.
unsafe impl Send for Room {}
// SAFETY: they change by way of `&mut` only.
unsafe impl Sync for Room {}

impl Room {
    /// A room with a copy of `bytes`.
    pub fn of(bytes: &Bytes) -> Self {
        let room = room();
        // SAFETY: the room is a page long and nobody else's.
        unsafe { room.copy_from_nonoverlapping(NonNull::from(bytes), 1) };
        Self(room)
    }
}

impl Deref for Room {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        // SAFETY: the room was filled when this value was made.
        unsafe { self.0.as_ref() }
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut Bytes {
        // SAFETY: as above, and nobody else has the room.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let empty = slabs().give_back(self.0);
        // Not while others wait for a room.
        drop(empty);
    }
}

/// All slabs.
struct Slabs {
    /// Those in use, by address.
    used: BTreeMap<usize, Slab>,
    /// Those of them that have room. The lowest is filled first, so that others become empty.
    with_room: BTreeSet<usize>,
    /// Empty ones that have been touched.
    ready: Vec<Slab>,
    /// More should be made ready.
    is_short: bool,
    /// Somebody makes slabs ready.
    is_supplied: bool,
}

impl Slabs {
    const NONE: Self = Self {
        used: BTreeMap::new(),
        with_room: BTreeSet::new(),
        ready: Vec::new(),
        is_short: false,
        is_supplied: false,
    };

    fn take(&mut self) -> NonNull<Bytes> {
        let at = self.with_room.first().copied().unwrap_or_else(|| self.add());
        let slab = self.used.get_mut(&at).expect("a slab with room is in use");
        let room = slab.free.pop().expect("it has room");
        if slab.free.is_empty() {
            self.with_room.remove(&at);
        }
        // SAFETY: the number is below `ROOMS`.
        unsafe { slab.start.add(usize::from(room) * PAGE_SIZE) }.cast()
    }

    /// Takes a room back. Gives the slab that is not needed any more, if that is so.
    fn give_back(&mut self, room: NonNull<Bytes>) -> Option<Slab> {
        let (at, within) = (room.addr().get() & !(SIZE - 1), room.addr().get() & (SIZE - 1));
        let slab = self.used.get_mut(&at).expect("a room is in a slab that is in use");
        slab.free.push((within / PAGE_SIZE) as u16);
        self.with_room.insert(at);
        // The last one stays, for who takes and gives back in turn.
        if slab.free.len() < ROOMS || self.with_room.len() == 1 {
            return None;
        }
        self.with_room.remove(&at);
        let empty = self.used.remove(&at)?;
        if self.is_supplied && self.ready.len() < AHEAD {
            self.ready.push(empty);
            return None;
        }
        Some(empty)
    }

    /// Takes another slab into use. Returns its address.
    fn add(&mut self) -> usize {
        let slab = self.ready.pop().unwrap_or_else(Slab::new);
        // One slab is enough for many a guest.
        self.is_short = !self.used.is_empty();
        let at = slab.start.addr().get();
        self.used.insert(at, slab);
        self.with_room.insert(at);
        at
    }
}

/// A slab.
struct Slab {
    start: NonNull<u8>,
    /// Numbers of the rooms that nobody has.
    free: Vec<u16>,
}

// SAFETY: the memory is the slab's, wherever it goes.
unsafe impl Send for Slab {}

impl Slab {
    fn new() -> Self {
        // SAFETY: the layout is not empty.
        let start = NonNull::new(unsafe { alloc(LAYOUT) }).unwrap_or_else(|| handle_alloc_error(LAYOUT));
        // The last is given out first.
        Self { start, free: (0..ROOMS as u16).rev().collect() }
    }

    /// Has the host find memory for all of it (`madvise(2)`, Linux 5.14). One that cannot does so page by page, as they are
    /// written.
    fn touch(&self) {
        for at in (0..SIZE).step_by(TOUCHED) {
            // SAFETY: this part of the slab stays as it is.
            unsafe { libc::madvise(self.start.add(at).as_ptr().cast(), TOUCHED, libc::MADV_POPULATE_WRITE) };
        }
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: made by `alloc` with this layout; all of its rooms have come back.
        unsafe { dealloc(self.start.as_ptr(), LAYOUT) };
    }
}

fn slabs() -> MutexGuard<'static, Slabs> {
    SLABS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A room that nobody has.
fn room() -> NonNull<Bytes> {
    let mut slabs = slabs();
    let room = slabs.take();
    if std::mem::take(&mut slabs.is_short) {
        // Without a thread it is slower, not wrong.
        slabs.is_supplied =
            slabs.is_supplied || thread::Builder::new().name("memory".to_owned()).spawn(supply).is_ok();
        WANTED.notify_one();
    }
    room
}

/// Keeps slabs ready.
fn supply() {
    loop {
        let enough = WANTED.wait_while(slabs(), |slabs| slabs.ready.len() >= AHEAD);
        drop(enough.unwrap_or_else(PoisonError::into_inner));
        let slab = Slab::new();
        slab.touch();
        slabs().ready.push(slab);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not by way of [`SLABS`], which other tests use at the same time.
    #[test]
    fn rooms_do_not_overlap_and_empty_slabs_go() {
        let mut slabs = Slabs::NONE;
        let rooms: Vec<_> = (0..2 * ROOMS + 1).map(|_| slabs.take()).collect();
        let apart: BTreeSet<usize> = rooms.iter().map(|room| room.addr().get()).collect();
        assert_eq!((apart.len(), slabs.used.len()), (rooms.len(), 3));
        assert!(apart.iter().all(|at| at % PAGE_SIZE == 0));
        let again = rooms[5];
        assert!(slabs.give_back(again).is_none());
        let more: Vec<_> = (0..ROOMS).map(|_| slabs.take()).collect();
        assert!(more.contains(&again));
        assert_eq!((slabs.used.len(), slabs.with_room.len()), (3, 0));
        let all = rooms.into_iter().filter(|room| *room != again).chain(more);
        assert_eq!(all.filter_map(|room| slabs.give_back(room)).count(), 2);
        assert_eq!((slabs.used.len(), slabs.with_room.len()), (1, 1));
    }

    #[test]
    fn a_room_keeps_its_bytes_and_may_go_to_another_thread() {
        let mut rooms: Vec<Room> = (0..3 * ROOMS).map(|n| Room::of(&[n as u8; PAGE_SIZE])).collect();
        rooms[3][17] = 99;
        let rooms = thread::spawn(move || rooms).join().unwrap();
        assert_eq!((rooms[3][16], rooms[3][17], rooms[699][4095]), (3, 99, 699_usize as u8));
        let same = |(n, room): (usize, &Room)| room[5] == n as u8;
        assert!(rooms.iter().enumerate().all(same));
    }
}
