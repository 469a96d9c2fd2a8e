//! Whatever a guest writes to registers and rings: no panic, no endless work, nothing outside RAM, and the same again.
//!
//! `PROPTEST_CASES` sets the number of histories.

use super::block::Block;
use super::console::Console;
use super::input::{InputDevice, InputKind};
use super::net::Net;
use super::rng::Rng;
use super::{Kind, VirtioPci};
use crate::bus::Width;
use crate::dma::tests::{Ram, RamDisks};
use crate::dma::{Masters, Memory};
use crate::input::{Input, Pointer};
use crate::key::Key;
use crate::output::Output;
use crate::pc::{DiskConfig, NicConfig, PortConfig};
use crate::pci::PciFunction;
use proptest::prelude::*;
use rrvmm_replay::VirtualTime;

const RAM: usize = 0x4000;
/// A request cannot need more accesses than this without being endless.
const MOST_ACCESSES: u64 = 4_000_000;

#[derive(Clone, Debug)]
enum Event {
    Read(u64, Width),
    Write(u64, Width, u64),
    ConfigRead(u8),
    ConfigWrite(u8, u32),
    /// The driver writes memory.
    Put(u16, Vec<u8>),
    /// A descriptor: where, address, length, flags, next.
    Descriptor(u8, u16, u32, u16, u16),
    /// An entry of an available ring, and its index.
    Available(u8, u16, u16),
    /// Sets everything up as a driver does.
    Drive(u64, u8),
    Ring(u8),
    Arrive(u8, Vec<u8>),
    Pass(u64),
}

fn width() -> impl Strategy<Value = Width> {
    prop::sample::select(vec![Width::B1, Width::B2, Width::B4, Width::B8])
}

fn event() -> impl Strategy<Value = Event> {
    let place = || prop_oneof![4 => 0u64..0x40, 1 => 0x1000u64..0x1004, 2 => 0x2000u64..0x2060, 2 => 0x3000u64..0x3020, 2 => 0x4000u64..0x4040, 1 => 0u64..0x8000];
    let value = || prop_oneof![0u64..32, 0u64..RAM as u64, any::<u64>()];
    let bytes = || prop::collection::vec(any::<u8>(), 0..64);
    prop_oneof![
        2 => (place(), width()).prop_map(|(at, width)| Event::Read(at, width)),
        6 => (place(), width(), value()).prop_map(|(at, width, value)| Event::Write(at, width, value)),
        1 => any::<u8>().prop_map(|at| Event::ConfigRead(at & !3)),
        1 => (any::<u8>(), any::<u32>()).prop_map(|(at, value)| Event::ConfigWrite(at & !3, value)),
        2 => (0..RAM as u16, bytes()).prop_map(|(at, bytes)| Event::Put(at, bytes)),
        8 => (0u8..16, 0..RAM as u16, prop_oneof![0u32..600, any::<u32>()], 0u16..8, 0u16..18)
            .prop_map(|(n, addr, len, flags, next)| Event::Descriptor(n, addr, len, flags, next)),
        8 => (0u8..8, 0u16..18, 0u16..24).prop_map(|(slot, head, index)| Event::Available(slot, head, index)),
        4 => (any::<u64>(), 0u8..5).prop_map(|(features, queues)| Event::Drive(features, queues)),
        8 => (0u8..6).prop_map(Event::Ring),
        3 => (0u8..5, bytes()).prop_map(|(what, bytes)| Event::Arrive(what, bytes)),
        4 => (0u64..200_000).prop_map(Event::Pass),
    ]
}

fn devices() -> Vec<Kind> {
    let disk = DiskConfig { disk: 0, bytes: 0x4000, read_only: false, serial: String::new() };
    let port = |number| PortConfig { number, name: "port".to_owned(), console: number == 0 };
    vec![
        Kind::Block(Block::new(&disk)),
        Kind::Rng(Rng::new([3; 32])),
        Kind::Net(Net::new(&NicConfig { nic: 0, mac: [2; 6], mtu: Some(100) })),
        Kind::Console(Console::new(&[port(0), port(1)])),
        Kind::Input(InputDevice::new(InputKind::Keyboard)),
        Kind::Input(InputDevice::new(InputKind::Tablet)),
    ]
}

/// Memory that counts, so that endless work is found.
struct Counting<'a>(&'a mut Ram, &'a mut u64);

impl Memory for Counting<'_> {
    fn read(&mut self, addr: u64, bytes: &mut [u8]) -> bool {
        *self.1 += 1;
        assert!(*self.1 < MOST_ACCESSES, "this does not end");
        self.0.read(addr, bytes)
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) -> bool {
        *self.1 += 1;
        assert!(*self.1 < MOST_ACCESSES, "this does not end");
        self.0.write(addr, bytes)
    }
}

struct World {
    device: VirtioPci,
    ram: Ram,
    disks: RamDisks,
    now: u64,
    outputs: Vec<Output>,
    seen: Vec<u64>,
}

