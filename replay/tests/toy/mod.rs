//! A machine without a CPU: a number that every step changes, one timer, and sleep.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeSet;
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    now: Stamp,
    value: u64,
    asleep: bool,
    deadline: Option<VirtualTime>,
    /// Position at which the machine switches itself off.
    end: u64,
    /// Position at which a faulty machine differs from a good one.
    fault: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct Toy {
    state: State,
    stops: Places,
    /// The moment whose hits are passed.
    passed: Option<(Position, u64)>,
    /// Every place where the machine has been.
    trace: BTreeSet<u64>,
}

impl PartialEq for Toy {
    fn eq(&self, other: &Toy) -> bool {
        self.state == other.state
    }
}

/// A place of the machine: its value modulo [`PLACES`].
pub const PLACES: u64 = 251;

/// Stops before an instruction at a place, and behind one that leads to a place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Places {
    pub before: BTreeSet<u64>,
    pub behind: BTreeSet<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum At {
    Before(u64),
    Behind(u64),
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 31)).wrapping_mul(0x7fb5_d329_728e_a185);
    (value ^ (value >> 27)).wrapping_mul(0x81da_def4_bc2d_d44d)
}

impl Toy {
    pub fn new(end: u64) -> Self {
        let state = State { now: Stamp::START, value: 1, asleep: false, deadline: None, end, fault: None };
        let passed = Some((Position::START, 1));
        Self { state, stops: Places::default(), passed, trace: BTreeSet::new() }
    }

    pub fn faulty(end: u64, at: u64) -> Self {
        let mut toy = Self::new(end);
        toy.state.fault = Some(at);
        toy
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    fn moment(&self) -> (Position, u64) {
        (self.state.now.position, self.state.value)
    }

    fn place(&self) -> u64 {
        self.state.value % PLACES
    }

    fn pass(&mut self, stop: Stop<At>) -> Result<Stop<At>, Infallible> {
        let is_behind = matches!(stop, Stop::Hit(At::Behind(_)));
        self.passed = Some(self.moment()).filter(|_| !is_behind);
        Ok(stop)
    }

    fn instruction(&mut self) {
        self.trace.insert(self.place());
        self.state.instruction();
        self.trace.insert(self.place());
    }
}

impl State {
    pub fn position(&self) -> u64 {
        self.now.position.count()
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
    type Snapshot = State;
    type Error = Infallible;
    type Stops = Places;
    type Hit = At;
    type Trace = BTreeSet<u64>;

    fn now(&self) -> Stamp {
        self.state.now
    }

    fn run_until(&mut self, target: Position) -> Result<Stop<At>, Infallible> {
        loop {
            let is_next = !self.state.asleep && self.state.now.position.count() != self.state.end;
            if is_next && self.passed != Some(self.moment()) && self.stops.before.contains(&self.place()) {
                return self.pass(Stop::Hit(At::Before(self.place())));
            }
            if self.state.now.position >= target {
                return self.pass(Stop::Reached);
            }
            if self.state.asleep {
                return self.pass(Stop::Idle);
            }
            if !is_next {
                return self.pass(Stop::Ended(EndReason::PowerOff));
            }
            self.instruction();
            if self.stops.behind.contains(&self.place()) {
                return self.pass(Stop::Hit(At::Behind(self.place())));
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.state.asleep
    }

    fn next_deadline(&self) -> Option<VirtualTime> {
        self.state.deadline
    }

    fn idle_until(&mut self, time: VirtualTime) -> Result<(), Infallible> {
        let state = &mut self.state;
        assert!(state.asleep, "time jumps only in sleep");
        assert!(state.deadline.is_none_or(|deadline| time <= deadline), "no deadline is jumped over");
        state.now.time = state.now.time.max(time);
        state.expire();
        Ok(())
    }

    fn admit(&mut self, input: Admitted<Poke>) -> Result<(), Infallible> {
        let state = &mut self.state;
        assert_eq!(input.stamp(), state.now);
        let value = match input.into_input() {
            Poke::Left(value) => u64::from(value),
            Poke::Right(bytes) => bytes.iter().fold(7, |sum, byte| mix(sum ^ u64::from(*byte))),
        };
        state.value = mix(state.value ^ value ^ state.now.time.ns());
        state.asleep &= value.is_multiple_of(3);
        Ok(())
    }

    fn save(&mut self) -> State {
        self.state.clone()
    }

    fn restore(&mut self, state: &State) {
        self.state = state.clone();
        self.passed = Some(self.moment());
        self.trace.clear();
    }

    fn digest(&mut self) -> MachineDigest {
        let state = &self.state;
        MachineDigest {
            cpu: Digest::of_state(&state.value).unwrap(),
            devices: Digest::of_state(&(state.deadline, state.asleep)).unwrap(),
            memory: Digest::default(),
            outputs: Digest::of_state(&state.now).unwrap(),
        }
    }

    fn set_stops(&mut self, stops: &Places) {
        self.stops = stops.clone();
        self.passed = Some(self.moment());
    }

    fn is_behind(hit: &At) -> bool {
        match hit {
            At::Before(_) => false,
            At::Behind(_) => true,
        }
    }

    fn trace(&mut self) -> BTreeSet<u64> {
        self.trace.insert(self.place());
        std::mem::take(&mut self.trace)
    }

    fn may_hit(&self, trace: &BTreeSet<u64>, stops: &Places) -> bool {
        trace.iter().any(|place| stops.before.contains(place) || stops.behind.contains(place))
    }

    fn weight(_state: &State, _beside: Option<&State>) -> usize {
        1
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
        let come_to = loop {
            match step(&mut machine, &mut seam, limit).unwrap() {
                Step::Digested { .. } => {}
                come_to => break come_to,
            }
        };
        match come_to {
            Step::Ended(_) => break,
            Step::Cut(cut) => panic!("{cut}"),
            Step::Digested { .. } | Step::Hit(_) => unreachable!("no stops are set"),
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

fn admit(machine: &mut Toy, seam: &mut Recorder<Poke, JournalWriter<Vec<u8>>>, whim: u32) {
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
