//! What holds for every chip, whatever a guest does to it.

use super::*;
use crate::ata::{AtaDrive, Media};
use crate::bus::Width;
use crate::dma::tests::{Ram, RamDisks};
use crate::input::{Button, Pointer};
use crate::key::Key;
use crate::virtio::input::InputKind;
use proptest::prelude::*;

/// One thing that happens to the board.
#[derive(Clone, Debug)]
enum Event {
    Read(u16, Width),
    Write(u16, Width, u32),
    MemoryRead(u64, Width),
    MemoryWrite(u64, Width, u64),
    Serial(u8, Vec<u8>),
    Key(usize, bool),
    Point(bool, i16, i16, u8),
    WallClock(i64),
    PowerButton,
    Acknowledge,
    Tpr(u8),
    TscDeadline(u64),
    ApicBase(u64),
    Reset,
    Frame(Vec<u8>),
    Pointer(i16),
    Console(u8, Vec<u8>),
}

/// Ports where something is, each with its neighbours.
const PORTS: &[u16] = &[
    0x1f0, 0x1f1, 0x1f2, 0x1f3, 0x1f4, 0x1f5, 0x1f6, 0x1f7, 0x1f7, 0x3f6, 0x170, 0x172, 0x175, 0x176, 0x177,
    0x376, 0xc000, 0xc002, 0xc004, 0xc008, 0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1, 0x40, 0x41, 0x42, 0x43,
    0x61, 0x60, 0x64, 0x70, 0x71, 0x92, 0xb2, 0xb3, 0xe9, 0xf4, 0x402, 0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc,
    0x3fd, 0x3fe, 0x3ff, 0x2f8, 0x2f9, 0x2fc, 0x3c0, 0x3c1, 0x3c2, 0x3c4, 0x3c5, 0x3c7, 0x3c8, 0x3c9, 0x3ce,
    0x3cf, 0x3d4, 0x3d5, 0x3da, 0x510, 0x511, 0x600, 0x602, 0x604, 0x608, 0x1ce, 0x1cf, 0x1d0, 0xafe0,
    0xafe2, 0xcf8, 0xcf9, 0xcfc, 0xcfd, 0xcfe, 0xcff, 0x80, 0xffff,
];

const ADDRESSES: &[u64] = &[
    0xfee0_0020,
    0xfee0_0080,
    0xfee0_00b0,
    0xfee0_00d0,
    0xfee0_00e0,
    0xfee0_00f0,
    0xfee0_0100,
    0xfee0_0200,
    0xfee0_0280,
    0xfee0_0300,
    0xfee0_0310,
    0xfee0_0320,
    0xfee0_0350,
    0xfee0_0370,
    0xfee0_0380,
    0xfee0_0390,
    0xfee0_03e0,
    0xfee0_0044,
    0xfec0_0000,
    0xfec0_0010,
    0xfed0_0000,
    0xfed0_0010,
    0xfed0_0020,
    0xfed0_00f0,
    0xfed0_0100,
    0xfed0_0108,
    0xfed0_0120,
    0xfed0_0128,
    0xfed0_0140,
    0xfed0_0148,
    0xfed0_0104,
    0xa_0000,
    0xb_8000,
    0xb_ffff,
    0xfebf_0400,
    0xfebf_041a,
    0xfebf_0502,
    0xfebf_0508,
    0xd000_0000,
    0xe000_0014,
    0xe000_0016,
    0xe000_0018,
    0xe000_001c,
    0xe000_3000,
    0xe000_4000,
    0xe000_8014,
    0xe000_b000,
    0xe001_001c,
    0xe001_3000,
    0xe001_3004,
    0xe002_0000,
    0xe002_a000,
    0xe003_0004,
    0xe003_0100,
    0xe003_0108,
    0xe003_0110,
    0xe003_0114,
    0xe003_0118,
    0xe003_012c,
    0xe003_0134,
    0xe003_0138,
    0xe003_0198,
    0xe003_01b8,
];

