//! A whole match as evidence: everything signed, in order. Replay it, or have it judged.

use alloc::{string::String, sync::Arc, vec::Vec};

use alloy_primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};

use crate::{
    abi::{Domain, MatchId, MatchTerms, State, StateHash},
    account::Player,
    channel::{self, Fault, HeaderField},
    game::{Amount, Seat},
    rules::{Placed, Rules},
    sign::{self, Signature},
    wire::Turn,
};

/// Everything that was signed in one match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcript {
    /// Where it was played.
    pub domain: Domain,
    /// Who guaranteed it.
    pub operator: Address,
    /// What was agreed.
    pub terms: MatchTerms,
    /// Who sat at each seat.
    pub players: Vec<Player>,
    /// Each seat's signature on the terms, then the operator's.
    pub guarantee: Vec<Signature>,
    /// Each seat's signature on State 0.
    pub opening: Vec<Signature>,
    /// The turns.
    pub turns: Vec<Turn>,
    /// Each seat's signature on the final state, then the operator's; empty before the end.
    pub conclusion: Vec<Signature>,
}

/// BLAKE3 id of a transcript: of the match and of all its turns, in order.
pub fn id<'a>(match_id: MatchId, turns: impl IntoIterator<Item = &'a Turn>) -> B256 {
    let mut hash = blake3::Hasher::new();
    hash.update(b"matchlock transcript 1\0");
    hash.update(match_id.0.as_slice());
    for turn in turns {
        hash.update(turn.state.hash(match_id).0.as_slice());
        hash.update(&(turn.action.len() as u64).to_le_bytes());
        hash.update(&turn.action);
        hash.update(&turn.signature.0);
    }
    B256::from(*hash.finalize().as_bytes())
}

/// What a replay of a transcript shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Turns that were legal.
    pub turns: u32,
    /// The last legal position: encoded, with who acts next.
    pub placed: Placed,
    /// What everyone gets: the result, or what the rules and the guilty seat's silence leave.
    pub payouts: Vec<Amount>,
    /// Who broke which rule in the turn after, if anybody did.
    pub guilty: Option<Guilt>,
    /// Whether all seats and the operator signed the final state.
    pub concluded: bool,
}

/// A seat that signed what the rules forbid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guilt {
    /// Who.
    pub seat: Seat,
    /// Its turn.
    pub turn: u32,
    /// What it broke.
    pub fault: Fault,
}

/// A transcript that is no evidence: not complete, or not signed by whom it names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TranscriptError {
    /// Other rules than these.
    #[error("the match is not of these rules; judge it with the game, version, parameters and fee that it names")]
    OtherRules,
    /// Terms that cannot be.
    #[error(transparent)]
    Terms(#[from] crate::abi::TermsError),
    /// Terms that these rules do not start with.
    #[error("the terms do not start these rules: {0}")]
    Start(String),
    /// Lists that do not fit the seats.
    #[error("{what} are not one for each seat")]
    Lengths {
        /// Which list.
        what: &'static str,
    },
    /// A seat that is not of the account named.
    #[error("{0} is not the account in the terms")]
    Player(Seat),
    /// A signature that is not what it should be.
    #[error("{what} of {who}: {error}")]
    Signature {
        /// What is signed.
        what: &'static str,
        /// Who should have signed.
        who: String,
        /// What is wrong.
        error: sign::SignatureError,
    },
    /// A turn is missing, or is another one than its author's next turn builds on.
    #[error("turn {0} does not follow the turn before it: the transcript is not whole")]
    Unlinked(u32),
    /// The move is not the one whose hash was signed.
    #[error("turn {0} has another move than its author signed")]
    OtherMove(u32),
    /// Turns after the end, or after an illegal one.
    #[error("turns go on after turn {0}, which ended the match")]
    TrailingTurns(u32),
}

