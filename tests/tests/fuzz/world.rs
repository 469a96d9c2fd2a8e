//! A board, what is around it, and what a guest and the world do to it, as a machine would.

use crate::memory::{Drives, Ram};
use crate::random::Random;
use rrvmm_devices::bus::Width;
use rrvmm_devices::dma::Masters;
use rrvmm_devices::pc::{PamSegment, VideoWindows};
use rrvmm_devices::{Input, Output, Pc, PcConfig, PcState};
use rrvmm_replay::seam::Unrecorded;
use rrvmm_replay::{Position, Stamp, VirtualTime};

/// Deadlines that a pause runs into before it ends early.
const MOST_STOPS: usize = 24;
const CONFIG_ADDRESS: u16 = 0xcf8;
const CONFIG_DATA: u16 = 0xcfc;
const END_OF_INTERRUPT: u64 = 0xfee0_00b0;

/// What an engine has to know at once.
#[derive(Debug, PartialEq, Eq)]
struct Visible {
    interrupt: bool,
    a20: bool,
    pam: [PamSegment; 13],
    windows: VideoWindows,
}

/// A board that lives through one history.
pub struct World {
    pub pc: Pc,
    pub ram: Ram,
    pub disks: Drives,
    pub now: u64,
    /// What decides on the history.
    pub random: Random,
    /// What a driver knows of its queues.
    pub driver: [Queue; 8],
    /// Where the function's windows are, as far as configuration space says.
    pub bars: [u64; 6],
    /// Slot and function number of the function under test.
    pub devfn: u8,
    /// A digest of everything that the guest has seen, and one of what it has said. (When it is heard depends on stops.)
    seen: u64,
    said: u64,
    /// What happens beside the history, and must not matter: stops, saves.
    beside: Option<Random>,
    before: Visible,
    deadline: Option<VirtualTime>,
    pub log: bool,
    /// Interrupts taken, and outputs, so far.
    pub interrupts: u64,
    pub outputs: u64,
}

/// A queue as a driver has set it up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Queue {
    pub size: u64,
    pub areas: [u64; 3],
    pub index: u16,
}

macro_rules! log {
    ($world:expr, $($text:tt)*) => {
        if $world.log {
            eprintln!("  {:>12} {}", $world.now, format!($($text)*));
        }
    };
}

/// Adds a value to a digest.
fn mix(digest: u64, value: u64) -> u64 {
    (digest ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)
}

fn visible(pc: &Pc) -> Visible {
    let (interrupt, a20) = (pc.interrupt_pending(), pc.a20_enabled());
    Visible { interrupt, a20, pam: pc.pam(), windows: pc.video_windows() }
}

impl World {
    pub fn new(config: &PcConfig) -> Self {
        let pc = Pc::new(config);
        Self {
            before: visible(&pc),
            pc,
            ram: Ram::new(),
            disks: Drives::new(),
            now: 0,
            random: Random::new(0),
            driver: Default::default(),
            bars: [0; 6],
            devfn: 0,
            seen: 0,
            said: 0,
            beside: None,
            deadline: None,
            log: false,
            interrupts: 0,
            outputs: 0,
        }
    }

    /// Power-on, for the history of `seed`; `beside` is the seed of what must not matter.
    pub fn begin(&mut self, start: &PcState, devfn: u8, seed: u64, beside: Option<u64>) {
        self.devfn = devfn;
        self.pc.load(start).expect("a state of this board");
        self.ram.put_back();
        self.disks.put_back();
        (self.now, self.seen, self.said) = (0, 0, 0);
        self.driver = Default::default();
        self.random = Random::new(seed);
        self.ram.poison = if beside.is_some() { 0x55 } else { 0xaa };
        self.beside = beside.map(Random::new);
        self.settle();
        self.find_bars();
    }

    /// Brings the board up to the present, for comparing. Gives a digest of what was seen.
    pub fn end(&mut self) -> (u64, u64) {
        self.settle();
        (self.seen, self.said)
    }

