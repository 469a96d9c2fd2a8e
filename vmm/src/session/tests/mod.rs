//! Sessions over a machine without a CPU and a host without a clock of its own.
#![allow(clippy::unwrap_used, reason = "a failed test is what it should be")]

mod fakes;

use std::io::{Cursor, Write};
use std::time::Duration;

use rrvmm_replay::{EndReason, JournalError, JournalReader, Position};

use super::*;
use fakes::{Echo, Played, Script, setup};

const PACED: Options = Options { until: None, timeout: None, pace: Pace::Host, states: None };

/// Records a run of the echo machine.
fn recorded(script: &mut Script, options: &Options) -> (Outcome, Vec<u8>, Echo) {
    let mut machine = Echo::new();
    if options.pace == Pace::Free {
        script.tick = Duration::from_micros(50);
    }
    let (outcome, file) = record(&mut machine, &setup(), "toy", Vec::new(), 1_000, script, options).unwrap();
    (outcome, file, machine)
}

fn replayed(file: &[u8]) -> Result<(Outcome, Vec<u8>), SessionError> {
    let recording = Recording::open(Cursor::new(file))?;
    assert_eq!(recording.setup(), &setup());
    let mut host = Played::default();
    let outcome = replay(&mut Echo::new(), recording, &mut host, &Options::default())?;
    Ok((outcome, host.shown))
}

fn info(file: &[u8]) -> Info {
    Info::of(&JournalReader::open(Cursor::new(file)).unwrap())
}

/// The inputs in `file` at `from` to `to`.
fn inputs(file: &[u8], from: u64, to: u64) -> Vec<Event> {
    let mut found = Vec::new();
    let mut journal = JournalReader::open(Cursor::new(file)).unwrap();
    let range = Position::from_count(from)..=Position::from_count(to);
    events::<_, JournalError>(&mut journal, range, |event| {
        found.push(event);
        Ok(())
    })
    .unwrap();
    found.retain(|event| matches!(event.detail, Detail::Input(_)));
    found
}

#[test]
fn a_replay_shows_what_the_recording_showed() {
    for options in [Options::default(), PACED] {
        for seed in 0..40 {
            let mut script = Script::typing(seed, 60);
            let (outcome, file, _) = recorded(&mut script, &options);
            assert_eq!(outcome.finish, Finish::Ended(EndReason::PowerOff));
            let (again, shown) = replayed(&file).unwrap();
            assert_eq!(again, outcome);
            assert_eq!(shown, script.shown);
            assert!(shown.len() > 60);
            let verified = verify(
                &mut Echo::new(),
                Recording::open(Cursor::new(&file[..])).unwrap(),
                &Options::default(),
            );
            assert_eq!(verified.unwrap(), outcome);
        }
    }
}

#[test]
fn an_input_cuts_a_paced_sleep_where_the_host_says() {
    let mut script = Script::new(vec![(Duration::from_micros(700), b"q".to_vec())]);
    let (_, file, _) = recorded(&mut script, &PACED);
    let found = inputs(&file, 0, u64::MAX);
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].device.as_str(), found[0].position), ("clock", 0));
    assert_eq!(found[1].device, "serial0");
    // The machine's first sleep begins after its third instruction and lasts until 1 ms; the key came 700 us into it.
    assert_eq!((found[1].position, found[1].virtual_ns), (3, 700_003));
    assert!(replayed(&file).is_ok());
}

#[test]
fn a_range_of_events() {
    let (_, file, _) = recorded(&mut Script::typing(1, 20), &Options::default());
    let count = |from, to| {
        let found = inputs(&file, from, to);
        assert!(found.iter().all(|event| (from..=to).contains(&event.position)));
        found.len()
    };
    let all = count(0, u64::MAX);
    assert!(count(0, 0) >= 1 && count(1, u64::MAX) < all);
    assert_eq!(count(0, 0) + count(1, 50) + count(51, u64::MAX), all);
}

#[test]
fn host_ends_are_recorded_and_replayed() {
    let until = Options { until: Some(Position::from_count(40)), ..Options::default() };
    let timeout = Options { timeout: Some(Duration::from_millis(20)), ..PACED };
    let quit = |at| {
        let mut script = Script::new(Vec::new());
        script.quit = Some(at);
        script
    };
    let cases = [
        (Script::typing(3, 1000), until, EndReason::Until),
        (Script::new(Vec::new()), timeout, EndReason::Timeout),
        (quit(Duration::from_millis(30)), PACED, EndReason::Quit),
    ];
    for (mut script, options, reason) in cases {
        let (outcome, file, _) = recorded(&mut script, &options);
        assert_eq!(outcome.finish, Finish::Stopped(reason));
        let (again, shown) = replayed(&file).unwrap();
        assert_eq!(again.finish, Finish::Ended(reason));
        assert_eq!((again.at, again.digest), (outcome.at, outcome.digest));
        assert_eq!(shown, script.shown);
        let info = info(&file);
        assert_eq!((info.complete, info.end), (true, Some(reason)));
    }
}

