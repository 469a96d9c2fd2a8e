//! The commands that gdb's `monitor` and other front ends for people share.

mod dump;
mod find;

use std::fmt::Write;

use rrvmm_replay::Position;
use rrvmm_tcg::stops::Space;

use super::motion::Halt;
use super::{ExploreError, Explorer, Written, parse_position, parse_range};
use dump::Format;

/// What [`Explorer::command`] understands.
pub const HELP: &str = "\
where                 position, virtual time, next instruction, whether this is a diversion
info                  what the recording is of and how far it goes
seek POSITION         go to a position, past or future; `seek end` goes to the end
return                leave a diversion
events [FROM [TO]]    recorded inputs, digests and the end, at most 100
last-write ADDR[:LEN] the last instruction before here that wrote there; xlast-write for a physical address
first-read ADDR[:LEN] the first instruction from here on that reads there; xfirst-read for a physical address
hits ADDR[:LEN] [--watch|--access] [--physical] [--from P] [--to P]
                      every execution of the instruction there, or every store or access to the bytes; at most 1000
x/FMT ADDR            memory by virtual address: FMT is a count and a size b, h, w or g, for example x/8xg
xp/FMT ADDR           memory by physical address
registers             everything in the CPU that has a name
checkpoints           where the states are that are kept, and how much memory they take
digest                digest of the machine's whole state, by parts
help                  this
";

/// Most events that are listed at once.
const MOST_EVENTS: usize = 100;

/// What a command says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Lines for people.
    pub text: String,
    /// Whether the machine is now somewhere else: what was read of it before is no longer so.
    pub moved: bool,
    /// Whether the command was wrong, or went wrong.
    pub failed: bool,
}

impl Answer {
    fn said(text: String) -> Self {
        Self { text, moved: false, failed: false }
    }
}

impl Explorer {
    /// Does what `line` says; what is wrong with it, or with doing it, is in the answer.
    pub fn command(&mut self, line: &str) -> Answer {
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { return Answer::said(HELP.to_owned()) };
        let arguments: Vec<&str> = words.collect();
        let done = match (name, arguments.as_slice()) {
            ("help", []) => Ok(Answer::said(HELP.to_owned())),
            ("where", []) => Ok(Answer::said(self.describe_place())),
            ("info", []) => Ok(Answer::said(self.describe_recording())),
            ("seek", ["end"]) => self.go_and_tell(Position::from_count(u64::MAX)),
            ("seek", [position]) => parse_position(position).and_then(|position| self.go_and_tell(position)),
            ("return", []) => Ok(self.return_and_tell()),
            ("events", [] | [_] | [_, _]) => self.list_events(&arguments),
            ("last-write", [range]) => self.tell_last_write(Space::Linear, range),
            ("xlast-write", [range]) => self.tell_last_write(Space::Physical, range),
            ("first-read", [range]) => self.tell_first_read(Space::Linear, range),
            ("xfirst-read", [range]) => self.tell_first_read(Space::Physical, range),
            ("hits", words) => self.list_hits(words),
            ("registers", []) => Ok(Answer::said(self.list_registers())),
            ("checkpoints", []) => Ok(Answer::said(self.list_checkpoints())),
            ("digest", []) => Ok(Answer::said(self.list_digest())),
            (dump, [addr]) => match dump.split_once('/').unwrap_or((dump, "")) {
                ("x", format) => self.dump(Space::Linear, format, addr),
                ("xp", format) => self.dump(Space::Physical, format, addr),
                _ => Err(unknown(line)),
            },
            _ => Err(unknown(line)),
        };
        done.unwrap_or_else(|mistake| Answer { failed: true, ..Answer::said(format!("{mistake}\n")) })
    }

    fn describe_place(&self) -> String {
        let place = self.place();
        let mut text =
            format!("position {} of {}, {}", place.now.position, place.end.position, place.now.time);
        if let Some(began) = place.diverged_at {
            let _ = write!(text, ", on a diversion that began at position {}", began.position);
        }
        let _ = writeln!(text, "\n{}", self.instruction());
        text
    }