    pub fn time(&self) -> VirtualTime {
        VirtualTime::from_ns(self.now)
    }

    pub fn see(&mut self, value: u64) {
        self.seen = mix(self.seen, value);
    }

    fn see_outputs(&mut self) {
        for output in self.pc.take_outputs() {
            self.outputs += 1;
            let (kind, number, bytes) = match output {
                Output::Serial { port, byte } => (0, u64::from(port), vec![byte]),
                Output::DebugConsole(byte) => (1, u64::from(byte), Vec::new()),
                Output::DebugExit { value } => (2, u64::from(value), Vec::new()),
                Output::PowerOff => (3, 0, Vec::new()),
                Output::Reset => (4, 0, Vec::new()),
                Output::Frame { nic, bytes } => (5, u64::from(nic), bytes),
                Output::Console { port, bytes } => (6, u64::from(port), bytes),
            };
            self.said = mix(mix(self.said, kind << 32 | number), bytes.len() as u64);
            let words =
                bytes.chunks(8).map(|chunk| chunk.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)));
            self.said = words.fold(self.said, mix);
        }
    }

    /// What a machine does when it stops.
    fn settle(&mut self) {
        let now = self.time();
        self.pc.advance(now);
        self.ram.accesses = 0;
        self.pc.serve(now, &mut Masters { memory: &mut self.ram, disks: &mut self.disks });
        self.see_outputs();
        if self.pc.take_nmi() {
            self.see(2);
        }
        let deadline = self.pc.next_deadline();
        assert!(deadline.is_none_or(|at| at > now), "{deadline:?} is due for ever, at {now:?}");
        let _ = self.pc.attention();
        self.before = visible(&self.pc);
        self.deadline = deadline;
    }

    /// The instruction that accessed a device ends.
    pub fn after_access(&mut self) {
        let stop = self.beside.as_mut().map(|beside| (beside.one_in(2), beside.one_in(16)));
        if self.pc.attention() || stop.is_some_and(|(stop, _)| stop) {
            self.settle();
        } else {
            // Nobody was told: then there must have been nothing to tell.
            assert_eq!(visible(&self.pc), self.before, "changed without calling for attention");
            let (new, old) = (self.pc.next_deadline(), self.deadline);
            let earlier = new.is_some_and(|new| old.is_none_or(|old| new < old));
            assert!(!earlier, "a deadline at {new:?} instead of {old:?}, without calling for attention");
        }
        if stop.is_some_and(|(_, save)| save) {
            self.settle();
            self.save_and_load();
        }
    }

    /// A board that loads what this one saves, through bytes, goes on in its place.
    fn save_and_load(&mut self) {
        let state = self.pc.save();
        let bytes = rrvmm_replay::codec::to_bytes(&state).expect("a state can be saved");
        let read: PcState = rrvmm_replay::codec::from_bytes(&bytes).expect("a saved state can be read");
        assert!(read == state, "the state changes by being saved");
        let before = (self.pc.next_deadline(), visible(&self.pc));
        self.pc.load(&read).expect("a state of this board");
        assert_eq!(
            (self.pc.next_deadline(), visible(&self.pc)),
            before,
            "the state says other things once loaded"
        );
        let _ = self.pc.attention();
    }

    pub fn port_out(&mut self, port: u16, width: Width, value: u64) {
        log!(self, "out {port:#x} {width:?} {value:#x}");
        self.pc.port_write(self.time(), port, width, (value & width.ones()) as u32);
        self.after_access();
    }

    pub fn port_in(&mut self, port: u16, width: Width) -> u32 {
        let value = self.pc.port_read(self.time(), port, width);
        log!(self, "in {port:#x} {width:?} = {value:#x}");
        self.see(u64::from(value));
        self.after_access();
        value
    }

    pub fn outb(&mut self, port: u16, value: u64) {
        self.port_out(port, Width::B1, value);
    }

    pub fn write(&mut self, address: u64, width: Width, value: u64) {
        log!(self, "write {address:#x} {width:?} {value:#x}");
        self.pc.mmio_write(self.time(), address, width, value & width.ones());
        self.after_access();
    }

    pub fn read(&mut self, address: u64, width: Width) -> u64 {
        let value = self.pc.mmio_read(self.time(), address, width);
        log!(self, "read {address:#x} {width:?} = {value:#x}");
        self.see(value);
        self.after_access();
        value
    }

    pub fn poke(&mut self, address: u64, bytes: &[u8]) {
        log!(
            self,
            "poke {address:#x} {}",
            bytes[..bytes.len().min(32)].iter().map(|b| format!("{b:02x}")).collect::<String>()
        );
        self.ram.poke(address, bytes);
    }

    pub fn input(&mut self, input: Input) {
        log!(self, "input {}", input.summary());
        let now = self.time();
        let stamp = Stamp::new(Position::from_count(self.now), now);
        self.pc.admit(now, Unrecorded::new().pass(input, stamp));
        self.settle();
    }

    pub fn reset(&mut self) {
        log!(self, "reset");
        self.pc.reset(self.time());
        self.settle();
        self.find_bars();
    }

    /// The processor takes the interrupt that is pending, and maybe ends it.
    pub fn acknowledge(&mut self) {
        if !self.pc.interrupt_pending() {
            return;
        }
        self.settle();
        let vector = self.pc.acknowledge_interrupt(self.time());
        log!(self, "acknowledge = {vector:x?}");
        self.interrupts += 1;
        self.see(vector.map_or(u64::MAX, u64::from));
        self.settle();
        match self.random.below(4) {
            0 => self.write(END_OF_INTERRUPT, Width::B4, 0),
            1 => self.outb(0x20, 0x20),
            2 => {
                self.outb(0xa0, 0x20);
                self.outb(0x20, 0x20);
            }
            _ => {}
        }
    }

    /// Time passes, with a stop at each deadline.
    pub fn pass(&mut self, ns: u64) {
        log!(self, "{ns} ns pass");
        let end = self.now + ns;
        self.settle();
        for _ in 0..MOST_STOPS {
            let due = self.pc.next_deadline().filter(|due| due.ns() <= end).map(VirtualTime::ns);
            let until = due.unwrap_or(end);
            if let Some(beside) = self.beside.as_mut()
                && beside.one_in(4)
            {
                // Nobody has to stop here.
                self.now += beside.below(until - self.now);
                self.settle();
            }
            self.now = until;
            self.settle();
            if due.is_none() {
                return;
            }
        }
    }

    pub fn read_config(&mut self, devfn: u8, offset: u8, width: Width) -> u32 {
        self.port_out(CONFIG_ADDRESS, Width::B4, 1 << 31 | u64::from(devfn) << 8 | u64::from(offset & !3));
        self.port_in(CONFIG_DATA + u16::from(offset & 3), width)
    }

    pub fn write_config(&mut self, devfn: u8, offset: u8, width: Width, value: u64) {
        self.port_out(CONFIG_ADDRESS, Width::B4, 1 << 31 | u64::from(devfn) << 8 | u64::from(offset & !3));
        self.port_out(CONFIG_DATA + u16::from(offset & 3), width, value);
    }

    /// Reads where the windows of the function under test are.
    pub fn find_bars(&mut self) {
        let mut upper = false;
        for n in 0..6u8 {
            let low = self.read_config(self.devfn, 0x10 + 4 * n, Width::B4);
            let at = &mut self.bars[usize::from(n)];
            *at = if low & 1 != 0 { u64::from(low & !3) } else { u64::from(low & !15) };
            if std::mem::take(&mut upper) {
                self.bars[usize::from(n) - 1] |= u64::from(low) << 32;
            } else {
                upper = low & 7 == 4;
            }
        }
    }
}
