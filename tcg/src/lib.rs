//! The translator: guest CPU state, front ends, IR, interpreter.
