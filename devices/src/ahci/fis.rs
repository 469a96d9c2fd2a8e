//! Frame information structures (Serial ATA 2.6, clause 10.3): commands as the host sends them, answers as they are left in
//! memory.

use crate::ata::Registers;

/// Bytes of a command FIS that mean anything.
pub(super) const COMMAND_BYTES: usize = 16;
const HOST_TO_DEVICE: u8 = 0x27;
const DEVICE_TO_HOST: u8 = 0x34;
const SET_DEVICE_BITS: u8 = 0xa1;
const PIO_SETUP: u8 = 0x5f;
/// Asks for an interrupt.
const INTERRUPT: u8 = 0x40;
/// Towards the host.
const TO_HOST: u8 = 0x20;

/// Where the answers go in a port's receive area.
pub(super) const PIO_SETUP_AT: u64 = 0x20;
/// See [`PIO_SETUP_AT`].
pub(super) const DEVICE_TO_HOST_AT: u64 = 0x40;
/// See [`PIO_SETUP_AT`].
pub(super) const SET_DEVICE_BITS_AT: u64 = 0x58;

/// What a host sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// A command.
    Command(u8),
    /// The device control register.
    Control(u8),
}

/// What `fis` says, with the registers set as it has them; none if it is not one that hosts send.
pub(super) fn receive(fis: &[u8; COMMAND_BYTES], regs: &mut Registers) -> Option<Sent> {
    let f = fis;
    if f[0] != HOST_TO_DEVICE {
        return None;
    }
    if f[1] & 0x80 == 0 {
        return Some(Sent::Control(f[15]));
    }
    regs.features = [f[3], f[11]];
    regs.count = [f[12], f[13]];
    regs.lba = [[f[4], f[8]], [f[5], f[9]], [f[6], f[10]]];
    regs.device = f[7];
    Some(Sent::Command(f[2]))
}

/// Register FIS from the drive.
pub(super) fn device_to_host(regs: &Registers) -> [u8; 20] {
    let mut fis = shadow(regs, DEVICE_TO_HOST, INTERRUPT);
    (fis[2], fis[3]) = (regs.status, regs.error);
    fis
}

/// PIO Setup FIS of the last data to the host, of `bytes` bytes.
pub(super) fn pio_setup(regs: &Registers, bytes: u64) -> [u8; 20] {
    let mut fis = shadow(regs, PIO_SETUP, INTERRUPT | TO_HOST);
    (fis[2], fis[3]) = (regs.status, regs.error);
    fis[15] = regs.status;
    fis[16..18].copy_from_slice(&(bytes as u16).to_le_bytes());
    fis
}

/// Set Device Bits FIS: these queued commands are done.
pub(super) fn set_device_bits(regs: &Registers, tags: u32) -> [u8; 8] {
    let mut fis = [SET_DEVICE_BITS, INTERRUPT, regs.status & 0x77, regs.error, 0, 0, 0, 0];
    fis[4..].copy_from_slice(&tags.to_le_bytes());
    fis
}

fn shadow(regs: &Registers, kind: u8, flags: u8) -> [u8; 20] {
    let mut fis = [0; 20];
    (fis[0], fis[1]) = (kind, flags);
    for (n, pair) in regs.lba.iter().enumerate() {
        (fis[4 + n], fis[8 + n]) = (pair[0], pair[1]);
    }
    fis[7] = regs.device;
    (fis[12], fis[13]) = (regs.count[0], regs.count[1]);
    fis
}