/// Replays a transcript: who won, or who broke which rule. Pure; anybody can check an arbiter with it.
///
/// A turn counts as its author's only with the author's signature on this very move at this very place, so nobody can be
/// framed: not by other bytes under a signed header, and not by turns that were left out.
///
/// # Errors
/// The transcript proves nothing.
pub fn judge(transcript: &Transcript, rules: &Arc<dyn Rules>) -> Result<Verdict, TranscriptError> {
    let Transcript { domain, terms, players, .. } = transcript;
    terms.check()?;
    if terms.rules != rules.id() {
        return Err(TranscriptError::OtherRules);
    }
    let seats = terms.seats.len();
    let id = terms.id(domain);
    let separator = domain.separator();
    let (state, placed) =
        channel::start(terms, &**rules).map_err(|error| TranscriptError::Start(alloc::format!("{error}")))?;

    if players.len() != seats {
        return Err(TranscriptError::Lengths { what: "players" });
    }
    for (i, player) in players.iter().enumerate() {
        if player.account() != terms.seats[i] {
            return Err(TranscriptError::Player(Seat(i as u8)));
        }
    }
    let hash = state.hash(id);
    let signed = |what, digest, signatures: &[Signature], operator: bool| {
        if signatures.len() != seats + usize::from(operator) {
            return Err(TranscriptError::Lengths { what });
        }
        let signers = players.iter().map(|player| player.key).chain(operator.then_some(transcript.operator));
        for (i, (signer, signature)) in signers.zip(signatures).enumerate() {
            let who = || if i < seats { alloc::format!("{}", Seat(i as u8)) } else { "the operator".into() };
            sign::verify(digest, signature, signer).map_err(|error| TranscriptError::Signature {
                what,
                who: who(),
                error,
            })?;
        }
        Ok(())
    };
    signed("the terms", id.0, &transcript.guarantee, true)?;
    signed("State 0", crate::abi::digest(&separator, hash.0), &transcript.opening, false)?;

    let mut at = Cursor { state, hash, placed };
    let mut guilty = None;
    for turn in &transcript.turns {
        let last = at.state.turn;
        let (Some(seat), None) = (at.state.mover(), &guilty) else {
            return Err(TranscriptError::TrailingTurns(last));
        };
        let digest = crate::abi::digest(&separator, turn.state.hash(id).0);
        sign::verify(digest, &turn.signature, players[seat.index()].key).map_err(|error| {
            TranscriptError::Signature { what: "a turn", who: alloc::format!("{seat}, turn {}", last + 1), error }
        })?;
        match at.follow(id, terms, &**rules, turn) {
            Ok(next) => at = next,
            Err(Fault::Unlinked) => return Err(TranscriptError::Unlinked(last + 1)),
            Err(Fault::Header { field: HeaderField::Move }) => return Err(TranscriptError::OtherMove(last + 1)),
            Err(fault) => guilty = Some(Guilt { seat, turn: last + 1, fault }),
        }
    }
    let concluded = !transcript.conclusion.is_empty();
    if concluded {
        signed("the final state", crate::abi::digest(&separator, at.hash.0), &transcript.conclusion, true)?;
    }
    Ok(Verdict { turns: at.state.turn, payouts: at.state.payouts, placed: at.placed, guilty, concluded })
}

/// A place in a match: the newest state, its hash and its position.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    pub(crate) state: State,
    pub(crate) hash: StateHash,
    pub(crate) placed: Placed,
}

impl Cursor {
    /// The place after a turn whose signature was checked, or what its author broke. An unlinked header, or one with another
    /// move, is no proof against its author: who brings it may have left out turns, or put other bytes under the header.
    pub(crate) fn follow(
        &self,
        id: MatchId,
        terms: &MatchTerms,
        rules: &dyn Rules,
        turn: &Turn,
    ) -> Result<Cursor, Fault> {
        let seat = self.state.mover().ok_or(Fault::AfterTheEnd)?;
        if turn.state.turn != self.state.turn + 1 || turn.state.prev != self.hash {
            return Err(Fault::Unlinked);
        }
        if keccak256(&turn.action) != turn.state.action {
            return Err(Fault::Header { field: HeaderField::Move });
        }
        let placed = rules
            .apply(&self.placed.position, seat, &turn.action)
            .map_err(|error| Fault::Illegal { reason: alloc::format!("{error}") })?;
        self.step(id, terms, &turn.action, placed, Some(&turn.state))
    }

    /// The place after an action, with the header checked against the one that its author signed.
    pub(crate) fn step(
        &self,
        id: MatchId,
        terms: &MatchTerms,
        action: &[u8],
        placed: Placed,
        signed: Option<&State>,
    ) -> Result<Cursor, Fault> {
        let state = State::after(self.state.turn + 1, self.hash, keccak256(action), &placed);
        if !state.is_final() && state.turn >= terms.max_turns {
            return Err(Fault::TooLong);
        }
        match signed {
            Some(signed) if signed.board != state.board => return Err(Fault::Header { field: HeaderField::Board }),
            Some(signed) if signed.mover != state.mover => return Err(Fault::Header { field: HeaderField::Mover }),
            Some(signed) if signed.payouts != state.payouts => {
                return Err(Fault::Header { field: HeaderField::Payouts });
            }
            _ => {}
        }
        let hash = state.hash(id);
        Ok(Cursor { state, hash, placed })
    }
}
