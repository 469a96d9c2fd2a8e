//! Recordings made under KVM: run once in the translator, which counts, and kept so.

use super::{args::Engine, open_file, progress::Progress};
use anyhow::{Context, Result};
use rrvmm::checkpoints::directory_of;
use rrvmm::session::{is_of, is_unresolved, resolve};
use rrvmm::tell;
use rrvmm_replay::{JournalReader, Position};
use std::fs::{self, File};
use std::io::{BufReader, BufWriter};
use std::path::Path;

/// Name of the counted recording in the directory of checkpoints.
const NAME: &str = "exact.rrvm";

/// Opens the recording at `path`; if its positions were never counted, counts them.
pub(super) fn open(path: &Path) -> Result<BufReader<File>> {
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
    let entries = raw.summary().landmarks + raw.summary().inputs + raw.summary().digests;
    let mut progress = Progress::towards(Position::from_count(entries), true);
    let resolved =
        resolve(raw, Engine::default().tcg(), &[], out, |number| progress.at(Position::from_count(number)));
    progress.finish();
    let resolved = resolved.with_context(|| format!("cannot use {}", path.display()))?;
    resolved.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(making)?;
    fs::rename(&part, &exact).with_context(making)?;
    open_file(&exact)
}