/// Where the windows of the devices are on a board without firmware.
const FUNCTIONS: [u64; 6] = [0xe000_0000, 0xe000_8000, 0xe001_0000, 0xe001_8000, 0xe002_0000, 0xe002_8000];

fn width() -> impl Strategy<Value = Width> {
    prop_oneof![4 => Just(Width::B1), 1 => Just(Width::B2), 2 => Just(Width::B4)]
}

fn memory_width() -> impl Strategy<Value = Width> {
    prop_oneof![1 => Just(Width::B1), 1 => Just(Width::B2), 6 => Just(Width::B4), 2 => Just(Width::B8)]
}

/// Values that set things up more often than random ones would.
fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (0u64..256),
        (0u64..0x2_0000),
        Just(0x36),
        Just(0x34),
        Just(0x1ff),
        Just(0x4_00ec),
        Just(0x2_0031),
        Just(0x8039),
        Just(0x30),
        Just(0x46),
        Just(0x8000_0858),
        Just(0x8000_1004),
        Just(0x8000_1010),
        Just(0x8000_1030),
        Just(0xfd00_0001),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let port = || prop::sample::select(PORTS);
    let address =
        || (prop::sample::select(ADDRESSES), 0u64..16).prop_map(|(a, n)| if n < 13 { a } else { a + n - 12 });
    prop_oneof![
        6 => (port(), width()).prop_map(|(port, width)| Event::Read(port, width)),
        12 => (port(), width(), value()).prop_map(|(port, width, value)| Event::Write(port, width, value as u32)),
        3 => (address(), memory_width()).prop_map(|(address, width)| Event::MemoryRead(address, width)),
        10 => (address(), memory_width(), value()).prop_map(|(a, width, value)| Event::MemoryWrite(a, width, value)),
        1 => (0u8..3, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(port, bytes)| Event::Serial(port, bytes)),
        1 => (0..Key::ALL.len(), any::<bool>()).prop_map(|(key, down)| Event::Key(key, down)),
        1 => any::<(bool, i16, i16, u8)>().prop_map(|(relative, x, y, buttons)| Event::Point(relative, x, y, buttons)),
        1 => any::<i64>().prop_map(Event::WallClock),
        1 => Just(Event::PowerButton),
        4 => Just(Event::Acknowledge),
        1 => any::<u8>().prop_map(Event::Tpr),
        2 => (0u64..3_000_000).prop_map(Event::TscDeadline),
        1 => prop_oneof![Just(0xfee0_0900), Just(0xfee0_0100), any::<u64>()].prop_map(Event::ApicBase),
        2 => prop::collection::vec(any::<u8>(), 0..80).prop_map(Event::Frame),
        1 => any::<i16>().prop_map(Event::Pointer),
        1 => (0u8..3, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(port, bytes)| Event::Console(port, bytes)),
        1 => (0..20u8).prop_map(|n| if n == 0 { Event::Reset } else { Event::PowerButton }),
    ]
}

