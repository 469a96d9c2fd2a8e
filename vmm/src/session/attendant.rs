//! Who helps with a session besides its host.

use rrvmm_replay::timeline::Shelf;
use rrvmm_replay::{EndReason, Steppable};

use super::SessionError;

/// What an attendant wants of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// The machine is to run.
    GoOn,
    /// The machine is to stand where it is; the host's inputs still reach it.
    Stand,
    /// The session is to end.
    End(EndReason),
}

/// Makes what has been recorded so far survive the end of this process.
pub type Save<'a, M> = &'a mut dyn FnMut(&mut M) -> Result<(), SessionError>;

/// Someone who looks in on a session from outside, about every millisecond. The run must not show it: an attendant reads,
/// and has the machine stand.
pub trait Attendant<M> {
    /// Looks in, and says what is wanted.
    fn attend(&mut self, machine: &mut M, save: Save<'_, M>) -> Wish;
}

/// Several as one: what one wants to end ends, what one wants to stand stands.
impl<M> Attendant<M> for Vec<Box<dyn Attendant<M>>> {
    fn attend(&mut self, machine: &mut M, save: Save<'_, M>) -> Wish {
        let mut wish = Wish::GoOn;
        for attendant in self {
            wish = match (wish, attendant.attend(machine, save)) {
                (Wish::End(reason), _) | (_, Wish::End(reason)) => Wish::End(reason),
                (Wish::Stand, _) | (_, Wish::Stand) => Wish::Stand,
                (Wish::GoOn, Wish::GoOn) => Wish::GoOn,
            };
        }
        wish
    }
}

/// All who help with a session.
pub struct Aides<'a, M: Steppable> {
    /// Takes checkpoints on the way.
    pub shelf: Option<&'a mut dyn Shelf<M::Snapshot>>,
    /// Looks in.
    pub attendant: Option<&'a mut dyn Attendant<M>>,
}

impl<M: Steppable> Default for Aides<'_, M> {
    fn default() -> Self {
        Self { shelf: None, attendant: None }
    }
}
