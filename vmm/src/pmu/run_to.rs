//! Brings a vCPU to a place: near it by the counter, the rest by single steps.

use super::counter::{Counter, Left, MIN_PERIOD, PmuError, Vcpu};
use super::margins::Margins;

/// Where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aim {
    /// The place's count, as it was read when it was recorded.
    pub count: u64,
    /// How much two counts of the same place may differ: 0 for an exact counter
    /// ([`Verdict::slack`](super::Verdict::slack)).
    pub slack: u64,
    /// Single steps after which it is given up.
    pub most_steps: u64,
}

impl Aim {
    /// Aims at `count` of a counter whose counts of one place differ by up to `slack`.
    pub fn new(count: u64, slack: u64) -> Self {
        Self { count, slack, most_steps: 1 << 21 }
    }

    fn first(&self) -> u64 {
        self.count.saturating_sub(self.slack)
    }

    fn last(&self) -> u64 {
        self.count.saturating_add(self.slack)
    }
}

/// Where a vCPU has been brought to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Landing<E> {
    /// To the place: the count is its count and the guest's state is its state.
    There {
        /// The count now.
        count: u64,
        /// Single steps it took.
        steps: u64,
    },
    /// Past the place, or perhaps past it: the counter stopped too late. To be tried again from a checkpoint before;
    /// the next margin is greater.
    Overshot {
        /// The count now.
        count: u64,
    },
    /// The stretch ended before the place: the guest did something else than when it was recorded, or the counter does not count
    /// as it did then.
    Ended {
        /// The count at the end.
        count: u64,
        /// How it ended.
        exit: E,
    },
    /// Every place that may have this count was looked at, and none is the one. To be sought without the counter.
    NotFound {
        /// The count now.
        count: u64,
        /// Single steps it took.
        steps: u64,
    },
}

/// Where [`run_past`] has let a vCPU run to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past<E> {
    /// The count there.
    pub count: u64,
    /// How the stretch ended, if it did.
    pub exit: Option<E>,
}

/// Brings the vCPU to the place that has the count of `aim`, and at which [`Vcpu::arrived`] says so. For replaying: the vCPU is at
/// or before the place.
///
/// Never at a wrong place: [`Landing::There`] is answered only where both agree. Whatever a counter does wrong (skid, counts too
/// many or too few, lost overflows) ends as another answer, upon which the caller restores a checkpoint.
pub fn run_to<C: Counter, V: Vcpu>(
    counter: &mut C,
    vcpu: &mut V,
    aim: Aim,
    margins: &mut Margins,
) -> Result<Landing<V::Exit>, PmuError> {
    let landing = match approach(counter, vcpu, aim, margins)? {
        Some(landing) => landing,
        None => step_to(counter, vcpu, aim)?,
    };
    if matches!(landing, Landing::There { .. }) {
        margins.note_landing();
    }
    Ok(landing)
}

/// Runs to within a margin of the place, by overflows. Answers if that is the end of it: for who goes on in another way than by
/// single steps.
pub fn approach<C: Counter + ?Sized, V: Vcpu>(
    counter: &mut C,
    vcpu: &mut V,
    aim: Aim,
    margins: &mut Margins,
) -> Result<Option<Landing<V::Exit>>, PmuError> {
    let mut count = counter.count()?;
    if count > aim.last() {
        return Ok(Some(Landing::Overshot { count }));
    }
    let mut armed = false;
    loop {
        let distance = aim.first().saturating_sub(count).saturating_sub(margins.margin());
        if distance < MIN_PERIOD {
            if armed {
                counter.disarm()?;
            }
            return Ok(None);
        }
        counter.arm(distance)?;
        armed = true;
        let overflow = count + distance;
        let left = vcpu.run()?;
        if let Left::Emulated(events) = left {
            counter.note_unretired(events);
        }
        count = counter.count()?;
        let exit = match left {
            Left::Exit(exit) => Some(exit),
            Left::Interrupted | Left::Stepped | Left::Emulated(_) => None,
        };
        // Not only what an overflow interrupted: a run that ended otherwise was not stopped in time either.
        let skid = count.checked_sub(overflow);
        if let (Some(skid), None) = (skid, &exit) {
            margins.note_skid(skid);
        }
        if count < aim.first() {
            match exit {
                Some(exit) => return Ok(Some(Landing::Ended { count, exit })),
                None => continue,
            }
        }
        // Somewhere in the place's count or past it. Only the state can tell, and it cannot tell whether the place is behind.
        counter.disarm()?;
        if exit.is_none() && count <= aim.last() && vcpu.arrived()? {
            return Ok(Some(Landing::There { count, steps: 0 }));
        }
        margins.note_overshoot(skid.unwrap_or(0));
        return Ok(Some(Landing::Overshot { count }));
    }
}

/// Steps through every place that may have the count.
fn step_to<C: Counter, V: Vcpu>(
    counter: &mut C,
    vcpu: &mut V,
    aim: Aim,
) -> Result<Landing<V::Exit>, PmuError> {
    let mut count = counter.count()?;
    // Interruptions count as well, so that this ends.
    for steps in 0..aim.most_steps {
        if count > aim.last() {
            return Ok(Landing::NotFound { count, steps });
        }
        if count >= aim.first() && vcpu.arrived()? {
            return Ok(Landing::There { count, steps });
        }
        match vcpu.step()? {
            Left::Stepped | Left::Interrupted => {}
            Left::Emulated(events) => counter.note_unretired(events),
            Left::Exit(exit) => return Ok(Landing::Ended { count: counter.count()?, exit }),
        }
        count = counter.count()?;
    }
    Ok(Landing::NotFound { count, steps: aim.most_steps })
}

/// Lets the vCPU run until it has counted at least `count`, or the stretch ends. For recording: wherever that is becomes the place
/// of what happens there, so running on a little does no harm.
pub fn run_past<C: Counter, V: Vcpu>(
    counter: &mut C,
    vcpu: &mut V,
    count: u64,
) -> Result<Past<V::Exit>, PmuError> {
    loop {
        let now = counter.count()?;
        if now >= count {
            counter.disarm()?;
            return Ok(Past { count: now, exit: None });
        }
        counter.arm((count - now).max(MIN_PERIOD))?;
        match vcpu.run()? {
            Left::Interrupted | Left::Stepped => {}
            Left::Emulated(events) => counter.note_unretired(events),
            Left::Exit(exit) => {
                counter.disarm()?;
                return Ok(Past { count: counter.count()?, exit: Some(exit) });
            }
        }
    }
}
