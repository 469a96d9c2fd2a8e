//! A recording for the tests of what explores one.

use super::Explorer;
use crate::accel::TcgEngine;
use crate::demo;
use crate::host::HostError;
use crate::machine::PcMachine;
use crate::session::{self, FullPorts, Host, Options, Polled};
use rrvmm_devices::{Input, Output};
use rrvmm_replay::Position;
use std::io::Cursor;
use std::time::Duration;

/// Instructions of the built-in guest that are recorded.
pub(crate) const LENGTH: u64 = 3_000_000;

/// A host without inputs.
struct Silent;

impl Host for Silent {
    type Offer = Input;
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
    fn poll(&mut self, _full: FullPorts) -> Result<Polled<Input>, HostError> {
        Ok(Polled::Nothing)
    }
    fn wait(&mut self, _limit: Duration) -> Result<(), HostError> {
        Ok(())
    }
    fn may_offer(&self) -> bool {
        false
    }
    fn show(&mut self, _outputs: &[Output]) -> Result<(), HostError> {
        Ok(())
    }
    fn reached(&mut self, _position: Position) {}
}

/// A recording of the built-in guest, at its beginning.
pub(crate) fn explorer_of_the_demo() -> Explorer {
    let setup = demo::setup();
    let mut machine = PcMachine::new(&setup.pc, &setup.source).unwrap();
    let options = Options { until: Some(Position::from_count(LENGTH)), ..Options::default() };
    let recorded =
        session::record(&mut machine, &setup, "interp", Vec::new(), 1_000, &mut Silent, &options).unwrap().1;
    let source = || Box::new(Cursor::new(recorded.clone()));
    Explorer::open(source(), source(), TcgEngine::Interp).unwrap()
}
