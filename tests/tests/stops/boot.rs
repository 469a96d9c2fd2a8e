//! What moving through a Linux boot costs. Measurements, not run unless asked for.

use crate::drive::{drive, machine};
use rrvmm::{
    accel::{HAS_JIT, TcgEngine},
    machine::PcMachine,
};
use rrvmm_replay::{Position, Steppable, Stop};
use rrvmm_tcg::stops::{Access, Space, Stops, Watch};
use rrvmm_tests::guests::{self, Kernel};
use rrvmm_tests::run::{Guest, Luck};
use std::time::Instant;

fn to(machine: &mut PcMachine, position: u64) {
    let position = Position::from_count(position);
    while machine.now().position < position {
        match machine.run_until(position).unwrap() {
            Stop::Idle => machine.idle_until(machine.next_deadline().unwrap()).unwrap(),
            Stop::Ended(reason) => panic!("{reason}"),
            Stop::Reached | Stop::Paused | Stop::Hit(_) => {}
        }
    }
}

/// Median and largest, in microseconds.
fn spread(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    format!("{:.0} us, at most {:.0}", times[times.len() / 2], times[times.len() - 1])
}

fn guest() -> Guest {
    let kernel = Kernel::CloudAmd64;
    let initrd = guests::cached_initrd(&format!("boot-{}", kernel.arch().name())).unwrap();
    Guest::linux(&guests::kernel(kernel).unwrap(), &initrd)
}

#[test]
fn a_boot_runs_the_same_with_stops_and_on_ways_back() {
    same_with_stops(100_000_000, 1);
}

#[test]
#[ignore = "takes a minute"]
fn matrix_a_boot_runs_the_same_with_stops_and_on_ways_back() {
    same_with_stops(400_000_000, 4);
}

fn same_with_stops(end: u64, rounds: usize) {
    if !HAS_JIT {
        rrvmm_tests::run::skipped("a Linux boot with stops", "there is no JIT for this host");
        return;
    }
    let guest = guest();
    let plain = drive(&guest, TcgEngine::Jit, end, &Stops::default(), None);
    let mut luck = Luck::new();
    println!("seed {:#x}", luck.seed());
    for _ in 0..rounds {
        let mut stops = Stops::default();
        let mut m = machine(&guest, TcgEngine::Jit);
        let mut at = 0;
        while at < end / 2 {
            at += luck.below(end / 7);
            to(&mut m, at);
            stops.breakpoints.insert(m.linear_pc());
            let stack = m.cpu().regs[4].wrapping_sub(luck.below(64));
            let addr = luck.of(&[stack, m.linear_pc(), m.cpu().regs[7]]);
            let (len, on) = (luck.of(&[1, 8, 64]), luck.of(&[Access::Write, Access::Any]));
            if let (Some(phys), true) = (m.translate(addr), luck.once_in(2)) {
                stops.watchpoints.push(Watch { space: Space::Physical, addr: phys, len, on });
            } else {
                stops.watchpoints.push(Watch { space: Space::Linear, addr, len, on });
            }
        }
        for jumps in [None, Some(luck.bits())] {
            let run = drive(&guest, TcgEngine::Jit, end, &stops, jumps);
            println!("{} hits to {}, back and forth: {}", run.hits.len(), run.watched_to, jumps.is_some());
            assert!(run.digests == plain.digests && run.end == plain.end, "{stops:x?}");
        }
    }
}

#[test]
#[ignore = "measures"]
fn what_save_and_restore_cost_in_a_boot() {
    let guest = guest();
    let mut m = machine(&guest, TcgEngine::Jit);
    let start = Instant::now();
    to(&mut m, 200_000_000);
    println!("to 0.2 G in {:.2} s", start.elapsed().as_secs_f64());
    let timed = |times: &mut Vec<f64>, start: Instant| times.push(start.elapsed().as_secs_f64() * 1e6);
    let start = Instant::now();
    let mut first = m.save();
    println!(
        "first save {:.0} us, weight {}",
        start.elapsed().as_secs_f64() * 1e6,
        PcMachine::weight(&first, None)
    );
    for distance in [1u64, 64, 4096, 1 << 15, 1 << 18, 1 << 21, 1 << 25] {
        let (mut runs, mut saves, mut restores, mut weights, mut again) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..20 {
            let from = m.now().position.count();
            let start = Instant::now();
            to(&mut m, from + distance);
            timed(&mut runs, start);
            let start = Instant::now();
            let next = m.save();
            timed(&mut saves, start);
            weights.push(PcMachine::weight(&next, Some(&first)) as f64 / 1024.0);
            let start = Instant::now();
            m.restore(&first);
            timed(&mut restores, start);
            let start = Instant::now();
            to(&mut m, from + distance);
            timed(&mut again, start);
            first = m.save();
        }
        println!(
            "{distance:>9}: run {}; save {}; restore {}; run again {}; KiB {}",
            spread(runs),
            spread(saves),
            spread(restores),
            spread(again),
            spread(weights)
        );
    }
    let pc = m.linear_pc();
    let mut times = Vec::new();
    for n in 0..50 {
        let stops = Stops { breakpoints: [pc + n].into(), ..Stops::default() };
        let start = Instant::now();
        m.set_stops(&stops);
        m.set_stops(&Stops::default());
        timed(&mut times, start);
    }
    println!("a breakpoint set and cleared: {}", spread(times));
    let mut times = Vec::new();
    for n in 0..50 {
        let watch = Watch { space: Space::Linear, addr: pc + n, len: 8, on: Access::Write };
        let stops = Stops { watchpoints: vec![watch], ..Stops::default() };
        let start = Instant::now();
        m.set_stops(&stops);
        m.set_stops(&Stops::default());
        timed(&mut times, start);
    }
    println!("a watchpoint set and cleared: {}", spread(times));
    for interval in [1u64 << 16, 1 << 19, 1 << 22] {
        let (mut plain, mut traced, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..16 {
            let from = m.now().position.count();
            let start = Instant::now();
            to(&mut m, from + interval);
            timed(&mut plain, start);
            m.trace();
            let start = Instant::now();
            to(&mut m, from + 2 * interval);
            timed(&mut traced, start);
            let start = Instant::now();
            m.trace();
            timed(&mut alone, start);
        }
        println!(
            "{interval}: run {}; after a trace {}; the trace {}",
            spread(plain),
            spread(traced),
            spread(alone)
        );
    }
    let distance = 1 << 22;
    for on in [Access::Write, Access::Any] {
        let (mut plain, mut watched, mut hits) = (Vec::new(), Vec::new(), 0);
        for _ in 0..16 {
            let (from, stack) = (m.now().position.count(), m.cpu().regs[4]);
            let state = m.save();
            let start = Instant::now();
            to(&mut m, from + distance);
            timed(&mut plain, start);
            m.restore(&state);
            let watch = Watch { space: Space::Linear, addr: stack & !0xfff, len: 8, on };
            m.set_stops(&Stops { watchpoints: vec![watch], ..Stops::default() });
            let start = Instant::now();
            let end = Position::from_count(from + distance);
            while m.now().position < end {
                match m.run_until(end).unwrap() {
                    Stop::Idle => m.idle_until(m.next_deadline().unwrap()).unwrap(),
                    Stop::Hit(_) => hits += 1,
                    Stop::Ended(reason) => panic!("{reason}"),
                    Stop::Reached | Stop::Paused => {}
                }
            }
            timed(&mut watched, start);
            m.set_stops(&Stops::default());
        }
        println!(
            "{distance}: run {}; a place near the stack watched {}, {hits} hits",
            spread(plain),
            spread(watched)
        );
    }
}
