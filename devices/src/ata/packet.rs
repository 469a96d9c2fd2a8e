//! Packet commands of a CD-ROM drive (MMC-5, SPC-3; ATA/ATAPI-7 volume 1, clause 9.8).

use super::DISC_BLOCK;
use super::drive::Drive;
use super::registers::status;
use serde::{Deserialize, Serialize};

/// Bytes of a packet.
pub const PACKET_BYTES: usize = 12;

/// Why the last packet command came to nothing: sense key, additional sense code and its qualifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sense {
    key: u8,
    code: u8,
    qualifier: u8,
}

const MEDIUM_ERROR: Sense = Sense { key: 3, code: 0x11, qualifier: 0 };
const INVALID_COMMAND: Sense = Sense { key: 5, code: 0x20, qualifier: 0 };
const BEYOND_THE_END: Sense = Sense { key: 5, code: 0x21, qualifier: 0 };
const INVALID_FIELD: Sense = Sense { key: 5, code: 0x24, qualifier: 0 };

/// What a packet command comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// It is done, or refused; the registers say so.
    Done,
    /// These bytes go to the host.
    In(Vec<u8>),
    /// Blocks of the disc go to the host.
    Blocks {
        /// The first.
        first: u64,
        /// How many.
        count: u32,
    },
}

impl Drive {
    /// Takes a packet.
    pub fn packet(&mut self, packet: &[u8; PACKET_BYTES]) -> Packet {
        let command = packet[0];
        let length16 = usize::from(u16::from_be_bytes([packet[7], packet[8]]));
        if command != 0x03 {
            self.sense = Sense::default();
        }
        match command {
            // TEST UNIT READY, START STOP UNIT, PREVENT ALLOW MEDIUM REMOVAL, SEEK, SYNCHRONIZE CACHE, SET CD SPEED
            0x00 | 0x1b | 0x1e | 0x2b | 0x35 | 0xbb => self.packet_done(),
            0x03 => {
                let sense = std::mem::take(&mut self.sense);
                let mut data = vec![0; 18];
                data[..3].copy_from_slice(&[0x70, 0, sense.key]);
                data[7] = 10;
                data[12..14].copy_from_slice(&[sense.code, sense.qualifier]);
                self.give(data, packet[4].into())
            }
            0x12 => self.give(inquiry(), usize::from(u16::from_be_bytes([packet[3], packet[4]]))),
            0x25 => {
                let last = self.last_block().to_be_bytes();
                self.give([last, (DISC_BLOCK as u32).to_be_bytes()].concat(), 8)
            }
            0x28 => self.blocks(packet, length16 as u32),
            0xa8 => {
                let count = u32::from_be_bytes([packet[6], packet[7], packet[8], packet[9]]);
                self.blocks(packet, count)
            }
            // READ CD: the user's data of a block, or nothing of it.
            0xbe => {
                let count = u32::from_be_bytes([0, packet[6], packet[7], packet[8]]);
                match packet[9] & 0xf8 {
                    0 => self.packet_done(),
                    0x10 => self.blocks(packet, count),
                    _ => self.refuse_packet(INVALID_FIELD),
                }
            }
            0x42 => self.give(vec![0, 0x15, 0, 0], length16),
            0x43 => match self.table_of_contents(packet) {
                Some(data) => self.give(data, length16),
                None => self.refuse_packet(INVALID_FIELD),
            },
            0x46 => self.give(configuration(packet), length16),
            0x4a => match events(packet) {
                Some(data) => self.give(data, length16),
                None => self.refuse_packet(INVALID_FIELD),
            },
            0x51 => self.give(disc_information(), length16),
            0x5a => match mode_sense(packet[2] & 0x3f, 8) {
                Some(data) => self.give(data, length16),
                None => self.refuse_packet(INVALID_FIELD),
            },
            0x1a => match mode_sense(packet[2] & 0x3f, 4) {
                Some(data) => self.give(data, packet[4].into()),
                None => self.refuse_packet(INVALID_FIELD),
            },
            0xbd => self
                .give(vec![0, 0, 0, 0, 0, 1, 0, 0], usize::from(u16::from_be_bytes([packet[8], packet[9]]))),
            _ => self.refuse_packet(INVALID_COMMAND),
        }
    }

    /// Ends a packet command well.
    pub fn packet_finished(&mut self) {
        self.done();
        self.regs.count[0] = 3;
    }

