//! Other programs that rrvmm works with.

use super::Finding;
use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(5);
/// Most bytes of what it says that are read.
const MOST: u64 = 4096;

/// What a program said.
pub(super) enum Answer {
    /// The first line of its output.
    Said(String),
    /// There is no such program.
    NotThere,
    /// It did not answer, for this reason.
    Failed(String),
}

/// Runs a program that is to print a line and end.
pub(super) fn ask(program: &str, arguments: &[&str]) -> Answer {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Answer::NotThere,
        Err(error) => return Answer::Failed(error.to_string()),
    };
    let began = Instant::now();
    let ended = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if began.elapsed() < PATIENCE => std::thread::sleep(RETRY),
            Ok(None) => break Err("it does not end".to_owned()),
            Err(error) => break Err(error.to_string()),
        }
    };
    let status = match ended {
        Ok(status) => status,
        Err(why) => {
            let _ = child.kill();
            let _ = child.wait();
            return Answer::Failed(why);
        }
    };
    let mut said = Vec::new();
    if let Some(output) = child.stdout.take() {
        // What cannot be read is as good as not said.
        let _ = output.take(MOST).read_to_end(&mut said);
    }
    let said = String::from_utf8_lossy(&said);
    match said.lines().next().map(str::trim) {
        Some(line) if status.success() && !line.is_empty() => Answer::Said(line.to_owned()),
        _ => Answer::Failed(format!("{status}")),
    }
}

pub(super) fn gdb() -> Finding {
    let (key, what) = ("gdb", "gdb");
    let without = "no rrvmm debug; replay --gdb serves a gdb elsewhere, replay --monitor needs none";
    let install = "install it (on Debian: apt install gdb), or name another with rrvmm debug --gdb-program";
    match ask("gdb", &["--version"]) {
        Answer::Said(version) => {
            Finding::ok(key, what, version).follows("rrvmm debug goes forwards and backwards in recordings")
        }
        Answer::NotThere => Finding::missing(key, what, "not installed").follows(without).change(install),
        Answer::Failed(why) => {
            Finding::missing(key, what, format!("does not run: {why}")).follows(without).change(install)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_answer_with_a_line_or_not() {
        assert!(matches!(ask("echo", &["one\ntwo"]), Answer::Said(line) if line == "one"));
        assert!(matches!(ask("rrvmm-no-such-program", &[]), Answer::NotThere));
        assert!(matches!(ask("false", &[]), Answer::Failed(_)));
    }
}
