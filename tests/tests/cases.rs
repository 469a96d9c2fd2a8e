//! Runs the one-line instruction cases of `tests/cases/*.ins` (format: docs/testing.md) in both engines.
//!
//! A line is strict: a register, flag or memory byte that it does not name must stay as it was. `CASES_BLESS=1` rewrites
//! the disassembly, and nothing else, of lines that say `?` there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cases_runner;

use cases_runner::{machine::Machine, parse};
use rrvmm_tcg::interp::Interp;
#[cfg(all(target_arch = "x86_64", unix))]
use rrvmm_tcg::{jit::Jit, x86::translate::MAX_BLOCK};
use std::path::PathBuf;

/// Makes the case and what follows it exactly one block.
#[cfg(all(target_arch = "x86_64", unix))]
const PADDING: u64 = MAX_BLOCK as u64 - 1;

#[test]
fn every_case_holds() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "ins"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no cases in {}", folder.display());
    let bless = std::env::var_os("CASES_BLESS").is_some();
    let (mut run, mut failures) = (0, Vec::new());
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut out = String::new();
        let mut mode = None;
        for (n, line) in text.lines().enumerate() {
            let place = format!("{}:{}", path.file_name().unwrap().to_string_lossy(), n + 1);
            let mut kept = line.to_string();
            match parse::line(line, mode) {
                Ok(parse::Line::Empty) => {}
                Ok(parse::Line::Mode(m)) => mode = Some(m),
                Ok(parse::Line::Case(case)) => {
                    run += 1;
                    if bless && case.text == "?" {
                        kept = line.replacen("\"?\"", &format!("\"{}\"", case.disassembly()), 1);
                    } else if case.disassembly() != case.text {
                        failures.push(format!("{place}: this is \"{}\"", case.disassembly()));
                    }
                    if let Err(what) = Machine::run(&case, Interp, 0) {
                        failures.push(format!("{place}: {line}\n    {what}"));
                    }
                    #[cfg(all(target_arch = "x86_64", unix))]
                    if let Err(what) = Machine::run(&case, Jit::new().unwrap(), PADDING) {
                        failures.push(format!("{place}, in the JIT: {line}\n    {what}"));
                    }
                }
                Err(what) => failures.push(format!("{place}: {what}: {line}")),
            }
            out += &kept;
            out.push('\n');
        }
        if bless && out != text {
            std::fs::write(&path, out).unwrap();
        }
    }
    println!("cases: {run} run");
    assert!(failures.is_empty(), "{} of {run} cases fail:\n{}", failures.len(), failures.join("\n"));
}