    /// Ends a packet command whose disc cannot be read.
    pub fn packet_failed(&mut self) {
        self.refuse_packet(MEDIUM_ERROR);
    }

    fn packet_done(&mut self) -> Packet {
        self.packet_finished();
        Packet::Done
    }

    fn refuse_packet(&mut self, sense: Sense) -> Packet {
        self.sense = sense;
        self.fail(sense.key << 4);
        self.regs.status &= !status::DSC;
        self.regs.count[0] = 3;
        Packet::Done
    }

    fn give(&mut self, mut data: Vec<u8>, limit: usize) -> Packet {
        data.truncate(limit);
        if data.is_empty() {
            return self.packet_done();
        }
        Packet::In(data)
    }

    fn blocks(&mut self, packet: &[u8; PACKET_BYTES], count: u32) -> Packet {
        let first = u64::from(u32::from_be_bytes([packet[2], packet[3], packet[4], packet[5]]));
        if count == 0 {
            return self.packet_done();
        }
        if first + u64::from(count) > self.disc_blocks() {
            return self.refuse_packet(BEYOND_THE_END);
        }
        Packet::Blocks { first, count }
    }

    fn last_block(&self) -> u32 {
        self.disc_blocks().saturating_sub(1).min(u32::MAX.into()) as u32
    }

    /// READ TOC/PMA/ATIP: one data track and the lead-out.
    fn table_of_contents(&self, packet: &[u8; PACKET_BYTES]) -> Option<Vec<u8>> {
        let format = if packet[2] & 0xf == 0 { packet[9] >> 6 } else { packet[2] & 0xf };
        let in_minutes = packet[1] & 2 != 0;
        let end = self.last_block().saturating_add(1);
        let address = |block: u32| if in_minutes { minutes(block) } else { block.to_be_bytes() };
        let entries: Vec<u8> = match format {
            0 => {
                let track = [&[0, 0x14, 1, 0][..], &address(0)].concat();
                let lead_out = [&[0, 0x16, 0xaa, 0][..], &address(end)].concat();
                match packet[6] {
                    0 | 1 => [track, lead_out].concat(),
                    0xaa => lead_out,
                    _ => return None,
                }
            }
            1 => [&[0, 0x14, 1, 0][..], &address(0)].concat(),
            2 => {
                let point =
                    |point: u8, place: [u8; 4]| [&[1, 0x14, 0, point, 0, 0, 0, 0][..], &place[1..]].concat();
                let first = point(0xa0, [0, 1, 0, 0]);
                [first, point(0xa1, [0, 1, 0, 0]), point(0xa2, minutes(end)), point(1, minutes(0))].concat()
            }
            _ => return None,
        };
        let length = (entries.len() as u16 + 2).to_be_bytes();
        Some([&length[..], &[1, 1], &entries].concat())
    }
}

/// A block's place in minutes, seconds and frames, with the two seconds that come before block 0.
fn minutes(block: u32) -> [u8; 4] {
    let frames = block.saturating_add(150);
    [0, (frames / (75 * 60)) as u8, (frames / 75 % 60) as u8, (frames % 75) as u8]
}

fn inquiry() -> Vec<u8> {
    let mut data = vec![5, 0x80, 0, 0x21, 31, 0, 0, 0];
    data.extend(b"RRVMM   DVD-ROM         1.0 ");
    data
}

/// GET CONFIGURATION: a CD-ROM or DVD-ROM drive with the first of them in it.
fn configuration(packet: &[u8; PACKET_BYTES]) -> Vec<u8> {
    let features: [&[u8]; 4] = [
        // Profiles: CD-ROM (current), DVD-ROM.
        &[0, 0, 0x03, 8, 0, 0x10, 0, 0, 0, 0x08, 1, 0],
        // Core: ATAPI.
        &[0, 1, 0x0b, 8, 0, 0, 0, 2, 1, 0, 0, 0],
        // Removable medium: a tray.
        &[0, 3, 0x03, 4, 0x29, 0, 0, 0],
        // Random readable: blocks of 2048 bytes.
        &[0, 0x10, 0x03, 8, 0, 0, 8, 0, 0, 1, 0, 0],
    ];
    let wanted = u16::from_be_bytes([packet[2], packet[3]]);
    let number = |feature: &[u8]| u16::from_be_bytes([feature[0], feature[1]]);
    let chosen = features.iter().filter(|feature| match packet[1] & 3 {
        2 => number(feature) == wanted,
        _ => number(feature) >= wanted,
    });
    let body: Vec<u8> = chosen.flat_map(|feature| feature.iter().copied()).collect();
    let length = (body.len() as u32 + 4).to_be_bytes();
    [&length[..], &[0, 0, 0, 0x08], &body].concat()
}