/// What sets a part of the board going, as a driver would.
fn setup() -> impl Strategy<Value = Vec<Event>> {
    let bytes = |writes: &[(u16, u32)]| {
        writes.iter().map(|(port, value)| Event::Write(*port, Width::B1, *value)).collect()
    };
    let dwords = |writes: &[(u64, u64)]| -> Vec<Event> {
        writes.iter().map(|(at, value)| Event::MemoryWrite(*at, Width::B4, *value)).collect()
    };
    let pic: Vec<Event> = bytes(&[
        (0x20, 0x11),
        (0x21, 0x20),
        (0x21, 4),
        (0x21, 1),
        (0xa0, 0x11),
        (0xa1, 0x28),
        (0xa1, 2),
        (0xa1, 1),
        (0x21, 0),
        (0xa1, 0),
    ]);
    let pit: Vec<Event> = bytes(&[(0x43, 0x34), (0x40, 0x00), (0x40, 0x01)]);
    let rtc: Vec<Event> = bytes(&[(0x70, 0x0a), (0x71, 0x23), (0x70, 0x0b), (0x71, 0x72)]);
    let mut uart: Vec<Event> = bytes(&[(0x3fb, 3), (0x3fa, 0x81), (0x3f9, 1), (0x3fc, 0x0b)]);
    uart.push(Event::Serial(0, b"some bytes that arrive".to_vec()));
    let mut apics = dwords(&[(0xfee0_00f0, 0x1ff)]);
    for (pin, entry) in [(2, 0x30), (4, 0x34), (8, 0x38), (9, 0x8039), (20, 0x8054)] {
        apics.extend(dwords(&[(0xfec0_0000, 0x10 + 2 * pin), (0xfec0_0010, entry)]));
    }
    let timer = dwords(&[(0xfee0_0320, 0x2_0031), (0xfee0_03e0, 3), (0xfee0_0380, 5000)]);
    let hpet = dwords(&[
        (0xfed0_0010, 1),
        (0xfed0_0100, 0x284e),
        (0xfed0_0108, 3000),
        (0xfed0_0128, 9000),
        (0xfed0_0010, 3),
        (0xfed0_0120, 0x2804),
    ]);
    // The mouse enabled, with its interrupt.
    let mouse: Vec<Event> = bytes(&[(0x64, 0x60), (0x60, 0x47), (0x64, 0xd4), (0x60, 0xf4)]);
    let mut all = vec![mouse, pic, pit, rtc, uart, apics, timer, hpet];
    all.extend(FUNCTIONS.map(|base| {
        let mut virtio = dwords(&[(base + 0x08, 1), (base + 0x0c, 1)]);
        virtio.push(Event::MemoryWrite(base + 0x14, Width::B1, 0xb));
        for queue in 0..2 {
            virtio.push(Event::MemoryWrite(base + 0x16, Width::B2, queue));
            virtio.push(Event::MemoryWrite(base + 0x18, Width::B2, 16));
            virtio.extend(dwords(&[(base + 0x20, 0), (base + 0x28, 0x400), (base + 0x30, 0x800)]));
            virtio.push(Event::MemoryWrite(base + 0x1c, Width::B2, 1));
        }
        virtio.push(Event::MemoryWrite(base + 0x14, Width::B1, 0xf));
        virtio.push(Event::MemoryWrite(base + 0x3000, Width::B2, 0));
        virtio.push(Event::MemoryWrite(base + 0x3004, Width::B2, 1));
        virtio
    }));
    prop::sample::select(all)
}

/// Events with the time that passes before each.
fn history() -> impl Strategy<Value = Vec<(u64, Event)>> {
    let pause = || prop_oneof![6 => 0u64..2_000, 3 => 0u64..2_000_000, 1 => 0u64..3_000_000_000];
    let setups = prop::collection::vec(setup(), 0..6).prop_map(|setups| setups.concat());
    let start = setups.prop_map(|events| events.into_iter().map(|event| (100, event)).collect::<Vec<_>>());
    let then = prop::collection::vec((pause(), event()), 1..80);
    (start, then).prop_map(|(start, then)| [start, then].concat())
}

/// Devices on the PCI bus: what is at [`FUNCTIONS`].
fn devices() -> Vec<DeviceConfig> {
    let disk = DiskConfig { disk: 0, bytes: 0x1_0000, read_only: false, serial: "conformance".to_owned() };
    let port = |number| PortConfig { number, name: "port".to_owned(), console: true };
    [
        VirtioConfig::Rng { seed: [1; 32] },
        VirtioConfig::Block(disk),
        VirtioConfig::Net(NicConfig { nic: 0, mac: [2, 0, 0, 0, 0, 1], mtu: Some(1500) }),
        VirtioConfig::Console(vec![port(0), port(1)]),
        VirtioConfig::Input(InputKind::Keyboard),
        VirtioConfig::Input(InputKind::Tablet),
    ]
    .map(DeviceConfig::Virtio)
    .into_iter()
    .chain(drives())
    .collect()
}

