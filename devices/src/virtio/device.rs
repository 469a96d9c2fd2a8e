//! What a device type is to its transport, and the list of types there are.

use super::block::Block;
use super::console::Console;
use super::input::InputDevice;
use super::net::Net;
use super::queue::RingFeatures;
use super::rng::Rng;
use super::{Chain, Fault, Queue};
use crate::dma::{Disks, Memory};
use crate::input::{Backlog, Input};
use crate::output::Output;
use rrvmm_replay::VirtualTime;
use serde::{Deserialize, Serialize};

/// What a device has in hand while it is served.
pub struct Io<'a> {
    /// When it is.
    pub now: VirtualTime,
    /// The features that were agreed on.
    pub features: u64,
    /// Its queues.
    pub queues: &'a mut [Queue],
    /// Guest memory.
    pub memory: &'a mut dyn Memory,
    /// The disks.
    pub disks: &'a mut dyn Disks,
    /// What it says.
    pub outputs: &'a mut Vec<Output>,
    /// Set when its configuration has changed.
    pub config_changed: bool,
    pub(super) ring: RingFeatures,
}

impl Io<'_> {
    /// Takes the next request of queue `n`: its number, by which it is given back.
    ///
    /// # Errors
    /// The queue is broken.
    pub fn pop(&mut self, n: usize) -> Result<Option<u16>, Fault> {
        match self.queues.get_mut(n) {
            Some(queue) => queue.pop(self.memory, self.ring),
            None => Ok(None),
        }
    }

    /// The memory of a request.
    ///
    /// # Errors
    /// The queue is broken.
    pub fn chain(&mut self, n: usize, head: u16) -> Result<Chain, Fault> {
        match self.queues.get_mut(n) {
            Some(queue) => queue.chain(self.memory, self.ring, head),
            None => Ok(Chain::default()),
        }
    }

    /// Gives back a request, with so many bytes of its memory written.
    ///
    /// # Errors
    /// The queue is broken.
    pub fn push(&mut self, n: usize, head: u16, written: u32) -> Result<(), Fault> {
        match self.queues.get_mut(n) {
            Some(queue) => queue.push(self.memory, head, written),
            None => Ok(()),
        }
    }

    /// Takes back the last `count` pops of queue `n`.
    pub fn unpop(&mut self, n: usize, count: u16) {
        if let Some(queue) = self.queues.get_mut(n) {
            queue.unpop(count);
        }
    }

    /// How many requests of queue `n` can be new at once: a bound for loops, since a device may write to its own rings.
    #[must_use]
    pub fn most(&self, n: usize) -> u16 {
        self.queues.get(n).map_or(0, Queue::size)
    }
}

/// A type of device.
pub trait Device {
    /// Device type (5).
    fn id(&self) -> u16;

    /// PCI class, subclass and interface.
    fn class(&self) -> u32;

    /// Most descriptors of each queue.
    fn queue_sizes(&self) -> Vec<u16>;

    /// The features that belong to the type.
    fn features(&self) -> u64;

    /// The device's configuration.
    fn config(&self) -> Vec<u8>;

    /// The driver writes a byte of the configuration.
    fn write_config(&mut self, _offset: usize, _value: u8) {}

    /// The driver lets go of the device: what it asked for is forgotten.
    fn reset(&mut self);

    /// When it wants to be served though nobody rings.
    fn due(&self) -> Option<VirtualTime> {
        None
    }

    /// Does what is due, in all queues. [`Device::due`] is later than now after it.
    ///
    /// # Errors
    /// The guest broke a queue: the device needs a reset.
    fn serve(&mut self, io: &mut Io<'_>) -> Result<(), Fault>;

    /// Something arrives from outside; `driven`: a driver drives the device. Whether it is for this device, which is then
    /// served.
    fn receive(&mut self, _input: &Input, _driven: bool) -> bool {
        false
    }

    /// Bytes that have arrived and that the driver has yet to take.
    fn backlog(&self, _of: Backlog) -> usize {
        0
    }
}

/// A device of any type. A new type is a new variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Block device.
    Block(Block),
    /// Entropy source.
    Rng(Rng),
    /// Network card.
    Net(Net),
    /// Console.
    Console(Console),
    /// Keyboard or tablet.
    Input(InputDevice),
}

impl Kind {
    /// The device.
    #[must_use]
    pub fn get(&self) -> &dyn Device {
        match self {
            Kind::Block(block) => block,
            Kind::Rng(rng) => rng,
            Kind::Net(net) => net,
            Kind::Console(console) => console,
            Kind::Input(input) => input,
        }
    }

    /// The device, to change.
    pub fn get_mut(&mut self) -> &mut dyn Device {
        match self {
            Kind::Block(block) => block,
            Kind::Rng(rng) => rng,
            Kind::Net(net) => net,
            Kind::Console(console) => console,
            Kind::Input(input) => input,
        }
    }
}
