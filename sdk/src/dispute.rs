//! Disputes, without I/O: what the signed turns of a match show a court, what a court's docket says, and what is to be done about
//! it (section 7).
//!
//! [`Signed`] is what was signed of a match, [`Docket`] what the court knows of it, [`Dispute`] a docket with what was shown for it.
//! [`Counsel`] puts them together: whoever speaks for a match (the server, a watchtower, a client by itself) asks it what to do at a
//! moment, and submits the [`Plea`] that it answers with. What arbiters need of a contest is in [`Contest`], what they say of it is a
//! [`Judgment`].

mod counsel;
mod docket;
mod ruling;
mod shown;
mod signed;

pub use counsel::{Counsel, Dispute, Moment, Motion, Plea};
pub use docket::{Docket, Phase};
pub use ruling::{Contest, Judgment, Testimony};
pub use shown::{Replay, Shown, follows, shown};
pub(crate) use signed::agreed;
pub use signed::{Case, Signed};

/// Headers above the agreed one that a court takes at once (R7.2).
pub const MAX_HEADERS: usize = 32;
