use std::marker::PhantomData;

use super::{Admitted, Due, Seam, SeamError};
use crate::digest::MachineDigest;
use crate::end::EndReason;
use crate::time::{Position, Stamp};

/// The boundary of a run that nobody records: every input passes.
#[derive(Debug)]
pub struct Unrecorded<I>(PhantomData<fn(I) -> I>);

impl<I> Unrecorded<I> {
    /// A boundary that lets everything through.
    #[must_use]
    pub fn new() -> Self {
        Self(PhantomData)
    }

    /// Lets `input` through; cannot fail.
    pub fn pass(&mut self, input: I, now: Stamp) -> Admitted<I> {
        Admitted::new(input, now)
    }
}

impl<I> Default for Unrecorded<I> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I> Seam for Unrecorded<I> {
    type Input = I;
    type Offer = I;

    fn offer(input: I) -> Option<I> {
        Some(input)
    }

    fn events(&self) -> u64 {
        0
    }

    fn next_stop(&self) -> Option<Position> {
        None
    }

    fn due(&mut self, _now: Stamp) -> Result<Due<I>, SeamError> {
        Ok(Due::Nothing)
    }

    fn admit(&mut self, offer: I, now: Stamp) -> Result<Admitted<I>, SeamError> {
        Ok(self.pass(offer, now))
    }

    fn digest(&mut self, _now: Stamp, _digest: &MachineDigest) -> Result<(), SeamError> {
        Ok(())
    }

    fn halted_forever(&mut self, _now: Stamp) -> Result<(), SeamError> {
        Ok(())
    }

    fn awake(&mut self, _now: Stamp) -> Result<(), SeamError> {
        Ok(())
    }

    fn end(&mut self, _now: Stamp, _reason: EndReason, _digest: &MachineDigest) -> Result<(), SeamError> {
        Ok(())
    }

    fn stop(&mut self, _now: Stamp, _reason: EndReason, _digest: &MachineDigest) -> Result<(), SeamError> {
        Ok(())
    }

    fn flush(&mut self, _now: Stamp) -> Result<(), SeamError> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), SeamError> {
        Ok(())
    }
}
