//! `rrvmm events`: what happened in a recording, one line an event.

use super::args::EventsArgs;
use rrvmm_devices::Input;
use rrvmm_replay::journal::{Body, Entry};
use rrvmm_replay::{JournalReader, codec};
use serde_json::{Value, json};
use std::io::{BufWriter, Read, Seek, Write, stdout};
use std::process::ExitCode;

pub(super) fn print<R: Read + Seek>(
    mut journal: JournalReader<R>,
    args: &EventsArgs,
) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(stdout().lock());
    while let Some(entry) = journal.next_entry()? {
        let position = entry.stamp.position;
        if args.to.is_some_and(|to| position > to) {
            break;
        }
        if args.from.is_some_and(|from| position < from) {
            continue;
        }
        if args.json {
            serde_json::to_writer(&mut out, &as_json(&entry)?)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}", as_text(&entry)?)?;
        }
    }
    out.flush()?;
    if let Some(cut) = &journal.summary().cut {
        eprintln!("rrvmm: {cut}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The event's source and what happened, for people.
fn describe(entry: &Entry) -> Result<(&str, String), codec::CodecError> {
    Ok(match &entry.body {
        Body::Input { source, payload } => (source, codec::from_bytes::<Input>(payload)?.summary()),
        Body::Digest(digest) => ("digest", digest.combined().to_string()),
        Body::End { reason, .. } => ("end", reason.to_string()),
    })
}

fn as_text(entry: &Entry) -> Result<String, codec::CodecError> {
    let (source, what) = describe(entry)?;
    let (position, time) = (entry.stamp.position.count(), entry.stamp.time.to_string());
    Ok(format!("{position:>14}  {time:>18}  {source:<10}{what}"))
}

fn as_json(entry: &Entry) -> Result<Value, codec::CodecError> {
    let (source, summary) = describe(entry)?;
    let detail = match &entry.body {
        Body::Input { payload, .. } => json!(codec::from_bytes::<Input>(payload)?),
        Body::Digest(digest) => json!({ "digest": digest.combined().to_string() }),
        Body::End { reason, digest } => json!({ "reason": reason, "digest": digest.combined().to_string() }),
    };
    Ok(json!({
        "number": entry.number,
        "position": entry.stamp.position.count(),
        "virtual_ns": entry.stamp.time.ns(),
        "source": source,
        "summary": summary,
        "detail": detail,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rrvmm_replay::{EndReason, Input as _, MachineDigest, Position, Stamp, VirtualTime};

    fn entry(body: Body) -> Entry {
        let stamp = Stamp::new(Position::from_count(1500), VirtualTime::from_ns(1_000_001_500));
        Entry { number: 4, stamp, body }
    }

    #[test]
    fn an_input_is_decoded() {
        let input = Input::Serial { port: 0, bytes: b"ls\n".to_vec() };
        let body =
            Body::Input { source: input.source().to_owned(), payload: codec::to_bytes(&input).unwrap() };
        let text = as_text(&entry(body.clone())).unwrap();
        assert!(text.starts_with("          1500       1.000001500 s  serial0   "), "{text:?}");
        let value = as_json(&entry(body)).unwrap();
        assert_eq!(value["position"], 1500);
        assert_eq!(value["detail"]["Serial"]["bytes"], json!([108, 115, 10]));
    }

    #[test]
    fn damaged_payloads_are_errors() {
        let body = Body::Input { source: "serial0".into(), payload: vec![0xFF; 3] };
        assert!(as_text(&entry(body)).is_err());
    }

    #[test]
    fn the_end_says_why() {
        let body = Body::End { reason: EndReason::PowerOff, digest: MachineDigest::default() };
        assert!(as_text(&entry(body.clone())).unwrap().ends_with("end       the guest powered off"));
        assert_eq!(as_json(&entry(body)).unwrap()["detail"]["reason"], "power-off");
    }
}
