//! Whole machines with somebody watching: every payload runs the same with random breakpoints and watchpoints, in both
//! engines, also when the machine goes back and forth between saved states; and what it hits is what single steps see.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod boot;
mod drive;
mod traces;

use drive::{Driven, drive};
use rrvmm::accel::{HAS_JIT, TcgEngine};
use rrvmm_replay::Steppable;
use rrvmm_tcg::stops::{Access, Hit, Space, Stops, Watch};
use rrvmm_tests::payloads::{self, Payload};
use rrvmm_tests::run::{Guest, Luck};

/// Instructions that are also gone through one by one.
const STEPS: u64 = 40_000;
/// Instructions after which a payload is left alone.
const END: u64 = 3_000_000;

/// What single steps see of a run's beginning.
#[derive(Default)]
struct Stepped {
    /// Linear pc of what comes next at each position; none where the machine is asleep.
    pcs: Vec<Option<u64>>,
    /// Stack pointers seen.
    stacks: Vec<u64>,
    /// Positions at which watched bytes had changed.
    changed: Vec<u64>,
}

fn watched(machine: &rrvmm::machine::PcMachine, stops: &Stops) -> Vec<u8> {
    let mut bytes = Vec::new();
    for w in stops.watchpoints.iter().filter(|w| w.space == Space::Physical && w.on.writes()) {
        let mut piece = vec![0; w.len as usize];
        let have = machine.read(Space::Physical, w.addr, &mut piece);
        bytes.extend(&piece[..have]);
    }
    bytes
}

fn step_through(guest: &Guest, stops: &Stops) -> Stepped {
    let mut machine = drive::machine(guest, TcgEngine::Interp);
    let mut seen = Stepped::default();
    let mut before = watched(&machine, stops);
    while machine.now().position.count() < STEPS {
        seen.pcs.push((!machine.is_idle()).then(|| machine.linear_pc()));
        if seen.pcs.len().is_multiple_of(64) {
            seen.stacks.push(machine.cpu().regs[4]);
        }
        if !drive::step(&mut machine) {
            break;
        }
        let now = watched(&machine, stops);
        if now != before {
            seen.changed.push(machine.now().position.count());
            before = now;
        }
    }
    seen
}

fn random_stops(stepped: &Stepped, luck: &mut Luck) -> Stops {
    let mut stops = Stops::default();
    let pcs: Vec<u64> = stepped.pcs.iter().copied().flatten().collect();
    for _ in 0..luck.of(&[0, 1, 4, 12]) {
        stops.breakpoints.insert(luck.of(&pcs));
    }
    for _ in 0..luck.of(&[0, 1, 3]) {
        let near = if stepped.stacks.is_empty() || luck.once_in(2) {
            luck.of(&[0x10_0000, 0x11_0000, 0x8000]) + luck.below(0x1_0000)
        } else {
            luck.of(&stepped.stacks).wrapping_sub(luck.below(64)) & 0x3f_ffff
        };
        stops.watchpoints.push(Watch {
            space: luck.of(&[Space::Linear, Space::Physical]),
            addr: near,
            len: luck.of(&[1, 4, 64, 6000]),
            on: luck.of(&[Access::Write, Access::Write, Access::Read, Access::Any]),
        });
    }
    stops
}

fn compare(name: &str, plain: &Driven, run: &Driven) -> Result<(), String> {
    if plain.end != run.end || plain.digests != run.digests {
        let n = plain.digests.iter().zip(&run.digests).position(|(a, b)| a != b);
        let pair = n.map(|n| (&plain.digests[n], &run.digests[n]));
        return Err(format!("{name}: ends {:?} and {:?}, digests {pair:x?}", plain.end, run.end));
    }
    Ok(())
}

