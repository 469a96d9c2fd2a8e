//! What a driver can do wrong with a ring.

/// The guest's fault: the device cannot trust its rings any more and needs a reset (2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A ring or a buffer is not in RAM.
    #[error("{len} bytes at {addr:#x} are not RAM")]
    NotRam {
        /// First byte.
        addr: u64,
        /// How many.
        len: u64,
    },
    /// There are more new buffers than the queue has room for.
    #[error("{0} buffers are new in a queue that has not so many")]
    TooManyAvailable(u16),
    /// A descriptor beyond the table's end.
    #[error("there is no descriptor {0}")]
    NoDescriptor(u16),
    /// A chain that is longer than the queue, which a loop is.
    #[error("the chain of descriptors is too long, or has no end")]
    EndlessChain,
    /// A table that is empty, ends within a descriptor, is in another table, or was not agreed on.
    #[error("a table of indirect descriptors is not as it must be")]
    BadIndirect,
    /// A buffer for the device to read comes after one for it to write.
    #[error("a readable descriptor follows a writable one")]
    ReadableAfterWritable,
    /// A request without room for what every request of the device has.
    #[error("a request is too short for its kind")]
    ShortRequest,
}
