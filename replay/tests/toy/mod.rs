//! A machine without a CPU: a number that every step changes, one timer, and sleep.
#![allow(dead_code, reason = "each test file uses its part")]

use std::convert::Infallible;
use std::io::Cursor;

use rrvmm_replay::journal::Attachment;
use rrvmm_replay::seam::DigestSchedule;
use rrvmm_replay::timeline::{Step, step};
use rrvmm_replay::{
    Admitted, Digest, EndReason, Input, JournalReader, JournalWriter, MachineDigest, Manifest, Position,
    Recorder, Replayer, Seam, Stamp, Steppable, Stop, VirtualTime,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Poke {
    Left(u32),
    Right(Vec<u8>),
}

impl Input for Poke {
    const SOURCES: &'static [&'static str] = &["left", "right"];

    fn source(&self) -> &'static str {
        match self {
            Poke::Left(_) => "left",
            Poke::Right(_) => "right",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Toy {
    now: Stamp,
    value: u64,
    asleep: bool,
    deadline: Option<VirtualTime>,
    /// Position at which the machine switches itself off.
    end: u64,
    /// Position at which a faulty machine differs from a good one.
    #[serde(skip)]
    fault: Option<u64>,
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 31)).wrapping_mul(0x7fb5_d329_728e_a185);
    (value ^ (value >> 27)).wrapping_mul(0x81da_def4_bc2d_d44d)
}

impl Toy {
    pub fn new(end: u64) -> Self {
        Self { now: Stamp::START, value: 1, asleep: false, deadline: None, end, fault: None }
    }

    pub fn faulty(end: u64, at: u64) -> Self {
        Self { fault: Some(at), ..Self::new(end) }
    }

    fn instruction(&mut self) {
        let position = self.now.position.count() + 1;
        self.now = Stamp::new(Position::from_count(position), self.now.time.after(1));
        self.value = mix(self.value ^ position);
        if self.fault == Some(position) {
            self.value ^= 1;
        }
        self.expire();
        if self.value.is_multiple_of(61) && self.deadline.is_none() {
            self.deadline = Some(self.now.time.after(1 + self.value % 500));
        }
        self.asleep = self.value.is_multiple_of(97);
    }

    fn expire(&mut self) {
        if self.deadline.is_some_and(|deadline| deadline <= self.now.time) {
            self.deadline = None;
            self.value = mix(self.value ^ 0x1111);
            // Not every timer wakes: some are masked.
            self.asleep &= self.value.is_multiple_of(5);
        }
    }
}

impl Steppable for Toy {
    type Input = Poke;
    type Snapshot = Toy;
    type Error = Infallible;
    type Stops = ();
    type Hit = Infallible;
    type Trace = ();

    fn now(&self) -> Stamp {
        self.now
    }

