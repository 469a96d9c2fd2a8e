//! A machine that is stopped again and again where nothing is: what it does must not change by that.

use super::Inspect;
use rrvmm_replay::timeline::Stop;
use rrvmm_replay::{Admitted, MachineDigest, Position, Stamp, Steppable, VirtualTime};

/// `M`, run at most so many instructions at a time.
pub struct ShortSteps<M> {
    machine: M,
    most: u64,
}

impl<M> ShortSteps<M> {
    /// `machine`, stopped after every `most` instructions (at least one).
    pub fn new(machine: M, most: u64) -> Self {
        Self { machine, most: most.max(1) }
    }
}

impl<M: Steppable> Steppable for ShortSteps<M> {
    type Input = M::Input;
    type Snapshot = M::Snapshot;
    type Error = M::Error;
    type Stops = M::Stops;
    type Hit = M::Hit;
    type Trace = M::Trace;

    fn now(&self) -> Stamp {
        self.machine.now()
    }

    fn run_until(&mut self, target: Position) -> Result<Stop<M::Hit>, M::Error> {
        loop {
            let next = self.now().position.count().saturating_add(self.most);
            let stop = self.machine.run_until(target.min(Position::from_count(next)))?;
            if stop != Stop::Reached || self.now().position >= target {
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

    fn idle_until(&mut self, time: VirtualTime) -> Result<(), M::Error> {
        self.machine.idle_until(time)
    }

    fn admit(&mut self, input: Admitted<M::Input>) -> Result<(), M::Error> {
        self.machine.admit(input)
    }

    fn save(&mut self) -> M::Snapshot {
        self.machine.save()
    }

    fn restore(&mut self, state: &M::Snapshot) {
        self.machine.restore(state);
    }

    fn digest(&mut self) -> MachineDigest {
        self.machine.digest()
    }

    fn set_stops(&mut self, stops: &M::Stops) {
        self.machine.set_stops(stops);
    }

    fn is_behind(hit: &M::Hit) -> bool {
        M::is_behind(hit)
    }

    fn trace(&mut self) -> M::Trace {
        self.machine.trace()
    }

    fn may_hit(&self, trace: &M::Trace, stops: &M::Stops) -> bool {
        self.machine.may_hit(trace, stops)
    }

    fn weight(state: &M::Snapshot, beside: Option<&M::Snapshot>) -> usize {
        M::weight(state, beside)
    }
}

impl<M: Inspect> Inspect for ShortSteps<M> {
    fn fingerprint(&self) -> MachineDigest {
        self.machine.fingerprint()
    }

    fn instruction(&self) -> String {
        self.machine.instruction()
    }

    fn registers(&self) -> Vec<(String, String)> {
        self.machine.registers()
    }

    fn pages(&self) -> usize {
        self.machine.pages()
    }

    fn page(&self, page: usize) -> (u64, &[u8; 4096]) {
        self.machine.page(page)
    }
}