#[test]
fn a_guest_that_nothing_can_wake_is_at_its_end() {
    let mut script = Script::new(vec![(Duration::ZERO, b"z".to_vec())]);
    let (outcome, file, _) = recorded(&mut script, &Options::default());
    assert_eq!(outcome.finish, Finish::Stopped(EndReason::HaltedForever));
    assert!(outcome.cpus.is_some());
    assert_eq!(replayed(&file).unwrap().0.finish, Finish::Ended(EndReason::HaltedForever));
}

#[test]
fn a_triple_fault_is_reported_and_closes_the_recording() {
    let mut script = Script::new(vec![(Duration::ZERO, b"t".to_vec())]);
    let (outcome, file, _) = recorded(&mut script, &Options::default());
    assert_eq!(outcome.finish, Finish::Ended(EndReason::TripleFault));
    assert!(outcome.cpus.as_ref().is_some_and(|cpus| cpus.contains("echo")));
    assert_eq!(replayed(&file).unwrap().0, outcome);
}

#[test]
fn a_failing_engine_closes_the_recording() {
    let mut machine = Echo::new();
    let mut script = Script::new(vec![(Duration::ZERO, b"e".to_vec())]);
    let mut file = Vec::new();
    let result = record(&mut machine, &setup(), "toy", &mut file, 0, &mut script, &Options::default());
    assert!(matches!(result, Err(SessionError::Machine(_))));
    let info = info(&file);
    assert_eq!(info.end, Some(EndReason::EngineFault));
    assert_eq!(replayed(&file).unwrap().0.finish, Finish::Ended(EndReason::EngineFault));
}

#[test]
fn info_has_what_programs_rely_on() {
    let (outcome, file, _) = recorded(&mut Script::typing(7, 30), &Options::default());
    let json = serde_json::to_value(info(&file)).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!((&json["engine"], &json["machine"]), (&"toy".into(), &"pc".into()));
    assert_eq!(json["cpu_model"], "rrvmm-x86-v1");
    assert_eq!(json["instructions"], outcome.at.position.count());
    assert_eq!(json["virtual_ns"], outcome.at.time.ns());
    assert_eq!(json["digest"], outcome.digest.combined().to_string());
    assert_eq!(json["complete"], true);
    assert_eq!(json["events"].as_u64(), Some(inputs(&file, 0, u64::MAX).len() as u64));
    assert!(json["events"].as_u64().unwrap() > 2);
}

#[test]
fn a_cut_recording_replays_up_to_the_cut_and_says_so() {
    let (_, file, _) = recorded(&mut Script::typing(9, 200), &PACED);
    let mut cuts = 0;
    for length in (0..file.len()).step_by(37) {
        match replayed(&file[..length]) {
            Ok((outcome, _)) => match outcome.finish {
                Finish::Cut(cut) => {
                    cuts += 1;
                    assert!(cut.offset as usize <= length);
                    assert!(!info(&file[..length]).complete);
                }
                other => assert_eq!(other, Finish::Ended(EndReason::PowerOff)),
            },
            Err(SessionError::Journal(error)) => assert!(!error.to_string().is_empty()),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(cuts > 3, "{cuts}");
}

#[test]
fn a_full_disk_stops_the_recording_and_keeps_what_is_there() {
    struct Disk<'a>(&'a mut Vec<u8>, usize);
    impl Write for Disk<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let fits = bytes.len().min(self.1 - self.0.len());
            self.0.extend(&bytes[..fits]);
            if fits == 0 { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(fits) }
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut cut = 0;
    for room in (100..12_000).step_by(100) {
        let mut file = Vec::new();
        let disk = Disk(&mut file, room);
        let result = record(&mut Echo::new(), &setup(), "toy", disk, 0, &mut Script::typing(9, 200), &PACED);
        if result.is_ok() {
            assert!(cut > 3, "{cut}");
            return;
        }
        drop(result);
        if let Ok((outcome, _)) = replayed(&file) {
            assert!(matches!(outcome.finish, Finish::Cut(_) | Finish::Ended(_)));
            cut += 1;
        }
    }
    panic!("never enough room");
}

#[test]
fn a_run_without_a_recording_is_the_same_run() {
    let (mut one, mut two) = (Script::typing(5, 50), Script::typing(5, 50));
    let (outcome, _, _) = recorded(&mut one, &PACED);
    let plain = run(&mut Echo::new(), 1_000, &mut two, &PACED).unwrap();
    assert_eq!((plain, two.shown), (outcome, one.shown));
}
