//! Deliberately broken variants: what the simulator must catch.

/// What is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Broken {
    /// Nothing.
    #[default]
    Nothing,
    /// A client that sends first and stores after.
    ForgetfulClient,
    /// A client that leaves all disputes to its server.
    SilentClient,
    /// A client that waits for the end of a window with its answer.
    LateClient,
}

/// Something broken on purpose.
#[derive(Clone, Copy, Debug)]
pub struct Variant {
    /// Its name.
    pub name: &'static str,
    /// What is broken.
    pub broken: Broken,
    /// The scenario in which it is looked for.
    pub scenario: &'static str,
}

/// All of them.
pub const VARIANTS: &[Variant] = &[
    Variant {
        name: "forgetful-client",
        broken: Broken::ForgetfulClient,
        scenario: "crashes_at_any_write_lose_nothing_that_was_signed",
    },
    Variant {
        name: "silent-client",
        broken: Broken::SilentClient,
        scenario: "a_player_who_stalls_pays_though_the_server_is_gone",
    },
    Variant {
        name: "late-client",
        broken: Broken::LateClient,
        scenario: "old_states_are_answered_though_the_server_is_gone",
    },
];

impl Broken {
    pub(super) fn forgets(self) -> bool {
        self == Broken::ForgetfulClient
    }
}
