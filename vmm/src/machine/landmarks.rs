//! Going to a place that a landmark names, in a machine that counts.

use super::{BoardBus, MachineError, PcMachine};
use crate::accel::{ARITHMETIC_FLAGS, Overshot};
use crate::landmark::{Landmark, Least, Place, User};
use rrvmm_replay::{EndReason, Position, Steppable as _, VirtualTime, timeline::Stop};
use rrvmm_tcg::{
    core::Rings,
    stops::{self, Stops},
};
use std::fmt;

/// Instructions after which user code that stays in its stretch is not searched any further. A stretch under KVM is of a few
/// milliseconds.
const FURTHEST: u64 = 1 << 33;

/// Where [`PcMachine::go_to`] has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The place.
    There,
    /// The end of the run, which may be the place.
    Ended(EndReason),
    /// Beyond it: this is not the run that the landmark is of.
    Passed(Missed),
}

/// How a place was missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// The run came past it, or stopped before it, without anything like it.
    Gone,
    /// The guest was awake, or asleep, when it should not have been.
    Sleep,
    /// User code never had these registers there.
    Registers,
    /// User code had these registers there so many times, and never this memory.
    Memory(u64),
    /// User code ran past it under KVM.
    Overshot,
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missed::Gone => f.write_str("the replay has nothing like it"),
            Missed::Sleep => f.write_str("the guest slept at other times"),
            Missed::Registers => f.write_str("user code never came there with these registers and operands"),
            Missed::Overshot => f.write_str("user code ran past it under KVM"),
            Missed::Memory(1) => {
                f.write_str("user code came there with these registers, but with other memory")
            }
            Missed::Memory(times) => {
                write!(f, "user code came there {times} times with these registers, but with other memory")
            }
        }
    }
}

impl PcMachine {
    /// The place where the machine is.
    pub(super) fn mark(&mut self) -> Landmark {
        let since = self.last_known();
        self.marked_at = self.position().count();
        let uncounted = self.accel.take_uncounted();
        let counted = self.marked_at.saturating_sub(since);
        let least = Least { instructions: counted + uncounted.instructions, ..uncounted };
        Landmark::here(&mut *self.accel, least)
    }

    /// Counts the crossings between kernel and user mode from now on, which is power-on.
    pub fn follow_landmarks(&mut self) {
        self.accel.count_rings(u64::MAX);
    }

    /// The crossings so far.
    #[must_use]
    pub fn crossings(&self) -> Rings {
        self.accel.rings()
    }

    /// Says that the crossings were those of `then`, when the machine was as it is now.
    pub fn set_crossings(&mut self, then: Rings) {
        self.accel.set_rings(then);
    }

    /// Says that the machine, whose state was just taken from elsewhere, is at `mark`.
    pub fn is_at(&mut self, mark: &Landmark) {
        let since = match &mark.place {
            Place::Kernel { since } | Place::Counted { since } => *since,
            Place::User(_) | Place::Branches { .. } => 0,
        };
        let here = self.position().count();
        let start = here.wrapping_sub(since);
        let rings = Rings { entries: mark.entries, kernel_at: start, user_at: start, ..self.accel.rings() };
        self.accel.set_rings(rings);
        self.marked_at = here;
    }

    /// What the recorder's CPU and this one have done differently, where the manual lets them, at the place of `mark`, where
    /// the machine is: its flags, if other arithmetic flags than the machine's.
    #[must_use]
    pub fn undefined_at(&self, mark: &Landmark) -> Option<u64> {
        let (Place::User(user) | Place::Branches { user, .. }) = &mark.place else { return None };
        let differ = (self.accel.save().rflags ^ user.rflags) & ARITHMETIC_FLAGS;
        (differ != 0).then_some(user.rflags & ARITHMETIC_FLAGS)
    }

    /// Sets the arithmetic flags.
    pub fn set_flags(&mut self, flags: u64) {
        self.accel.set_arithmetic_flags(flags);
    }

    /// Goes to the place that `mark` names, and there to `time`.
    ///
    /// # Errors
    /// The machine cannot go on.
    pub fn go_to(&mut self, mark: &Landmark, time: VirtualTime) -> Result<Arrival, MachineError> {
        let arrival = self.go_to_place(mark, time);
        self.accel.count_rings(u64::MAX);
        let arrival = arrival?;
        self.marked_at = self.position().count();
        if arrival == Arrival::There {
            while self.now().time < time {
                if !self.is_idle() {
                    return Ok(Arrival::Passed(Missed::Sleep));
                }
                self.sleep(time)?;
            }
        }
        Ok(arrival)
    }