/// Disks and discs by IDE and by AHCI, which come behind [`FUNCTIONS`].
fn drives() -> [DeviceConfig; 2] {
    let drive = |media, serial| AtaDrive { disk: 0, media, sectors: 128, serial };
    let ide = [Some(drive(Media::Disk, false)), None, Some(drive(Media::Disc, false)), None];
    let ahci = vec![drive(Media::Disk, true), drive(Media::Disc, true)];
    [DeviceConfig::Ide(ide), DeviceConfig::Ahci(ahci)]
}

fn board(firmware: bool) -> Pc {
    let display = DisplayConfig { rom_bytes: 0x9000, ..DisplayConfig::pci() };
    Pc::new(&PcConfig { display, devices: devices(), ..PcConfig::new(64 << 20, firmware) })
}

/// What is around the board: memory for bus masters, and disks.
struct World {
    ram: Ram,
    disks: RamDisks,
}

impl World {
    /// With rings for one queue, and a request in it that every device can do something with.
    fn new() -> Self {
        let mut ram = vec![0; 0x1_0000];
        // Descriptors: 16 bytes to read, then 600 to write. Available: the first one, as far as the ring goes.
        ram[..16].copy_from_slice(&[0, 0x10, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0]);
        ram[16..32].copy_from_slice(&[0, 0x20, 0, 0, 0, 0, 0, 0, 0x58, 2, 0, 0, 2, 0, 0, 0]);
        ram[0x402] = 4;
        Self { ram: Ram(ram), disks: RamDisks(vec![vec![5; 0x1_0000]]) }
    }

    fn serve(&mut self, pc: &mut Pc, now: VirtualTime) {
        pc.serve(now, &mut Masters { memory: &mut self.ram, disks: &mut self.disks });
        assert!(pc.next_deadline().is_none_or(|next| next > now), "{:?} is due for ever", pc.next_deadline());
    }
}

/// What the guest and the world see of a history.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    values: Vec<u64>,
    outputs: Vec<Output>,
    interrupts: Vec<(u64, bool)>,
    /// What bus masters left in memory.
    memory: Vec<u8>,
}

/// Lets time pass as an engine does: stopping at each deadline. Long pauses stop at the first ones only, and end early.
/// `stop` is one more instant to stop at, which nobody must notice.
fn pass(pc: &mut Pc, world: &mut World, now: &mut u64, pause: u64, stop: Option<u64>, seen: &mut Seen) {
    let end = *now + pause;
    let mut stop = stop.map(|after| *now + after % (pause + 1));
    for _ in 0..20 {
        let due = pc.next_deadline().filter(|due| due.ns() <= end);
        if let Some(at) = stop.take_if(|at| due.is_none_or(|due| *at < due.ns())) {
            pc.advance(VirtualTime::from_ns(at));
            world.serve(pc, VirtualTime::from_ns(at));
        }
        let Some(due) = due else {
            *now = end;
            return;
        };
        assert!(due.ns() > *now, "a deadline at {due} has passed at {now}");
        *now = due.ns();
        pc.advance(due);
        world.serve(pc, due);
        seen.interrupts.push((*now, pc.interrupt_pending()));
    }
}

