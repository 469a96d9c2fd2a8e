//! What a machine notes of a stretch never rules out what has been hit in it.

use crate::{END, drive, random_stops, step_through};
use rrvmm::accel::{HAS_JIT, TcgEngine};
use rrvmm::machine::PcMachine;
use rrvmm_replay::{Position, Steppable, Stop};
use rrvmm_tcg::stops::{Hit, Stops};
use rrvmm_tests::payloads;
use rrvmm_tests::run::Luck;

/// The stop that was hit, alone.
fn alone(stops: &Stops, hit: Hit) -> Stops {
    match hit {
        Hit::Breakpoint { addr } => Stops { breakpoints: [addr].into(), ..Stops::default() },
        Hit::Watch { watch, .. } => Stops { watchpoints: vec![stops.watchpoints[watch]], ..Stops::default() },
        Hit::Event { .. } => Stops { events: true, ..Stops::default() },
    }
}

/// Runs to `target`, at most to the hundredth hit; none at the end of the run.
fn hits(machine: &mut PcMachine, target: u64) -> Option<Vec<Hit>> {
    let mut hits = Vec::new();
    while hits.len() < 100 {
        match machine.run_until(Position::from_count(target)).unwrap() {
            Stop::Reached | Stop::Paused => return Some(hits),
            Stop::Hit(hit) => hits.push(hit),
            Stop::Idle => machine.idle_until(machine.next_deadline()?).unwrap(),
            Stop::Ended(_) => return None,
        }
    }
    Some(hits)
}

#[test]
fn what_a_trace_rules_out_has_not_been_hit() {
    let mut luck = Luck::new();
    eprintln!("SEED={}", luck.seed());
    let (mut found, mut ruled_out) = (0, 0);
    let all = payloads::all().unwrap();
    for engine in [TcgEngine::Interp, TcgEngine::Jit] {
        if engine == TcgEngine::Jit && !HAS_JIT {
            continue;
        }
        for _ in 0..8 {
            let payload = &all[luck.below(all.len() as u64) as usize];
            let guest = payload.build().unwrap();
            let stops = random_stops(&step_through(&guest, &Stops::default()), &mut luck);
            let mut machine = drive::machine(&guest, engine);
            machine.set_stops(&stops);
            machine.trace();
            let mut saved = None;
            while machine.now().position.count() < END {
                let target = machine.now().position.count() + luck.of(&[100, 5000, 50_000, 300_000]);
                let Some(hits) = hits(&mut machine, target) else { break };
                let trace = machine.trace();
                for hit in &hits {
                    let one = alone(&stops, *hit);
                    assert!(machine.may_hit(&trace, &one), "{}: {hit:x?} of {stops:x?}", payload.name);
                }
                found += hits.len();
                let each = stops
                    .watchpoints
                    .iter()
                    .map(|watch| Stops { watchpoints: vec![*watch], ..Stops::default() });
                ruled_out += each.filter(|one| !machine.may_hit(&trace, one)).count();
                if luck.once_in(5) {
                    saved = Some(machine.save());
                } else if luck.once_in(5)
                    && let Some(saved) = saved.take()
                {
                    machine.restore(&saved);
                }
                if luck.once_in(9) {
                    machine.digest();
                }
            }
        }
    }
    assert!(found > 50 && ruled_out > 10, "{found} hits, {ruled_out} watches ruled out");
}
