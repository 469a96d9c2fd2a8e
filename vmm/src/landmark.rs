//! Places in a run whose instructions were not all counted.
//!
//! The kernel's instructions are counted, user code's under KVM are not. What is known at every moment is how often the
//! CPU has entered user mode. A place is that number and the instructions since the CPU came to the kernel or to user code,
//! as long as these were counted. In user code of which a part was not, it is that number, the registers, and the pages
//! that this part has written: a loop whose registers repeat is told apart by what it changes. Where these are the same
//! and the pages are all, so is everything else, and it does not matter which place is found.

use crate::accel::Accelerator;
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Register};
use rrvmm_replay::{Digest, codec};
use rrvmm_tcg::x86::{State, state::gpr};
use serde::{Deserialize, Serialize};

/// Instructions whose operands are looked at, on each of so many ways.
const AHEAD: usize = 16;
const MOST_WAYS: usize = 3;
/// Most bytes of them.
const CODE: usize = AHEAD * 15;
/// Most pages that are remembered as written.
pub const MOST_WRITTEN: usize = 128;

/// A place in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landmark {
    /// Entries into user mode so far.
    pub entries: u64,
    /// Where since the last.
    pub place: Place,
}

/// Where, since the last entry into user mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// In the kernel, after so many instructions of it.
    Kernel {
        /// Instructions.
        since: u64,
    },
    /// In user code of which a part was not counted.
    User(Box<User>),
    /// In user code, after so many instructions of it.
    Counted {
        /// Instructions.
        since: u64,
    },
    /// As [`Place::User`], where a performance counter has counted conditional branches since the place before this.
    Branches {
        /// What is there.
        user: Box<User>,
        /// The branches, as [`Least::branches`].
        least: u64,
    },
}

/// How far a place is at least from the one before, or from where user mode was entered: there may have been more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Least {
    /// Instructions, as far as they were counted, by the translator or a performance counter.
    pub instructions: u64,
    /// Conditional branches that a performance counter has counted. Each is an instruction, and among those.
    pub branches: u64,
}

impl Least {
    /// What is left of it behind so many instructions, each of which may have been a branch.
    #[must_use]
    pub fn behind(self, instructions: u64) -> Self {
        let left = |all: u64| all.saturating_sub(instructions);
        Self { instructions: left(self.instructions), branches: left(self.branches) }
    }
}

/// What is there in user code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// General registers.
    pub regs: [u64; 16],
    /// Instruction pointer.
    pub rip: u64,
    /// RFLAGS. The manual leaves some bits undefined after some instructions, so they are no part of the comparison.
    pub rflags: u64,
    /// FPU and SSE registers.
    pub fpu: Digest,
    /// Linear addresses of what the next instructions use, and the eight bytes there.
    pub operands: Vec<(u64, u64)>,
    /// The pages that it lies in, and that of the stack.
    pub memory: Digest,
    /// Pages of RAM written since the place before this: physical address and what [`content`] makes of it.
    pub written: Vec<(u64, u64)>,
    /// [`Least::instructions`].
    pub least: u64,
}

impl std::fmt::Display for Landmark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            Place::Kernel { since } => write!(f, "{since} instructions into the kernel")?,
            Place::User(user) | Place::Branches { user, .. } => write!(f, "user code at {:#x}", user.rip)?,
            Place::Counted { since } => write!(f, "{since} instructions into user code")?,
        }
        write!(f, " after {} entries into user mode", self.entries)
    }
}

impl Landmark {
    /// Where `accel` is, at least `least` behind the last place, or the last entry into user mode.
    #[must_use]
    pub fn here(accel: &mut dyn Accelerator, least: Least) -> Self {
        let rings = accel.rings();
        let since = |start: u64| accel.position().count().saturating_sub(start);
        let place = if !accel.is_in_user_mode() {
            Place::Kernel { since: since(rings.kernel_at) }
        } else if accel.is_counted() {
            Place::Counted { since: since(rings.user_at) }
        } else {
            let written = accel.take_uncounted_writes();
            let user = Box::new(User::here(accel, &written, least.instructions));
            match least.branches {
                0 => Place::User(user),
                branches => Place::Branches { user, least: branches },
            }
        };
        Self { entries: rings.entries, place }
    }