fn happen(pc: &mut Pc, ns: u64, event: &Event, seen: &mut Seen) {
    let now = VirtualTime::from_ns(ns);
    match event {
        Event::Read(port, width) => seen.values.push(u64::from(pc.port_read(now, *port, *width))),
        Event::Write(port, width, value) => pc.port_write(now, *port, *width, *value),
        Event::MemoryRead(address, width) => seen.values.push(pc.mmio_read(now, *address, *width)),
        Event::MemoryWrite(address, width, value) => pc.mmio_write(now, *address, *width, *value),
        Event::Serial(port, bytes) => pc.accept(now, Input::Serial { port: *port, bytes: bytes.clone() }),
        Event::Key(key, down) => pc.accept(now, Input::Key { key: Key::ALL[*key], down: *down }),
        Event::Point(relative, x, y, buttons) => {
            let (button, down) = (Button::Left, buttons & 1 != 0);
            let motion = if *relative {
                Pointer::Move { dx: *x, dy: *y }
            } else {
                Pointer::Place { x: *x as u16, y: *y as u16 }
            };
            for pointer in
                [motion, Pointer::Button { button, down }, Pointer::Wheel { notches: *buttons as i8 }]
            {
                pc.accept(now, Input::Pointer(pointer));
            }
        }
        Event::WallClock(unix_seconds) => pc.accept(now, Input::WallClock { unix_seconds: *unix_seconds }),
        Event::PowerButton => pc.accept(now, Input::PowerButton),
        Event::Acknowledge => seen.values.push(pc.acknowledge_interrupt(now).map_or(u64::MAX, u64::from)),
        Event::Tpr(value) => pc.set_tpr(now, *value),
        Event::TscDeadline(delta) => pc.set_tsc_deadline(now, ns + delta),
        Event::ApicBase(value) => seen.values.push(u64::from(pc.set_apic_base(now, *value).is_ok())),
        Event::Reset => pc.reset(now),
        Event::Frame(bytes) => pc.accept(now, Input::Frame { nic: 0, bytes: bytes.clone() }),
        Event::Pointer(at) => pc.accept(now, Input::Pointer(Pointer::Place { x: *at as u16, y: 7 })),
        Event::Console(port, bytes) => {
            pc.accept(now, Input::Console { port: *port, bytes: bytes.clone() });
        }
    }
    seen.interrupts.push((ns, pc.interrupt_pending()));
    seen.outputs.extend(pc.take_outputs());
}

/// Runs a history. `stop` says whether to stop once more in the pause before event `n`, and `disturb` is called after it.
fn run(
    firmware: bool,
    history: &[(u64, Event)],
    stop: impl Fn(usize) -> Option<u64>,
    mut disturb: impl FnMut(&mut Pc, usize),
) -> (PcState, Seen) {
    let mut pc = board(firmware);
    let mut world = World::new();
    let mut seen = Seen::default();
    let mut now = 0;
    for (n, (pause, event)) in history.iter().enumerate() {
        pass(&mut pc, &mut world, &mut now, *pause, stop(n), &mut seen);
        happen(&mut pc, now, event, &mut seen);
        world.serve(&mut pc, VirtualTime::from_ns(now));
        seen.outputs.extend(pc.take_outputs());
        disturb(&mut pc, n);
    }
    pc.advance(VirtualTime::from_ns(now));
    world.serve(&mut pc, VirtualTime::from_ns(now));
    seen.memory = world.ram.0;
    (pc.save(), seen)
}

