//! Transcripts of the command line: what a person types and sees. `TRYCMD=overwrite` takes new ones.

#[test]
fn transcripts() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
