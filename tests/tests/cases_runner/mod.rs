//! Reading and running one-line instruction cases.

pub mod machine;
pub mod parse;