/// Runs a history as it is.
fn run_plainly(firmware: bool, history: &[(u64, Event)]) -> (PcState, Seen) {
    run(firmware, history, |_| None, |_, _| ())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the guest does, nothing panics, no deadline lies in the past (asserted in `pass`), and a second run agrees.
    #[test]
    fn any_history_is_repeatable(history in history(), firmware: bool) {
        prop_assert_eq!(run_plainly(firmware, &history), run_plainly(firmware, &history));
    }

    /// How often the engine stops makes no difference to the guest, nor to the saved state.
    #[test]
    fn advancing_more_often_changes_nothing(history in history(), firmware: bool, stops in prop::collection::vec(any::<u64>(), 8)) {
        let stop = |n: usize| Some(stops[n % 8]).filter(|at| at & 1 != 0);
        prop_assert_eq!(run(firmware, &history, stop, |_, _| ()), run_plainly(firmware, &history));
    }

    /// A state can be saved anywhere, goes through bytes, and a board that loads it goes on as the first would have.
    #[test]
    fn saving_and_loading_changes_nothing(history in history(), firmware: bool, saves: u64) {
        let saving = |pc: &mut Pc, n: usize| {
            if saves >> (n % 64) & 1 != 0 {
                let saved = pc.save();
                let bytes = bincode::serde::encode_to_vec(&saved, bincode::config::standard()).unwrap();
                let (read, used): (PcState, usize) =
                    bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap();
                assert_eq!(used, bytes.len());
                assert_eq!(read, saved);
                let mut other = board(firmware);
                other.load(&read).unwrap();
                assert_eq!(other.next_deadline(), pc.next_deadline());
                assert_eq!(other.interrupt_pending(), pc.interrupt_pending());
                assert_eq!(other.save(), saved);
                *pc = other;
            }
        };
        prop_assert_eq!(run(firmware, &history, |_| None, saving), run_plainly(firmware, &history));
    }

    /// A wide access to a byte-wide device is the bytes of its ports, lowest first.
    #[test]
    fn wide_accesses_are_split(history in history(), at in prop::sample::select(SPLIT), value: u32) {
        let (port, width) = at;
        let now = VirtualTime::from_ns(10_000_000_000_000);
        let (state, _) = run_plainly(true, &history);
        let (mut whole, mut split) = (board(true), board(true));
        whole.load(&state).unwrap();
        split.load(&state).unwrap();
        whole.port_write(now, port, width, value);
        for n in 0..width.bytes() as u16 {
            split.port_write(now, port + n, Width::B1, value >> (8 * n) & 0xff);
        }
        prop_assert_eq!(whole.save(), split.save());
        let read = (0..width.bytes() as u16)
            .fold(0, |read, n| read | split.port_read(now, port + n, Width::B1) << (8 * n));
        prop_assert_eq!(whole.port_read(now, port, width), read);
        prop_assert_eq!(whole.save(), split.save());
    }

    /// Bytes that are not a state give an error or a state, never a panic, and a board that loads one survives it.
    #[test]
    fn damaged_states_do_no_harm(history in history(), flips in prop::collection::vec((any::<u32>(), 0u8..8), 1..4)) {
        let (state, _) = run_plainly(true, &history);
        let mut bytes = bincode::serde::encode_to_vec(&state, bincode::config::standard()).unwrap();
        let len = bytes.len();
        for (at, bit) in flips {
            bytes[at as usize % len] ^= 1 << bit;
        }
        let config = bincode::config::standard().with_limit::<0x10_0000>();
        let read: Result<(PcState, usize), _> = bincode::serde::decode_from_slice(&bytes, config);
        if let Ok((damaged, _)) = read {
            let mut pc = board(true);
            if pc.load(&damaged).is_ok() {
                let mut seen = Seen::default();
                for (_, event) in &history {
                    happen(&mut pc, 10_000_000_000_000, event, &mut seen);
                }
            }
        }
    }
}

/// Ports of byte-wide devices.
const SPLIT: &[(u16, Width)] = &[
    (0x20, Width::B2),
    (0x40, Width::B2),
    (0x40, Width::B4),
    (0x42, Width::B2),
    (0x70, Width::B2),
    (0x3c4, Width::B2),
    (0x3ce, Width::B2),
    (0x3d4, Width::B2),
    (0x3f8, Width::B2),
    (0x3f8, Width::B4),
    (0x3fc, Width::B4),
    (0x4d0, Width::B2),
    (0x600, Width::B4),
    (0x602, Width::B2),
    (0x608, Width::B4),
    (0xafe0, Width::B4),
    (0xcfc, Width::B2),
    (0xcfc, Width::B4),
];

