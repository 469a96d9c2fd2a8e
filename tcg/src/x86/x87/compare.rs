//! FCOM, FUCOM, FICOM, FCOMI, FTST, FXAM.

use super::arith::{memory_operand, raise_memory_denormal};
use super::execute::Outcome;
use super::op::Operand;
use super::state::{X87, sw};
use crate::softfloat::{Class, F80, Float, Relation, compare};

const CODES: u16 = sw::C0 | sw::C2 | sw::C3;

fn codes(relation: Relation) -> u16 {
    match relation {
        Relation::Greater => 0,
        Relation::Less => sw::C0,
        Relation::Equal => sw::C3,
        Relation::Unordered => CODES,
    }
}

fn eflags(relation: Relation) -> u8 {
    match relation {
        Relation::Greater => 0,
        Relation::Less => 0x01,
        Relation::Equal => 0x40,
        Relation::Unordered => 0x45,
    }
}

impl X87 {
    /// Compares ST(0) with `source`. The result is delivered even if an exception is unmasked; false beside it if that
    /// keeps the stack from being popped.
    fn relation(&mut self, source: F80, denormal: bool, signal_quiet: bool) -> (Relation, bool) {
        let mut env = self.env();
        let relation = compare(self.get(0), source, signal_quiet, &mut env);
        if denormal {
            raise_memory_denormal(self.get(0), &mut env);
        }
        (relation, self.commit(&env))
    }

    /// The result of comparing with an empty register.
    fn underflow_relation(&mut self) -> (Relation, bool) {
        (Relation::Unordered, self.stack_underflow())
    }

    fn set_relation(&mut self, (relation, may_pop): (Relation, bool), pop: u8) {
        self.sw = self.sw & !CODES | codes(relation);
        for _ in 0..if may_pop { pop } else { 0 } {
            self.pop();
        }
    }

    pub(super) fn fcom(&mut self, with: Operand, pop: u8, raw: u128) {
        let relation = if self.is_empty(0) || matches!(with, Operand::St(i) if self.is_empty(i)) {
            self.underflow_relation()
        } else {
            let (source, denormal) = match with {
                Operand::St(i) => (self.get(i), false),
                memory => memory_operand(memory, raw),
            };
            self.relation(source, denormal, true)
        };
        self.set_relation(relation, pop);
    }

    pub(super) fn fucom(&mut self, i: u8, pop: u8) {
        let relation = self.relation_with_register(i, false);
        self.set_relation(relation, pop);
    }

    fn relation_with_register(&mut self, i: u8, signal_quiet: bool) -> (Relation, bool) {
        if self.is_empty(0) || self.is_empty(i) {
            return self.underflow_relation();
        }
        self.relation(self.get(i), false, signal_quiet)
    }

    pub(super) fn fcomi(&mut self, i: u8, pop: bool, signal_quiet: bool) -> Outcome {
        let (relation, may_pop) = self.relation_with_register(i, signal_quiet);
        if pop && may_pop {
            self.pop();
        }
        Outcome::Eflags(eflags(relation))
    }

    pub(super) fn ftst(&mut self) {
        let relation = if self.is_empty(0) {
            self.underflow_relation()
        } else {
            self.relation(F80::zero(false), false, true)
        };
        self.set_relation(relation, 0);
    }

    pub(super) fn fxam(&mut self) {
        let value = self.get(0);
        let codes = if self.is_empty(0) {
            sw::C3 | sw::C0
        } else {
            match value.parts().class {
                Class::Unsupported => 0,
                Class::QuietNan | Class::SignallingNan => sw::C0,
                Class::Normal => sw::C2,
                Class::Infinity => sw::C2 | sw::C0,
                Class::Zero => sw::C3,
                Class::Denormal => sw::C3 | sw::C2,
            }
        };
        self.sw = self.sw & !CODES | codes;
        self.set_c1(value.sign());
    }
}
