//! Takes the golden files of the payloads from QEMU: `golden [--print] [PART-OF-NAME...]`.
//!
//! Writes `tests/payloads/AREA/NAME.txt` for each payload whose name contains one of the parts (all without a part),
//! except those whose golden file is written by hand. `--print` only prints what QEMU printed.

use anyhow::{Result, ensure};
use rrvmm_tests::payloads;
use rrvmm_tests::run::{Process, qemu};
use std::fs;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let (flags, parts): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|word| word.starts_with("--"));
    let print = flags.iter().any(|flag| flag == "--print");
    for payload in payloads::all()? {
        if !parts.is_empty() && !parts.iter().any(|part| payload.name.contains(part.as_str())) {
            continue;
        }
        let guest = payload.build()?;
        let outcome = Process::new(qemu(&guest)).limit(Duration::from_secs(20)).run()?;
        if print {
            println!("== {} ({})\n{}", payload.name, outcome.status, outcome.text());
        } else if let Some(reason) = &payload.by_hand {
            println!("{}: by hand: {reason}", payload.name);
        } else {
            let status = payload.exit_status();
            let text = outcome.text();
            ensure!(
                outcome.status.code() == Some(status),
                "{}: wanted status {status}: {}",
                payload.name,
                outcome.describe()
            );
            ensure!(text.ends_with("end\n"), "{}: did not reach its end:\n{text}", payload.name);
            fs::write(payload.golden(), payload.corrected(&text)?)?;
            println!("{}: {} lines", payload.name, text.lines().count());
        }
    }
    Ok(())
}
