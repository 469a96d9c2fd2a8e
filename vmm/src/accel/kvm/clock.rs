//! A performance counter that says how much user code has retired under KVM: how many instructions, or conditional branches.
//!
//! What it says is never taken for where user code is: it says where a place need not be looked for yet.

use super::{KvmError, shell::Shell};
use crate::landmark::Least;
use crate::pmu::{Counter, Event, Histogram, Margins, OverflowSignal, PerfCounter, most_reliable, try_out};

/// What a second try costs when user code ran past a place, in single steps.
const RETRY: u64 = 1 << 20;

/// The counter.
pub(super) struct Clock {
    pub(super) counter: Box<dyn Counter>,
    /// What it counts.
    pub(super) event: Event,
    /// By how much it may be wrong in one stretch.
    pub(super) slack: u64,
    /// How early to stop before a place.
    pub(super) margins: Margins,
}

impl Clock {
    /// The host's most reliable, measured first; none where there is none that can be used. For the thread that is to run
    /// user code.
    pub(super) fn of_host(shell: &mut Shell) -> Result<Option<Self>, KvmError> {
        let signal = OverflowSignal::new();
        let measured = Event::ALL.into_iter().filter_map(|event| {
            let (quality, counter) = PerfCounter::open(event, signal).and_then(try_out).ok()?;
            Some((quality.verdict, (quality, counter)))
        });
        let Some((quality, counter)) = most_reliable(measured) else { return Ok(None) };
        let Some(slack) = quality.verdict.slack() else { return Ok(None) };
        shell.let_in(signal)?;
        let (event, margins) = (counter.event(), quality.margins(RETRY));
        Ok(Some(Self { counter: Box::new(counter), event, slack, margins }))
    }

    /// A simulated one, which is wrong by two usually.
    pub(super) fn simulated(event: Event, counter: impl Counter + 'static) -> Self {
        Self {
            counter: Box::new(counter),
            event,
            slack: 2,
            margins: Margins::new(Histogram::default(), RETRY),
        }
    }

    /// At least how many events there were since the restart.
    pub(super) fn at_least(&mut self) -> Result<u64, KvmError> {
        Ok(self.counter.count()?.saturating_sub(self.slack))
    }

    /// What follows from so many events at least.
    pub(super) fn says(&self, events: u64) -> Least {
        let branches = match self.event {
            Event::Instructions => 0,
            Event::ConditionalBranches => events,
        };
        Least { instructions: events, branches }
    }
}
