//! Which of a host's counters is taken.

use super::quality::Verdict;
#[cfg(target_arch = "x86_64")]
use super::{KvmRig, PerfCounter, PmuError, Quality, measure};

/// The most reliable of some counters: an exact one, or else that whose counts differ least; the first of equals. None if none
/// of them can be used.
///
/// None behind an exact one is asked for: measuring takes its time.
pub fn most_reliable<T>(counters: impl IntoIterator<Item = (Verdict, T)>) -> Option<T> {
    let mut best: Option<(u64, T)> = None;
    for (verdict, counter) in counters {
        let Some(slack) = verdict.slack() else { continue };
        if best.as_ref().is_none_or(|(least, _)| slack < *least) {
            best = Some((slack, counter));
        }
        if slack == 0 {
            break;
        }
    }
    best.map(|(_, counter)| counter)
}

/// Measures `counter` in a guest of its own, on the thread that opened it.
///
/// # Errors
///
/// If there is no such guest, or the counter fails.
#[cfg(target_arch = "x86_64")]
pub fn try_out(counter: PerfCounter) -> Result<(Quality, PerfCounter), PmuError> {
    let (event, signal) = (counter.event(), counter.signal());
    let mut rig = KvmRig::new(counter, event, signal)?;
    let quality = measure(&mut rig)?;
    Ok((quality, rig.into_counter()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pmu::sim::{Faults, Program, SimHost, Step};
    use crate::pmu::{Event, Fault, measure};

    const UNUSABLE: Verdict = Verdict::Unusable(Fault::LosesOverflows);

    /// The choice where instructions and branches are counted so well, and how many of them were looked at.
    fn choose(instructions: Verdict, branches: Verdict) -> (Option<Event>, usize) {
        let mut looked = 0;
        let counters = [instructions, branches].into_iter().zip(Event::ALL).inspect(|_| looked += 1);
        (most_reliable(counters), looked)
    }

    #[test]
    fn exact_goes_before_inexact_and_least_slack_before_more() {
        let (instructions, branches) = (Some(Event::Instructions), Some(Event::ConditionalBranches));
        let inexact = |slack| Verdict::Inexact { slack };
        assert_eq!(choose(Verdict::Exact, Verdict::Exact), (instructions, 1), "branches are not measured");
        assert_eq!(choose(inexact(4), Verdict::Exact), (branches, 2));
        assert_eq!(choose(inexact(8), inexact(4)), (branches, 2));
        assert_eq!(choose(inexact(4), inexact(4)), (instructions, 2));
        assert_eq!(choose(inexact(4), inexact(8)), (instructions, 2));
        assert_eq!(choose(inexact(4), UNUSABLE), (instructions, 2));
        assert_eq!(choose(UNUSABLE, inexact(100)), (branches, 2));
        assert_eq!(choose(UNUSABLE, UNUSABLE), (None, 2));
    }

    #[test]
    fn it_is_made_by_what_was_measured() {
        let verdict = |faults| {
            let program = Program { steps: vec![Step::Counts], repeats: 0, length: 1 };
            measure(&mut SimHost::new(program, faults, 3)).unwrap().verdict
        };
        let overcounts = |most_overcount| {
            let found = verdict(Faults { overcount: 20, most_overcount, ..Faults::NONE });
            assert!(matches!(found, Verdict::Inexact { .. }), "{found:?}");
            found
        };
        let (little, much) = (overcounts(2), overcounts(8));
        assert_eq!(choose(much, little).0, Some(Event::ConditionalBranches));
        assert_eq!(choose(little, much).0, Some(Event::Instructions));
        let lost = verdict(Faults { lost: 200, ..Faults::NONE });
        assert_eq!(choose(lost, much).0, Some(Event::ConditionalBranches));
        assert_eq!(choose(much, verdict(Faults::NONE)).0, Some(Event::ConditionalBranches));
    }
}
