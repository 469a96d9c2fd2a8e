//! The machine as the timeline of an explorer moves it: what it sends out is heard only once.

use rrvmm_devices::{Input, Output};
use rrvmm_replay::{Admitted, MachineDigest, Position, Stamp, Steppable, Stop, VirtualTime};

use super::heard::Heard;
use crate::machine::{MachineError, PcMachine};

/// A [`PcMachine`] whose outputs are kept only where nobody has come by before.
pub struct Explored {
    machine: PcMachine,
    heard: Heard,
    /// The moment up to which what it has sent out is taken.
    taken: Stamp,
    fresh: Vec<Output>,
    /// Whether this is a diversion, whose outputs are nobody's.
    diverted: bool,
}

impl Explored {
    pub(super) fn new(machine: PcMachine) -> Self {
        let taken = machine.now();
        Self { machine, heard: Heard::default(), taken, fresh: Vec::new(), diverted: false }
    }

    /// The machine itself.
    pub(super) fn inner(&self) -> &PcMachine {
        &self.machine
    }

    /// The machine itself, for good.
    pub(super) fn into_inner(self) -> PcMachine {
        self.machine
    }

    /// The machine itself, to be changed.
    pub(super) fn inner_mut(&mut self) -> &mut PcMachine {
        &mut self.machine
    }

    /// Says whether what it does from now on is off the recorded run.
    pub(super) fn divert(&mut self, diverted: bool) {
        self.hear();
        self.diverted = diverted;
        self.taken = self.machine.now();
    }

    pub(super) fn take_fresh(&mut self, outputs: &mut Vec<Output>) {
        outputs.append(&mut self.fresh);
    }

    /// Keeps what the machine has sent out since the last time, unless that has been heard.
    fn hear(&mut self) {
        let now = self.machine.now();
        let from = std::mem::replace(&mut self.taken, now);
        if self.diverted || self.heard.until(from).is_some_and(|end| now <= end) {
            self.machine.drain_outputs(&mut Vec::new());
        } else {
            self.heard.add(from, now);
            self.machine.drain_outputs(&mut self.fresh);
        }
    }
}

impl Steppable for Explored {
    type Input = Input;
    type Snapshot = <PcMachine as Steppable>::Snapshot;
    type Error = MachineError;
    type Stops = <PcMachine as Steppable>::Stops;
    type Hit = <PcMachine as Steppable>::Hit;
    type Trace = <PcMachine as Steppable>::Trace;

    fn now(&self) -> Stamp {
        self.machine.now()
    }

    fn run_until(&mut self, target: Position) -> Result<Stop<Self::Hit>, MachineError> {
        loop {
            // What has been heard is told from what has not where they meet.
            let here = self.machine.now();
            let border = self.heard.next_border(here).map(|border| border.position);
            let next = border.filter(|&border| here.position < border && border < target && !self.diverted);
            let stop = self.machine.run_until(next.unwrap_or(target))?;
            self.hear();
            if stop != Stop::Reached || next.is_none() {
                return Ok(stop);
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.machine.is_idle()
    }

    fn next_deadline(&self) -> Option<VirtualTime> {
        self.machine.next_deadline()
    }

    fn idle_until(&mut self, time: VirtualTime) -> Result<(), MachineError> {
        self.machine.idle_until(time)?;
        self.hear();
        Ok(())
    }

    fn admit(&mut self, input: Admitted<Input>) -> Result<(), MachineError> {
        self.machine.admit(input)
    }

    fn save(&mut self) -> Self::Snapshot {
        self.machine.save()
    }

    fn restore(&mut self, state: &Self::Snapshot) {
        self.machine.restore(state);
        self.taken = self.machine.now();
    }

    fn digest(&mut self) -> MachineDigest {
        self.machine.digest()
    }

    fn set_stops(&mut self, stops: &Self::Stops) {
        self.machine.set_stops(stops);
    }

    fn is_behind(hit: &Self::Hit) -> bool {
        PcMachine::is_behind(hit)
    }

    fn trace(&mut self) -> Self::Trace {
        self.machine.trace()
    }

    fn may_hit(&self, trace: &Self::Trace, stops: &Self::Stops) -> bool {
        self.machine.may_hit(trace, stops)
    }

    fn weight(state: &Self::Snapshot, beside: Option<&Self::Snapshot>) -> usize {
        PcMachine::weight(state, beside)
    }
}
