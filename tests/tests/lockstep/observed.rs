//! The same programs with somebody watching: random breakpoints and watchpoints change nothing of the run, and what is hit is
//! what single steps of the interpreter see, pc by pc and byte by byte.

use crate::{
    codes::Codes,
    kind::{CODE, CODE_LEN, DATA, HANDLERS, Kind, RAM, STACK},
    program::Program,
    side::{Side, entry},
};
use rrvmm_tcg::{
    block::Backend,
    interp::Interp,
    jit::Jit,
    stops::{Access, Hit, Space, Stops, Watch},
    x86::{Cpu, State, engine::Stop, translate::linear_pc_of},
};
use rrvmm_tests::run::Luck;

/// Instructions run in each kind of program.
const COUNT: u64 = 25_000;
/// Stretches in a run of one program.
const STRETCHES: u32 = 24;

/// What a run shows: CPU and devices after each stretch, memory at the end; and what was hit, with the position.
#[derive(Default)]
struct Run {
    seen: Vec<(State, u64, Stop)>,
    memory: Vec<u8>,
    hits: Vec<(u64, Hit)>,
    /// Breakpoints as single steps see them, and positions at which watched bytes had changed.
    stepped: Vec<(u64, u64)>,
    changed: Vec<u64>,
    /// The whole is of no use: a REP that does not end.
    given_up: bool,
}

/// How to go through a program.
#[derive(Clone, Copy)]
struct How<'a> {
    stops: Option<&'a Stops>,
    /// One instruction at a time, looking at `brute`'s places by oneself.
    steps: bool,
    brute: Option<&'a Stops>,
}

fn bytes_of<B: Backend<Cpu>>(side: &Side<B>, stops: &Stops) -> Vec<u8> {
    let mut out = Vec::new();
    for w in stops.watchpoints.iter().filter(|w| w.space == Space::Physical && w.on.writes()) {
        out.extend(
            (w.addr..(w.addr + w.len).min(RAM)).map(|at| side.page((at >> 12) as usize)[at as usize & 4095]),
        );
    }
    out
}

/// What single steps remember of the step before.
struct Before {
    at: Option<(u64, u64)>,
    bytes: Vec<u8>,
}

fn look<B: Backend<Cpu>>(side: &mut Side<B>, how: How<'_>, run: &mut Run, before: &mut Before) {
    let engine = &mut side.engine;
    let count = engine.cpu.core.count;
    while let Some(hit) = engine.take_access() {
        run.hits.push((count, hit));
    }
    if let Some(hit) = engine.breakpoint() {
        run.hits.push((count, hit));
    }
    engine.see(true);
    if let Some(brute) = how.brute {
        let state = engine.cpu.save();
        let place = (count, linear_pc_of(&state.system, state.rip));
        if before.at != Some(place) && brute.breakpoints.contains(&place.1) {
            run.stepped.push(place);
        }
        before.at = Some(place);
        let bytes = bytes_of(side, brute);
        if bytes != before.bytes {
            run.changed.push(count);
            before.bytes = bytes;
        }
    }
}

/// Runs to `limit` or a stop that is not the observer's.
fn stretch<B: Backend<Cpu>>(
    side: &mut Side<B>,
    limit: u64,
    interrupt: bool,
    how: How<'_>,
    run: &mut Run,
    before: &mut Before,
) -> Stop {
    loop {
        let count = side.engine.cpu.core.count;
        let to = if how.steps { limit.min(count + 1) } else { limit };
        let stop = side.run(to, interrupt);
        look(side, how, run, before);
        let done = side.engine.cpu.core.count >= limit;
        match stop {
            Stop::Hit if !done => {}
            Stop::Limit if !done => {}
            // The end of the stretch, whatever else was there.
            Stop::Hit => {
                let stop = side.run(limit, interrupt);
                if stop != Stop::Hit {
                    return stop;
                }
            }
            stop => return stop,
        }
    }
}

