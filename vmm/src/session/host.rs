//! What a session wants of the host: inputs, somewhere for outputs, and a clock to be paced by.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::time::Duration;

use rrvmm_devices::Output;
use rrvmm_replay::{EndReason, Position};

use super::machine::FullPorts;
use crate::host::{HostError, Stopwatch};

/// What the host has for a session at a moment.
#[derive(Debug)]
pub enum Polled<O> {
    /// Nothing now.
    Nothing,
    /// An input for the machine.
    Input(O),
    /// A wish to stop: `Quit`, `Signal`.
    Stop(EndReason),
}

/// The host as a session sees it.
///
/// A session's loop takes a `Host` whose [`Offer`](Host::Offer) is what its seam takes. For a replay that is
/// [`Infallible`], of which there is no value, so a replaying session has no host inputs by type. It can still be stopped.
pub trait Host {
    /// What it has for the machine.
    type Offer;

    /// Host time since the session began; never goes back.
    fn elapsed(&self) -> Duration;

    /// The next input or wish, without waiting. Called again until it gives [`Polled::Nothing`].
    ///
    /// What is for a port of `full` stays outside, as far as it has not been read already.
    ///
    /// # Errors
    /// A host backend failed for good.
    fn poll(&mut self, full: FullPorts) -> Result<Polled<Self::Offer>, HostError>;

    /// Waits until [`poll`](Host::poll) with the same `full` has something, or for `limit`. It may come back early.
    ///
    /// # Errors
    /// A host backend failed for good.
    fn wait(&mut self, limit: Duration, full: FullPorts) -> Result<(), HostError>;

    /// Whether an input can still come, now or ever. Without one, a guest that is halted for good is at its end.
    fn may_offer(&self) -> bool;

    /// Shows what the machine has sent out, in order.
    ///
    /// # Errors
    /// A host backend failed for good.
    fn show(&mut self, outputs: &[Output]) -> Result<(), HostError>;

    /// Hears how far the machine has come, about every millisecond.
    fn reached(&mut self, position: Position);
}

/// A host that has nothing and wants nothing: for `verify`, and for recordings of guests that need nobody.
#[derive(Debug)]
pub struct Nobody<O = Infallible>(Stopwatch, PhantomData<fn() -> O>);

impl<O> Nobody<O> {
    /// A host whose clock begins now.
    #[must_use]
    pub fn new() -> Self {
        Self(Stopwatch::start(), PhantomData)
    }
}

impl<O> Default for Nobody<O> {
    fn default() -> Self {
        Self::new()
    }
}

impl<O> Host for Nobody<O> {
    type Offer = O;

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn poll(&mut self, _full: FullPorts) -> Result<Polled<O>, HostError> {
        Ok(Polled::Nothing)
    }

    fn wait(&mut self, _limit: Duration, _full: FullPorts) -> Result<(), HostError> {
        Ok(())
    }

    fn may_offer(&self) -> bool {
        false
    }

    fn show(&mut self, _outputs: &[Output]) -> Result<(), HostError> {
        Ok(())
    }

    fn reached(&mut self, _position: Position) {}
}
