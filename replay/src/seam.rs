//! The boundary: everything from outside reaches a device as [`Admitted`], which only this module makes.

use crate::time::Position;

/// An input that has crossed the boundary: already in the journal (recording) or out of it (replaying).
#[derive(Debug)]
pub struct Admitted<I> {
    input: I,
    at: Position,
}

impl<I> Admitted<I> {
    pub(crate) fn new(input: I, at: Position) -> Self {
        Self { input, at }
    }

    /// Where in the run the input arrives.
    pub fn at(&self) -> Position {
        self.at
    }

    /// The input, for the device it is meant for.
    pub fn into_input(self) -> I {
        self.input
    }
}
