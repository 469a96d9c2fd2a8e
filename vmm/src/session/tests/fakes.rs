//! A machine that echoes what it is typed, and hosts that follow a script.

use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use rrvmm_devices::{Input, Output, PcConfig};
use rrvmm_replay::seam::FirstReads;
use rrvmm_replay::{
    Admitted, Digest, EndReason, Hasher, MachineDigest, Position, Stamp, Steppable, Stop, VirtualTime,
};

use crate::host::HostError;
use crate::loader::{BootSource, Module};
use crate::session::{FullPorts, Host, Machine, Polled, Setup};

pub(super) fn setup() -> Setup {
    Setup {
        cpu: rrvmm_tcg::x86::Model::V1,
        pc: PcConfig::new(1 << 20, false),
        source: BootSource {
            kernel: Some(vec![1, 2, 3]),
            initrd: Some(vec![4; 100]),
            cmdline: "quiet".into(),
            bios: None,
            modules: vec![Module { bytes: vec![9], cmdline: "m".into() }],
            vga_bios: None,
        },
        disks: Vec::new(),
    }
}

/// The engine's failure in the tests.
#[derive(Debug, thiserror::Error)]
#[error("the echo machine is broken")]
pub(super) struct Broken;

/// Sleeps after every third instruction until the next millisecond or the next byte, echoes bytes with the time of day.
///
/// `q` switches it off, `z` puts it to sleep for good, `t` is a triple fault, `e` an engine failure.
#[derive(Clone, Debug)]
pub(super) struct Echo {
    now: Stamp,
    asleep: bool,
    deadline: Option<VirtualTime>,
    wall_clock: i64,
    queue: VecDeque<u8>,
    outputs: Vec<Output>,
    sent: Hasher,
    end: Option<u8>,
}

const TICK: u64 = 1_000_000;

impl Echo {
    pub(super) fn new() -> Self {
        Self {
            now: Stamp::START,
            asleep: false,
            deadline: Some(VirtualTime::from_ns(TICK)),
            wall_clock: 0,
            queue: VecDeque::new(),
            outputs: Vec::new(),
            sent: Hasher::new(),
            end: None,
        }
    }

    fn instruction(&mut self) {
        let position = self.now.position.count() + 1;
        self.now = Stamp::new(Position::from_count(position), self.now.time.after(1));
        self.expire();
        match self.queue.pop_front() {
            Some(b'z') => self.deadline = None,
            Some(byte @ (b'q' | b't' | b'e')) => self.end = Some(byte),
            Some(byte) => {
                let time = self.now.time.ns() / 1000 + self.wall_clock as u64;
                for byte in [byte, b'a' + (time % 26) as u8, b'\n'] {
                    self.outputs.push(Output::Serial { port: 0, byte });
                    self.sent.update(&[byte]);
                }
            }
            None => self.asleep = position.is_multiple_of(3),
        }
    }

    fn expire(&mut self) {
        if let Some(deadline) = self.deadline.filter(|deadline| *deadline <= self.now.time) {
            self.deadline = Some(VirtualTime::from_ns((deadline.ns() / TICK + 1) * TICK));
            self.asleep = false;
        }
    }
}

impl Steppable for Echo {
    type Input = Input;
    type Snapshot = Echo;
    type Error = Broken;
    type Stops = ();
    type Hit = Infallible;
    type Trace = ();

    fn now(&self) -> Stamp {
        self.now
    }

    fn run_until(&mut self, target: Position) -> Result<Stop<Infallible>, Broken> {
        while self.now.position < target {
            match self.end {
                Some(b'q') => return Ok(Stop::Ended(EndReason::PowerOff)),
                Some(b't') => return Ok(Stop::Ended(EndReason::TripleFault)),
                Some(_) => return Err(Broken),
                None => {}
            }
            if self.asleep {
                return Ok(Stop::Idle);
            }
            self.instruction();
        }
        Ok(Stop::Reached)
    }

    fn is_idle(&self) -> bool {
        self.asleep
    }

    fn next_deadline(&self) -> Option<VirtualTime> {
        self.deadline
    }

    fn idle_until(&mut self, time: VirtualTime) -> Result<(), Broken> {
        assert!(self.asleep && self.deadline.is_none_or(|deadline| time <= deadline));
        self.now.time = self.now.time.max(time);
        self.expire();
        Ok(())
    }

    fn admit(&mut self, input: Admitted<Input>) -> Result<(), Broken> {
        assert_eq!(input.stamp(), self.now);
        match input.into_input() {
            Input::Serial { bytes, .. } => {
                self.queue.extend(bytes);
                self.asleep = false;
            }
            Input::WallClock { unix_seconds } => self.wall_clock = unix_seconds,
            Input::Key { .. }
            | Input::PowerButton
            | Input::Time { .. }
            | Input::State { .. }
            | Input::Flags { .. }
            | Input::Frame { .. }
            | Input::Pointer(_)
            | Input::Console { .. } => {}
        }
        Ok(())
    }

    fn save(&mut self) -> Echo {
        self.clone()
    }

