//! The worked session of docs/debugging.md, command by command.

use super::recordings;
use anyhow::{Context as _, Result, ensure};
use rrvmm_tests::run::Debugger;
use std::fs;
use std::path::Path;

/// Commands and what gdb must answer, from the blocks that begin with ```` ```gdb-session ````.
fn steps(page: &str) -> Vec<(String, Vec<String>)> {
    let mut steps: Vec<(String, Vec<String>)> = Vec::new();
    for block in page.split("```gdb-session\n").skip(1) {
        for line in block.split("```").next().unwrap_or_default().lines() {
            match line.strip_prefix("(gdb) ") {
                Some(command) => steps.push((command.to_owned(), Vec::new())),
                None if line.trim().is_empty() => {}
                None => {
                    if let Some((_, answer)) = steps.last_mut() {
                        answer.push(line.trim().to_owned());
                    }
                }
            }
        }
    }
    steps
}

fn check() -> Result<()> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/debugging.md");
    let steps = steps(&fs::read_to_string(page)?);
    ensure!(steps.len() >= 4, "the page has only {} commands", steps.len());
    let (recording, image) = (recordings::payload("bugs/overrun")?, recordings::image("bugs/overrun")?);
    let Some(gdb) = Debugger::over(&recording) else { return Ok(()) };
    let mut script = String::from("set pagination off\nset style enabled off\n");
    for (command, _) in &steps {
        script.push_str(&format!("echo \\n@@@ {command}\\n\n{command}\n"));
    }
    let outcome = gdb.symbols(&image).commands(&script)?;
    // What `monitor` prints comes by standard error.
    let text = outcome.text();
    for (command, answer) in &steps {
        let marker = format!("@@@ {command}\n");
        let said = text.split(&marker).nth(1).with_context(|| outcome.describe())?;
        let said = said.split("@@@ ").next().unwrap_or_default();
        for line in answer {
            ensure!(
                said.contains(line.as_str()) || outcome.errors().contains(line.as_str()),
                "after {command:?} the page promises {line:?}, gdb said:\n{said}\n{}",
                outcome.describe()
            );
        }
    }
    Ok(())
}

#[test]
fn the_worked_session_works() {
    check().unwrap();
}
