//! A recorded run of the toy machine comes back, from its beginning and from anywhere.

#![allow(clippy::unwrap_used, reason = "a failed test is what it should be")]

mod toy;

use proptest::prelude::*;
use rrvmm_replay::timeline::{DriveError, Seek};
use rrvmm_replay::{Difference, EndReason, Part, Position, SeamError, Stamp, Steppable, Timeline};
use toy::{Toy, numbers, open, record};

const ALL: Position = Position::from_count(u64::MAX);

fn divergence(result: Result<Seek, DriveError<std::convert::Infallible>>) -> Box<rrvmm_replay::Divergence> {
    match result {
        Err(DriveError::Seam(SeamError::Divergence(divergence))) => divergence,
        other => panic!("no divergence: {other:?}"),
    }
}

proptest! {
    #[test]
    fn a_replay_ends_where_and_how_the_recording_did(end in 1u64..3000, whims in prop::collection::vec(any::<u32>(), 0..300)) {
        let (file, mut recorded) = record(end, &whims);
        let mut timeline = Timeline::new(Toy::new(end), open(&file));
        let ended = timeline.seek(ALL).unwrap();
        prop_assert!(matches!(ended, Seek::Ended(at, _) if at == recorded.now()), "{:?}", ended);
        let mut replayed = timeline.machine().clone();
        prop_assert_eq!(replayed.digest(), recorded.digest());
    }

    #[test]
    fn a_seek_gives_the_state_of_a_straight_run(
        seed in any::<u64>(),
        targets in prop::collection::vec((0u64..2200, any::<bool>()), 1..20),
    ) {
        let (file, _) = record(2000, &numbers(seed, 200));
        let mut timeline = Timeline::new(Toy::new(2000), open(&file));
        for (target, keep) in targets {
            let target = Position::from_count(target);
            let found = timeline.seek(target).unwrap();
            let mut fresh = Timeline::new(Toy::new(2000), open(&file));
            let straight = fresh.seek(target).unwrap();
            prop_assert_eq!(format!("{found:?}"), format!("{straight:?}"));
            prop_assert_eq!(timeline.machine(), fresh.machine());
            if keep {
                timeline.checkpoint();
            }
        }
    }

    #[test]
    fn a_machine_that_differs_is_found_out(seed in any::<u64>(), at in 1u64..2000) {
        let (file, recorded) = record(2000, &numbers(seed, 200));
        prop_assume!(at <= recorded.now().position.count());
        let found = divergence(Timeline::new(Toy::faulty(2000, at), open(&file)).seek(ALL));
        prop_assert!(found.at.position.count() >= at);
        prop_assert!(found.last_equal.is_none_or(|equal| equal.position.count() < at));
    }
}

#[test]
fn a_divergence_names_part_position_and_surroundings() {
    let (file, _) = record(2000, &numbers(5, 200));
    let found =
        divergence(Timeline::new(Toy::faulty(2000, 100), open(&file)).seek(Position::from_count(129)));
    assert!(found.parts().contains(&Part::Cpu) || found.parts().is_empty());
    assert!(!found.before.is_empty() && !found.after.is_empty());
    let text = found.to_string();
    for line in
        ["differs from the recording at position", "last equal digest: position 64", "before:", "next:"]
    {
        assert!(text.contains(line), "{line:?} is not in:\n{text}");
    }
}

#[test]
fn a_run_that_ends_too_early_is_a_divergence() {
    let (file, _) = record(2000, &numbers(5, 200));
    let found = divergence(Timeline::new(Toy::new(1000), open(&file)).seek(ALL));
    assert_eq!(found.at.position.count(), 1000);
    assert!(matches!(found.difference, Difference::End { actual: EndReason::PowerOff, .. }), "{found}");
}

#[test]
fn a_run_that_goes_on_after_the_recorded_end_is_a_divergence() {
    let (file, recorded) = record(2000, &numbers(5, 200));
    let found = divergence(Timeline::new(Toy::new(3000), open(&file)).seek(ALL));
    assert!(
        found.at > recorded.now() && found.at.position.count() <= recorded.now().position.count() + 1,
        "{found}"
    );
}

#[test]
fn seeking_stops_before_what_arrives_at_the_position() {
    let (file, _) = record(2000, &numbers(9, 200));
    let mut timeline = Timeline::new(Toy::new(2000), open(&file));
    assert!(matches!(timeline.seek(Position::START).unwrap(), Seek::Reached(Stamp::START)));
    assert_eq!(timeline.machine(), &Toy::new(2000));
}
