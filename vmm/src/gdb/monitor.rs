//! gdb's `monitor` commands: those of every front end, and three about this connection.

use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, outputln};
use rrvmm_tcg::stops::Space;

use super::layout::Layout;
use super::target::GdbTarget;
use crate::explore::Gone;

const HELP: &str = "\
mode virtual|physical whether gdb's addresses of memory are virtual (at first) or physical
architecture i386|x86-64|auto  which registers gdb sees; then `unset tdesc filename` makes it look
";

/// What gdb must be told after a command that moved the machine: it keeps what it has read.
const STALE: &str = "\
gdb does not know yet: `maintenance flush register-cache`, then `maintenance flush dcache` and `frame` show the new place";

impl MonitorCmd for GdbTarget {
    fn handle_monitor_cmd(&mut self, command: &[u8], mut out: ConsoleOutput<'_>) -> Result<(), Gone> {
        let command = String::from_utf8_lossy(command).into_owned();
        let words: Vec<&str> = command.split_whitespace().collect();
        match words.as_slice() {
            ["mode"] => outputln!(out, "{}", mode(self.space)),
            ["mode", "virtual"] => self.space = Space::Linear,
            ["mode", "physical"] => self.space = Space::Physical,
            ["architecture"] => outputln!(out, "{}", self.layout.get().architecture()),
            ["architecture", "i386"] => self.wanted_layout = Some(Layout::Legacy),
            ["architecture", "x86-64" | "i386:x86-64"] => self.wanted_layout = Some(Layout::Long),
            ["architecture", "auto"] => self.wanted_layout = None,
            ["mode" | "architecture", ..] => outputln!(out, "{}", HELP.trim_end()),
            words => {
                let line = words.join(" ");
                let answer = self.handle.ask(move |explorer| explorer.command(&line))?;
                outputln!(out, "{}", answer.text.trim_end());
                if matches!(words, [] | ["help"]) {
                    outputln!(out, "{}", HELP.trim_end());
                }
                if answer.moved {
                    outputln!(out, "{STALE}");
                }
            }
        }
        Ok(())
    }
}

fn mode(space: Space) -> &'static str {
    match space {
        Space::Linear => "virtual",
        Space::Physical => "physical",
    }
}
