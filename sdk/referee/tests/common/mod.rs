//! What the tests of the machine share.

pub(crate) mod dice;
pub(crate) mod program;
