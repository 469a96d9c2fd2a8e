//! A replay that is tampered with at one position: the finder names exactly that one.

use super::{Inspect, ShortSteps, find};
use crate::demo;
use crate::machine::PcMachine;
use crate::session::{self, FullPorts, Machine, Nobody, Options, Recording};
use rrvmm_devices::{Input, Output};
use rrvmm_replay::timeline::{Policy, Stop};
use rrvmm_replay::{
    Admitted, MachineDigest, Part, Position, Replayer, Stamp, Steppable, Timeline, VirtualTime,
};
use std::io::Cursor;

/// Instructions of the demo's guest: a clock, a timer, a sieve of which this is a small part.
const LENGTH: u64 = 300_000;

fn machine() -> PcMachine {
    let setup = demo::setup();
    PcMachine::new(&setup.pc, &setup.source).unwrap()
}

fn record(wall_clock: i64) -> Vec<u8> {
    let options = Options { until: Some(Position::from_count(LENGTH)), ..Options::default() };
    session::record(
        &mut machine(),
        &demo::setup(),
        "interp",
        Vec::new(),
        wall_clock,
        &mut Nobody::new(),
        &options,
    )
    .unwrap()
    .1
}

type Run<M> = Timeline<M, Replayer<Input, Cursor<Vec<u8>>>>;

fn run<M: Inspect<Input = Input>>(machine: M, recording: &[u8]) -> Run<M> {
    let recording = Recording::open(Cursor::new(recording.to_vec())).unwrap();
    Timeline::with_policy(machine, recording.into_seam(), Policy::by_hand())
}

/// What is done to a machine at a position, before its instruction there.
#[derive(Clone, Copy)]
enum Deed {
    Memory { page: usize, offset: usize, value: u8 },
    Register { number: usize, value: u64 },
}

pub(crate) struct Tampered {
    machine: PcMachine,
    at: Position,
    deed: Deed,
}

impl Tampered {
    /// `machine`, of which a byte of RAM is changed at position `at`.
    pub(crate) fn with_byte(machine: PcMachine, at: Position, page: usize, offset: usize, value: u8) -> Self {
        Self { machine, at, deed: Deed::Memory { page, offset, value } }
    }
}

impl Machine for Tampered {
    fn take_outputs(&mut self, outputs: &mut Vec<Output>) {
        self.machine.drain_outputs(outputs);
    }
    fn full_ports(&self) -> FullPorts {
        self.machine.full_ports()
    }
    fn first_reads(&mut self) -> Option<Box<dyn rrvmm_replay::seam::FirstReads>> {
        self.machine.first_reads()
    }
    fn describe_cpus(&self) -> String {
        self.machine.describe_cpus()
    }
}

impl Steppable for Tampered {
    type Input = Input;
    type Snapshot = <PcMachine as Steppable>::Snapshot;
    type Error = <PcMachine as Steppable>::Error;
    type Stops = <PcMachine as Steppable>::Stops;
    type Hit = <PcMachine as Steppable>::Hit;
    type Trace = <PcMachine as Steppable>::Trace;

    fn now(&self) -> Stamp {
        self.machine.now()
    }
    fn run_until(&mut self, target: Position) -> Result<Stop<Self::Hit>, Self::Error> {
        if self.now().position <= self.at && target > self.at {
            let stop = self.machine.run_until(self.at)?;
            if stop != Stop::Reached {
                return Ok(stop);
            }
            match self.deed {
                Deed::Memory { page, offset, value } => self.machine.tamper_memory(page, offset, value),
                Deed::Register { number, value } => self.machine.tamper_register(number, value),
            }
        }
        self.machine.run_until(target)
    }
    fn is_idle(&self) -> bool {
        self.machine.is_idle()
    }
    fn next_deadline(&self) -> Option<VirtualTime> {
        self.machine.next_deadline()
    }
    fn idle_until(&mut self, time: VirtualTime) -> Result<(), Self::Error> {
        self.machine.idle_until(time)
    }
    fn admit(&mut self, input: Admitted<Input>) -> Result<(), Self::Error> {
        self.machine.admit(input)
    }
    fn save(&mut self) -> Self::Snapshot {
        self.machine.save()
    }
    fn restore(&mut self, state: &Self::Snapshot) {
        self.machine.restore(state);
    }
    fn digest(&mut self) -> MachineDigest {
        self.machine.digest()
    }
    fn set_stops(&mut self, stops: &Self::Stops) {
        self.machine.set_stops(stops);
    }
    fn is_behind(hit: &Self::Hit) -> bool {
        PcMachine::is_behind(hit)
    }
    fn trace(&mut self) -> Self::Trace {
        self.machine.trace()
    }
    fn may_hit(&self, trace: &Self::Trace, stops: &Self::Stops) -> bool {
        self.machine.may_hit(trace, stops)
    }
    fn weight(state: &Self::Snapshot, beside: Option<&Self::Snapshot>) -> usize {
        PcMachine::weight(state, beside)
    }
}

