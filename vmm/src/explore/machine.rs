//! The machine as the timeline of an explorer moves it: what it sends out is heard only once.

use rrvmm_devices::{Input, Output};
use rrvmm_replay::{Admitted, MachineDigest, Position, Stamp, Steppable, Stop, VirtualTime};

use crate::machine::{MachineError, PcMachine};

/// A [`PcMachine`] whose outputs are kept only when it gets further than ever before.
pub struct Explored {
    machine: PcMachine,
    /// The latest moment reached on the recorded run.
    frontier: Stamp,
    fresh: Vec<Output>,
    /// Whether this is a diversion, whose outputs are nobody's.
    diverted: bool,
}

impl Explored {
    pub(super) fn new(machine: PcMachine) -> Self {
        let frontier = machine.now();
        Self { machine, frontier, fresh: Vec::new(), diverted: false }
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
    }

    pub(super) fn take_fresh(&mut self, outputs: &mut Vec<Output>) {
        outputs.append(&mut self.fresh);
    }

    /// Keeps what the machine has sent out since the last time, if it has never been here.
    fn hear(&mut self) {
        let now = self.machine.now();
        if self.diverted || now <= self.frontier {
            self.machine.drain_outputs(&mut Vec::new());
        } else {
            self.frontier = now;
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
        let here = self.machine.now().position;
        // What comes before the frontier has been heard, what comes after it not yet.
        if here < self.frontier.position && self.frontier.position < target && !self.diverted {
            let stop = self.machine.run_until(self.frontier.position)?;
            self.hear();
            if stop != Stop::Reached {
                return Ok(stop);
            }
        }
        let stop = self.machine.run_until(target)?;
        self.hear();
        Ok(stop)
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
