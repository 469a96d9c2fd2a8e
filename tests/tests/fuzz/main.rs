//! Whatever a guest does to its devices, and whatever arrives from outside meanwhile: no panic, no endless work, nothing outside
//! RAM, nothing that an engine is not told of; and the same again, however often the machine stops or is saved.
//!
//! A case is one history from power-on: a driver sets a device up, mostly as it should, and goes on with requests of which some
//! are wrong. `FUZZ_CASES` is the number of cases for each device, `FUZZ_DEVICE` names one device, `FUZZ_FIRST` the first case;
//! with `FUZZ_LOG` set, what happens is printed.

mod chips;
mod families;
mod memory;
mod nics;
mod random;
mod storage;
mod virtio;
mod world;

use families::{FAMILIES, Family};
use random::Random;
use rrvmm_devices::bus::Width;
use rrvmm_devices::{Pc, PcState};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use world::World;

/// Cases for each device in an ordinary run of the tests, and in the long one.
const FEW: u64 = 1500;
const MANY: u64 = 1_000_000;
/// One case in so many is lived through again, with other stops and through saved states.
const AGAIN: u64 = 8;
/// Longer than any case takes on a busy host.
const HANG: Duration = Duration::from_secs(60);

/// One history. `beside` is what must not matter.
fn live(family: &Family, world: &mut World, start: &PcState, case: u64, beside: bool) -> (u64, u64) {
    let seed = Random::new(case ^ u64::from_le_bytes(name_bytes(family.name))).next();
    world.begin(start, family.devfn, seed, beside.then_some(!seed));
    if !world.random.one_in(4) {
        open_interrupts(world);
    }
    if !world.random.one_in(16) {
        family.set_up(world);
    }
    for _ in 0..16 + world.random.below(64) {
        match world.random.below(64) {
            0..12 => {
                let ns = world.random.pause();
                world.pass(ns);
            }
            12..18 => world.acknowledge(),
            18 => chips::input(world),
            19 if world.random.one_in(2) => configuration(world),
            20 if world.random.one_in(2) => chips::processor(world),
            21 if world.random.one_in(8) => world.reset(),
            22 if world.random.one_in(4) => family.set_up(world),
            _ => family.step(world),
        }
    }
    if family.name == "vga" && case.is_multiple_of(64) {
        chips::draw(world);
    }
    world.end()
}

/// Lets interrupts through, by the local APIC from both kinds of controllers.
fn open_interrupts(world: &mut World) {
    let base = 0xfee0_0000;
    for (register, value) in [(0xf0, 0x1ff), (0x350, 0x700)] {
        world.write(base + register, Width::B4, value);
    }
    let pic =
        [(0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1), (0xa0, 0x11), (0xa1, 0x28), (0xa1, 2), (0xa1, 1)];
    for (port, value) in pic {
        world.outb(port, value);
    }
    let mask = if world.random.one_in(2) { 0 } else { 0xff };
    world.outb(0x21, mask);
    world.outb(0xa1, mask);
    for pin in [1, 2, 4, 8, 9, 12, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23] {
        let level = if pin > 15 { 0x8000 } else { 0 };
        world.write(0xfec0_0000, Width::B4, 0x10 + 2 * pin);
        world.write(0xfec0_0010, Width::B4, (0x30 + pin) | level);
    }
}

/// The guest changes what PCI functions say of themselves, and mostly puts it right again.
fn configuration(world: &mut World) {
    let devfn = if world.random.one_in(4) { world.random.next() as u8 } else { world.devfn };
    let (offset, width) = match world.random.below(4) {
        0 => (4, Width::B2),
        1 | 2 => (0x10 + 4 * world.random.below(6) as u8, Width::B4),
        _ => (world.random.next() as u8 & !3, Width::B4),
    };
    let before = world.read_config(devfn, offset, width);
    let value = match world.random.below(4) {
        0 => u64::MAX,
        1 => world.random.address(0),
        2 => u64::from(before) ^ 1 << world.random.below(32),
        _ => world.random.value(),
    };
    world.write_config(devfn, offset, width, value);
    world.find_bars();
    if !world.random.one_in(3) {
        for _ in 0..world.random.below(3) {
            let ns = world.random.pause();
            world.pass(ns);
        }
        world.write_config(devfn, offset, width, u64::from(before));
        world.find_bars();
    }
}

fn name_bytes(name: &str) -> [u8; 8] {
    let mut bytes = [0; 8];
    name.bytes().take(8).zip(&mut bytes).for_each(|(from, to)| *to = from);
    bytes
}

/// Two boards for the histories of a device: one for what happens, one for what must be the same.
struct Bench {
    family: &'static Family,
    start: PcState,
    world: World,
    other: World,
}

