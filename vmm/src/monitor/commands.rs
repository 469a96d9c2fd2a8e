//! The commands of QMP that a session understands.

use std::path::PathBuf;

use rrvmm_replay::Position;
use serde_json::{Value, json};

use super::human::{self, Said};
use super::keys;
use super::qmp::{self, Arguments, Fault, Request};
use super::subject::Subject;
use crate::picture::{Format, UnknownFormat};

/// The command with which a client begins.
pub(super) const NEGOTIATE: &str = "qmp_capabilities";

/// What a command comes to.
#[derive(Debug, PartialEq)]
pub(super) enum Done {
    /// This is its answer.
    Value(Value),
    /// This is its answer, and then the session ends.
    Quit(Value),
}

type Command = fn(&dyn Subject, &mut Arguments) -> Result<Done, Fault>;

/// Every command, by QEMU's names.
const COMMANDS: &[(&str, Command)] = &[
    (NEGOTIATE, |_, _| Err(Fault::CommandNotFound("capabilities have been negotiated already".to_owned()))),
    ("query-version", |_, _| value(qmp::version())),
    ("query-commands", |_, _| value(COMMANDS.iter().map(|(name, _)| json!({"name": name})).collect())),
    ("query-status", query_status),
    ("query-replay", query_replay),
    ("query-cpus-fast", query_cpus_fast),
    ("stop", |subject, _| nothing(subject.stop()?)),
    ("cont", |subject, _| nothing(subject.cont()?)),
    ("quit", |_, _| Ok(Done::Quit(json!({})))),
    ("replay-seek", |subject, arguments| {
        let to = Position::from_count(arguments.whole("icount")?);
        nothing(subject.seek(to)?)
    }),
    ("replay-break", |subject, arguments| {
        let at = Position::from_count(arguments.whole("icount")?);
        nothing(subject.stop_at(Some(at))?)
    }),
    ("replay-delete-break", |subject, _| nothing(subject.stop_at(None)?)),
    ("screendump", screendump),
    ("send-key", |subject, arguments| {
        let list = arguments.any("keys");
        let keys = list.as_ref().and_then(Value::as_array).into_iter().flatten().map(keys::key_value);
        let keys: Vec<_> = keys.collect::<Result<_, _>>()?;
        let hold = match arguments.any("hold-time") {
            None => None,
            Some(time) => Some(time.as_u64().ok_or_else(|| {
                Fault::Generic("argument 'hold-time' must be a whole number, not negative".to_owned())
            })?),
        };
        nothing(keys::send(subject, &keys, hold)?)
    }),
    ("input-send-event", |subject, arguments| {
        let inputs = keys::events(&arguments.any("events").unwrap_or_default())?;
        nothing(inputs.into_iter().try_for_each(|input| subject.input(input))?)
    }),
    ("human-monitor-command", human_monitor_command),
    ("rrvmm-live", |subject, arguments| {
        let output = match arguments.any("filename") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(PathBuf::from(name)),
            Some(_) => return Err(Fault::Generic("argument 'filename' must be a string".to_owned())),
        };
        subject.live(output)?;
        nothing(())
    }),
];

/// Does what a request asks for.
pub(super) fn execute(subject: &dyn Subject, mut request: Request) -> Result<Done, Fault> {
    let Some((_, command)) = COMMANDS.iter().find(|(name, _)| *name == request.name) else {
        return Err(Fault::CommandNotFound(format!("there is no command '{}'", request.name)));
    };
    // What is wrong with the arguments must be found before anything is done.
    let mut probe = request.arguments.clone();
    for name in known_arguments(&request.name) {
        probe.any(name);
    }
    probe.end()?;
    command(subject, &mut request.arguments)
}

/// The names of the arguments that a command has.
fn known_arguments(command: &str) -> &'static [&'static str] {
    match command {
        NEGOTIATE => &["enable"],
        "replay-seek" | "replay-break" => &["icount"],
        "send-key" => &["keys", "hold-time"],
        "input-send-event" => &["events", "device", "head"],
        "screendump" => &["filename", "device", "head", "format"],
        "human-monitor-command" => &["command-line", "cpu-index"],
        "rrvmm-live" => &["filename"],
        _ => &[],
    }
}

fn value(value: Value) -> Result<Done, Fault> {
    Ok(Done::Value(value))
}

fn nothing((): ()) -> Result<Done, Fault> {
    value(json!({}))
}

fn query_status(subject: &dyn Subject, _: &mut Arguments) -> Result<Done, Fault> {
    let status = subject.status();
    let running = status == super::Status::Running;
    value(json!({"status": status.name(), "running": running, "singlestep": false}))
}

fn query_replay(subject: &dyn Subject, _: &mut Arguments) -> Result<Done, Fault> {
    let place = subject.place();
    let mut answer = json!({"mode": place.mode.name(), "icount": place.position.count()});
    if let Some(recording) = place.recording {
        answer["filename"] = recording.to_string_lossy().into();
    }
    value(answer)
}

fn screendump(subject: &dyn Subject, arguments: &mut Arguments) -> Result<Done, Fault> {
    let file = PathBuf::from(arguments.text("filename")?);
    // As QMP has it: PPM unless said otherwise, whatever the file's name is.
    let format = match arguments.any("format") {
        None => Format::Ppm,
        Some(Value::String(name)) => {
            name.parse().map_err(|error: UnknownFormat| Fault::Generic(error.to_string()))?
        }
        Some(_) => return Err(Fault::Generic("argument 'format' must be a string".to_owned())),
    };
    nothing(human::screendump(subject, &file, format)?)
}

fn query_cpus_fast(_: &dyn Subject, _: &mut Arguments) -> Result<Done, Fault> {
    let thread = std::process::id();
    value(json!([
        {"cpu-index": 0, "qom-path": "/machine/cpu[0]", "thread-id": thread, "target": "x86_64"}
    ]))
}

fn human_monitor_command(subject: &dyn Subject, arguments: &mut Arguments) -> Result<Done, Fault> {
    Ok(match human::execute(subject, &arguments.text("command-line")?)? {
        Said::Text(text) => Done::Value(text.into()),
        Said::Quit => Done::Quit("".into()),
    })
}
