//! Randomness: taken once, before a machine starts, and kept in the recording.

use super::HostError;
use std::fs::File;
use std::io::Read;

/// 32 bytes that nobody can guess.
///
/// # Errors
/// The host has none.
pub fn random_seed() -> Result<[u8; 32], HostError> {
    let mut seed = [0; 32];
    let source = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut seed));
    source.map_err(HostError::Random)?;
    Ok(seed)
}