    fn go_to_place(&mut self, mark: &Landmark, time: VirtualTime) -> Result<Arrival, MachineError> {
        self.accel.count_rings(mark.entries);
        loop {
            let rings = self.accel.rings();
            let in_user_mode = self.accel.is_in_user_mode();
            let target = match &mark.place {
                _ if rings.entries > mark.entries => return Ok(Arrival::Passed(Missed::Gone)),
                Place::Kernel { since } if rings.entries == mark.entries && !in_user_mode => {
                    let target = Position::from_count(rings.kernel_at.wrapping_add(*since));
                    if self.position() > target {
                        return Ok(Arrival::Passed(Missed::Gone));
                    }
                    target
                }
                Place::User(user) | Place::Branches { user, .. }
                    if rings.entries == mark.entries && in_user_mode =>
                {
                    return self.find(mark.entries, user, mark.least());
                }
                Place::Counted { since } if rings.entries == mark.entries && in_user_mode => {
                    let target = Position::from_count(rings.user_at.wrapping_add(*since));
                    if self.position() > target {
                        return Ok(Arrival::Passed(Missed::Gone));
                    }
                    target
                }
                Place::User(_) | Place::Branches { .. } | Place::Counted { .. }
                    if rings.entries == mark.entries && mark.entries > 0 =>
                {
                    return Ok(Arrival::Passed(Missed::Gone));
                }
                Place::Kernel { .. } | Place::User(_) | Place::Branches { .. } | Place::Counted { .. } => {
                    Position::from_count(u64::MAX)
                }
            };
            if self.position() == target {
                return Ok(match self.ended {
                    Some(reason) => Arrival::Ended(reason),
                    None => Arrival::There,
                });
            }
            match self.run_crossing(target)? {
                Stop::Ended(reason) => return Ok(Arrival::Ended(reason)),
                Stop::Idle if self.next_deadline().is_none() && self.position() < target => {
                    return Ok(Arrival::Passed(Missed::Sleep));
                }
                Stop::Idle if self.position() < target => {
                    if self.now().time >= time {
                        return Ok(Arrival::Passed(Missed::Sleep));
                    }
                    self.sleep(time)?;
                }
                Stop::Idle | Stop::Reached | Stop::Paused | Stop::Hit(_) => {}
            }
        }
    }

    /// Instructions completed when the machine was last at a landmark, or entered user mode since.
    pub(super) fn last_known(&self) -> u64 {
        let user_at = self.accel.rings().user_at;
        if self.marked_at > self.position().count() { user_at } else { user_at.max(self.marked_at) }
    }

    /// Executes some of the user code before a place that is `away` outside of the translator, if that can be. From where on
    /// the place need be looked for.
    fn hurry(&mut self, away: Least) -> Result<Position, Overshot> {
        let mut bus = BoardBus { board: &mut self.board, clock: &mut self.clock };
        let left = self.accel.hurry(&mut bus, away)?;
        Ok(Position::from_count(self.position().count().saturating_add(left)))
    }

    /// Has places be found by nothing but the translator looking for them, or by what is faster.
    pub fn be_sure(&mut self, sure: bool) {
        self.is_sure = sure;
        self.accel.set_outside(!sure);
    }

    /// Lets the sleeping machine's time pass to its next timer, at most to `time`.
    fn sleep(&mut self, time: VirtualTime) -> Result<(), MachineError> {
        let until = self.next_deadline().map_or(time, |deadline| deadline.min(time));
        self.idle_until(until)
    }

    /// Runs to `target` or the next crossing that is stopped at.
    fn run_crossing(&mut self, target: Position) -> Result<Stop<rrvmm_tcg::stops::Hit>, MachineError> {
        self.crossing = Some((self.accel.rings().entries, self.accel.is_in_user_mode()));
        let stop = self.run_until(target);
        self.crossing = None;
        stop
    }

    /// Goes on to the first place in this stretch of user code that is as `user` says.
    fn find(&mut self, entries: u64, user: &User, least: Least) -> Result<Arrival, MachineError> {
        let known = self.position().count().saturating_sub(self.last_known());
        let away = if self.is_sure { Least::default() } else { least.behind(known) };
        let Ok(first) = self.hurry(away) else {
            return Ok(Arrival::Passed(Missed::Overshot));
        };
        while self.position() < first {
            if let Stop::Ended(reason) = self.run_crossing(first)? {
                return Ok(Arrival::Ended(reason));
            }
            if self.accel.rings().entries != entries || !self.accel.is_in_user_mode() {
                return Ok(Arrival::Passed(Missed::Gone));
            }
        }
        let place =
            stops::Place { addr: user.rip, regs: Box::new(user.regs), words: user.words(&*self.accel) };
        let stops = Stops { place: Some(place), ..Stops::default() };
        self.set_stops(&stops);
        let found = self.search(entries, user);
        self.set_stops(&Stops::default());
        found
    }

    fn search(&mut self, entries: u64, user: &User) -> Result<Arrival, MachineError> {
        let (mut alike, mut told) = (0, 0);
        let last = Position::from_count(self.position().count().saturating_add(FURTHEST));
        loop {
            if user.is_here(&*self.accel, &mut told) {
                return Ok(Arrival::There);
            }
            alike += u64::from(user.has_registers(&*self.accel));
            match self.run_crossing(last)? {
                Stop::Ended(reason) => return Ok(Arrival::Ended(reason)),
                Stop::Idle | Stop::Reached | Stop::Paused | Stop::Hit(_) => {}
            }
            let is_over = self.accel.rings().entries != entries || !self.accel.is_in_user_mode();
            if is_over || self.position() >= last {
                let missed = if alike == 0 { Missed::Registers } else { Missed::Memory(alike) };
                return Ok(Arrival::Passed(missed));
            }
        }
    }
}
