//! A recorded run of the toy machine, looked at backwards: as it was forwards, the other way round.

#![allow(clippy::unwrap_used, reason = "a failed test is what it should be")]

mod toy;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::Cursor;
use std::rc::Rc;

use proptest::prelude::*;
use rrvmm_replay::timeline::{Back, Policy, Ran, Seek, Shelf};
use rrvmm_replay::{Position, Replayer, Stamp, Timeline};
use toy::{At, PLACES, Places, Poke, State, Toy, numbers, open, record};

const ALL: Position = Position::from_count(u64::MAX);

type Run<'a> = Timeline<Toy, Replayer<Poke, Cursor<&'a [u8]>>>;

fn position(count: u64) -> Position {
    Position::from_count(count)
}

fn small(budget: usize) -> Policy {
    Policy { budget, stride: 512, trail: 128, near: vec![4, 16, 64], worth_loading: 300 }
}

fn timeline(end: u64, file: &[u8], budget: usize) -> Run<'_> {
    Timeline::with_policy(Toy::new(end), open(file), small(budget))
}

fn places(before: &[u32], behind: &[u32]) -> Places {
    let set = |of: &[u32]| of.iter().map(|place| u64::from(*place) % PLACES).collect::<BTreeSet<_>>();
    Places { before: set(before), behind: set(behind) }
}

/// Where one stands looking back at a hit: before the instruction.
fn stop(at: Stamp, hit: &At) -> u64 {
    match hit {
        At::Before(_) => at.position.count(),
        At::Behind(_) => at.position.count() - 1,
    }
}

/// The hits of the whole run: where one stands looking back, what, and the machine that runs into it.
fn forwards(end: u64, file: &[u8], stops: &Places) -> Vec<(u64, At, State)> {
    let mut run = timeline(end, file, 1000);
    let mut all: Vec<(u64, At, State)> = Vec::new();
    loop {
        match run.run(ALL, stops).unwrap() {
            Ran::Hit(at, hit) => {
                let stop = stop(at, &hit);
                // Equal hits at one position count as one.
                if !all.iter().rev().any(|(other, equal, _)| *other == stop && *equal == hit) {
                    all.push((stop, hit, run.machine().state().clone()));
                }
            }
            Ran::Ended(..) => return all,
            other => panic!("{other:?}"),
        }
    }
}