fn through<B: Backend<Cpu>>(
    side: &mut Side<B>,
    blank: &State,
    program: &Program,
    seed: u64,
    how: How<'_>,
) -> Run {
    let mut run = Run::default();
    let mut luck = Luck::seeded(seed);
    side.engine.set_stops(&Stops::default());
    side.load(program);
    if let Some(stops) = how.stops {
        side.engine.set_stops(stops);
    }
    let mut count = 0;
    let enter = |side: &mut Side<B>, count, luck: &mut Luck| {
        let mut state = entry(blank, program, count, luck);
        // Now and then the guest has breakpoints of its own, which end the stretch with an exception.
        if luck.once_in(5) {
            state.system.dr = [0; 4].map(|_| DATA + luck.below(0x1000));
            state.system.dr[0] = CODE + luck.below(CODE_LEN);
            state.system.dr7 = 0x400 | 0xff & luck.bits() | 0xd_f310_0000 & luck.bits();
        }
        side.engine.load(&state);
    };
    enter(side, count, &mut luck);
    let mut before = Before { at: None, bytes: how.brute.map_or_else(Vec::new, |s| bytes_of(side, s)) };
    look(side, How { brute: None, ..how }, &mut run, &mut before);
    for _ in 0..STRETCHES {
        let limit = count + luck.of(&[1, 2, 3, 7, 50, 50, 200, 1000]);
        let interrupt = luck.once_in(6);
        let state = side.engine.cpu.save();
        before.at = Some((count, linear_pc_of(&state.system, state.rip)));
        let stop = stretch(side, limit, interrupt, how, &mut run, &mut before);
        count = side.engine.cpu.core.count;
        if stop == Stop::Attention {
            run.given_up = true;
            break;
        }
        run.seen.push((side.engine.cpu.save(), side.devices.log, stop));
        match stop {
            Stop::Shutdown => break,
            Stop::InterruptWindow => side.interrupt(),
            Stop::Halt => enter(side, count, &mut luck),
            _ if luck.once_in(8) => enter(side, count, &mut luck),
            _ => {}
        }
    }
    run.memory = (0..(RAM >> 12) as usize).flat_map(|page| *side.page(page)).collect();
    run
}

/// Stops where something happens: at instructions of the program and anywhere, at the data, the stack and the page tables.
fn stops(program: &Program, luck: &mut Luck) -> Stops {
    let mut stops = Stops::default();
    for _ in 0..luck.of(&[0, 5, 40, 150]) {
        let item = &program.items[luck.below(program.items.len() as u64) as usize];
        stops.breakpoints.insert(CODE + item.at);
    }
    for _ in 0..luck.below(3) {
        stops.breakpoints.insert(CODE + luck.below(CODE_LEN));
    }
    if luck.once_in(2) {
        stops.breakpoints.insert(HANDLERS + 16 * luck.of(&[0x30, 13, 14, 3]));
    }
    for _ in 0..luck.below(6) {
        let addr = match luck.below(8) {
            0 => 0x1000 + luck.below(0x4000),
            1 => 0xe000 + luck.below(0x1000),
            3 => DATA + STACK - 64 + luck.below(128),
            2 => CODE + luck.below(CODE_LEN),
            _ => DATA + luck.below(0x1_0000),
        };
        stops.watchpoints.push(Watch {
            space: luck.of(&[Space::Linear, Space::Physical, Space::Physical]),
            addr,
            len: luck.of(&[1, 2, 8, 64, 500, 5000, 0x4000]),
            on: luck.of(&[Access::Write, Access::Write, Access::Read, Access::Any]),
        });
    }
    stops
}

fn difference(plain: &Run, run: &Run) -> Option<String> {
    let at = plain.seen.iter().zip(&run.seen).position(|(a, b)| a != b);
    if let Some(n) = at {
        let (a, b) = (&plain.seen[n], &run.seen[n]);
        let states = if a.0 == b.0 { String::new() } else { format!("{:x?}\n    {:x?}", a.0, b.0) };
        return Some(format!("stretch {n}: stop {:?} {:?}, devices {}, {states}", a.2, b.2, a.1 == b.1));
    }
    if plain.seen.len() != run.seen.len() {
        return Some(format!("{} stretches, not {}", run.seen.len(), plain.seen.len()));
    }
    let at = plain.memory.iter().zip(&run.memory).position(|(a, b)| a != b);
    at.map(|at| format!("memory at {at:#x}"))
}