/// GET EVENT STATUS NOTIFICATION, when asked and not told: the medium is there, and nothing is new.
fn events(packet: &[u8; PACKET_BYTES]) -> Option<Vec<u8>> {
    let polled = packet[1] & 1 != 0;
    let media = 1 << 4;
    polled.then(|| {
        if packet[4] & media != 0 { vec![0, 6, 4, media, 0, 2, 0, 0] } else { vec![0, 2, 0x80, media] }
    })
}

/// READ DISC INFORMATION: a finished disc of one session and one track.
fn disc_information() -> Vec<u8> {
    let mut data = vec![0; 34];
    data[..8].copy_from_slice(&[0, 32, 0x0e, 1, 1, 1, 1, 0x20]);
    data
}

/// MODE SENSE, with a header of `header` bytes.
fn mode_sense(page: u8, header: usize) -> Option<Vec<u8>> {
    let recovery: &[u8] = &[0x01, 6, 0, 5, 0, 0, 0, 0];
    // Reads CD-R, CD-RW, DVD; mode 2; a tray that can be locked; 256 KiB of buffer; 706 kB/s.
    let capabilities: &[u8] =
        &[0x2a, 0x12, 0x3b, 0, 0x71, 0x60, 0x29, 0, 2, 0xc2, 0, 2, 1, 0, 2, 0xc2, 0, 0, 0, 0];
    let pages = match page {
        0x01 => recovery.to_vec(),
        0x2a => capabilities.to_vec(),
        0x3f => [recovery, capabilities].concat(),
        _ => return None,
    };
    let mut data = vec![0; header];
    data.extend(pages);
    let length = data.len();
    if header == 8 {
        data[..2].copy_from_slice(&(length as u16 - 2).to_be_bytes());
        data[2] = 0x01;
    } else {
        data[..2].copy_from_slice(&[length as u8 - 1, 0x01]);
    }
    Some(data)
}

#[cfg(test)]
mod tests {
    use super::super::{AtaDrive, Media};
    use super::*;

    fn drive() -> Drive {
        Drive::new(AtaDrive { disk: 0, media: Media::Disc, sectors: 4 * 1000, serial: false })
    }

    fn packet(bytes: &[u8]) -> [u8; PACKET_BYTES] {
        let mut packet = [0; PACKET_BYTES];
        packet[..bytes.len()].copy_from_slice(bytes);
        packet
    }

    #[test]
    fn the_disc_is_read_and_no_further() {
        let mut drive = drive();
        assert_eq!(drive.packet(&packet(&[0x25])), Packet::In(vec![0, 0, 3, 0xe7, 0, 0, 8, 0]));
        let read =
            |first: u16, count: u8| packet(&[0x28, 0, 0, 0, (first >> 8) as u8, first as u8, 0, 0, count]);
        assert_eq!(drive.packet(&read(990, 10)), Packet::Blocks { first: 990, count: 10 });
        assert_eq!(drive.packet(&read(990, 11)), Packet::Done);
        assert_eq!((drive.regs.status & status::ERR, drive.regs.error), (1, 0x50));
        let Packet::In(sense) = drive.packet(&packet(&[3, 0, 0, 0, 18])) else { panic!() };
        assert_eq!((sense[2], sense[12]), (5, 0x21));
        let Packet::In(sense) = drive.packet(&packet(&[3, 0, 0, 0, 18])) else { panic!() };
        assert_eq!(sense[2], 0, "told once");
    }

    #[test]
    fn the_table_of_contents_ends_where_the_disc_does() {
        let Packet::In(toc) = drive().packet(&packet(&[0x43, 0, 0, 0, 0, 0, 0, 1, 0])) else { panic!() };
        assert_eq!(toc, [0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x16, 0xaa, 0, 0, 0, 3, 0xe8]);
        let Packet::In(toc) = drive().packet(&packet(&[0x43, 2, 0, 0, 0, 0, 0xaa, 1, 0])) else { panic!() };
        assert_eq!(toc[8..], [0, 0, 15, 25]);
    }
}
