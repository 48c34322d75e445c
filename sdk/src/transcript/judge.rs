//! The verdict on a transcript: pure, so that anybody can check an arbiter with it.

use alloc::{string::String, sync::Arc, vec::Vec};

use alloy_primitives::{B256, keccak256};

use super::{Cursor, Transcript};
use crate::{
    abi::{self, MatchId},
    channel::{self, Fault},
    dispute::agreed,
    game::{Amount, Seat},
    rules::{Placed, Rules},
    sign::{self, Signature},
    wire::{Arrived, Turn},
};

/// What a replay of a transcript shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Turns that were legal and count.
    pub turns: u32,
    /// The position after them: encoded, with who acts next.
    pub placed: Placed,
    /// What everyone gets: the result, or what the rules and the silence of the guilty seat, or of the one that holds the
    /// match, leave.
    pub payouts: Vec<Amount>,
    /// Who broke which rule in the turn after, if anybody did.
    pub guilty: Option<Guilt>,
    /// Who is to act, if the match is not over and nobody is guilty.
    pub holds: Option<Held>,
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

/// The seat that a match waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Who.
    pub seat: Seat,
    /// The turn that it owes.
    pub turn: u32,
    /// Seconds that the terms give it for a turn.
    pub clock: u32,
    /// When the turn before came, by the operator's receipt; `None` where the transcript has none.
    pub since: Option<Arrived>,
}

impl Held {
    /// Seconds beyond its clock that the seat has held the match, if it has, at a time in Unix seconds. `None` without a
    /// receipt.
    pub fn overdue(&self, now: u64) -> Option<u64> {
        let until = self.since?.at.saturating_add(self.clock.into());
        now.checked_sub(until).filter(|late| *late > 0)
    }
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
    /// Turns after the end, or after an illegal one.
    #[error("turns go on after turn {0}, which ended the match")]
    TrailingTurns(u32),
    /// A turn on top of another one than the one before it here: something is missing, or was replaced.
    #[error("turn {turn} does not follow the one before it here: turns are missing, or were replaced")]
    Unlinked {
        /// The turn that should stand there.
        turn: u32,
    },
    /// A turn with another move than the one that was signed. Anybody can have put it there.
    #[error("turn {turn} comes with another move than its author signed")]
    OtherMove {
        /// The turn.
        turn: u32,
    },
    /// A fork that is none: the same header, or one for a turn that is not there.
    #[error("the second header for turn {turn} is none: it is the same one, or there is no such turn")]
    Fork {
        /// Its turn.
        turn: u32,
    },
    /// A fork below what every seat has agreed to, where it counts for nothing (R5.9).
    #[error("there is a second header for turn {turn}, but every seat has agreed to the first")]
    Agreed {
        /// Its turn.
        turn: u32,
    },
    /// A receipt that is not of this match's turns, or not in their order.
    #[error("the receipt of arrival for turn {turn} is for another header, for no turn here, or out of order")]
    Arrival {
        /// The turn that it names.
        turn: u32,
    },
}

/// Replays a transcript: who won, who broke which rule, or who holds the match. Pure; anybody can check an arbiter with it.
///
/// A turn counts as its author's only with the author's signature, as the move that was signed, and on top of the turn
/// before it, so nobody can be framed by what is left out or put in. One that came from a court may have the signature on a
/// later header only, which names this one (R4.5, R7.3).
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
    let id = terms.id(domain);
    let file = Signed { transcript, id, separator: domain.separator() };
    let hash = state.hash(id);
    file.by_all("the terms", id.0, &transcript.guarantee, true)?;
    // Who signed a later turn has acknowledged State 0 (R4.5).
    let covered = file.by_all("State 0", file.digest(hash.0), &transcript.opening, false)?;

    let first = state.mover();
    let mut at = Cursor { state, hash, placed };
    let (mut guilty, mut parent, mut headers) = (None, None, Vec::from([hash]));
    // Turns that nobody vouches for so far.
    let mut unsigned: Vec<(Seat, u32)> = covered.into_iter().map(|seat| (seat, 0)).collect();
    for turn in &transcript.turns {
        let last = at.state.turn;
        let (Some(seat), None) = (at.state.mover(), &guilty) else {
            return Err(TranscriptError::TrailingTurns(last));
        };
        let signed = turn.signature != Signature::NONE;
        if signed {
            file.by_author(turn, seat, last + 1)?;
        }
        if turn.state.turn != last + 1 || turn.state.prev != at.hash {
            return Err(TranscriptError::Unlinked { turn: last + 1 });
        }
        if turn.state.action != keccak256(&turn.action) {
            return Err(TranscriptError::OtherMove { turn: last + 1 });
        }
        if signed {
            unsigned.retain(|(author, _)| *author != seat);
        } else {
            unsigned.push((seat, last + 1));
        }
        headers.push(turn.state.hash(id));
        if transcript.fork.as_ref().is_some_and(|fork| fork.state.turn == last + 1) {
            parent = Some(at.clone());
        }
        match at.follow(id, terms, &**rules, turn) {
            Ok(next) => at = next,
            Err(fault) => guilty = Some(Guilt { seat, turn: last + 1, fault }),
        }
    }
    if let Some(fork) = &transcript.fork {
        // The earliest foul counts: the match stops below it (R7.7).
        let (turn, parent) = file.forked(fork, parent, &headers, first)?;
        guilty = parent.state.mover().map(|seat| Guilt { seat, turn, fault: Fault::Equivocation });
        at = parent;
    }
    let concluded = !transcript.conclusion.is_empty();
    if concluded {
        file.by_all("the final state", file.digest(at.hash.0), &transcript.conclusion, true)?;
        unsigned.retain(|(_, turn)| *turn > at.state.turn);
    }
    if let Some((seat, turn)) = unsigned.first() {
        let who = alloc::format!("{seat}, turn {turn}");
        return Err(TranscriptError::Signature { what: "a turn", who, error: sign::SignatureError::Malformed });
    }
    file.arrivals(&headers)?;
    let since = transcript.arrivals.iter().find(|arrived| arrived.turn == at.state.turn).copied();
    let mover = at.state.mover().filter(|_| guilty.is_none());
    let holds = mover.map(|seat| Held { seat, turn: at.state.turn + 1, clock: terms.clock, since });
    Ok(Verdict { turns: at.state.turn, payouts: at.state.payouts, placed: at.placed, guilty, holds, concluded })
}

