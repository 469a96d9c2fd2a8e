//! The algorithm against the simulated counter: never a wrong place.

use super::sim::{Faults, Program, SimHost, Skid, Step};
use super::*;
use std::time::Instant;

/// In single steps: what the tests take a restored checkpoint to cost.
const RETRY_COST: u64 = 20_000;

/// Skid as rr assumes for Intel's cores.
const INTEL: Faults = Faults { skid: Skid { usual: 60, rarely: 5, tail: 120 }, ..Faults::NONE };
/// The tail that Hermit measured on an EPYC: one in a hundred above 384, 61,000 at most.
const AMD: Faults = Faults { skid: Skid { usual: 384, rarely: 10, tail: 61_000 }, ..Faults::NONE };
/// Everything that can go wrong without a wrong count.
const BAD: Faults = Faults {
    skid: Skid { usual: 200, rarely: 20, tail: 20_000 },
    lost: 5,
    kicked: 50,
    watchdog: 100_000,
    ..Faults::NONE
};

fn spin(repeats: u64) -> Program {
    Program { steps: vec![Step::Counts; 2], repeats, length: 1 << 40 }
}

/// String instructions, CPUID and accesses to devices among others. The state is the same every third round.
fn mixed() -> Program {
    use Step::{Counts as C, Leaves as L, Silent as S};
    let steps = vec![C, C, S, S, S, C, C, C, S, C, C, C, C, C, S, S, C, C, C, C, L, C, C, C, S];
    Program { steps, repeats: 3, length: 1 << 40 }
}

fn leaves_rarely() -> Program {
    let mut steps = vec![Step::Counts; 500];
    (steps[7], steps[250]) = (Step::Leaves, Step::Silent);
    Program { steps, repeats: 2, length: 1 << 40 }
}

/// What a recording has of a place.
#[derive(Clone, Copy)]
struct Recorded {
    steps: u64,
    count: u64,
}

/// Runs to about `count` as a recording does.
fn record(host: &mut SimHost, count: u64) -> Recorded {
    host.begin_stretch();
    let past = run_past(&mut host.counter, &mut host.vcpu, count).unwrap();
    assert_eq!(past.exit, None);
    Recorded { steps: host.truth(), count: past.count }
}