    fn run_until(&mut self, target: Position) -> Result<Stop<Infallible>, Infallible> {
        while self.now.position < target {
            if self.asleep {
                return Ok(Stop::Idle);
            }
            if self.now.position.count() == self.end {
                return Ok(Stop::Ended(EndReason::PowerOff));
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

    fn idle_until(&mut self, time: VirtualTime) -> Result<(), Infallible> {
        assert!(self.asleep, "time jumps only in sleep");
        assert!(self.deadline.is_none_or(|deadline| time <= deadline), "no deadline is jumped over");
        self.now.time = self.now.time.max(time);
        self.expire();
        Ok(())
    }

    fn admit(&mut self, input: Admitted<Poke>) -> Result<(), Infallible> {
        assert_eq!(input.stamp(), self.now);
        let value = match input.into_input() {
            Poke::Left(value) => u64::from(value),
            Poke::Right(bytes) => bytes.iter().fold(7, |sum, byte| mix(sum ^ u64::from(*byte))),
        };
        self.value = mix(self.value ^ value ^ self.now.time.ns());
        self.asleep &= value.is_multiple_of(3);
        Ok(())
    }

    fn save(&self) -> Toy {
        self.clone()
    }

    fn restore(&mut self, state: &Toy) {
        *self = state.clone();
    }

    fn digest(&mut self) -> MachineDigest {
        MachineDigest {
            cpu: Digest::of_state(&self.value).unwrap(),
            devices: Digest::of_state(&(self.deadline, self.asleep)).unwrap(),
            memory: Digest::default(),
            outputs: Digest::of_state(&self.now).unwrap(),
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

    fn weight(_state: &Toy, _beside: Option<&Toy>) -> usize {
        size_of::<Toy>()
    }
}

pub const SCHEDULE: DigestSchedule = DigestSchedule { first: 16, distance: 256 };

pub const KERNEL: Attachment<'static> = Attachment { name: "kernel", data: &[0x5a; 3000] };

pub fn manifest() -> Manifest {
    Manifest {
        recorder: "0.1.0".into(),
        engine: "toy".into(),
        cpu_model: "none".into(),
        machine: "toy".into(),
        config: serde_json::json!({ "memory": 0 }),
        attachments: Vec::new(),
    }
}

/// Records a run whose host does what `whims` say, one each time the machine comes back; returns the file and the machine.
pub fn record(end: u64, whims: &[u32]) -> (Vec<u8>, Toy) {
    let mut machine = Toy::new(end);
    let journal = JournalWriter::create::<Poke>(Vec::new(), manifest(), &[KERNEL]).unwrap();
    let mut seam = Recorder::new(journal, SCHEDULE);
    let mut whims = whims.iter().copied();
    loop {
        let whim = whims.next();
        let slice = u64::from(whim.map_or(64, |whim| whim % 50));
        let limit = Position::from_count(machine.now().position.count() + slice);
        match step(&mut machine, &mut seam, limit).unwrap() {
            Step::Ended(_) => break,
            Step::Cut(cut) => panic!("{cut}"),
            Step::Hit(hit) => match hit {},
            Step::Reached => {
                if let Some(whim) = whim.filter(|whim| whim.is_multiple_of(4)) {
                    admit(&mut machine, &mut seam, whim);
                }
            }
            Step::Idle { until } => match (until, whim) {
                (Some(until), Some(whim)) if whim.is_multiple_of(3) => {
                    let sleep = u64::from(whim >> 8) % (until.since(machine.now().time) + 1);
                    machine.idle_until(machine.now().time.after(sleep)).unwrap();
                    admit(&mut machine, &mut seam, whim);
                }
                (Some(until), _) => machine.idle_until(until).unwrap(),
                (None, Some(whim)) => {
                    machine.idle_until(machine.now().time.after(u64::from(whim >> 20))).unwrap();
                    admit(&mut machine, &mut seam, whim);
                }
                (None, None) => {
                    let digest = machine.digest();
                    seam.end(machine.now(), EndReason::HaltedForever, &digest).unwrap();
                    break;
                }
            },
        }
        if whim.is_some_and(|whim| whim.is_multiple_of(11)) {
            seam.flush(machine.now()).unwrap();
        }
    }
    (seam.finish().unwrap(), machine)
}

fn admit(machine: &mut Toy, seam: &mut Recorder<Poke, Vec<u8>>, whim: u32) {
    let poke =
        if whim.is_multiple_of(8) { Poke::Right(whim.to_le_bytes().to_vec()) } else { Poke::Left(whim) };
    let poke = seam.admit(poke, machine.now()).unwrap();
    machine.admit(poke).unwrap();
}

pub fn open(file: &[u8]) -> Replayer<Poke, Cursor<&[u8]>> {
    Replayer::new(JournalReader::open(Cursor::new(file)).unwrap()).unwrap()
}

/// `count` numbers that are the same in every run.
pub fn numbers(seed: u64, count: usize) -> Vec<u32> {
    (0..count as u64).map(|index| (mix(mix(seed) ^ index) >> 16) as u32).collect()
}
