//! What a counter is worth: measured with a guest whose loops are known, never taken from a table of CPUs.

use super::counter::{Counter, Left, PmuError, Rearming, Vcpu};
use super::histogram::Histogram;
use super::margins::Margins;

/// A vCPU with a counter, in a guest whose next events are known.
pub trait Rig {
    /// The counter to measure.
    type Counter: Counter;
    /// What it counts.
    type Vcpu: Vcpu;

    /// Has the guest stand before a loop that causes exactly `events` events and then ends the stretch; restarts the counter.
    fn begin(&mut self, events: u64) -> Result<(), PmuError>;

    /// Both.
    fn parts(&mut self) -> (&mut Self::Counter, &mut Self::Vcpu);
}

/// What makes a counter useless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// A known loop counted less or more by more than is worth searching for.
    #[error("it miscounts known loops")]
    Miscounts,
    /// Right in loops, wrong when the guest is left after each instruction: each entry to the guest counts.
    #[error("it miscounts when the guest is stepped or interrupted: entering the guest counts as well")]
    CountsEntries,
    /// Overflows interrupt nothing, however they are asked for.
    #[error("its overflows do not interrupt the guest")]
    NoOverflows,
    /// Too many overflows interrupt nothing.
    #[error("its overflows get lost")]
    LosesOverflows,
}

/// What a counter can be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every count was right.
    Exact,
    /// Counts were wrong by so many events at most: a place has to be told by the guest's state.
    Inexact {
        /// How much two counts of one place may differ.
        slack: u64,
    },
    /// It cannot be used.
    Unusable(Fault),
}

