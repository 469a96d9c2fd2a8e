//! A performance counter that says how many instructions user code has retired under KVM.
//!
//! What it says is never taken for where user code is: it says where a place need not be looked for yet.

use super::{KvmError, shell::Shell};
use crate::pmu::{Counter, Event, Histogram, KvmRig, Margins, OverflowSignal, PerfCounter, measure};

/// What a second try costs when user code ran past a place, in single steps.
const RETRY: u64 = 1 << 20;

/// The counter.
pub(super) struct Clock {
    pub(super) counter: Box<dyn Counter>,
    /// By how much it may be wrong in one stretch.
    pub(super) slack: u64,
    /// How early to stop before a place.
    pub(super) margins: Margins,
}

impl Clock {
    /// The host's, measured first; none where there is none that can be used. For the thread that is to run user code.
    pub(super) fn of_host(shell: &mut Shell) -> Result<Option<Self>, KvmError> {
        let (event, signal) = (Event::Instructions, OverflowSignal::new());
        let opened = PerfCounter::open(event, signal);
        let Ok(mut rig) = opened.and_then(|counter| KvmRig::new(counter, event, signal)) else {
            return Ok(None);
        };
        let Ok(quality) = measure(&mut rig) else { return Ok(None) };
        let Some(slack) = quality.verdict.slack() else { return Ok(None) };
        shell.let_in(signal)?;
        let margins = quality.margins(RETRY);
        Ok(Some(Self { counter: Box::new(rig.into_counter()), slack, margins }))
    }

    /// A simulated one, which is wrong by two usually.
    pub(super) fn simulated(counter: impl Counter + 'static) -> Self {
        Self { counter: Box::new(counter), slack: 2, margins: Margins::new(Histogram::default(), RETRY) }
    }

    /// At least how many instructions were retired since the restart.
    pub(super) fn at_least(&mut self) -> Result<u64, KvmError> {
        Ok(self.counter.count()?.saturating_sub(self.slack))
    }
}
