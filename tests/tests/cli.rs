//! Transcripts of the command line: what a person types and sees. `TRYCMD=overwrite` takes new ones.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rrvmm_tests::run::{rrvmm, rrvmm_program};

#[test]
fn transcripts() {
    let program = rrvmm_program().unwrap();
    trycmd::TestCases::new().register_bin("rrvmm", program).case("tests/cmd/*.trycmd");
}

/// What `rrvmm doctor` looks at, on any host.
const LOOKED_AT: &str = "cpu jit kvm kvm-capabilities kvm-kind accel-auto pmu perf-event-paranoid huge-pages passt tap disk-space gdb terminal";

#[test]
fn the_doctor_answers_on_any_host() {
    let ask = |arguments: &[&str]| {
        let output = rrvmm(["doctor"]).unwrap().args(arguments).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let report: serde_json::Value = serde_json::from_str(&ask(&["--json"])).unwrap();
    assert!(report["version"].is_string());
    let findings = report["findings"].as_array().unwrap();
    let keys: Vec<_> = findings.iter().map(|finding| finding["key"].as_str().unwrap()).collect();
    assert_eq!(keys.join(" "), LOOKED_AT);
    for finding in findings {
        assert!(["ok", "limited", "missing"].contains(&finding["state"].as_str().unwrap()), "{finding}");
        assert!(
            finding["what"].is_string() && finding["found"].is_string() && finding["follows"].is_string()
        );
    }
    // The PMU clock never ran on hardware, and nobody is to believe otherwise.
    let pmu = &findings[keys.iter().position(|key| *key == "pmu").unwrap()];
    assert!(pmu["follows"].as_str().unwrap().contains("only been run against simulated counters"));
    assert_ne!(pmu["state"], "ok");
    let text = ask(&["/no/such/directory"]);
    assert!(
        text.contains("disk space") && text.contains("to change it: record to another directory"),
        "{text}"
    );
}
