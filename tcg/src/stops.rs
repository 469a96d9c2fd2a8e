//! Where an observer wants the machine to stop: plain values, no part of the machine's state.
//!
//! The guest's run is the same to the bit with and without them.

use std::collections::BTreeSet;

/// Everything at which to stop. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stops {
    /// Linear addresses of instructions before which to stop.
    pub breakpoints: BTreeSet<u64>,
    /// Memory after whose access to stop, in the order in which a [`Hit::Watch`] counts them.
    pub watchpoints: Vec<Watch>,
    /// Whether to stop where an exception or interrupt has been delivered: before the first instruction of its handler. One
    /// that comes with the CPU's arrival at a position is part of the arrival.
    pub events: bool,
    /// An instruction before which to stop when the general registers are as given, and some memory. Passing it with other
    /// registers costs next to nothing.
    pub place: Option<Place>,
}

/// An instruction with certain general registers, and certain words of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its linear address.
    pub addr: u64,
    /// The general registers.
    pub regs: Box<[u64; 16]>,
    /// Physical addresses and the eight bytes there, none across pages.
    pub words: Vec<(u64, u64)>,
}

impl Stops {
    /// Whether nothing can hit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.breakpoints.is_empty() && self.watchpoints.is_empty() && !self.events && self.place.is_none()
    }
}

/// A range of memory to watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watch {
    /// What `addr` is an address in.
    pub space: Space,
    /// First byte.
    pub addr: u64,
    /// Bytes; at least one.
    pub len: u64,
    /// Which accesses count.
    pub on: Access,
}

/// Which addresses a [`Watch`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Space {
    /// Linear addresses, by whatever page tables are in force.
    Linear,
    /// Physical addresses, reached by whatever linear address.
    Physical,
}

/// Which accesses a [`Watch`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Stores, of an equal value too.
    Write,
    /// Loads; not instruction fetches.
    Read,
    /// Both.
    Any,
}

impl Access {
    /// Whether a load counts.
    #[must_use]
    pub fn reads(self) -> bool {
        matches!(self, Access::Read | Access::Any)
    }

    /// Whether a store counts.
    #[must_use]
    pub fn writes(self) -> bool {
        matches!(self, Access::Write | Access::Any)
    }
}

/// What was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hit {
    /// The next instruction has a breakpoint. The machine stands before it.
    Breakpoint {
        /// Its linear address.
        addr: u64,
    },
    /// An event has been delivered, and the first instruction of its handler comes next: the machine stands before it.
    Event {
        /// Its linear address.
        addr: u64,
    },
    /// The instruction that has just completed accessed watched memory, or a device did at its end. The machine stands after
    /// it.
    Watch {
        /// Which of [`Stops::watchpoints`].
        watch: usize,
        /// First byte accessed, in the watch's space.
        addr: u64,
        /// Bytes accessed.
        len: u64,
        /// Whether it was a store.
        write: bool,
        /// The device that accessed between two instructions, by whatever number its machine gives it; none for the
        /// instruction itself.
        device: Option<u16>,
    },
}
