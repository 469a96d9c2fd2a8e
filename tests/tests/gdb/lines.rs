//! Steps by lines and functions, watched loads, and faults, in both directions.

use super::recordings;
use rrvmm_tests::run::Debugger;
use std::path::Path;

const SCRIPT: &str = include_str!("lines.py");

#[test]
fn lines_functions_loads_and_faults_are_stepped_through_in_both_directions() {
    let name = "debug/calls";
    let (recording, symbols) = (recordings::payload(name).unwrap(), recordings::lines(name).unwrap());
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("payloads").join(name).with_extension("s");
    let Some(gdb) = Debugger::over(&recording) else { return };
    let script = format!("SOURCE = open({source:?}).read().splitlines()\n{SCRIPT}");
    gdb.symbols(&symbols).python(&script).unwrap();
}