fn compare_steps(name: &str, stops: &Stops, stepped: &Stepped, run: &Driven) -> Result<(), String> {
    // Beyond the last stop that was asked for nothing is known.
    let end = (stepped.pcs.len() as u64).min(run.watched_to);
    let breaks: Vec<(u64, u64)> = run
        .hits
        .iter()
        .filter_map(|(at, hit)| match hit {
            Hit::Breakpoint { addr } if *at < end => Some((*at, *addr)),
            _ => None,
        })
        .collect();
    let arrived = |at: u64| stepped.pcs[at as usize];
    // The first position is passed.
    let expected = (1..end).filter_map(|at| Some((at, arrived(at)?)));
    for place in expected.filter(|place| stops.breakpoints.contains(&place.1)) {
        if !breaks.contains(&place) {
            return Err(format!("{name}: breakpoint at {place:x?} missed"));
        }
    }
    // What is entered from an instruction that faults, or from sleep, is not seen by whole steps.
    let wrong = breaks.iter().find(|place| {
        let next = stepped.pcs.get(place.0 as usize + 1).copied().flatten();
        arrived(place.0) != Some(place.1) && next == arrived(place.0).map(|pc| pc + 1)
    });
    if let Some(wrong) = wrong {
        return Err(format!("{name}: nothing was at {wrong:x?}"));
    }
    let write =
        |at: u64| run.hits.iter().any(|(p, h)| *p == at && matches!(h, Hit::Watch { write: true, .. }));
    match stepped.changed.iter().find(|at| **at < end && !write(**at)) {
        Some(at) => Err(format!("{name}: watched memory changed at {at:#x}, hits {:x?}", run.hits)),
        None => Ok(()),
    }
}

/// Returns how many stops there were.
fn check(payload: &Payload, seed: u64) -> Result<(usize, usize), String> {
    let guest = payload.build().unwrap();
    let mut luck = Luck::seeded(seed);
    let stepped = step_through(&guest, &Stops::default());
    let plain = drive(&guest, TcgEngine::Interp, END, &Stops::default(), None);
    let mut hits = (0, 0);
    for _ in 0..2 {
        let stops = random_stops(&stepped, &mut luck);
        let stepped = step_through(&guest, &stops);
        let of = |name, engine, jumps: Option<u64>| -> Result<Driven, String> {
            let run = drive(&guest, engine, END, &stops, jumps);
            compare(name, &plain, &run)
                .and_then(|()| compare_steps(name, &stops, &stepped, &run))
                .map_err(|what| format!("{what}\n  {stops:x?}"))?;
            Ok(run)
        };
        let interp = of("interpreter", TcgEngine::Interp, None)?;
        let mut runs =
            vec![("interpreter, back and forth", of("back", TcgEngine::Interp, Some(luck.bits()))?)];
        if HAS_JIT {
            runs.push(("JIT", of("JIT", TcgEngine::Jit, None)?));
            runs.push(("JIT, back and forth", of("JIT, back", TcgEngine::Jit, Some(luck.bits()))?));
        }
        for (name, run) in &runs {
            let n = run.hits.iter().zip(&interp.hits).take_while(|(a, b)| a == b).count();
            if run.hits != interp.hits {
                let (a, b) = (run.hits.get(n), interp.hits.get(n));
                return Err(format!("{name}: hit {n} is {a:x?}, the interpreter's {b:x?}\n  {stops:x?}"));
            }
        }
        let breaks = interp.hits.iter().filter(|(_, h)| matches!(h, Hit::Breakpoint { .. })).count();
        hits.0 += breaks;
        hits.1 += interp.hits.len() - breaks;
    }
    Ok(hits)
}

/// `PAYLOAD=part-of-name` limits this to some; `STOPS_SEED` is where random choices start.
#[test]
fn every_payload_runs_the_same_with_stops() {
    let only = std::env::var("PAYLOAD").unwrap_or_default();
    let seed = std::env::var("STOPS_SEED").map_or(0x5709, |seed| seed.parse().unwrap());
    let mut failures = Vec::new();
    let mut all = (0, 0);
    for payload in payloads::all().unwrap().iter().filter(|payload| payload.name.contains(&only)) {
        match check(payload, seed) {
            Ok(hits) => all = (all.0 + hits.0, all.1 + hits.1),
            Err(what) => failures.push(format!("{}: {what}", payload.name)),
        }
    }
    println!("stops: {} breakpoints, {} accesses", all.0, all.1);
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
}
