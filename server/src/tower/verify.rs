//! What is entrusted is checked before it is kept: who signed it, and that it is such as the contracts take.

use std::sync::Arc;

use alloy_primitives::{Address, B256};
use matchlock::{
    abi::{Domain, MatchId, State, Trial},
    account::Player,
    dispute::{Replay, follows},
    entrust::EntrustError,
    rules::Rules,
    sign::{self, Signature},
    transcript::Transcript,
    wire::{Pair, Turn},
};

/// Whose signatures count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seal {
    pub(crate) domain: Domain,
    pub(crate) operator: Address,
    /// The court's referee; zero where there is none.
    pub(crate) referee: Address,
}

/// Where a match stands that is being checked turn by turn.
pub(super) struct Place<'a> {
    seal: Seal,
    id: MatchId,
    head: &'a Transcript,
    replay: Option<Replay<'a>>,
    /// The newest header.
    pub(super) state: State,
}

impl Seal {
    fn signed(
        &self,
        what: impl FnOnce() -> String,
        digest: B256,
        signature: &Signature,
        signer: Address,
    ) -> Result<(), EntrustError> {
        sign::verify(digest, signature, signer).map_err(|_| EntrustError::Signature { what: what(), signer })
    }

    /// Checks everything of a match but its turns.
    pub(super) fn head(
        &self,
        head: &Transcript,
        start: &State,
        rules: Option<&Arc<dyn Rules>>,
    ) -> Result<MatchId, EntrustError> {
        let Transcript { domain, operator, terms, players, guarantee, opening, .. } = head;
        if *domain != self.domain || *operator != self.operator {
            return Err(EntrustError::OtherArena { arena: self.domain.arena, operator: self.operator });
        }
        let terms_error = |reason: String| EntrustError::Terms { reason };
        terms.check().map_err(|error| terms_error(error.to_string()))?;
        let id = terms.id(domain);
        let is_start = start.turn == 0 && start.prev.0.is_zero() && start.action.is_zero();
        if !is_start || start.start_commitment() != terms.start {
            return Err(terms_error("they do not start with this State 0".to_owned()));
        }
        if let Some(rules) = rules {
            // A contest of another judge's choosing would be paid by this tower, and might come to nothing.
            if terms.trial() != Trial::of(&**rules, self.referee) {
                return Err(terms_error("they name another referee or budget than these rules call for".to_owned()));
            }
            let replay = Replay::new(id, terms, &**rules).map_err(|error| terms_error(error.to_string()))?;
            if replay.state() != start {
                return Err(terms_error("the rules do not start with this State 0".to_owned()));
            }
        }
        let seats = terms.seats.len();
        let fits = |fits: bool, what: &str| match fits {
            true => Ok(()),
            false => Err(EntrustError::Seats { what: what.to_owned() }),
        };
        fits(players.iter().map(Player::account).eq(terms.seats.iter().copied()), "players")?;
        fits(players.iter().all(|player| player.key != self.operator), "players")?;
        fits(guarantee.len() == seats + 1, "signatures on the terms")?;
        fits(opening.len() == seats, "signatures on State 0")?;
        let keys = || players.iter().map(|player| player.key);
        for (signature, key) in guarantee.iter().zip(keys().chain([self.operator])) {
            self.signed(|| "the terms".to_owned(), id.0, signature, key)?;
        }
        let digest = self.domain.digest(start.hash(id).0);
        for (signature, key) in opening.iter().zip(keys()) {
            self.signed(|| "State 0".to_owned(), digest, signature, key)?;
        }
        Ok(id)
    }

    /// Checks a final that all seats and the operator signed.
    pub(super) fn conclusion(
        &self,
        id: MatchId,
        players: &[Player],
        last: &State,
        conclusion: &[Signature],
    ) -> Result<(), EntrustError> {
        if !last.is_final() || conclusion.len() != players.len() + 1 {
            return Err(EntrustError::Seats { what: "signatures on the final".to_owned() });
        }
        let digest = self.domain.digest(last.hash(id).0);
        let keys = players.iter().map(|player| player.key).chain([self.operator]);
        for (signature, key) in conclusion.iter().zip(keys) {
            self.signed(|| "the final".to_owned(), digest, signature, key)?;
        }
        Ok(())
    }

    /// Checks a statement that both parties signed.
    pub(super) fn pair(&self, pair: &Pair) -> Result<(), EntrustError> {
        let Pair { player, statement, signature, receipt } = pair;
        if !statement.set.is_canonical() || player.key == self.operator {
            return Err(EntrustError::Malformed);
        }
        let said = self.domain.digest(statement.struct_hash(player.owner));
        self.signed(|| "the statement".to_owned(), said, signature, player.key)?;
        let received = self.domain.digest(statement.receipt_hash(player.account()).0);
        self.signed(|| "the receipt".to_owned(), received, receipt, self.operator)
    }
}

impl<'a> Place<'a> {
    /// At this header of a match whose head was checked; `replay` stands there too.
    pub(super) fn new(
        seal: Seal,
        id: MatchId,
        head: &'a Transcript,
        state: State,
        replay: Option<Replay<'a>>,
    ) -> Place<'a> {
        Place { seal, id, head, replay, state }
    }

    /// Goes on to the next turn, if its author signed it and everything that is known allows it.
    pub(super) fn follow(&mut self, turn: &Turn) -> Result<(), EntrustError> {
        let Turn { state, action, signature } = turn;
        let number = self.state.turn + 1;
        let refuse = |reason: String| EntrustError::Turn { turn: number, reason };
        let Some(author) = self.state.mover() else { return Err(refuse("the match had ended before".to_owned())) };
        follows(self.id, &self.head.terms, &self.state, state, action).map_err(|fault| refuse(fault.to_string()))?;
        let digest = self.seal.domain.digest(state.hash(self.id).0);
        let key = self.head.players[author.index()].key;
        self.seal.signed(|| format!("turn {number}"), digest, signature, key)?;
        if let Some(replay) = &mut self.replay {
            replay.follow(state, action).map_err(|fault| refuse(fault.to_string()))?;
        }
        self.state = state.clone();
        Ok(())
    }

    /// The encoded position there, where the rules are known.
    pub(super) fn position(&self) -> Option<Vec<u8>> {
        self.replay.as_ref().map(|replay| replay.position().to_vec())
    }
}
