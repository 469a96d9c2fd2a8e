//! The bytes of a page.

use super::slab::Room;
use crate::memory::PAGE_SIZE;
use std::ops::Deref;
use std::sync::Arc;

/// The bytes of a page, which more than one table may have.
#[derive(Clone, Debug)]
pub struct Page(Arc<Room>);

impl Page {
    /// A page of its own with a copy of `bytes`.
    #[must_use]
    pub fn new(bytes: &[u8; PAGE_SIZE]) -> Self {
        Self(Arc::new(Room::of(bytes)))
    }

    /// Whether both are the very same, not merely equal.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The bytes to change, if nobody shares them.
    pub fn own_mut(&mut self) -> Option<&mut [u8; PAGE_SIZE]> {
        Arc::get_mut(&mut self.0).map(|room| &mut **room)
    }

    /// The bytes to change, of a copy if somebody shares them.
    pub fn to_mut(&mut self) -> &mut [u8; PAGE_SIZE] {
        if Arc::get_mut(&mut self.0).is_none() {
            *self = Self::new(self);
        }
        self.own_mut().expect("a page of its own")
    }
}

impl Deref for Page {
    type Target = [u8; PAGE_SIZE];

    fn deref(&self) -> &[u8; PAGE_SIZE] {
        &self.0
    }
}

impl PartialEq for Page {
    fn eq(&self, other: &Self) -> bool {
        self.is(other) || **self == **other
    }
}