    /// How far it is at least behind the place before, as far as a counter may have said so.
    #[must_use]
    pub fn least(&self) -> Least {
        match &self.place {
            Place::User(user) => Least { instructions: user.least, branches: 0 },
            Place::Branches { user, least } => Least { instructions: user.least, branches: *least },
            Place::Kernel { .. } | Place::Counted { .. } => Least::default(),
        }
    }

    /// As the recording has it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::to_bytes(self).unwrap_or_default()
    }

    /// What [`Landmark::encode`] made.
    ///
    /// # Errors
    /// The bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, codec::CodecError> {
        codec::from_bytes(bytes)
    }
}

impl User {
    fn here(accel: &dyn Accelerator, written: &[u64], least: u64) -> Self {
        let state = &accel.save();
        let operands = operands(accel, state);
        Self {
            regs: state.regs,
            rip: state.rip,
            rflags: state.rflags,
            fpu: fpu(state),
            memory: memory(accel, state, &operands),
            operands,
            written: written.iter().take(MOST_WRITTEN).map(|&page| (page, content(accel, page))).collect(),
            least,
        }
    }

    /// Whether `accel`, in user mode, is where it has these general registers.
    #[must_use]
    pub fn has_registers(&self, accel: &dyn Accelerator) -> bool {
        let state = accel.save();
        state.rip == self.rip && state.regs == self.regs
    }

    /// Physical addresses of what the next instructions use, as `accel` has it mapped, and the eight bytes there.
    #[must_use]
    pub fn words(&self, accel: &dyn Accelerator) -> Vec<(u64, u64)> {
        let within = self.operands.iter().filter(|(addr, _)| addr % 4096 <= 4096 - 8);
        let physical = within.filter_map(|&(addr, value)| Some((accel.translate(addr)?, value)));
        physical.filter(|&(addr, _)| accel.read_physical(addr, &mut [0; 8]) == 8).collect()
    }

    /// Whether `accel`, in user mode, is there. `told` is the written page that last told another place from this one.
    #[must_use]
    pub fn is_here(&self, accel: &dyn Accelerator, told: &mut usize) -> bool {
        // What differs in most passes of a loop comes first.
        if self.operands.iter().any(|&(addr, value)| word(accel, addr) != value) {
            return false;
        }
        let differs = |&(page, was): &(u64, u64)| content(accel, page) != was;
        if self.written.get(*told).is_some_and(differs) {
            return false;
        }
        let state = accel.save();
        if state.rip != self.rip || state.regs != self.regs || fpu(&state) != self.fpu {
            return false;
        }
        if let Some(differing) = self.written.iter().position(differs) {
            *told = differing;
            return false;
        }
        let operands = operands(accel, &state);
        operands == self.operands && memory(accel, &state, &operands) == self.memory
    }
}

fn fpu(state: &State) -> Digest {
    Digest::of_state(&(state.xmm, state.mxcsr, &state.x87)).unwrap_or_default()
}

/// What is in the page of RAM at a physical address, in short.
fn content(accel: &dyn Accelerator, page: u64) -> u64 {
    let mut bytes = [0; 4096];
    accel.read_physical(page, &mut bytes);
    Digest::of(&bytes).short()
}

fn word(accel: &dyn Accelerator, addr: u64) -> u64 {
    let mut bytes = [0; 8];
    accel.peek_range(addr, &mut bytes);
    u64::from_le_bytes(bytes)
}

