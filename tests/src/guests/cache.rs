//! The cache outside the repository: one directory per entry, filled under a lock and put in place by a rename.

use anyhow::{Context as _, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How long an entry serves before the archive is asked for a newer one.
const FRESH_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// `$XDG_CACHE_HOME/rrvmm-guests`, else `$HOME/.cache/rrvmm-guests`, else a directory under the system's temporary one.
#[must_use]
pub fn directory() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    base.unwrap_or_else(std::env::temp_dir).join("rrvmm-guests")
}

/// Holds the cache against other processes until dropped.
pub struct Lock(#[allow(dead_code)] File);

/// Waits for the cache's lock.
///
/// # Errors
/// The cache directory or its lock file cannot be made.
pub fn lock() -> Result<Lock> {
    let path = directory().join("lock");
    fs::create_dir_all(directory()).with_context(|| format!("making {}", directory().display()))?;
    let file = File::create(&path).with_context(|| format!("opening {}", path.display()))?;
    file.lock().with_context(|| format!("locking {}", path.display()))?;
    Ok(Lock(file))
}

/// The entry `name`, filled by `fill` (which is handed an empty directory) when it is missing or older than a week.
///
/// # Errors
/// Nothing is cached and `fill` failed.
pub fn entry(name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let place = directory().join(name);
    let _lock = lock()?;
    let cached = place.is_dir();
    if cached && age(&place) < FRESH_FOR {
        return Ok(place);
    }
    match refill(&place, fill) {
        Ok(()) => Ok(place),
        Err(error) if cached => {
            eprintln!(
                "NOTICE: using the cached {} although it is old; refreshing it failed: {error:#}",
                place.display()
            );
            Ok(place)
        }
        Err(error) => Err(error),
    }
}

fn refill(place: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let scratch = tempfile::Builder::new().prefix("filling-").tempdir_in(directory())?;
    let filled = scratch.path().join("entry");
    fs::create_dir(&filled)?;
    fill(&filled)?;
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
    }
    if place.is_dir() {
        fs::rename(place, scratch.path().join("old"))?;
    }
    fs::rename(&filled, place).with_context(|| format!("putting {} in place", place.display()))
}

fn age(place: &Path) -> Duration {
    let changed = fs::metadata(place).and_then(|data| data.modified());
    changed.ok().and_then(|then| SystemTime::now().duration_since(then).ok()).unwrap_or(Duration::ZERO)
}
