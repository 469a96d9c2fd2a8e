//! Values of options that are more than a word.

use rrvmm_replay::Position;
use std::path::PathBuf;
use std::time::Duration;

/// A `--module`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Module {
    pub path: PathBuf,
    /// Its command line; none if there is no comma.
    pub cmdline: Option<String>,
}

pub(super) fn module(text: &str) -> Result<Module, String> {
    let (path, cmdline) = match text.split_once(',') {
        Some((path, cmdline)) => (path, Some(cmdline.to_owned())),
        None => (text, None),
    };
    if path.is_empty() {
        return Err("write FILE or FILE,TEXT".to_owned());
    }
    Ok(Module { path: path.into(), cmdline })
}

/// A count of instructions: digits, which may be grouped with `_` or `,`.
pub(super) fn position(text: &str) -> Result<Position, String> {
    let digits: String = text.chars().filter(|c| !matches!(c, '_' | ',')).collect();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("a position is a count of instructions, for example 1500000 or 1_500_000".to_owned());
    }
    digits.parse().map(Position::from_count).map_err(|_| "a position has at most 64 bits".to_owned())
}

/// A time: digits with a unit `ms`, `s`, `m` or `h`; seconds without one.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let milliseconds = match unit {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("write a number with a unit ms, s, m or h, for example 60s".to_owned()),
    };
    let number: u64 =
        number.parse().map_err(|_| "write a number with a unit ms, s, m or h, for example 60s".to_owned())?;
    number.checked_mul(milliseconds).map(Duration::from_millis).ok_or_else(|| "that is too long".to_owned())
}

/// How far apart checkpoints are; none for no checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Every(pub Option<Duration>);

/// A [`timeout`], or `none`; 0 is none too.
pub(super) fn every(text: &str) -> Result<Every, String> {
    if text == "none" {
        return Ok(Every(None));
    }
    let time = timeout(text).map_err(|error| format!("{error}, or none"))?;
    Ok(Every(Some(time).filter(|time| !time.is_zero())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read() {
        assert_eq!(module("a,b,c").unwrap(), Module { path: "a".into(), cmdline: Some("b,c".into()) });
        assert_eq!(module("a").unwrap(), Module { path: "a".into(), cmdline: None });
        assert_eq!(position("1_500,000").unwrap(), Position::from_count(1_500_000));
        assert_eq!(timeout("60s").unwrap(), Duration::from_secs(60));
        assert_eq!(every("500ms").unwrap(), Every(Some(Duration::from_millis(500))));
        assert_eq!((every("none").unwrap(), every("0").unwrap()), (Every(None), Every(None)));
        assert!(every("never").is_err());
        assert_eq!(timeout("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(timeout("2h").unwrap(), Duration::from_secs(7200));
        assert_eq!(timeout("5").unwrap(), Duration::from_secs(5));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(module(",b").is_err());
        for text in ["", "-1", "1.5", "0x10", "99999999999999999999"] {
            assert!(position(text).is_err(), "{text:?}");
        }
        for text in ["", "s", "-5s", "5 s", "1d", "99999999999999999h"] {
            assert!(timeout(text).is_err(), "{text:?}");
        }
    }
}