    fn describe_recording(&self) -> String {
        let (manifest, summary) = (self.manifest(), self.summary());
        let end = match (&summary.end, &summary.cut) {
            (Some(end), _) => end.to_string(),
            (None, Some(cut)) => cut.to_string(),
            (None, None) => "the recording has no end".to_owned(),
        };
        format!(
            "{} with {}, recorded by rrvmm {} ({})\n{} instructions, {} of guest time, {} inputs, {} digests\n{end}\n",
            manifest.machine,
            manifest.cpu_model,
            manifest.recorder,
            manifest.engine,
            summary.last.position,
            summary.last.time,
            summary.inputs,
            summary.digests
        )
    }

    fn go_and_tell(&mut self, position: Position) -> Result<Answer, String> {
        let halt = self.go_to(position).map_err(|error| chain(&error))?;
        let mut text = String::new();
        match halt {
            Halt::Ended(reason) => {
                let _ = writeln!(text, "the recording ends here: {reason}");
            }
            Halt::Cut(cut) => {
                let _ = writeln!(text, "{cut}");
            }
            Halt::Interrupted => text.push_str("interrupted\n"),
            Halt::Reached | Halt::Hit(_) | Halt::Start | Halt::Returned => {}
        }
        text.push_str(&self.describe_place());
        Ok(Answer { moved: true, ..Answer::said(text) })
    }

    fn return_and_tell(&mut self) -> Answer {
        if !self.return_to_recording() {
            return Answer::said("this is the recording\n".to_owned());
        }
        Answer { moved: true, ..Answer::said(self.describe_place()) }
    }

    fn list_events(&mut self, range: &[&str]) -> Result<Answer, String> {
        let bound = |n: usize, default| range.get(n).map_or(Ok(default), |text| parse_position(text));
        let range = bound(0, Position::START)?..=bound(1, Position::from_count(u64::MAX))?;
        let events = self.events(range, MOST_EVENTS).map_err(|error| chain(&error))?;
        let mut text = String::new();
        for event in &events {
            let _ = writeln!(text, "{event}");
        }
        if events.len() == MOST_EVENTS {
            text.push_str("there may be more; give the position of the last one to go on\n");
        }
        Ok(Answer::said(text))
    }

    fn tell_last_write(&mut self, space: Space, range: &str) -> Result<Answer, String> {
        let (addr, len) = parse_range(range)?;
        let returned = self.place().diverged_at.is_some();
        let written = self.last_write(space, addr, len).map_err(|error| chain(&error))?;
        let text = match written {
            Some(Written { at, instruction, device: None, .. }) => format!("position {at}\n{instruction}\n"),
            Some(Written { at, instruction, device: Some(device), addr, len }) => {
                format!("position {at}\n{device} wrote {len} bytes at {addr:#x} after\n{instruction}\n")
            }
            None => "nothing wrote there before this position\n".to_owned(),
        };
        Ok(Answer { moved: returned, ..Answer::said(text) })
    }

    fn list_registers(&self) -> String {
        self.registers().into_iter().fold(String::new(), |mut text, (name, value)| {
            let _ = writeln!(text, "{name:<12}{value}");
            text
        })
    }

    fn list_checkpoints(&self) -> String {
        let (count, bytes) = self.timeline.checkpoints();
        let mut text = format!("{count} checkpoints, {} MiB\n", bytes >> 20);
        for position in self.timeline.checkpoint_positions() {
            let _ = writeln!(text, "{position}");
        }
        text
    }

    fn list_digest(&self) -> String {
        let digest = self.fingerprint();
        let (cpu, devices) = (digest.cpu, digest.devices);
        format!(
            "all      {digest}\ncpu      {cpu}\ndevices  {devices}\nmemory   {}\noutputs  {}\n",
            digest.memory, digest.outputs
        )
    }

    fn dump(&self, space: Space, format: &str, addr: &str) -> Result<Answer, String> {
        let (addr, _) = parse_range(addr)?;
        let format = Format::read(format)?;
        let mut bytes = vec![0; format.bytes()];
        let have = self.read(space, addr, &mut bytes);
        bytes.truncate(have);
        let mut text = format.write(addr, &bytes);
        if have < format.bytes() {
            let _ = writeln!(text, "{:#x}: not RAM, or not mapped", addr.wrapping_add(have as u64));
        }
        Ok(Answer::said(text))
    }
}

fn unknown(line: &str) -> String {
    format!("{line:?} is no command; `help` lists them")
}

/// The error and what caused it.
fn chain(error: &ExploreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}
