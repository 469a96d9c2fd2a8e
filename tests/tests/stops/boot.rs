//! What moving through a Linux boot costs. Measurements, not run unless asked for.

use crate::drive::machine;
use rrvmm::{accel::TcgEngine, machine::PcMachine};
use rrvmm_replay::{Position, Steppable, Stop};
use rrvmm_tcg::stops::{Access, Space, Stops, Watch};
use rrvmm_tests::run::Guest;
use std::{path::PathBuf, time::Instant};

fn to(machine: &mut PcMachine, position: u64) {
    let position = Position::from_count(position);
    while machine.now().position < position {
        match machine.run_until(position).unwrap() {
            Stop::Idle => machine.idle_until(machine.next_deadline().unwrap()).unwrap(),
            Stop::Ended(reason) => panic!("{reason}"),
            Stop::Reached | Stop::Hit(_) => {}
        }
    }
}

/// Median and largest, in microseconds.
fn spread(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    format!("{:.0} us, at most {:.0}", times[times.len() / 2], times[times.len() - 1])
}

/// `BOOT=DIRECTORY` has `vmlinuz` and `initrd.gz`.
#[test]
#[ignore = "measures"]
fn what_save_and_restore_cost_in_a_boot() {
    let Some(directory) = std::env::var_os("BOOT").map(PathBuf::from) else {
        return rrvmm_tests::run::skipped("the measurement of save and restore", "BOOT names no guest");
    };
    let guest = Guest::linux(&directory.join("vmlinuz"), &directory.join("initrd.gz"));
    let mut m = machine(&guest, TcgEngine::Jit);
    let start = Instant::now();
    to(&mut m, 500_000_000);
    println!("to 0.5 G in {:.2} s", start.elapsed().as_secs_f64());
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
    for interval in [1u64 << 20, 1 << 23, 1 << 25] {
        let from = m.now().position.count();
        let (mut executed, mut all) = (Vec::new(), 0.0);
        for n in 1..=8 {
            let start = Instant::now();
            to(&mut m, from + n * interval / 2);
            m.save();
            executed.push(format!("{:.0?}", m.trace()).len() as f64);
            all += start.elapsed().as_secs_f64();
        }
        println!(
            "{} instructions with a save and a trace each: {:.0} M/s",
            interval / 2,
            (4 * interval) as f64 / all / 1e6
        );
    }
}
