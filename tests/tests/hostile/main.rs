//! What goes wrong outside: files that are not what they should be, recordings that are cut or damaged, disks that are
//! full, programs that are killed, readers that leave. Never a panic; every message names the thing and the cure.

#![allow(clippy::unwrap_used, reason = "a failed test is what it should be")]

mod accidents;
mod damage;
mod other_run;
mod sources;
#[path = "../tiny/mod.rs"]
mod tiny;

use rrvmm_tests::run::Outcome;
use std::process::Command;

/// Fails unless `command` ends with status 1 and a message with every one of `parts`.
fn refused(command: Command, parts: &[&str]) -> Outcome {
    let outcome = tiny::finish(command).exited(1).unwrap();
    let errors = outcome.errors();
    for part in parts {
        assert!(errors.contains(part), "{part:?} is not in {errors}");
    }
    assert!(errors.starts_with("rrvmm: ") && errors.lines().count() <= 3, "{errors}");
    outcome
}
