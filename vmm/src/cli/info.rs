//! `rrvmm info`: what a recording is of and how far it goes.

use super::args::InfoArgs;
use super::output::grouped;
use rrvmm::disk::DiskInfo;
use rrvmm::session::{Info, MachineConfig};
use rrvmm_replay::JournalReader;
use rrvmm_replay::journal::{BlockTotals, Manifest, Summary};
use std::io::{Read, Seek, Write, stdout};
use std::process::ExitCode;

pub(super) fn print<R: Read + Seek>(journal: JournalReader<R>, args: &InfoArgs) -> anyhow::Result<ExitCode> {
    let out = stdout().lock();
    let (manifest, summary) = (journal.manifest(), journal.summary());
    if args.json {
        write_json(out, &Info::of(&journal))?
    } else {
        let config = serde_json::from_value(manifest.config.clone());
        let disks = config.map_or(Vec::new(), |config: MachineConfig| config.disks);
        let disks: Vec<_> = (0..).zip(disks).map(|(n, disk)| (disk, journal.block_totals(n))).collect();
        write_text(out, manifest, summary, &disks)?
    }
    Ok(ExitCode::SUCCESS)
}

fn write_json(mut out: impl Write, info: &Info) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut out, info).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

fn write_text(
    mut out: impl Write,
    manifest: &Manifest,
    summary: &Summary,
    disks: &[(DiskInfo, BlockTotals)],
) -> std::io::Result<()> {
    let mut row = |name: &str, value: String| writeln!(out, "{:<14}{value}", format!("{name}:"));
    row("recorded by", format!("{} ({})", manifest.recorder, manifest.engine))?;
    row("machine", format!("{}, {}", manifest.machine, manifest.cpu_model))?;
    for file in &manifest.attachments {
        row(&file.name, format!("{} bytes, {}", grouped(file.length), file.digest))?;
    }
    for (n, (disk, has)) in disks.iter().enumerate() {
        row(&format!("disk{n}"), disk_line(disk, has))?;
    }
    if let Some(position) = manifest.config["live_from"].as_u64() {
        row("live from", format!("position {}, a recorded run before", grouped(position)))?;
    }
    row("instructions", grouped(summary.last.position.count()))?;
    row("guest time", summary.last.time.to_string())?;
    row("events", grouped(summary.inputs))?;
    row("digests", grouped(summary.digests))?;
    if let Some((stamp, digest)) = &summary.digest {
        row("digest", format!("{} at position {}", digest.combined(), stamp.position))?;
    }
    match (&summary.end, &summary.cut) {
        (Some(end), _) => row("end", end.to_string()),
        (None, Some(cut)) => row("incomplete", cut.to_string()),
        (None, None) => row("incomplete", "the recording has no end".to_owned()),
    }
}

/// What a recording says of a disk, and has of it.
fn disk_line(disk: &DiskInfo, has: &BlockTotals) -> String {
    let mut line = format!("{} bytes, {}, {}", grouped(disk.bytes), disk.format, disk.file);
    if disk.read_only {
        line.push_str(", read-only");
    }
    for (count, what) in [
        (has.embedded, "embedded"),
        (has.zeros, "of zeros"),
        (has.hashed, "by their hashes: --disk needed to replay"),
        (has.unreadable, "unreadable"),
    ] {
        if count > 0 {
            line.push_str(&format!("; {} blocks {what}", grouped(count)));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use rrvmm::host::image::Format;
    use rrvmm_replay::{EndReason, MachineDigest, Position, Stamp, VirtualTime};

    fn manifest() -> Manifest {
        Manifest {
            recorder: "rrvmm 0.1.0".into(),
            engine: "interp".into(),
            cpu_model: "rrvmm-x86-v1".into(),
            machine: "pc".into(),
            config: serde_json::json!({"memory_bytes": 1024}),
            attachments: Vec::new(),
        }
    }

    fn summary() -> Summary {
        let last = Stamp::new(Position::from_count(1_234_567), VirtualTime::from_ns(2_000_000_001));
        let digest = Some((last, MachineDigest::default()));
        Summary {
            inputs: 3,
            landmarks: 0,
            states: 0,
            digests: 7,
            last,
            digest,
            end: Some(EndReason::Reset),
            cut: None,
        }
    }

    #[test]
    fn the_documented_keys_are_there() {
        let mut out = Vec::new();
        write_json(&mut out, &Info::new(1, &manifest(), &summary())).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        for key in
            "version engine cpu_model machine instructions virtual_ns events digest complete".split(' ')
        {
            assert!(!value[key].is_null(), "{key}");
        }
        assert_eq!(value["instructions"], 1_234_567);
        assert_eq!(value["complete"], true);
        assert_eq!(value["end"], "reset");
    }

    #[test]
    fn people_see_where_it_ends() {
        let mut out = Vec::new();
        let disk = DiskInfo {
            file: "a.img".into(),
            format: Format::Raw,
            bytes: 4096,
            modified: 0,
            read_only: true,
            embedded: true,
        };
        let disks = [(disk, BlockTotals { embedded: 1, ..BlockTotals::default() })];
        write_text(&mut out, &manifest(), &summary(), &disks).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("instructions: 1,234,567\n"), "{text}");
        assert!(
            text.contains("disk0:        4,096 bytes, raw, a.img, read-only; 1 blocks embedded\n"),
            "{text}"
        );
        assert!(text.contains("guest time:   2.000000001 s\n"), "{text}");
        assert!(text.ends_with("end:          the guest reset the machine\n"), "{text}");
        let mut out = Vec::new();
        write_text(&mut out, &manifest(), &Summary { end: None, ..summary() }, &[]).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("incomplete:"));
    }
}
