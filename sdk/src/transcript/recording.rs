//! What one client made of a match, beside what was signed in it.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Transcript;
use crate::{
    abi::MatchTerms,
    channel::{self, ChannelError, Evidence},
    rules::{Placed, Rules},
    wire::Turn,
};

/// A transcript with the positions that one build of the rules computes from it. Headers and moves are the same for two
/// honest clients; where their builds differ shows in the positions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// Everything signed.
    pub transcript: Transcript,
    /// What this build makes of position 0 and of every turn after it, up to the first whose move it refuses.
    pub computed: Vec<Placed>,
    /// The signed turn that the client refused, if it did.
    pub refused: Option<Evidence>,
}

impl Recording {
    /// What these rules, as they are built here, make of a transcript. Signatures are not looked at.
    ///
    /// # Errors
    /// The terms do not start these rules.
    pub fn new(
        transcript: Transcript,
        refused: Option<Evidence>,
        rules: &dyn Rules,
    ) -> Result<Recording, ChannelError> {
        let computed = computed(&transcript.terms, &transcript.turns, rules)?;
        Ok(Recording { transcript, computed, refused })
    }
}

/// What rules make of moves, whatever the headers claim.
pub(super) fn computed(terms: &MatchTerms, turns: &[Turn], rules: &dyn Rules) -> Result<Vec<Placed>, ChannelError> {
    let (_, mut placed) = channel::start(terms, rules)?;
    let mut computed = Vec::with_capacity(turns.len() + 1);
    for turn in turns {
        let Some(seat) = placed.mover else { break };
        let Ok(next) = rules.apply(&placed.position, seat, &turn.action) else { break };
        computed.push(core::mem::replace(&mut placed, next));
    }
    computed.push(placed);
    Ok(computed)
}