/// Every chip, with something a guest does to it that a saved state must show.
const MUTATIONS: &[(&str, Event)] = &[
    ("pic master", Event::Write(0x21, Width::B1, 0x55)),
    ("pic slave", Event::Write(0xa1, Width::B1, 0x55)),
    ("elcr", Event::Write(0x4d0, Width::B1, 0x20)),
    ("pit", Event::Write(0x43, Width::B1, 0x34)),
    ("port 61", Event::Write(0x61, Width::B1, 0x03)),
    ("i8042", Event::Write(0x64, Width::B1, 0xd1)),
    ("keyboard", Event::Write(0x60, Width::B1, 0xed)),
    ("keys", Event::Key(0, true)),
    ("mouse", Event::Point(true, 1, 2, 3)),
    ("pointer", Event::Point(false, 1, 2, 0)),
    ("cmos index", Event::Write(0x70, Width::B1, 0x11)),
    ("clock", Event::WallClock(5)),
    ("a20", Event::Write(0x92, Width::B1, 0x00)),
    ("apm", Event::Write(0xb3, Width::B1, 0x01)),
    ("com1", Event::Write(0x3ff, Width::B1, 0x01)),
    ("com2", Event::Write(0x2ff, Width::B1, 0x01)),
    ("com1 backlog", Event::Serial(0, Vec::new())),
    ("vga register", Event::Write(0x3d4, Width::B1, 0x0e)),
    ("vbe register", Event::Write(0x1d0, Width::B2, 0xb0c4)),
    ("vbe index", Event::Write(0x1ce, Width::B2, 1)),
    ("vga memory", Event::MemoryWrite(0xb_8000, Width::B1, 0x41)),
    ("fw_cfg", Event::Write(0x510, Width::B2, 0x19)),
    ("fw_cfg offset", Event::Read(0x511, Width::B1)),
    ("pm", Event::Write(0x602, Width::B2, 0x100)),
    ("gpe", Event::Write(0xafe2, Width::B1, 0x01)),
    ("power button", Event::PowerButton),
    ("pci address", Event::Write(0xcf8, Width::B4, 0x8000_0000)),
    ("reset control", Event::Write(0xcf9, Width::B1, 0x02)),
    ("lapic", Event::MemoryWrite(0xfee0_00f0, Width::B4, 0x1ff)),
    ("lapic timer", Event::MemoryWrite(0xfee0_0380, Width::B4, 1000)),
    ("tpr", Event::Tpr(0x20)),
    ("apic base", Event::ApicBase(0xfee0_0100)),
    ("ioapic", Event::MemoryWrite(0xfec0_0000, Width::B4, 0x10)),
    ("hpet", Event::MemoryWrite(0xfed0_0010, Width::B4, 1)),
    ("hpet timer", Event::MemoryWrite(0xfed0_0128, Width::B4, 7)),
    ("virtio status", Event::MemoryWrite(0xe000_0014, Width::B1, 1)),
    ("virtio msix", Event::MemoryWrite(0xe000_4000, Width::B4, 0xfee0_0000)),
    ("ide register", Event::Write(0x1f2, Width::B1, 0x55)),
    ("ide control", Event::Write(0x376, Width::B1, 0x02)),
    ("ide command", Event::Write(0x1f7, Width::B1, 0xec)),
    ("bus master", Event::Write(0xc004, Width::B4, 0x1000)),
    ("ahci control", Event::MemoryWrite(0xe003_0004, Width::B4, 2)),
    ("ahci port", Event::MemoryWrite(0xe003_0118, Width::B4, 0x11)),
    ("unclaimed port", Event::Read(0x5658, Width::B1)),
    ("unclaimed memory", Event::MemoryRead(0xd000_0000, Width::B1)),
];

#[test]
fn every_mutation_shows_in_the_saved_state() {
    for (what, event) in MUTATIONS {
        let event = match event {
            // A constant cannot hold bytes on the heap.
            Event::Serial(port, _) => Event::Serial(*port, b"x".to_vec()),
            event => event.clone(),
        };
        // Firmware gives devices their addresses, and there is none here.
        let by_firmware = ["virtio", "bus master", "ahci"];
        let mut pc = board(!by_firmware.iter().any(|device| what.starts_with(device)));
        let before = pc.save();
        happen(&mut pc, 0, &event, &mut Seen::default());
        assert_ne!(pc.save(), before, "{what}");
    }
}