impl Verdict {
    /// The slack for [`Aim::new`](super::Aim::new); none if the counter cannot be used.
    pub fn slack(self) -> Option<u64> {
        match self {
            Self::Exact => Some(0),
            Self::Inexact { slack } => Some(slack),
            Self::Unusable(_) => None,
        }
    }
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Quality {
    /// What follows.
    pub verdict: Verdict,
    /// How overflows have to be asked for.
    pub rearming: Rearming,
    /// The count of a known loop minus its events: least and most.
    pub loops: (i64, i64),
    /// The same where the guest was left every few instructions.
    pub interrupted: (i64, i64),
    /// Events between an overflow and the stop.
    pub skids: Histogram,
    /// Overflows that interrupted nothing.
    pub lost: u32,
}

impl Quality {
    /// Margins to begin with, where a retry takes as long as `retry_cost` single steps.
    pub fn margins(&self, retry_cost: u64) -> Margins {
        Margins::new(self.skids.clone(), retry_cost)
    }
}

/// Lengths of the loops that are only counted, and how often each.
const LOOPS: [(u64, u32); 4] = [(1_000, 20), (10_000, 20), (100_000, 20), (1_000_000, 5)];
/// Instructions of the loop that is stepped through.
const STEPPED: u64 = 300;
/// Length of the loops in which overflows happen.
const LONG: u64 = 200_000;
/// Events between the overflows of a loop that is interrupted often. Not more often: the kernel stops a counter for a while whose
/// overflows are too many for it (`kernel.perf_event_max_sample_rate`).
const OFTEN: u64 = 50_000;
/// Such loops: how long, and how many.
const INTERRUPTED: (u64, u32) = (5_000_000, 5);
/// Overflows whose skid is measured.
const OVERFLOWS: u32 = 500;
/// A counter wrong by more than this is not worth searching with.
const MOST_SLACK: u64 = 64;
/// Overflows out of [`OVERFLOWS`] that may be lost: each costs a watchdog's time.
const MOST_LOST: u32 = OVERFLOWS / 20;

/// Measures the counter of `rig`. Takes some 130 million events, less than a second on hardware.
///
/// The counter then rearms in the way that works. What is measured holds for now; [`run_to`](super::run_to()) goes on watching.
pub fn measure<R: Rig>(rig: &mut R) -> Result<Quality, PmuError> {
    rig.parts().0.set_rearming(Rearming::Period);
    let mut quality = Quality {
        verdict: Verdict::Exact,
        rearming: Rearming::Period,
        loops: known_loops(rig)?,
        interrupted: stepped(rig)?,
        skids: Histogram::default(),
        lost: 0,
    };
    let mut how = None;
    for rearming in [Rearming::Period, Rearming::Reopen] {
        if how.is_none() && overflows(rig, rearming)? {
            how = Some(rearming);
        }
    }
    if let Some(how) = how {
        quality.rearming = how;
        skids(rig, &mut quality)?;
        widen(&mut quality.interrupted, interrupted(rig)?);
    }
    quality.verdict = verdict(&quality, how.is_some());
    Ok(quality)
}

fn verdict(quality: &Quality, overflows: bool) -> Verdict {
    let wrong = |(least, most): (i64, i64)| least.unsigned_abs().max(most.unsigned_abs());
    match wrong(quality.loops).max(wrong(quality.interrupted)) {
        _ if !overflows => Verdict::Unusable(Fault::NoOverflows),
        _ if quality.lost > MOST_LOST => Verdict::Unusable(Fault::LosesOverflows),
        _ if wrong(quality.loops) > MOST_SLACK => Verdict::Unusable(Fault::Miscounts),
        MOST_SLACK.. => Verdict::Unusable(Fault::CountsEntries),
        0 => Verdict::Exact,
        // Twice what was seen, and each of two counts may be wrong.
        slack => Verdict::Inexact { slack: 4 * slack },
    }
}

fn widen(range: &mut (i64, i64), by: (i64, i64)) {
    *range = (range.0.min(by.0), range.1.max(by.1));
}

/// Runs to the end of the stretch and says how wrong the count is.
fn to_the_end<R: Rig>(rig: &mut R, events: u64, stepping: bool) -> Result<i64, PmuError> {
    let (counter, vcpu) = rig.parts();
    loop {
        match if stepping { vcpu.step()? } else { vcpu.run()? } {
            Left::Interrupted | Left::Stepped => {}
            Left::Emulated(events) => counter.note_unretired(events),
            Left::Exit(_) => return Ok(counter.count()?.wrapping_sub(events) as i64),
        }
    }
}

fn known_loops<R: Rig>(rig: &mut R) -> Result<(i64, i64), PmuError> {
    let mut range = (0, 0);
    for (events, times) in LOOPS {
        for _ in 0..times {
            rig.begin(events)?;
            let wrong = to_the_end(rig, events, false)?;
            widen(&mut range, (wrong, wrong));
        }
    }
    Ok(range)
}

fn stepped<R: Rig>(rig: &mut R) -> Result<(i64, i64), PmuError> {
    rig.begin(STEPPED)?;
    let wrong = to_the_end(rig, STEPPED, true)?;
    Ok((wrong.min(0), wrong.max(0)))
}

/// Whether an overflow interrupts the guest when it is asked for after another that is still far ahead.
fn overflows<R: Rig>(rig: &mut R, how: Rearming) -> Result<bool, PmuError> {
    // Several times, since single ones may be lost on a host of the other kind.
    for _ in 0..5 {
        rig.begin(LONG)?;
        let (counter, vcpu) = rig.parts();
        counter.set_rearming(how);
        counter.arm(1 << 40)?;
        counter.arm(OFTEN)?;
        let left = vcpu.run()?;
        // Whatever else interrupts once may come before.
        if matches!(left, Left::Interrupted) && counter.count()? >= OFTEN {
            return Ok(true);
        }
    }
    Ok(false)
}

fn skids<R: Rig>(rig: &mut R, quality: &mut Quality) -> Result<(), PmuError> {
    for n in 0..u64::from(OVERFLOWS) {
        // More than half of the loop, so that the next overflow is not taken for a late one.
        let period = LONG / 2 + 1 + n * 7919 % 5000;
        rig.begin(LONG)?;
        let (counter, vcpu) = rig.parts();
        counter.arm(period)?;
        loop {
            let left = vcpu.run()?;
            let count = counter.count()?;
            match left {
                Left::Exit(_) => break quality.lost += 1,
                _ if count >= period => break quality.skids.add(count - period),
                Left::Emulated(events) => counter.note_unretired(events),
                Left::Interrupted | Left::Stepped => {}
            }
        }
        counter.disarm()?;
    }
    Ok(())
}

fn interrupted<R: Rig>(rig: &mut R) -> Result<(i64, i64), PmuError> {
    let (mut range, (events, times)) = ((0, 0), INTERRUPTED);
    for _ in 0..times {
        rig.begin(events)?;
        rig.parts().0.arm(OFTEN)?;
        let wrong = to_the_end(rig, events, false)?;
        widen(&mut range, (wrong, wrong));
    }
    Ok(range)
}
