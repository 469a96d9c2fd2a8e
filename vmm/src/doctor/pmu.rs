//! Performance counters.

use super::{Finding, Root};
use crate::pmu::{
    Event, ONLY_SIMULATED, OverflowSignal, PerfCounter, PmuError, Quality, Verdict, most_reliable,
};

const KEY: &str = "pmu";
const WHAT: &str = "PMU";

/// Whether guests' instructions can be counted, and how well.
pub(super) fn counters(root: &Root) -> Finding {
    // On a thread of its own, since it blocks a signal there.
    let tried = std::thread::scope(|scope| scope.spawn(try_counters).join());
    let Ok((opened, found)) = tried else {
        return none("looking for counters failed".to_owned());
    };
    match opened {
        Ok(chosen) => with_counters(root, found, chosen),
        Err(error) => {
            let finding = none(error.to_string());
            match error {
                PmuError::Denied => finding.change("as root: sysctl kernel.perf_event_paranoid=2"),
                PmuError::Displaced => finding.change("as root: sysctl kernel.nmi_watchdog=0"),
                _ => finding,
            }
        }
    }
}

fn none(why: String) -> Finding {
    Finding::missing(KEY, WHAT, format!("none here: {why}"))
        .follows(format!(
            "places in user code under KVM are found by state alone: as exact, only slower to find again; {ONLY_SIMULATED}"
        ))
        .change("use a host with hardware counters, or have its hypervisor pass them on (KVM: a vPMU)")
}

/// `chosen` is what sessions count.
fn with_counters(root: &Root, found: String, chosen: Option<Event>) -> Finding {
    let hybrid = root.exists("/sys/bus/event_source/devices/cpu_atom");
    let found = if hybrid { format!("{found}; cores of two kinds") } else { found };
    let follows = match chosen {
        Some(event) => format!(
            "recording and replaying under KVM find places in user code sooner by counting {}, never at a wrong one",
            event.name()
        ),
        None => "recording and replaying under KVM use none: places in user code are found by state alone, as exact, only slower to find again".to_owned(),
    };
    let finding = Finding::limited(KEY, WHAT, found)
        .follows(format!("{follows}; {ONLY_SIMULATED}, and what stands here is its first run"));
    if hybrid {
        finding.change("keep rrvmm on cores of one kind: taskset -c CORES rrvmm ...")
    } else {
        finding
    }
}

/// Which of the events sessions count, or what stands in the way of any; and how well each can be counted.
fn try_counters() -> (Result<Option<Event>, PmuError>, String) {
    let (mut all, mut verdicts) = (Vec::new(), Vec::new());
    let mut error = None;
    for event in Event::ALL {
        match PerfCounter::open(event, OverflowSignal::new()) {
            Ok(counter) => {
                let (verdict, text) = worth(counter);
                all.push(format!("{}: {text}", event.name()));
                verdicts.extend(verdict.map(|verdict| (verdict, event)));
            }
            Err(refused) => {
                error.get_or_insert(refused);
            }
        }
    }
    match error {
        Some(error) if all.is_empty() => (Err(error), String::new()),
        _ => (Ok(most_reliable(verdicts)), all.join("; ")),
    }
}

#[cfg(target_arch = "x86_64")]
fn worth(counter: PerfCounter) -> (Option<Verdict>, String) {
    match crate::pmu::try_out(counter) {
        Ok((quality, _)) => (Some(quality.verdict), describe(&quality)),
        Err(error) => (None, format!("can be opened; not measured, since {}", chain(&error))),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn worth(_: PerfCounter) -> (Option<Verdict>, String) {
    (None, "can be opened; not measured on this processor".to_owned())
}

#[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "nothing is measured"))]
fn describe(quality: &Quality) -> String {
    let skids = quality.skids.summary();
    let worth = match quality.verdict {
        Verdict::Exact => "exact".to_owned(),
        Verdict::Inexact { slack } => format!("inexact by up to {slack}"),
        Verdict::Unusable(fault) => format!("unusable, since {fault}"),
    };
    format!(
        "{worth} (skid {} usually, {} in 99.9 %, {} at most of {}; {} lost)",
        skids.p50, skids.p999, skids.most, skids.samples, quality.lost
    )
}

#[cfg(target_arch = "x86_64")]
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", chain(cause)),
        None => error.to_string(),
    }
}

/// What the kernel lets users without privileges count.
pub(super) fn paranoid(root: &Root) -> Finding {
    let (key, what) = ("perf-event-paranoid", "perf_event_paranoid");
    match root.number("/proc/sys/kernel/perf_event_paranoid") {
        Some(level @ ..=2) => Finding::ok(key, what, level.to_string()).follows(
            "every user may count what guests of their own retire in user mode, where there are counters",
        ),
        Some(level) => Finding::limited(key, what, level.to_string())
            .follows("only root, or who has CAP_PERFMON, may count")
            .change("as root: sysctl kernel.perf_event_paranoid=2"),
        None => Finding::missing(key, what, "not there")
            .follows("this kernel has no performance counters")
            .change("use a kernel with CONFIG_PERF_EVENTS"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::super::tests::root_with;
    use super::*;

    #[test]
    fn levels_above_two_keep_users_from_counting() {
        let name = "/proc/sys/kernel/perf_event_paranoid";
        for (text, state) in [("-1\n", State::Ok), ("2\n", State::Ok), ("4\n", State::Limited)] {
            let (_directory, root) = root_with(&[(name, text)]);
            assert_eq!(paranoid(&root).state, state);
        }
    }

    #[test]
    fn what_never_ran_on_hardware_is_not_called_good() {
        let (_directory, root) = root_with(&[("/sys/bus/event_source/devices/cpu_atom/type", "10")]);
        for chosen in [Some(Event::Instructions), Some(Event::ConditionalBranches), None] {
            let finding = with_counters(&root, "exact".to_owned(), chosen);
            assert_eq!(finding.state, State::Limited);
            assert!(finding.follows.contains(ONLY_SIMULATED) && finding.change.is_some());
            for event in Event::ALL {
                assert_eq!(finding.follows.contains(event.name()), chosen == Some(event));
            }
        }
        assert!(none("x".to_owned()).follows.contains(ONLY_SIMULATED));
    }
}
