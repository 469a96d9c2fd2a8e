//! System instructions and event delivery: paging, segmentation, interrupts, tasks, MSRs, CPUID, debug.

pub mod paging;