impl Bench {
    fn new(family: &'static Family) -> Self {
        let config = family.config();
        let start = Pc::new(&config).save();
        let (world, other) = (World::new(&config), World::new(&config));
        Self { family, start, world, other }
    }

    fn check(&mut self, case: u64) {
        let Self { family, start, world, other } = self;
        let seen = live(family, world, start, case, false);
        if case.is_multiple_of(AGAIN) {
            assert_eq!(
                seen,
                live(family, other, start, case, true),
                "the guest sees how often the machine stops"
            );
            assert!(*world.pc.state() == *other.pc.state(), "the state shows how often the machine stops");
            assert!(world.ram.equals(&other.ram), "memory shows how often the machine stops");
            assert!(world.disks.equals(&other.disks), "a disk shows how often the machine stops");
        }
    }

    /// Says what happens in a case that fails, and fails.
    fn fail(&mut self, case: u64) -> ! {
        let name = self.family.name;
        eprintln!("{name}, case {case} (FUZZ_DEVICE={name} FUZZ_FIRST={case} FUZZ_CASES=1):");
        *self = Self::new(self.family);
        (self.world.log, self.other.log) = (true, true);
        let again = catch_unwind(AssertUnwindSafe(|| self.check(case)));
        match again {
            Err(panic) => resume_unwind(panic),
            Ok(()) => panic!("{name}, case {case}: failed only after the cases before"),
        }
    }
}

/// All cases of a device, on as many threads as the host has processors.
fn run(family: &'static Family, first: u64, count: u64) -> Reached {
    let reached = Mutex::new(Reached::default());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(first);
    let running: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(0)).collect();
    let left = AtomicUsize::new(threads);
    thread::scope(|scope| {
        for mine in &running {
            let (next, left, reached) = (&next, &left, &reached);
            scope.spawn(move || {
                let _done = Done(left);
                let mut bench = Bench::new(family);
                bench.world.log = std::env::var_os("FUZZ_LOG").is_some();
                loop {
                    let case = next.fetch_add(1, Ordering::Relaxed);
                    if case >= first + count {
                        reached.lock().expect("nobody panics with it").add(&bench.world);
                        return;
                    }
                    mine.store(case, Ordering::Relaxed);
                    if catch_unwind(AssertUnwindSafe(|| bench.check(case))).is_err() {
                        next.store(u64::MAX / 2, Ordering::Relaxed);
                        bench.fail(case);
                    }
                }
            });
        }
        watch(family, &running, &left);
    });
    reached.into_inner().expect("nobody panics with it")
}

/// How far the histories came: a fuzzer that only ever sees errors finds nothing.
#[derive(Debug, Default)]
struct Reached {
    memory_writes: u64,
    disk_requests: u64,
    outputs: u64,
    interrupts: u64,
}

impl Reached {
    fn add(&mut self, world: &World) {
        self.memory_writes += world.ram.writes;
        self.disk_requests += world.disks.requests;
        self.outputs += world.outputs;
        self.interrupts += world.interrupts;
    }
}

/// Counts a thread out, however it ends.
struct Done<'a>(&'a AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Ends the process when a case does not end.
fn watch(family: &Family, running: &[AtomicU64], left: &AtomicUsize) {
    let now = Instant::now();
    let mut seen: Vec<(u64, Instant)> = vec![(u64::MAX, now); running.len()];
    while left.load(Ordering::Relaxed) > 0 {
        thread::sleep(Duration::from_millis(5));
        let all_run = left.load(Ordering::Relaxed) == running.len();
        for (case, seen) in running.iter().zip(&mut seen) {
            let case = case.load(Ordering::Relaxed);
            if case != seen.0 {
                *seen = (case, Instant::now());
            } else if all_run && seen.1.elapsed() > HANG {
                eprintln!("{}, case {case} does not end", family.name);
                std::process::abort();
            }
        }
    }
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

fn run_all(count: u64) {
    let (first, count) = (number("FUZZ_FIRST").unwrap_or(0), number("FUZZ_CASES").unwrap_or(count));
    let only = std::env::var("FUZZ_DEVICE").ok();
    let chosen: Vec<&'static Family> =
        FAMILIES.iter().filter(|family| only.as_deref().is_none_or(|only| only == family.name)).collect();
    assert!(!chosen.is_empty(), "no device {only:?}");
    for family in chosen {
        let start = Instant::now();
        let reached = run(family, first, count);
        println!("{:20} {count} cases in {:.1} s: {reached:?}", family.name, start.elapsed().as_secs_f64());
    }
}

#[test]
fn whatever_a_guest_does_devices_stay_sane() {
    run_all(FEW);
}

#[test]
#[ignore = "a million cases for each device: some minutes"]
fn a_million_cases_for_each_device() {
    run_all(MANY);
}