fn back(run: &mut Run<'_>, stops: &Places, floor: u64) -> Option<(u64, At)> {
    match run.reverse_continue(stops, position(floor)).unwrap() {
        Back::Hit(at, hit) => Some((at.position.count(), hit)),
        Back::Start(at) => {
            assert_eq!(at.position.count(), floor);
            None
        }
        Back::Interrupted(at) => panic!("nobody interrupts at {at}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_hits_backwards_are_the_hits_forwards_in_reverse(
        seed in any::<u64>(),
        before in prop::collection::vec(any::<u32>(), 0..4),
        behind in prop::collection::vec(any::<u32>(), 0..4),
        budget in 1usize..60,
    ) {
        let (file, _) = record(3000, &numbers(seed, 300));
        let stops = places(&before, &behind);
        let forwards = forwards(3000, &file, &stops);
        let mut run = timeline(3000, &file, budget);
        run.seek(ALL).unwrap();
        for (at, hit, state) in forwards.iter().rev() {
            let found = back(&mut run, &stops, 0);
            prop_assert_eq!(found, Some((*at, hit.clone())));
            match hit {
                At::Before(_) => prop_assert_eq!(run.machine().state(), state),
                At::Behind(_) => prop_assert!(run.is_at_arrival()),
            }
            prop_assert!(run.checkpoints().0 <= budget);
        }
        prop_assert_eq!(back(&mut run, &stops, 0), None);
    }

    #[test]
    fn the_last_hit_before_any_position_is_found(
        seed in any::<u64>(),
        behind in prop::collection::vec(any::<u32>(), 1..40),
        before in prop::collection::vec(any::<u32>(), 0..2),
        asked in prop::collection::vec((0u64..20_000, 0u64..20_000), 1..12),
    ) {
        let (file, _) = record(20_000, &numbers(seed, 3000));
        let stops = places(&before, &behind);
        let forwards = forwards(20_000, &file, &stops);
        let mut run = timeline(20_000, &file, 100);
        for (here, floor) in asked {
            let floor = floor.min(here);
            run.seek(position(here)).unwrap();
            let here = run.now().position.count();
            let last = forwards.iter().rfind(|(at, ..)| *at < here).filter(|(at, ..)| *at >= floor.min(here));
            let found = back(&mut run, &stops, floor.min(here));
            prop_assert_eq!(found, last.map(|(at, hit, _)| (*at, hit.clone())));
        }
    }

    #[test]
    fn stretches_put_together_have_the_hits_of_the_whole(
        seed in any::<u64>(),
        before in prop::collection::vec(any::<u32>(), 1..20),
        behind in prop::collection::vec(any::<u32>(), 1..20),
        mut cuts in prop::collection::vec(0u64..3000, 1..20),
    ) {
        let (file, _) = record(3000, &numbers(seed, 300));
        let stops = places(&before, &behind);
        let mut run = timeline(3000, &file, 40);
        let whole = run.hits(Position::START, ALL, &stops, usize::MAX).unwrap().unwrap();
        cuts.extend([0, u64::MAX]);
        cuts.sort_unstable();
        let mut parts = Vec::new();
        for pair in cuts.windows(2) {
            run.seek(position(pair[1] / 2)).unwrap();
            let here = run.machine().clone();
            parts.extend(run.hits(position(pair[0]), position(pair[1]), &stops, usize::MAX).unwrap().unwrap());
            prop_assert_eq!(run.machine(), &here);
        }
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn as_many_steps_back_as_forward_lead_nowhere(
        seed in any::<u64>(),
        moves in prop::collection::vec((0u64..700, any::<bool>()), 1..40),
        budget in 1usize..60,
    ) {
        let (file, _) = record(3000, &numbers(seed, 300));
        let mut run = timeline(3000, &file, budget);
        let nothing = Places::default();
        for (count, forwards) in moves {
            let here = run.now().position.count();
            run.seek(position(here)).unwrap();
            let state = run.machine().clone();
            if forwards {
                run.run(position(here + count), &nothing).unwrap();
                run.seek(position(here)).unwrap();
            } else {
                run.step_back(count).unwrap();
                run.run(position(here), &nothing).unwrap();
            }
            prop_assert_eq!(run.machine(), &state);
            run.seek(position((here + count * 7) % 2900)).unwrap();
        }
    }
}

#[test]
fn steps_back_from_a_place_are_short() {
    let (file, recorded) = record(20_000, &numbers(3, 3000));
    let start = recorded.state().position() - 100;
    assert!(start > 15_000, "the run is shorter than this test wants: {start}");
    let mut run = timeline(20_000, &file, 1000);
    run.seek(position(start)).unwrap();
    let mut all = 0;
    for back in 1..=200 {
        let nearest = run.checkpoint_positions().filter(|at| at.count() < start - back + 1).last().unwrap();
        // The first step beyond a checkpoint starts from the one before, the next ones from what that one leaves.
        let far = start - back - nearest.count();
        assert!(far <= 512, "step {back} takes {far} instructions");
        all += far;
        run.step_back(1).unwrap();
        assert_eq!(run.now().position.count(), start - back);
    }
    assert!(all <= 200 * 16, "{all} instructions in all");
}

#[test]
fn an_interrupted_search_leaves_the_machine_where_it_was() {
    let (file, _) = record(20_000, &numbers(4, 3000));
    let mut run = timeline(20_000, &file, 100);
    let stops = places(&[17], &[]);
    run.seek(position(4_000)).unwrap();
    let state = run.machine().clone();
    run.interrupt_by(Box::new(|_| true));
    assert!(matches!(run.reverse_continue(&stops, Position::START).unwrap(), Back::Interrupted(_)));
    assert_eq!(run.machine(), &state);
    run.interrupt_by(Box::new(|_| false));
    assert!(matches!(run.reverse_continue(&stops, Position::START).unwrap(), Back::Hit(..)));
}

#[test]
fn what_is_known_to_be_empty_is_not_run_again() {
    let (file, _) = record(20_000, &numbers(4, 0));
    let mut run = timeline(20_000, &file, 100);
    // A value of which no number has this rest does not occur: an empty set of places never hits.
    let stops = places(&[], &[]);
    run.seek(ALL).unwrap();
    let end = run.now().position;
    assert!(run.is_known_empty(Position::START, position(end.count() / 512 * 512), &stops), "by its traces");
    let asked = Rc::new(Cell::new(0));
    let count = Rc::clone(&asked);
    run.interrupt_by(Box::new(move |_| {
        count.set(count.get() + 1);
        false
    }));
    assert_eq!(back(&mut run, &stops, 0), None);
    assert!(run.is_known_empty(Position::START, end, &stops));
    run.seek(ALL).unwrap();
    let before = asked.get();
    assert_eq!(back(&mut run, &stops, 0), None);
    assert_eq!(asked.get(), before, "the second search ran something");
}

/// A shelf in memory.
#[derive(Clone, Default)]
struct Kept {
    all: Rc<RefCell<Vec<(Stamp, State, u64)>>>,
    loaded: Rc<Cell<usize>>,
    refused: Rc<Cell<usize>>,
}

impl Shelf<State> for Kept {
    fn nearest(&self, at: Position) -> Option<Position> {
        self.all.borrow().iter().map(|(stamp, ..)| stamp.position).filter(|kept| *kept <= at).max()
    }

    fn load(&mut self, at: Position) -> Option<(State, u64)> {
        self.loaded.set(self.loaded.get() + 1);
        let all = self.all.borrow();
        all.iter().find(|(stamp, ..)| stamp.position == at).map(|(_, state, events)| (state.clone(), *events))
    }

    fn refuse(&mut self, at: Position) {
        self.refused.set(self.refused.get() + 1);
        self.all.borrow_mut().retain(|(stamp, ..)| stamp.position != at);
    }

    fn wants(&mut self, at: Stamp) -> bool {
        self.all.borrow().iter().all(|(stamp, ..)| *stamp != at)
    }

    fn put(&mut self, at: Stamp, state: State, events: u64) {
        self.all.borrow_mut().push((at, state, events));
    }
}

#[test]
fn a_shelf_is_filled_used_and_doubted() {
    let (file, _) = record(20_000, &numbers(4, 3000));
    let shelf = Kept::default();
    let mut run = timeline(20_000, &file, 1);
    run.use_shelf(Box::new(shelf.clone()));
    let end = match run.seek(ALL).unwrap() {
        Seek::Ended(at, _) => at.position.count(),
        other => panic!("{other:?}"),
    };
    let all = shelf.all.borrow().len();
    assert!(all > 10, "{all} digests seen at an arrival");
    assert_eq!(shelf.loaded.get(), 0);
    // What a timeline of its own finds there takes it everywhere.
    for target in [end - 10, end / 2, end / 3, 2000] {
        let mut fresh = timeline(20_000, &file, 1);
        fresh.seek(position(target)).unwrap();
        let mut other = timeline(20_000, &file, 1);
        other.use_shelf(Box::new(shelf.clone()));
        let loaded = shelf.loaded.get();
        other.seek(position(target)).unwrap();
        assert_eq!(shelf.loaded.get(), loaded + 1);
        assert_eq!(other.machine(), fresh.machine());
        assert_eq!(shelf.all.borrow().len(), all, "nothing is kept twice");
    }
    // One of another run is refused, and the way is longer.
    let (bad, from) = {
        let all = shelf.all.borrow();
        (all.len() - 1, all[0].1.clone())
    };
    shelf.all.borrow_mut()[bad].1 = from;
    let mut other = timeline(20_000, &file, 1);
    other.use_shelf(Box::new(shelf.clone()));
    other.seek(position(end - 1)).unwrap();
    let mut fresh = timeline(20_000, &file, 1);
    fresh.seek(position(end - 1)).unwrap();
    assert_eq!(other.machine(), fresh.machine());
    assert_eq!(shelf.refused.get(), 1);
}
