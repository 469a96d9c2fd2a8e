//! Input device (5.8): a keyboard, or a tablet that says where on the screen it is.

mod codes;
#[cfg(test)]
mod tests;

use super::{Device, Fault, Io};
use crate::input::Backlog;
use crate::input::{Button, Input, Pointer};
use crate::key::Key;
use codes::{
    ABS_X, ABS_Y, BTN_LEFT, BTN_MIDDLE, BTN_RIGHT, EV_ABS, EV_KEY, EV_LED, EV_REL, EV_SYN, REL_WHEEL, code,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use virtio_bindings::virtio_ids::VIRTIO_ID_INPUT;

const EVENTS: usize = 0;
const STATUS: usize = 1;
const QUEUE_SIZE: u16 = 64;
/// Most events that wait for the driver's buffers; what comes then is lost.
const MOST_WAITING: usize = 1024;
/// Largest coordinate of a tablet.
const LARGEST_PLACE: u32 = 0x7fff;
/// Bytes of configuration before what was asked for.
const CONFIG_HEADER: usize = 8;
const BUS_VIRTUAL: u16 = 0x06;

/// What the driver asks the configuration for (5.8.5.1).
mod select {
    pub const ID_NAME: u8 = 0x01;
    pub const ID_DEVIDS: u8 = 0x03;
    pub const EV_BITS: u8 = 0x11;
    pub const ABS_INFO: u8 = 0x12;
}

/// Which device it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InputKind {
    /// A keyboard with every key of [`Key`].
    Keyboard,
    /// A tablet with three buttons and a wheel.
    Tablet,
}

/// An event as evdev has it: type, code, value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Event(u16, u16, u32);

/// The device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputDevice {
    kind: InputKind,
    select: u8,
    subselect: u8,
    waiting: VecDeque<Event>,
    /// Keys that are down.
    down: BTreeSet<u16>,
}

impl InputDevice {
    /// A device of a kind.
    #[must_use]
    pub fn new(kind: InputKind) -> Self {
        Self { kind, select: 0, subselect: 0, waiting: VecDeque::new(), down: BTreeSet::new() }
    }