impl World {
    fn new(kind: Kind) -> Self {
        Self {
            device: VirtioPci::new(kind),
            ram: Ram(vec![0; RAM]),
            disks: RamDisks(vec![vec![7; 0x4000]]),
            now: 0,
            outputs: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn now(&self) -> VirtualTime {
        VirtualTime::from_ns(self.now)
    }

    fn write(&mut self, at: u64, width: Width, value: u64) {
        let now = self.now();
        self.device.write(now, 4, at, width, value);
    }

    /// All queues share the same rings: nothing says that they must not.
    fn drive(&mut self, features: u64, queues: u8) {
        self.write(0x14, Width::B1, 0);
        self.write(0x14, Width::B1, 3);
        let offered = self.device.transport().offered();
        for half in 0..2 {
            self.write(0x08, Width::B4, half);
            self.write(0x0c, Width::B4, ((features & offered) | 1 << 32) >> (32 * half) & 0xffff_ffff);
        }
        self.write(0x14, Width::B1, 0xb);
        for n in 0..=u64::from(queues) {
            self.write(0x16, Width::B2, n);
            self.write(0x18, Width::B2, 8);
            for (field, at) in [(0x20, 0), (0x28, 0x200), (0x30, 0x300)] {
                self.write(field, Width::B8, at);
            }
            self.write(0x1a, Width::B2, n);
            self.write(0x1c, Width::B2, 1);
        }
        self.write(0x14, Width::B1, 0xf);
    }

    fn happen(&mut self, event: &Event) {
        let now = self.now();
        match event {
            Event::Read(at, width) => {
                let value = self.device.read(now, 4, *at, *width);
                self.seen.push(value);
            }
            Event::Write(at, width, value) => self.write(*at, *width, *value),
            Event::ConfigRead(at) => {
                let value = self.device.read_config(now, *at, Width::B4);
                self.seen.push(u64::from(value));
            }
            Event::ConfigWrite(at, value) => self.device.write_config(now, *at, Width::B4, *value),
            Event::Put(at, bytes) => {
                self.ram.write(u64::from(*at), bytes);
            }
            Event::Descriptor(n, addr, len, flags, next) => {
                let mut bytes = u64::from(*addr).to_le_bytes().to_vec();
                bytes.extend(len.to_le_bytes());
                bytes.extend(flags.to_le_bytes());
                bytes.extend(next.to_le_bytes());
                self.ram.write(u64::from(*n) * 16, &bytes);
            }
            Event::Available(slot, head, index) => {
                self.ram.write(0x204 + 2 * u64::from(*slot), &head.to_le_bytes());
                self.ram.write(0x202, &index.to_le_bytes());
            }
            Event::Drive(features, queues) => self.drive(*features, *queues),
            Event::Ring(n) => self.write(0x3000 + 4 * u64::from(*n), Width::B2, u64::from(*n)),
            Event::Arrive(what, bytes) => {
                let input = match what {
                    0 => Input::Frame { nic: 0, bytes: bytes.clone() },
                    1 => Input::Console { port: 1, bytes: bytes.clone() },
                    2 => Input::Key { key: Key::ALL[bytes.len() % Key::ALL.len()], down: true },
                    3 => Input::Pointer(Pointer::Place { x: 5, y: 6 }),
                    _ => Input::Console { port: 0, bytes: bytes.clone() },
                };
                self.device.receive(now, &input);
            }
            Event::Pass(ns) => self.now += ns,
        }
        self.serve();
        self.seen.push(u64::from(self.device.interrupt()));
        while let Some(message) = self.device.take_message() {
            self.seen.push(u64::from(message.vector));
        }
    }

    fn serve(&mut self) {
        let now = self.now();
        if self.device.service_at().is_none_or(|at| at > now) {
            return;
        }
        let mut accesses = 0;
        let memory = &mut Counting(&mut self.ram, &mut accesses);
        let mut masters = Masters { memory, disks: &mut self.disks };
        self.device.serve(now, &mut masters, &mut self.outputs);
        let next = self.device.service_at();
        assert!(next.is_none_or(|at| at > now), "due for ever: {next:?} at {now}");
    }
}

fn run(kind: Kind, history: &[Event]) -> World {
    let mut world = World::new(kind);
    history.iter().for_each(|event| world.happen(event));
    world
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_of_registers_and_rings_is_survived_and_repeatable(
        history in prop::collection::vec(event(), 1..120), kind in 0usize..6,
    ) {
        let kind = devices().swap_remove(kind);
        let (first, again) = (run(kind.clone(), &history), run(kind, &history));
        prop_assert_eq!(&first.device, &again.device);
        prop_assert!(first.ram == again.ram && first.disks == again.disks);
        prop_assert_eq!((&first.outputs, &first.seen), (&again.outputs, &again.seen));
        let bytes = bincode::serde::encode_to_vec(&first.device, bincode::config::standard()).unwrap();
        let (saved, _): (VirtioPci, usize) =
            bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap();
        prop_assert_eq!(saved, first.device);
    }
}
