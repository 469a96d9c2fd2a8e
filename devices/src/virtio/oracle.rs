//! Our rings against those of the crate `virtio-queue`, filled by its mock of a driver.

use super::queue::{Area, Queue, RingFeatures};
use super::{Chain, Segment};
use crate::dma::Memory;
use crate::dma::tests::Ram;
use proptest::prelude::*;
use virtio_queue::mock::MockSplitQueue;
use virtio_queue::{Queue as Other, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const RAM: usize = 0x1_0000;
/// Where the mock puts indirect tables.
const TABLES: u64 = 0x3000_0000;
const SIZE: u16 = 16;

/// What happens in a round: chains by length, in a table of their own or not; what the driver asks for; how many of the
/// chains the device gives back.
type Round = (Vec<(u16, bool)>, u16, u16, usize);

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let chain = (1u16..5, any::<bool>());
    let round = (prop::collection::vec(chain, 0..3), 0u16..20, 0u16..2, 0usize..4);
    prop::collection::vec(round, 1..12)
}

/// Memory as the mock wants it: rings from zero on, and indirect tables where it puts them.
#[derive(PartialEq)]
struct TwoPieces {
    low: Ram,
    tables: Ram,
}

impl Memory for TwoPieces {
    fn read(&mut self, addr: u64, bytes: &mut [u8]) -> bool {
        match addr.checked_sub(TABLES) {
            Some(at) => self.tables.read(at, bytes),
            None => self.low.read(addr, bytes),
        }
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) -> bool {
        match addr.checked_sub(TABLES) {
            Some(at) => self.tables.write(at, bytes),
            None => self.low.write(addr, bytes),
        }
    }
}

fn copy(memory: &GuestMemoryMmap) -> TwoPieces {
    let piece = |at| {
        let mut bytes = vec![0; RAM];
        memory.read_slice(&mut bytes, GuestAddress(at)).unwrap();
        Ram(bytes)
    };
    TwoPieces { low: piece(0), tables: piece(TABLES) }
}

fn segments(chain: &Chain) -> Vec<(Segment, bool)> {
    let readable = chain.readable.iter().map(|segment| (*segment, false));
    readable.chain(chain.writable.iter().map(|segment| (*segment, true))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_see_the_same_requests_and_leave_the_same_memory(rounds in rounds(), event_index: bool) {
        let memory = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), RAM), (GuestAddress(TABLES), RAM)]).unwrap();
        let mut driver = MockSplitQueue::create(&memory, GuestAddress(0), SIZE);
        let mut other: Other = driver.create_queue().unwrap();
        other.set_event_idx(event_index);
        let mut own = Queue::new(SIZE);
        own.set_area(Area::Descriptors, other.desc_table());
        own.set_area(Area::Available, other.avail_ring());
        own.set_area(Area::Used, other.used_ring());
        own.enable();
        let features = RingFeatures { indirect: true, event_index };
        let mut open = Vec::new();
        let mut descriptors = 0;
        for (chains, event, flags, give_back) in rounds {
            for (len, indirect) in chains {
                // The mock never uses a descriptor again.
                let takes = if indirect { 1 } else { len };
                if descriptors + takes > SIZE {
                    break;
                }
                descriptors += takes;
                let added = if indirect { driver.add_indirect_chain(len) } else { driver.add_chain(len) };
                prop_assert!(added.is_ok());
            }
            let available = other.avail_ring();
            memory.write_obj(event, GuestAddress(available + 4 + 2 * u64::from(SIZE))).unwrap();
            memory.write_obj(flags, GuestAddress(available)).unwrap();
            let mut ram = copy(&memory);
            while let Some(head) = own.pop(&mut ram, features).unwrap() {
                let chain = own.chain(&mut ram, features, head).unwrap();
                let theirs = other.pop_descriptor_chain(&memory).unwrap();
                prop_assert_eq!(head, theirs.head_index());
                let theirs: Vec<_> = theirs
                    .map(|d| (Segment { addr: d.addr().0, len: d.len() }, d.is_write_only()))
                    .collect();
                prop_assert_eq!(segments(&chain), theirs);
                open.push(head);
            }
            prop_assert!(other.pop_descriptor_chain(&memory).is_none());
            other.enable_notification(&memory).unwrap();
            for head in open.drain(..give_back.min(open.len())) {
                own.push(&mut ram, head, u32::from(head) + 7).unwrap();
                other.add_used(&memory, head, u32::from(head) + 7).unwrap();
            }
            let interrupts = own.interrupts(&mut ram, features).unwrap();
            if event_index {
                prop_assert_eq!(interrupts, other.needs_notification(&memory).unwrap());
            }
            prop_assert!(copy(&memory) == ram, "the used rings differ");
        }
    }
}