    /// What the configuration shows for what the driver has selected.
    fn selected(&self) -> Vec<u8> {
        match (self.select, self.subselect) {
            (select::ID_NAME, 0) => match self.kind {
                InputKind::Keyboard => b"rrvmm keyboard".to_vec(),
                InputKind::Tablet => b"rrvmm tablet".to_vec(),
            },
            (select::ID_DEVIDS, 0) => {
                let product = match self.kind {
                    InputKind::Keyboard => 1,
                    InputKind::Tablet => 2,
                };
                [BUS_VIRTUAL, 0x1af4, product, 1].into_iter().flat_map(u16::to_le_bytes).collect()
            }
            (select::EV_BITS, kind) => bits(&self.codes(u16::from(kind))),
            (select::ABS_INFO, axis) if self.codes(EV_ABS).contains(&u16::from(axis)) => {
                [0, LARGEST_PLACE, 0, 0, 0].into_iter().flat_map(u32::to_le_bytes).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The codes that events of a type can have.
    fn codes(&self, kind: u16) -> Vec<u16> {
        match (self.kind, kind) {
            (InputKind::Keyboard, EV_KEY) => Key::ALL.iter().map(|key| code(*key)).collect(),
            // Num Lock, Caps Lock, Scroll Lock.
            (InputKind::Keyboard, EV_LED) => vec![0, 1, 2],
            (InputKind::Tablet, EV_KEY) => vec![BTN_LEFT, BTN_RIGHT, BTN_MIDDLE],
            (InputKind::Tablet, EV_ABS) => vec![ABS_X, ABS_Y],
            (InputKind::Tablet, EV_REL) => vec![REL_WHEEL],
            _ => Vec::new(),
        }
    }

    /// Events that belong together, up to a report.
    fn report(&mut self, events: &[Event]) {
        if self.waiting.len() + events.len() < MOST_WAITING {
            self.waiting.extend(events);
            self.waiting.push_back(Event(EV_SYN, 0, 0));
        }
    }

    fn press(&mut self, key: Key, down: bool) {
        let code = code(key);
        // Down again is a repetition.
        let value = match (down, self.down.contains(&code)) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => 2,
        };
        if down {
            self.down.insert(code);
        } else {
            self.down.remove(&code);
        }
        self.report(&[Event(EV_KEY, code, value)]);
    }

    /// False for what a tablet cannot say.
    fn point(&mut self, pointer: &Pointer) -> bool {
        match *pointer {
            Pointer::Place { x, y } => {
                let place = |at: u16| u32::from(at).min(LARGEST_PLACE);
                self.report(&[Event(EV_ABS, ABS_X, place(x)), Event(EV_ABS, ABS_Y, place(y))]);
            }
            Pointer::Button { button, down } => {
                let code = match button {
                    Button::Left => BTN_LEFT,
                    Button::Middle => BTN_MIDDLE,
                    Button::Right => BTN_RIGHT,
                };
                self.report(&[Event(EV_KEY, code, u32::from(down))]);
            }
            Pointer::Wheel { notches } => {
                self.report(&[Event(EV_REL, REL_WHEEL, i32::from(notches) as u32)]);
            }
            Pointer::Move { .. } => return false,
        }
        true
    }
}

/// A set of numbers as bits, no longer than it takes.
fn bits(codes: &[u16]) -> Vec<u8> {
    let Some(last) = codes.iter().max() else { return Vec::new() };
    let mut bits = vec![0; usize::from(last / 8) + 1];
    for code in codes {
        bits[usize::from(code / 8)] |= 1 << (code % 8);
    }
    bits
}

impl Device for InputDevice {
    fn id(&self) -> u16 {
        VIRTIO_ID_INPUT as u16
    }

    fn class(&self) -> u32 {
        match self.kind {
            InputKind::Keyboard => 0x09_0000,
            // Digitizer.
            InputKind::Tablet => 0x09_0100,
        }
    }

    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE; 2]
    }

    fn features(&self) -> u64 {
        0
    }

    fn config(&self) -> Vec<u8> {
        let selected = self.selected();
        let mut config = vec![self.select, self.subselect, selected.len() as u8];
        config.resize(CONFIG_HEADER, 0);
        config.extend(selected);
        config
    }

    fn write_config(&mut self, offset: usize, value: u8) {
        match offset {
            0 => self.select = value,
            1 => self.subselect = value,
            _ => {}
        }
    }

    fn reset(&mut self) {
        *self = Self::new(self.kind);
    }

    fn serve(&mut self, io: &mut Io<'_>) -> Result<(), Fault> {
        for _ in 0..io.most(EVENTS) {
            let Some(Event(kind, code, value)) = self.waiting.front().copied() else { break };
            let Some(head) = io.pop(EVENTS)? else { break };
            let mut bytes = [kind.to_le_bytes(), code.to_le_bytes()].concat();
            bytes.extend(value.to_le_bytes());
            let chain = io.chain(EVENTS, head)?;
            let written = chain.writer().write(io.memory, &bytes)?;
            io.push(EVENTS, head, written as u32)?;
            self.waiting.pop_front();
        }
        // Lights of the keyboard: nobody sees them.
        for _ in 0..io.most(STATUS) {
            let Some(head) = io.pop(STATUS)? else { break };
            io.push(STATUS, head, 0)?;
        }
        Ok(())
    }

    /// Without a driver, what happens is for the board's own keyboard and mouse.
    fn receive(&mut self, input: &Input, driven: bool) -> bool {
        match (self.kind, input) {
            (InputKind::Keyboard, Input::Key { key, down }) if driven => {
                self.press(*key, *down);
                true
            }
            (InputKind::Tablet, Input::Pointer(pointer)) if driven => self.point(pointer),
            _ => false,
        }
    }

    fn backlog(&self, _of: Backlog) -> usize {
        0
    }
}