/// What the next instructions use, and those that jumps among them lead to: addresses, ascending, and what is there.
fn operands(accel: &dyn Accelerator, state: &State) -> Vec<(u64, u64)> {
    let (mut found, mut ways) = (Vec::new(), vec![state.rip]);
    let mut next = 0;
    while let Some(&way) = ways.get(next) {
        next += 1;
        let mut code = [0; CODE];
        let len = accel.peek_range(way, &mut code);
        let mut decoder = Decoder::with_ip(64, &code[..len], way, DecoderOptions::NONE);
        for _ in 0..AHEAD {
            if !decoder.can_decode() {
                break;
            }
            let instruction = decoder.decode();
            let used =
                (0..instruction.op_count()).filter_map(|operand| address(&instruction, operand, state));
            found.extend(used.map(|addr| (addr, word(accel, addr))));
            let target = instruction.near_branch_target();
            if target != 0 && ways.len() < MOST_WAYS && !ways.contains(&target) {
                ways.push(target);
            }
            if instruction.flow_control() == FlowControl::UnconditionalBranch {
                break;
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// A digest of the pages that the stack pointer and the operands of the next instructions lie in.
fn memory(accel: &dyn Accelerator, state: &State, operands: &[(u64, u64)]) -> Digest {
    let mut pages = vec![state.regs[gpr::RSP] & !0xfff];
    pages.extend(operands.iter().map(|(addr, _)| addr & !0xfff));
    pages.sort_unstable();
    pages.dedup();
    let mut all = Vec::with_capacity(pages.len() * 4096);
    for page in pages {
        let mut bytes = [0; 4096];
        let len = accel.peek_range(page, &mut bytes);
        all.extend_from_slice(&page.to_le_bytes());
        all.extend_from_slice(&bytes[..len]);
    }
    Digest::of(&all)
}

/// The linear address of a memory operand, as the registers are now.
fn address(instruction: &Instruction, operand: u32, state: &State) -> Option<u64> {
    instruction.virtual_address(operand, 0, |register, _, _| {
        let segment = |n: usize| Some(state.system.segs[n].base);
        match register {
            Register::ES | Register::CS | Register::SS | Register::DS => Some(0),
            Register::FS => segment(rrvmm_tcg::x86::state::seg::FS),
            Register::GS => segment(rrvmm_tcg::x86::state::seg::GS),
            general if general.is_gpr() => {
                let whole = state.regs[general.full_register().number() % 16];
                Some(match general.size() {
                    4 => whole & 0xffff_ffff,
                    2 => whole & 0xffff,
                    _ => whole,
                })
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        User {
            regs: [7; 16],
            rip: 1,
            rflags: 2,
            fpu: Digest::of(b"f"),
            operands: vec![(1, 2)],
            memory: Digest::of(b"m"),
            written: vec![(0x1000, 4)],
            least: 3,
        }
    }

    #[test]
    fn it_survives_the_recording() {
        let places = [
            Place::Kernel { since: 5 },
            Place::User(Box::new(user())),
            Place::Counted { since: 9 },
            Place::Branches { user: Box::new(user()), least: 2 },
        ];
        // Recordings have places by these numbers.
        for (number, place) in places.into_iter().enumerate() {
            let mark = Landmark { entries: 3, place };
            let bytes = mark.encode();
            assert_eq!(bytes[..2], [3, number as u8]);
            assert_eq!(Landmark::decode(&bytes).unwrap(), mark);
        }
        assert!(Landmark::decode(&[]).is_err());
    }

    #[test]
    fn where_branches_were_counted_the_rest_is_as_where_instructions_were() {
        let encode = |place| Landmark { entries: 3, place }.encode();
        let plain = encode(Place::User(Box::new(user())));
        let branches = encode(Place::Branches { user: Box::new(user()), least: 2 });
        // A recording without them reads as it did before there were any.
        assert_eq!((&branches[2..branches.len() - 1], branches.last()), (&plain[2..], Some(&2)));
    }

    #[test]
    fn an_instruction_may_have_been_a_branch() {
        let least = Least { instructions: 100, branches: 10 };
        assert_eq!(least.behind(4), Least { instructions: 96, branches: 6 });
        assert_eq!(least.behind(40), Least { instructions: 60, branches: 0 });
    }

    #[test]
    fn operands_are_found_with_the_registers_there_are() {
        // INC QWORD [RBX + RCX*8 + 0x10]; MOV EAX, FS:[0x28]; JMP -2.
        let code = [0x48, 0xff, 0x44, 0xcb, 0x10, 0x64, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0, 0xeb, 0xfe];
        let mut cpu = rrvmm_tcg::x86::Cpu::new(rrvmm_tcg::phys::PhysMap::new(
            vm_memory::GuestMemoryMmap::from_ranges(&[(vm_memory::GuestAddress(0), 4096)]).unwrap(),
            Vec::new(),
        ));
        cpu.set_reg(gpr::RBX, 0x1000);
        cpu.set_reg(gpr::RCX, 2);
        let mut state = cpu.save();
        state.system.segs[rrvmm_tcg::x86::state::seg::FS].base = 0x7000;
        let mut decoder = Decoder::with_ip(64, &code, 0, DecoderOptions::NONE);
        assert_eq!(address(&decoder.decode(), 0, &state), Some(0x1020));
        assert_eq!(address(&decoder.decode(), 1, &state), Some(0x7028));
    }
}
