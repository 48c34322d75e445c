//! Deliberately broken variants: what the simulator must catch.

/// What is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Broken {
    /// Nothing.
    #[default]
    Nothing,
    /// A client that sends first and stores after.
    ForgetfulClient,
}

impl Broken {
    pub(super) fn forgets(self) -> bool {
        self == Broken::ForgetfulClient
    }
}