/// Compares hits with what single steps saw by themselves.
fn brute_difference(brute: &Run, run: &Run) -> Option<String> {
    let breaks = |(at, hit): &(u64, Hit)| match hit {
        Hit::Breakpoint { addr } => Some((*at, *addr)),
        Hit::Watch { .. } | Hit::Event { .. } => None,
    };
    let breaks: Vec<_> = run.hits.iter().filter_map(breaks).collect();
    // A handler at the position of the instruction that faulted is seen by runs, and not by whole steps.
    let handler = |&(_, addr): &(u64, u64)| (HANDLERS..HANDLERS + 0x1000).contains(&addr);
    let outside = |list: &[(u64, u64)]| -> Vec<(u64, u64)> {
        list.iter().copied().filter(|place| !handler(place)).collect()
    };
    if outside(&breaks) != outside(&brute.stepped) {
        return Some(format!("breakpoints {breaks:x?}\n  steps saw {:x?}", brute.stepped));
    }
    if let Some(missed) = brute.stepped.iter().find(|place| !breaks.contains(place)) {
        return Some(format!("breakpoint {missed:x?} missed"));
    }
    let write =
        |at: u64| run.hits.iter().any(|(p, h)| *p == at && matches!(h, Hit::Watch { write: true, .. }));
    let missed = brute.changed.iter().find(|&&at| !write(at));
    missed.map(|at| format!("watched memory changed at {at}, hits {:x?}", run.hits))
}

fn observed(kind: Kind) {
    let codes = Codes::new(kind);
    let (mut interp, mut jit) = (Side::new(Interp), Side::new(Jit::new().unwrap()));
    let blank = interp.engine.cpu.save();
    let seed = crate::number("LOCKSTEP_SEED", crate::SEED);
    let (mut count, mut breaks, mut accesses) = (0, 0, 0);
    let (mut programs, mut given_up) = (0u64, 0u64);
    while count < crate::number("LOCKSTEP_COUNT", COUNT) {
        let seed = seed.wrapping_add(programs);
        programs += 1;
        let mut luck = Luck::seeded(seed);
        let program = Program::new(kind, &codes, &mut luck);
        let stops = stops(&program, &mut luck);
        let how = How { stops: None, steps: false, brute: None };
        let brute =
            through(&mut interp, &blank, &program, !seed, How { steps: true, brute: Some(&stops), ..how });
        if brute.given_up {
            given_up += 1;
            continue;
        }
        let long = How { stops: Some(&stops), ..how };
        let by_interp = through(&mut interp, &blank, &program, !seed, long);
        let by_jit = through(&mut jit, &blank, &program, !seed, long);
        let by_steps = through(&mut jit, &blank, &program, !seed, How { steps: true, ..long });
        // Once more without, over what was translated for the stops.
        let plain = through(&mut jit, &blank, &program, !seed, how);
        if [&by_interp, &by_jit, &by_steps, &plain].iter().any(|run| run.given_up) {
            given_up += 1;
            continue;
        }
        for (name, run) in [
            ("interpreter", &by_interp),
            ("JIT", &by_jit),
            ("JIT in steps", &by_steps),
            ("JIT after", &plain),
        ] {
            let what = difference(&brute, run).or_else(|| {
                let silent = name == "JIT after";
                if silent { None } else { brute_difference(&brute, run) }
            });
            if let Some(what) = what {
                panic!("LOCKSTEP_SEED={seed:#x} {kind:?}, {name} with {stops:x?}: {what}");
            }
        }
        for (name, run) in [("JIT", &by_jit), ("JIT in steps", &by_steps)] {
            let n = run.hits.iter().zip(&by_interp.hits).take_while(|(a, b)| a == b).count();
            assert!(
                run.hits == by_interp.hits,
                "LOCKSTEP_SEED={seed:#x} {kind:?}, {name} with {stops:x?}: hit {:x?}, interpreter {:x?}",
                &run.hits[n..],
                &by_interp.hits[n..]
            );
        }
        let watch = |(_, hit): &&(u64, Hit)| matches!(hit, Hit::Watch { .. });
        accesses += by_jit.hits.iter().filter(watch).count();
        breaks += by_jit.hits.iter().filter(|hit| !watch(hit)).count();
        count += by_jit.seen.last().map_or(0, |(state, ..)| state.count);
    }
    println!(
        "observed: {kind:?}, {programs} programs, {count} instructions, {breaks} breakpoints, {accesses} accesses"
    );
    assert!(breaks > 100 && accesses > 100, "hardly anything was hit");
    assert!(given_up < 2 + programs / 20, "{given_up} programs had a REP that did not end");
}

macro_rules! kinds {
    ($($name:ident: $kind:ident,)*) => {
        $(
            #[test]
            fn $name() {
                observed(Kind::$kind);
            }
        )*
    };
}

kinds! {
    observed_64_bit_mode_ring_3: User64,
    observed_64_bit_mode_ring_0: Kernel64,
    observed_compatibility_mode_flat: Flat32,
    observed_compatibility_mode_based: Based32,
    observed_compatibility_mode_16_bit: User16,
    observed_protected_mode_32_bit: Protected32,
    observed_protected_mode_16_bit: Protected16,
    observed_real_mode: Real,
}