impl Inspect for Tampered {
    fn fingerprint(&self) -> MachineDigest {
        self.machine.fingerprint()
    }
    fn instruction(&self) -> String {
        self.machine.instruction()
    }
    fn registers(&self) -> Vec<(String, String)> {
        self.machine.registers()
    }
    fn pages(&self) -> usize {
        self.machine.pages()
    }
    fn page(&self, page: usize) -> (u64, &[u8; 4096]) {
        Inspect::page(&self.machine, page)
    }
}

#[test]
fn a_byte_changed_at_a_position_is_found_there() {
    let recording = record(0);
    for at in [0, 1, 4711, 123_456, LENGTH - 2].map(Position::from_count) {
        let deed = Deed::Memory { page: 0x300, offset: 0x123, value: 0xa5 };
        let (mut a, mut b) =
            (run(machine(), &recording), run(Tampered { machine: machine(), at, deed }, &recording));
        let found = find(&mut a, &mut b, Position::from_count(LENGTH), |_| {}).unwrap().expect("they differ");
        assert_eq!(found.at, at);
        a.seek(at).unwrap();
        assert_eq!(found.report.instruction, a.machine().instruction());
        assert_eq!(found.report.parts(), [Part::Memory]);
        assert_eq!(found.report.memory.len(), 1);
        assert_eq!(found.report.memory[0].address, 0x30_0000);
        let a_has = found.report.memory[0].bytes[0].1;
        assert_eq!(found.report.memory[0].bytes, [(0x123, a_has, 0xa5)]);
    }
}

#[test]
fn a_changed_register_is_marked() {
    let recording = record(0);
    let at = Position::from_count(77_777);
    // EDI is the sieve's; whatever it was, this it was not.
    let deed = Deed::Register { number: 14, value: 0x1234_5678_9abc_def0 };
    let (mut a, mut b) =
        (run(machine(), &recording), run(Tampered { machine: machine(), at, deed }, &recording));
    let found = find(&mut a, &mut b, Position::from_count(LENGTH), |_| {}).unwrap().expect("they differ");
    assert_eq!(found.at, at);
    let rows: Vec<_> = found.report.registers().collect();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((rows[0].0, rows[0].3), ("r14", "123456789abcdef0"));
    let text = found.report.to_string();
    assert!(text.contains("* r14"), "{text}");
    assert!(text.contains("next instruction: 0010:") || text.contains("next instruction: "), "{text}");
}

#[test]
fn two_recordings_part_at_the_input_that_differs() {
    let (first, second) = (record(0), record(86_400));
    let (mut a, mut b) = (run(machine(), &first), run(machine(), &second));
    let found = find(&mut a, &mut b, Position::from_count(LENGTH), |_| {}).unwrap().expect("they differ");
    assert_eq!(found.at, Position::START);
    assert_eq!(found.report.parts(), [Part::Devices]);
}

#[test]
fn equal_runs_do_not_part_however_they_are_stopped() {
    let recording = record(0);
    let end = Position::from_count(LENGTH);
    for most in [1, 7, 1009] {
        let (mut a, mut b) = (run(machine(), &recording), run(ShortSteps::new(machine(), most), &recording));
        if let Some(found) = find(&mut a, &mut b, end, |_| {}).unwrap() {
            panic!("stopped every {most}: {} {}", found.at, found.report);
        }
    }
}