/// A transcript whose players are those of its terms, to check its signatures.
struct Signed<'a> {
    transcript: &'a Transcript,
    id: MatchId,
    separator: B256,
}

impl Signed<'_> {
    fn digest(&self, struct_hash: B256) -> B256 {
        abi::digest(&self.separator, struct_hash)
    }

    fn by_all(
        &self,
        what: &'static str,
        digest: B256,
        signatures: &[Signature],
        operator: bool,
    ) -> Result<Vec<Seat>, TranscriptError> {
        let players = &self.transcript.players;
        if signatures.len() != players.len() + usize::from(operator) {
            return Err(TranscriptError::Lengths { what });
        }
        let signers = players.iter().map(|player| player.key).chain(operator.then_some(self.transcript.operator));
        let mut missing = Vec::new();
        for (i, (signer, signature)) in signers.zip(signatures).enumerate() {
            if *signature == Signature::NONE && what == "State 0" {
                missing.push(Seat(i as u8));
                continue;
            }
            sign::verify(digest, signature, signer).map_err(|error| {
                let seat = || alloc::format!("{}", Seat(i as u8));
                let who = if i < players.len() { seat() } else { "the operator".into() };
                TranscriptError::Signature { what, who, error }
            })?;
        }
        Ok(missing)
    }

    fn by_author(&self, turn: &Turn, seat: Seat, number: u32) -> Result<(), TranscriptError> {
        let digest = self.digest(turn.state.hash(self.id).0);
        sign::verify(digest, &turn.signature, self.transcript.players[seat.index()].key).map_err(|error| {
            TranscriptError::Signature { what: "a turn", who: alloc::format!("{seat}, turn {number}"), error }
        })
    }

    /// The turn that has two headers, and the place under it.
    fn forked(
        &self,
        fork: &Turn,
        parent: Option<Cursor>,
        headers: &[abi::StateHash],
        first: Option<Seat>,
    ) -> Result<(u32, Cursor), TranscriptError> {
        let turn = fork.state.turn;
        let known = headers.get(turn as usize);
        let (Some(parent), true) = (parent, known.is_some_and(|known| *known != fork.state.hash(self.id))) else {
            return Err(TranscriptError::Fork { turn });
        };
        let author = parent.state.mover().ok_or(TranscriptError::Fork { turn })?;
        self.by_author(fork, author, turn)?;
        let concluded = !self.transcript.conclusion.is_empty();
        if concluded || turn <= agreed(self.transcript.players.len(), first, &self.transcript.turns) {
            return Err(TranscriptError::Agreed { turn });
        }
        Ok((turn, parent))
    }

    fn arrivals(&self, headers: &[abi::StateHash]) -> Result<(), TranscriptError> {
        let mut next = 0;
        for arrived in &self.transcript.arrivals {
            let turn = arrived.turn;
            if turn < next || headers.get(turn as usize) != Some(&arrived.state) {
                return Err(TranscriptError::Arrival { turn });
            }
            next = turn + 1;
            let digest = self.digest(arrived.arrival(self.id).struct_hash());
            sign::verify(digest, &arrived.signature, self.transcript.operator).map_err(|error| {
                let who = alloc::format!("the operator, turn {turn}");
                TranscriptError::Signature { what: "a receipt of arrival", who, error }
            })?;
        }
        Ok(())
    }
}
