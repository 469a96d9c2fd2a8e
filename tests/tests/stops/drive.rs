//! Runs a machine without a recording, from stop to stop.

use rrvmm::{accel::TcgEngine, loader::BootSource, machine::PcMachine};
use rrvmm_devices::PcConfig;
use rrvmm_replay::{EndReason, MachineDigest, Position, Steppable, Stop};
use rrvmm_tcg::stops::{Hit, Stops};
use rrvmm_tests::run::{Guest, Luck};
use std::fs;

/// Most stops between two digests; then there are none up to the second.
const MOST_HITS: usize = 1000;

/// A run.
pub struct Driven {
    pub hits: Vec<(u64, Hit)>,
    pub digests: Vec<(Position, MachineDigest)>,
    pub end: Option<EndReason>,
    /// Up to where it had its stops.
    pub watched_to: u64,
}

/// `guest` at power-on.
pub fn machine(guest: &Guest, engine: TcgEngine) -> PcMachine {
    let read = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| fs::read(path).unwrap());
    let source = BootSource {
        kernel: read(&guest.kernel),
        initrd: read(&guest.initrd),
        cmdline: guest.cmdline.clone(),
        bios: read(&guest.bios),
        vga_bios: None,
        modules: Vec::new(),
    };
    let mib = if guest.memory_mib == 0 { 512 } else { guest.memory_mib };
    let config = PcConfig::new(u64::from(mib) << 20, guest.bios.is_some());
    PcMachine::with_engine(&config, &source, engine).unwrap()
}

/// Lets a machine sleep; `false` when it does so for good.
fn sleep(machine: &mut PcMachine) -> bool {
    let Some(until) = machine.next_deadline() else { return false };
    machine.idle_until(until).unwrap();
    true
}

/// One instruction, and the sleep before it; `false` at the end.
pub fn step(machine: &mut PcMachine) -> bool {
    let to = Position::from_count(machine.now().position.count() + 1);
    loop {
        match machine.run_until(to).unwrap() {
            Stop::Reached | Stop::Paused => return true,
            Stop::Idle if machine.now().position >= to => return true,
            Stop::Idle if sleep(machine) => {}
            Stop::Idle | Stop::Ended(_) => return false,
            Stop::Hit(hit) => panic!("{hit:?}"),
        }
    }
}

/// Runs to `target`. Digests are due at the positions that `due` goes through.
fn run(machine: &mut PcMachine, target: Position, due: &mut Due<'_>, driven: &mut Driven, jump: &mut Jumps) {
    while machine.now().position < target && driven.end.is_none() {
        let next = target.min(due.next);
        match machine.run_until(next).unwrap() {
            Stop::Reached | Stop::Paused => {}
            Stop::Idle => {
                if machine.now().position < next && !sleep(machine) {
                    return;
                }
            }
            Stop::Ended(reason) => {
                driven.end = Some(reason);
                driven.digests.push((machine.now().position, machine.digest()));
            }
            Stop::Hit(hit) => {
                let place = (machine.now().position.count(), hit);
                driven.hits.push(place);
                // After going back to an access, a breakpoint right behind it counts as seen.
                if !jump.at_breakpoints || matches!(hit, Hit::Breakpoint { .. }) {
                    jump.there_and_back(machine);
                }
                due.hits += 1;
                if due.hits >= MOST_HITS {
                    machine.set_stops(&Stops::default());
                    driven.watched_to = driven.watched_to.min(place.0);
                }
            }
        }
        if machine.now().position == due.next {
            driven.digests.push((due.next, machine.digest()));
            due.next = Position::from_count(due.next.count() * 2);
            if std::mem::take(&mut due.hits) >= MOST_HITS {
                machine.set_stops(due.stops);
            }
        }
    }
}

/// When the next digest is due, and what happens until then.
struct Due<'a> {
    next: Position,
    hits: usize,
    stops: &'a Stops,
}

/// Runs on from a place now and then, and goes back to it.
struct Jumps {
    luck: Option<Luck>,
    at_breakpoints: bool,
}

impl Jumps {
    fn there_and_back(&mut self, machine: &mut PcMachine) {
        let Some(luck) = &mut self.luck else { return };
        if !luck.once_in(4) {
            return;
        }
        let state = machine.save();
        for _ in 0..luck.below(3) {
            let to = machine.now().position.count() + luck.of(&[1, 10, 100, 5000, 50_000]);
            let stop = machine.run_until(Position::from_count(to)).unwrap();
            if stop == Stop::Idle {
                sleep(machine);
            }
            if luck.once_in(2) {
                machine.save();
            }
            if luck.once_in(2) {
                machine.trace();
            }
            if luck.once_in(6) {
                machine.digest();
            }
        }
        machine.restore(&state);
    }
}

/// Runs `guest` to `end` with `stops`; with `jumps`, a seed, it goes on and back again at some of them.
pub fn drive(guest: &Guest, engine: TcgEngine, end: u64, stops: &Stops, jumps: Option<u64>) -> Driven {
    let mut machine = machine(guest, engine);
    machine.set_stops(stops);
    let mut driven = Driven { hits: Vec::new(), digests: Vec::new(), end: None, watched_to: u64::MAX };
    let mut jumps = Jumps { luck: jumps.map(Luck::seeded), at_breakpoints: !stops.breakpoints.is_empty() };
    let mut due = Due { next: Position::from_count(1 << 16), hits: 0, stops };
    run(&mut machine, Position::from_count(end), &mut due, &mut driven, &mut jumps);
    driven.digests.push((machine.now().position, machine.digest()));
    driven
}