    fn restore(&mut self, state: &Echo) {
        *self = state.clone();
    }

    fn digest(&mut self) -> MachineDigest {
        MachineDigest {
            cpu: Digest::of_state(&(self.now, self.asleep, self.end)).unwrap(),
            devices: Digest::of_state(&(self.deadline, &self.queue, self.wall_clock)).unwrap(),
            memory: Digest::default(),
            outputs: self.sent.finish(),
        }
    }

    fn set_stops(&mut self, (): &()) {}

    fn is_behind(hit: &Infallible) -> bool {
        match *hit {}
    }

    fn trace(&mut self) {}

    fn may_hit(&self, (): &(), (): &()) -> bool {
        false
    }

    fn weight(_state: &Echo, _beside: Option<&Echo>) -> usize {
        size_of::<Echo>()
    }
}

impl Machine for Echo {
    fn take_outputs(&mut self, outputs: &mut Vec<Output>) {
        outputs.append(&mut self.outputs);
    }

    fn full_ports(&self) -> FullPorts {
        FullPorts::default()
    }

    fn first_reads(&mut self) -> Option<Box<dyn FirstReads>> {
        None
    }

    fn describe_cpus(&self) -> String {
        format!("echo at {}", self.now)
    }
}

fn shown(outputs: &[Output]) -> impl Iterator<Item = u8> {
    outputs.iter().filter_map(|output| match output {
        Output::Serial { byte, .. } => Some(*byte),
        Output::DebugConsole(_)
        | Output::DebugExit { .. }
        | Output::PowerOff
        | Output::Reset
        | Output::Frame { .. }
        | Output::Console { .. } => None,
    })
}

/// A host that types at given times and wants to stop at one. Its clock goes on in `wait`, and by `tick` at each look.
pub(super) struct Script {
    clock: Cell<Duration>,
    pub(super) tick: Duration,
    keys: VecDeque<(Duration, Vec<u8>)>,
    pub(super) quit: Option<Duration>,
    pub(super) shown: Vec<u8>,
}

impl Script {
    pub(super) fn new(keys: Vec<(Duration, Vec<u8>)>) -> Self {
        Self {
            clock: Cell::new(Duration::ZERO),
            tick: Duration::ZERO,
            keys: keys.into(),
            quit: None,
            shown: Vec::new(),
        }
    }

    /// Types `count` times at uneven moments, and `q` at the end.
    pub(super) fn typing(seed: u64, count: u64) -> Self {
        let mut at = 0;
        let mut keys = Vec::new();
        for index in 0..count {
            let whim = (seed * 1000 + index).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
            at += if whim.is_multiple_of(3) { 20_000_000 } else { whim % 3_000_000 };
            keys.push((Duration::from_nanos(at), vec![b'A' + (whim % 26) as u8; 1 + (whim % 3) as usize]));
        }
        keys.push((Duration::from_nanos(at + 1), b"q".to_vec()));
        Self::new(keys)
    }
}

impl Host for Script {
    type Offer = Input;

    fn elapsed(&self) -> Duration {
        self.clock.set(self.clock.get() + self.tick);
        self.clock.get()
    }

    fn poll(&mut self, _full: FullPorts) -> Result<Polled<Input>, HostError> {
        if self.quit.is_some_and(|quit| quit <= self.clock.get()) {
            return Ok(Polled::Stop(EndReason::Quit));
        }
        match self.keys.front() {
            Some((at, _)) if *at <= self.clock.get() => {
                let (_, bytes) = self.keys.pop_front().unwrap();
                Ok(Polled::Input(Input::Serial { port: 0, bytes }))
            }
            Some(_) | None => Ok(Polled::Nothing),
        }
    }

    fn wait(&mut self, limit: Duration, _full: FullPorts) -> Result<(), HostError> {
        let now = self.clock.get();
        let next = self.keys.front().map_or(now + limit, |(at, _)| (*at).max(now));
        self.clock.set(next.min(now + limit));
        Ok(())
    }

    fn may_offer(&self) -> bool {
        !self.keys.is_empty() || self.quit.is_some()
    }

    fn show(&mut self, outputs: &[Output]) -> Result<(), HostError> {
        self.shown.extend(shown(outputs));
        Ok(())
    }

    fn reached(&mut self, _position: Position) {}
}

/// A host that only watches.
#[derive(Default)]
pub(super) struct Played {
    pub(super) shown: Vec<u8>,
}

impl Host for Played {
    type Offer = Infallible;

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn poll(&mut self, _full: FullPorts) -> Result<Polled<Infallible>, HostError> {
        Ok(Polled::Nothing)
    }

    fn wait(&mut self, _limit: Duration, _full: FullPorts) -> Result<(), HostError> {
        Ok(())
    }

    fn may_offer(&self) -> bool {
        false
    }

    fn show(&mut self, outputs: &[Output]) -> Result<(), HostError> {
        self.shown.extend(shown(outputs));
        Ok(())
    }

    fn reached(&mut self, _position: Position) {}
}
