//! The x86 front end: decoded instructions become IR.
