//! Leaving a recording for the present.

use std::iter;

use rrvmm_devices::Output;
use rrvmm_replay::{Seam as _, Steppable as _};
use rrvmm_tcg::stops::Stops;

use super::{ExploreError, Explorer, Halt};
use crate::machine::PcMachine;
use crate::session::{Past, Setup};

/// A machine in the middle of a recorded run, with all it needs to go on as a run of its own.
pub struct Departure {
    /// The machine.
    pub machine: PcMachine,
    /// What it was built from.
    pub setup: Setup,
    /// What it was told until here.
    pub past: Past,
    /// What its guest has sent out that nobody has seen.
    pub outputs: Vec<Output>,
    /// What its clock was set to at power-on, in seconds since 1970-01-01 00:00:00 UTC.
    pub wall_clock: i64,
}

impl Explorer {
    /// Why the run cannot go on live from here; none if it can.
    #[must_use]
    pub fn why_not_live(&self) -> Option<String> {
        if self.diversion.is_some() {
            let text =
                "this is a diversion, whose past is not recorded; `return` leads back to the recording";
            return Some(text.to_owned());
        }
        let reason = self.summary.end.filter(|reason| reason.is_the_guests())?;
        let is_over = self.position() >= self.summary.last.position;
        is_over.then(|| format!("the guest ended its run here: {reason}; go back first"))
    }

    /// Takes the machine out of the recording, to go on from here; [`Explorer::why_not_live`] must have had no objection.
    ///
    /// # Errors
    /// As [`Explorer::go_to`].
    pub fn depart(mut self) -> Result<Departure, ExploreError> {
        self.return_to_recording();
        let here = self.position();
        if let Halt::Ended(_) | Halt::Cut(_) = self.run(Some(here), &Stops::default())? {
            unreachable!("nothing runs up to where it is");
        }
        let mut outputs = Vec::new();
        self.take_outputs(&mut outputs);
        let events = self.timeline.seam().events();
        let mut journal = self.journal;
        journal.rewind(0)?;
        let past = iter::from_fn(move || journal.next_entry().transpose())
            .take_while(move |entry| entry.as_ref().map_or(true, |entry| entry.number < events));
        if let Some(checkpoints) = self.checkpoints {
            // Without them it goes on as well.
            let _ = checkpoints.finish();
        }
        let (mut machine, _) = self.timeline.into_parts();
        machine.set_stops(&Stops::default());
        Ok(Departure {
            machine: machine.into_inner(),
            setup: self.setup,
            past: Box::new(past),
            outputs,
            wall_clock: self.wall_clock,
        })
    }
}
