//! What each kind of guest code costs, against QEMU's translator on the same guests:
//!
//!     cargo bench -p rrvmm-tests --bench micro -- [--rounds N] [--only TEXT] [--engine E] [--cpu] [--json]
//!
//! The guests are `tests/benches/guests/*.s`, built as the payloads are. In every round `rrvmm run`, `rrvmm record` and
//! QEMU run one after the other, so that what else the host does hits all alike; what is printed are medians, less the
//! median of a guest that does nothing. All three must print the same.

use anyhow::{Context as _, Result, ensure};
use rrvmm_tests::payloads::Payload;
use rrvmm_tests::run::{Guest, Process, has_program, qemu, rrvmm};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(300);
/// Exit status of the debug-exit port after a write of zero.
const DONE: i32 = 1;
/// The guest that does nothing.
const EMPTY: &str = "empty";
/// Ticks a second in `/proc` (a constant of Linux's interface on x86 and ARM).
const TICKS: f64 = 100.0;

struct Options {
    rounds: usize,
    only: String,
    engine: Option<String>,
    cpu: bool,
    json: bool,
}

impl Options {
    fn read() -> Result<Self> {
        let mut options = Self { rounds: 3, only: String::new(), engine: None, cpu: false, json: false };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--rounds" => options.rounds = value()?.parse()?,
                "--only" => options.only = value()?,
                "--engine" => options.engine = Some(value()?),
                "--cpu" => options.cpu = true,
                "--json" => options.json = true,
                // What `cargo bench` adds.
                "--bench" => {}
                other => anyhow::bail!("no option {other}"),
            }
        }
        ensure!(options.rounds > 0, "--rounds 0: nothing to take a median of");
        Ok(options)
    }
}

/// Seconds of one guest, a list of rounds for each of [`WHO`].
type Times = [Vec<f64>; 3];

const WHO: [&str; 3] = ["qemu", "run", "record"];

fn main() -> Result<()> {
    let options = Options::read()?;
    ensure!(has_program("qemu-system-x86_64"), "no qemu-system-x86_64 (Debian's qemu-system-x86)");
    let guests = guests(&options.only)?;
    let scratch = tempfile::tempdir()?;
    let mut times: Vec<Times> = guests.iter().map(|_| Times::default()).collect();
    for round in 0..options.rounds {
        for ((name, guest), times) in guests.iter().zip(&mut times) {
            eprintln!("round {} of {}: {name}", round + 1, options.rounds);
            let mut printed: Option<String> = None;
            for (who, times) in WHO.iter().zip(times.iter_mut()) {
                let (seconds, text) = run(who, guest, &options, scratch.path())?;
                times.push(seconds);
                let before = printed.get_or_insert_with(|| text.clone());
                ensure!(*before == text, "{name}: {who} printed {text:?}, {} {before:?}", WHO[0]);
            }
        }
    }
    report(&guests, &times, &options)
}

/// The guests by name, the one that does nothing first.
fn guests(only: &str) -> Result<Vec<(String, Guest)>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/guests");
    let mut sources = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "s") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            sources.push((name, path));
        }
    }
    sources.retain(|(name, _)| name == EMPTY || name.contains(only));
    sources.sort_by_key(|(name, _)| (name != EMPTY, name.clone()));
    sources.into_iter().map(|(name, path)| Ok((name, Payload::at(&path)?.build()?))).collect()
}

/// Seconds that one run took, and what the guest printed.
fn run(who: &str, guest: &Guest, options: &Options, scratch: &Path) -> Result<(f64, String)> {
    let command = match who {
        "qemu" => qemu(guest),
        verb => {
            let mut command = rrvmm([verb])?;
            command.args(guest.rrvmm_options());
            if let Some(engine) = &options.engine {
                command.args(["--engine", engine]);
            }
            if verb == "record" {
                command.arg("--force").arg("-o").arg(scratch.join("bench.rrvm"));
            }
            command
        }
    };
    measured(command, options.cpu)
}

fn measured(command: Command, cpu: bool) -> Result<(f64, String)> {
    let before = children()?;
    let outcome = Process::new(command).limit(LIMIT).run()?.exited(DONE)?;
    let spent = (children()? - before) / TICKS;
    let seconds = if cpu { spent } else { outcome.elapsed.as_secs_f64() };
    Ok((seconds, outcome.text()))
}

/// Processor time of all children that are over, in ticks: fields 16 and 17 of proc(5)'s stat.
fn children() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat").context("no /proc")?;
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(13).take(2);
    Ok(fields.map(|field| field.parse::<f64>().unwrap_or(0.0)).sum())
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    f64::midpoint(sorted[(n - 1) / 2], sorted[n / 2])
}

fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|v| v.ln()).sum::<f64>() / values.len() as f64).exp()
}

fn report(guests: &[(String, Guest)], times: &[Times], options: &Options) -> Result<()> {
    let medians: Vec<[f64; 3]> = times.iter().map(|t| [&t[0], &t[1], &t[2]].map(|t| median(t))).collect();
    let (start, rest) = medians.split_first().context("no guest")?;
    ensure!(!rest.is_empty(), "no guest has {:?} in its name", options.only);
    // A hundredth of a second is what can be told from nothing.
    let net: Vec<[f64; 3]> =
        rest.iter().map(|m| [0, 1, 2].map(|who| (m[who] - start[who]).max(0.01))).collect();
    let ratios = |who: usize| net.iter().map(|m| m[who] / m[0]).collect::<Vec<f64>>();
    let (run, record) = (ratios(1), ratios(2));
    let means = [geometric_mean(&run), geometric_mean(&record)];
    if options.json {
        let rows: Vec<_> = guests[1..]
            .iter()
            .zip(&net)
            .zip(run.iter().zip(&record))
            .map(|(((name, _), m), (run, record))| {
                json!({"guest": name, "qemu": m[0], "run": m[1], "record": m[2], "run/qemu": run, "record/qemu": record})
            })
            .collect();
        let all = json!({
            "seconds": if options.cpu { "cpu" } else { "wall" },
            "rounds": options.rounds,
            "start": {"qemu": start[0], "run": start[1], "record": start[2]},
            "guests": rows,
            "geometric_mean": {"run/qemu": means[0], "record/qemu": means[1]},
        });
        println!("{all}");
        return Ok(());
    }
    println!(
        "{:<18} {:>8} {:>8} {:>8} {:>10} {:>12}",
        "", "QEMU s", "run s", "record s", "run/QEMU", "record/QEMU"
    );
    let line = |name: &str, m: &[f64; 3], run: f64, record: f64| {
        println!("{name:<18} {:>8.3} {:>8.3} {:>8.3} {run:>10.2} {record:>12.2}", m[0], m[1], m[2]);
    };
    line("start and end", start, start[1] / start[0], start[2] / start[0]);
    for (((name, _), m), (run, record)) in guests[1..].iter().zip(&net).zip(run.iter().zip(&record)) {
        line(&name.replace('_', " "), m, *run, *record);
    }
    println!("{:<45} {:>10.2} {:>12.2}", "geometric mean", means[0], means[1]);
    Ok(())
}
