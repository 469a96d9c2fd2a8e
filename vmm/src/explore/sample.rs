//! A recording for the tests of what explores one.

use super::Explorer;
use crate::accel::TcgEngine;
use crate::demo;
use crate::machine::PcMachine;
use crate::session::{self, Nobody, Options};

use rrvmm_replay::Position;
use std::io::Cursor;

/// Instructions of the built-in guest that are recorded.
pub(crate) const LENGTH: u64 = 3_000_000;

/// A recording of the built-in guest, at its beginning.
pub(crate) fn explorer_of_the_demo() -> Explorer {
    let setup = demo::setup();
    let mut machine = PcMachine::new(&setup.pc, &setup.source).unwrap();
    let options = Options { until: Some(Position::from_count(LENGTH)), ..Options::default() };
    let recorded =
        session::record(&mut machine, &setup, "interp", Vec::new(), 1_000, &mut Nobody::new(), &options)
            .unwrap()
            .1;
    let source = || Box::new(Cursor::new(recorded.clone()));
    Explorer::open(source(), source(), TcgEngine::Interp).unwrap()
}
