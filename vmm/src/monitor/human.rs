//! The commands for people, by QEMU's names where QEMU has them.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use rrvmm_replay::Position;

use super::keys;
use super::subject::{EventFilter, Mode, Place, Refused, Subject};
use crate::explore::parse_position;
use crate::picture::{self, Format, UnknownFormat};

/// Most events listed unless the user says otherwise.
const EVENTS: usize = 1000;

const HELP: &str = "\
replay_info                 what becomes of the run, and where it is
replay_events [--from POSITION] [--to POSITION] [--device NAME] [--most N]
                            inputs, digests and the end so far
replay_seek POSITION        go to a position, past or future
replay_break POSITION       stop there when the machine runs there, past or future; one at a time
replay_delete_break         no longer
stop, cont                  stop the machine, let it run on
info registers|status|replay
screendump [-f png|ppm] FILE
                            a picture of the screen; PPM unless the name ends in .png
sendkey KEY[-KEY...] [MILLISECONDS]
                            press keys together, named as in QEMU: sendkey ctrl-alt-f1
mouse_move DX DY [DZ]       move the mouse by pixels, turn its wheel
mouse_button STATE          buttons that are down: 1 left, 2 middle, 4 right
checkpoint                  keep what there is now: going back here is quick, a recording is safe up to here
live [NEW.rrvm]             go on from here with inputs of the host; recorded into a new file if given
quit                        end the session
help                        this
";

/// What a command says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Text(String),
    /// The session is to end.
    Quit,
}

/// Does what `line` says.
pub(super) fn execute(subject: &dyn Subject, line: &str) -> Result<Said, Refused> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let position = |text: &str| parse_position(text).map_err(Refused);
    let silent = |(): ()| Said::Text(String::new());
    Ok(match words.as_slice() {
        [] => Said::Text(String::new()),
        ["help" | "?"] => Said::Text(format!("{HELP}{}", subject.help())),
        ["quit" | "q"] => Said::Quit,
        ["stop" | "s"] => silent(subject.stop()?),
        ["cont" | "c"] => silent(subject.cont()?),
        ["replay_info"] | ["info", "replay"] => Said::Text(describe(&subject.place())),
        ["info", "status"] => Said::Text(format!("VM status: {}\n", subject.status().name())),
        ["info", "registers"] => Said::Text(subject.registers()?),
        ["replay_seek", to] => {
            subject.seek(position(to)?)?;
            Said::Text(describe(&subject.place()))
        }
        ["replay_break", at] => silent(subject.stop_at(Some(position(at)?))?),
        ["replay_delete_break"] => silent(subject.stop_at(None)?),
        ["replay_events", options @ ..] => list_events(subject, options)?,
        ["checkpoint"] => Said::Text(subject.checkpoint()?),
        ["live"] => Said::Text(subject.live(None)?),
        ["live", output] => Said::Text(subject.live(Some(PathBuf::from(output)))?),
        ["screendump", file] => {
            let file = Path::new(file);
            silent(screendump(subject, file, Format::of(file).unwrap_or(Format::Ppm))?)
        }
        ["screendump", "-f", format, file] => {
            let format = format.parse().map_err(|error: UnknownFormat| Refused(error.to_string()))?;
            silent(screendump(subject, Path::new(file), format)?)
        }
        ["screendump", ..] => return Err(Refused("write: screendump [-f png|ppm] FILE".to_owned())),
        ["sendkey", keys] => silent(keys::send(subject, &keys::combination(keys)?, None)?),
        ["sendkey", keys, hold] => {
            silent(keys::send(subject, &keys::combination(keys)?, Some(number(hold)?))?)
        }
        ["mouse_move", dx, dy] => silent(keys::moved(subject, number(dx)?, number(dy)?, 0)?),
        ["mouse_move", dx, dy, dz] => silent(keys::moved(subject, number(dx)?, number(dy)?, number(dz)?)?),
        ["mouse_button", state] => silent(keys::buttons(subject, number(state)?)?),
        ["sendkey" | "mouse_move" | "mouse_button", ..] => {
            let text =
                "write: sendkey KEY[-KEY...] [MILLISECONDS], mouse_move DX DY [DZ], or mouse_button STATE";
            return Err(Refused(text.to_owned()));
        }
        ["replay_seek" | "replay_break", ..] => return Err(Refused(format!("write: {} POSITION", words[0]))),
        ["info", ..] => return Err(Refused("write: info registers, info status or info replay".to_owned())),
        _ => Said::Text(subject.command(line)?),
    })
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, Refused> {
    text.parse().map_err(|_| Refused(format!("{text:?} is no number that fits here")))
}

/// Writes what the screen shows into `file`.
pub(super) fn screendump(subject: &dyn Subject, file: &Path, format: Format) -> Result<(), Refused> {
    let frame = subject.frame()?;
    picture::write(&frame, file, format).map_err(|error| Refused::because(&error))
}

fn describe(place: &Place) -> String {
    let position = place.position;
    let mut text = match (place.mode, &place.recording) {
        (Mode::Play, Some(file)) => format!("Replaying {}: position {position}", file.display()),
        (Mode::Record, Some(file)) => format!("Recording {}: position {position}", file.display()),
        (Mode::Play | Mode::Record | Mode::None, _) => {
            format!("Not recorded: position {position}")
        }
    };
    if let Some(end) = place.end {
        let _ = write!(text, " of {end}");
    }
    text.push('\n');
    text
}

fn list_events(subject: &dyn Subject, options: &[&str]) -> Result<Said, Refused> {
    let filter = read_filter(options).map_err(Refused)?;
    let events = subject.events(&filter)?;
    let mut text = String::new();
    for event in &events {
        let _ = writeln!(text, "{event}");
    }
    if events.len() == filter.most {
        text.push_str("there may be more; --from goes on, --most lists more\n");
    }
    Ok(Said::Text(text))
}

fn read_filter(options: &[&str]) -> Result<EventFilter, String> {
    let mut filter =
        EventFilter { from: Position::START, to: Position::from_count(u64::MAX), device: None, most: EVENTS };
    let mut words = options.iter().flat_map(|word| match word.split_once('=') {
        Some((name, value)) => vec![name, value],
        None => vec![*word],
    });
    while let Some(name) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{name} needs a value"));
        match name {
            "--from" => filter.from = parse_position(value()?)?,
            "--to" => filter.to = parse_position(value()?)?,
            "--device" => filter.device = Some(value()?.to_owned()),
            "--most" => {
                let text = value()?;
                filter.most = text.parse().map_err(|_| format!("{text:?} is no count of events"))?;
            }
            _ => return Err(format!("{name:?} is not --from, --to, --device or --most")),
        }
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_in_both_ways_of_writing_it() {
        let filter = read_filter(&["--from=5", "--to", "1_000", "--device=serial0", "--most", "3"]).unwrap();
        assert_eq!((filter.from.count(), filter.to.count(), filter.most), (5, 1000, 3));
        assert_eq!(filter.device.as_deref(), Some("serial0"));
        for wrong in [&["--from"][..], &["--from", "x"], &["--most", "-1"], &["5"]] {
            assert!(read_filter(wrong).is_err(), "{wrong:?}");
        }
    }
}