/// Comes back to the place, from a restored checkpoint as often as it takes. How often, and how many steps; none if it is given up.
fn replay(host: &mut SimHost, place: Recorded, slack: u64, margins: &mut Margins) -> Option<(u64, u64)> {
    host.set_place(place.steps);
    for tries in 1..=20 {
        host.begin_stretch();
        let aim = Aim::new(place.count, slack);
        match run_to(&mut host.counter, &mut host.vcpu, aim, margins).unwrap() {
            Landing::There { steps, .. } => {
                assert_eq!(host.truth(), place.steps, "a wrong place");
                return Some((tries, steps));
            }
            Landing::Overshot { .. } => {}
            Landing::Ended { .. } => panic!("the stretch has no end"),
            Landing::NotFound { .. } => return None,
        }
    }
    None
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Places at random in `program` on a host with `faults`: all are reached. Mean numbers of tries and steps.
fn all_reached(places: u64, furthest: u64, program: Program, faults: Faults) -> (f64, f64) {
    let mut host = SimHost::new(program.clone(), faults, 7);
    let quality = measure(&mut host).unwrap();
    assert_eq!(quality.verdict, Verdict::Exact);
    let mut margins = quality.margins(RETRY_COST);
    host.load(program);
    let (mut random, mut tries, mut steps) = (Random(places), 0, 0);
    for _ in 0..places {
        let place = record(&mut host, random.below(furthest));
        let (needed, stepped) = replay(&mut host, place, 0, &mut margins).expect("an exact counter finds it");
        tries += needed;
        steps += stepped;
    }
    (tries as f64 / places as f64, steps as f64 / places as f64)
}

#[test]
fn a_million_places_are_never_wrong() {
    let began = Instant::now();
    let mut places = 0;
    for (count, furthest, program, faults) in [
        (300_000, 1 << 30, spin(1), Faults::NONE),
        (250_000, 1 << 30, spin(5), INTEL),
        (250_000, 2_000, leaves_rarely(), INTEL),
        (100_000, 1_500, mixed(), INTEL),
        (50_000, 1 << 30, spin(3), AMD),
        (50_000, 1 << 24, spin(3), BAD),
    ] {
        let (tries, steps) = all_reached(count, furthest, program, faults);
        println!("{count} places: {tries:.3} tries and {steps:.0} steps each");
        places += count;
    }
    println!("{places} places in {:?}", began.elapsed());
    assert_eq!(places, 1_000_000);
}

#[test]
fn rare_late_stops_cost_retries_and_not_steps() {
    let (tries, steps) = all_reached(5_000, 1 << 30, spin(1), AMD);
    assert!(tries < 1.05, "{tries}");
    assert!(steps < 2_000.0, "{steps}");
}

#[test]
fn an_overcounting_counter_finds_places_by_their_state() {
    let faults = Faults { overcount: 200, most_overcount: 3, ..INTEL };
    let mut host = SimHost::new(spin(0), faults, 3);
    let quality = measure(&mut host).unwrap();
    let slack = match quality.verdict {
        Verdict::Inexact { slack } => slack,
        other => panic!("{other:?}"),
    };
    assert!((3..=12).contains(&slack), "{slack}");
    let (mut margins, mut random) = (quality.margins(RETRY_COST), Random(1));
    host.load(spin(0));
    for _ in 0..20_000 {
        let place = record(&mut host, random.below(1 << 20));
        assert!(replay(&mut host, place, slack, &mut margins).is_some());
    }
}

#[test]
fn a_counter_that_was_taken_for_exact_and_is_not_finds_nothing_wrong() {
    let faults = Faults { overcount: 100, most_overcount: 5, ..INTEL };
    let mut host = SimHost::new(spin(0), faults, 5);
    let mut margins = Margins::new(Histogram::default(), RETRY_COST);
    let (mut found, mut random) = (0, Random(2));
    for _ in 0..20_000 {
        let place = record(&mut host, random.below(1 << 20));
        found += u32::from(replay(&mut host, place, 0, &mut margins).is_some());
    }
    assert!((1_000..20_000).contains(&found), "{found}");
}

#[test]
fn what_each_counter_is_worth_is_measured() {
    let verdict = |faults| measure(&mut SimHost::new(spin(1), faults, 11)).unwrap();
    assert_eq!(verdict(Faults::NONE).verdict, Verdict::Exact);
    let amd = verdict(AMD);
    assert_eq!((amd.verdict, amd.rearming, amd.lost), (Verdict::Exact, Rearming::Period, 0));
    assert!((300..=450).contains(&amd.skids.percentile(0.9)), "{:?}", amd.skids.summary());
    let entries = Faults { counts_entries: true, ..INTEL };
    assert_eq!(verdict(entries).verdict, Verdict::Unusable(Fault::CountsEntries));
    let lost = Faults { lost: 500, ..INTEL };
    assert_eq!(verdict(lost).verdict, Verdict::Unusable(Fault::LosesOverflows));
    let silent = Faults { lost: 1000, ..INTEL };
    assert_eq!(verdict(silent).verdict, Verdict::Unusable(Fault::NoOverflows));
    let overcount = Faults { overcount: 1000, most_overcount: 1 << 20, ..INTEL };
    assert!(matches!(verdict(overcount).verdict, Verdict::Unusable(Fault::CountsEntries)));
}

#[test]
fn a_kernel_that_keeps_the_old_period_is_found_and_worked_round() {
    let faults = Faults { period_bug: true, ..INTEL };
    let mut host = SimHost::new(spin(1), faults, 13);
    let quality = measure(&mut host).unwrap();
    assert_eq!((quality.verdict, quality.rearming), (Verdict::Exact, Rearming::Reopen));
    all_reached(1_000, 1 << 30, spin(1), faults);
}

#[test]
fn a_stretch_that_ends_before_the_place_says_so() {
    let mut host = SimHost::new(Program { length: 10_000, ..spin(1) }, INTEL, 17);
    let mut margins = Margins::new(Histogram::default(), RETRY_COST);
    host.set_place(20_000);
    let landing = run_to(&mut host.counter, &mut host.vcpu, Aim::new(20_000, 0), &mut margins).unwrap();
    assert_eq!(landing, Landing::Ended { count: 10_000, exit: () });
}

#[test]
fn a_place_that_is_nowhere_is_not_found() {
    let mut host = SimHost::new(spin(0), INTEL, 19);
    let mut margins = Margins::new(Histogram::default(), RETRY_COST);
    host.set_place(5_001);
    let landing = run_to(&mut host.counter, &mut host.vcpu, Aim::new(5_000, 0), &mut margins).unwrap();
    assert!(matches!(landing, Landing::NotFound { count: 5_001, .. }), "{landing:?}");
    let landing = run_to(&mut host.counter, &mut host.vcpu, Aim::new(4_000, 0), &mut margins).unwrap();
    assert_eq!(landing, Landing::Overshot { count: 5_001 });
}

#[test]
fn periods_that_counters_cannot_do_are_refused() {
    let mut host = SimHost::new(spin(1), Faults::NONE, 23);
    assert!(matches!(host.counter.arm(MIN_PERIOD - 1), Err(PmuError::PeriodTooShort(31))));
}
