//! Recordings made under KVM: run once in the translator, which counts, and kept so.

use super::{args::Engine, open_file, open_journal, progress::Progress};
use anyhow::{Context, Result, ensure};
use rrvmm::accel::KVM;
use rrvmm::checkpoints::directory_of;
use rrvmm::host::image::Image;
use rrvmm::session::{Detail, events, is_of, is_unresolved, resolve};
use rrvmm::tell;
use rrvmm_devices::Input;
use rrvmm_replay::{JournalError, JournalReader, Position};
use std::fs::{self, File};
use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::sync::Arc;

/// Name of the counted recording in the directory of checkpoints.
const NAME: &str = "exact.rrvm";

/// Opens the recording at `path`; if its positions were never counted, counts them. `images` of its disks, by number, are for
/// what it does not have itself.
pub(super) fn open(path: &Path, images: &[Arc<Image>]) -> Result<BufReader<File>> {
    let mut file = open_file(path)?;
    // Whoever opens it whole says what is wrong with it.
    let is_counted = JournalReader::manifest_of(&mut file).map_or(true, |manifest| !is_unresolved(&manifest));
    if is_counted {
        return Ok(file);
    }
    let raw = JournalReader::open(file).with_context(|| format!("cannot use {}", path.display()))?;
    let directory = directory_of(path);
    let exact = directory.join(NAME);
    if let Ok(found) = open_file(&exact)
        && let Ok(found) = JournalReader::open(found)
        && is_of(&found, &raw)
    {
        return open_file(&exact);
    }
    tell!("rrvmm: {} was recorded under KVM; counting its instructions once", path.display());
    let making = || format!("cannot keep what was counted in {}; make room there", directory.display());
    fs::create_dir_all(&directory).with_context(making)?;
    let part = directory.join("exact.part");
    let out = BufWriter::new(File::create(&part).with_context(making)?);
    let s = raw.summary();
    let mut progress = Progress::through(s.landmarks + s.states + s.inputs + s.digests, "events", true);
    let resolved = resolve(raw, Engine::default().tcg(), images, out, |number| progress.reach(number));
    progress.finish();
    let (resolved, gaps) = resolved.with_context(|| format!("cannot use {}", path.display()))?;
    for gap in gaps {
        tell!("rrvmm: {gap}");
    }
    resolved.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(making)?;
    fs::rename(&part, &exact).with_context(making)?;
    open_file(&exact)
}

/// Refuses a recording of which the replay lacks something.
pub(super) fn ensure_whole(path: &Path) -> Result<()> {
    let mut journal = open_journal(path)?;
    if journal.manifest().engine != KVM {
        return Ok(());
    }
    let mut gaps = Vec::new();
    let all = Position::START..=Position::from_count(u64::MAX);
    events(&mut journal, all, |event| -> Result<(), JournalError> {
        if let Detail::Input(Input::State { what, .. }) = event.detail
            && gaps.last() != Some(&what)
        {
            gaps.push(what);
        }
        Ok(())
    })?;
    refuse(&gaps, path)
}

/// Refuses a recording with `gaps`.
pub(super) fn refuse(gaps: &[String], path: &Path) -> Result<()> {
    ensure!(gaps.is_empty(), "not everything in {} is replayed: {}", path.display(), gaps.join("; "));
    Ok(())
}
