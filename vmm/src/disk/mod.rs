//! The disks of a machine: what is on them is part of its state, beside RAM.

use rrvmm_devices::dma::{self, DiskFault};

/// The contents of a machine's disks.
#[derive(Debug, Default)]
pub struct Disks {}

impl dma::Disks for Disks {
    fn len(&self, _disk: usize) -> u64 {
        0
    }

    fn read(&mut self, _disk: usize, _offset: u64, _bytes: &mut [u8]) -> Result<(), DiskFault> {
        Err(DiskFault::OutOfRange)
    }

    fn write(&mut self, _disk: usize, _offset: u64, _bytes: &[u8]) -> Result<(), DiskFault> {
        Err(DiskFault::OutOfRange)
    }
}
