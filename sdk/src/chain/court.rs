//! Disputes: calls of the arena's court (section 7). `dispute` has what they are made of.

use alloc::vec::Vec;

use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall, SolEventInterface, SolInterface};

use super::{ArenaChain, CallError, LogEntry, Provider, ProviderError, Rpc, TxOutcome};
use crate::{
    abi::{Court, MatchId, MatchTerms, Ruling, State, StateHash},
    dispute::{self, Contest, Dispute, Docket, Shown, Testimony},
    sign::Signature,
};

impl<P: Provider> ArenaChain<P> {
    fn court(&self) -> Result<Address, CallError> {
        Some(self.info().court).filter(|court| *court != Address::ZERO).ok_or(CallError::NoCourt)
    }

    async fn plead<C: SolCall>(&self, call: &C) -> Result<TxOutcome, CallError> {
        self.send(self.court()?, call.abi_encode(), U256::ZERO).await
    }

    /// Opens a dispute of a match, until its expiry. `guarantee` is the operator's signature on the terms; `shown` comes
    /// from [`Signed::evidence`](crate::dispute::Signed::evidence).
    ///
    /// # Errors
    /// As [`ArenaChain::deposit`]; the arena has no court.
    pub async fn challenge(
        &self,
        terms: &MatchTerms,
        guarantee: &Signature,
        shown: Court::Evidence,
    ) -> Result<TxOutcome, CallError> {
        let call = Court::challengeCall { terms: terms.into(), guarantee: guarantee.0.to_vec().into(), shown };
        self.plead(&call).await
    }

    /// Shows something newer, within the window: from [`Signed::answer`](crate::dispute::Signed::answer), or
    /// [`Signed::evidence`](crate::dispute::Signed::evidence) where its base is above the docket's top.
    ///
    /// # Errors
    /// As [`ArenaChain::challenge`].
    pub async fn respond(
        &self,
        terms: &MatchTerms,
        docket: &Docket,
        shown: Court::Evidence,
    ) -> Result<TxOutcome, CallError> {
        let call = Court::respondCall { terms: terms.into(), docket: docket.into(), shown, fork: alloc::vec![] };
        self.plead(&call).await
    }

    /// After the window: applies the payouts of the docket's top, or gives the stakes back where nothing was shown or
    /// ruled.
    ///
    /// # Errors
    /// As [`ArenaChain::challenge`].
    pub async fn finalize(&self, terms: &MatchTerms, docket: &Docket, top: &State) -> Result<TxOutcome, CallError> {
        let call = Court::finalizeCall { terms: terms.into(), docket: docket.into(), top: top.into() };
        self.plead(&call).await
    }

    /// The docket of a match in dispute, from the court's events since a block; `None` if it is in none.
    ///
    /// # Errors
    /// The chain cannot be read.
    pub async fn docket(&self, match_id: MatchId, from_block: u64) -> Result<Option<Docket>, CallError> {
        let head = self.rpc().head().await.map_err(CallError::Provider)?.number.to();
        let logs = self.rpc().logs(&[self.court()?], from_block, head).await.map_err(CallError::Provider)?;
        let told = logs.iter().filter_map(|entry| Court::CourtEvents::decode_log(&entry.log()).ok());
        let mine = told.filter_map(|event| docket_of(event.data)).filter(|(id, _)| *id == match_id);
        Ok(mine.last().and_then(|(_, docket)| docket))
    }
}

/// A dispute that was opened, moved on, or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisputeUpdate {
    /// The match.
    pub match_id: MatchId,
    /// Its docket; `None`: it has ended.
    pub docket: Option<Docket>,
    /// What was shown, as far as it can be read: the base, and the headers above it.
    pub shown: Option<(State, Vec<Shown>)>,
    /// How a header was brought before the arbiters now, if it was and can be read.
    pub contest: Option<Contest>,
}

impl DisputeUpdate {
    /// The dispute after this, `known` before; `None`: it has ended.
    pub fn after(self, known: Option<Dispute>) -> Option<Dispute> {
        let docket = self.docket?;
        let dispute = match known {
            Some(known) => known.moved(docket, self.shown),
            None => Dispute::new(docket, self.shown),
        };
        Some(match self.contest {
            Some(contest) => dispute.contested_by(contest),
            None => dispute,
        })
    }
}

/// What these logs of a court tell, in their order; `None` if one of their transactions is gone again.
///
/// # Errors
/// The node does not answer.
pub async fn read_disputes<P: Provider>(
    rpc: &Rpc<P>,
    court: Address,
    logs: &[LogEntry],
) -> Result<Option<Vec<DisputeUpdate>>, ProviderError> {
    let mut updates: Vec<DisputeUpdate> = Vec::new();
    for entry in logs.iter().filter(|entry| entry.address == court) {
        let Ok(event) = Court::CourtEvents::decode_log(&entry.log()) else { continue };
        if let Court::CourtEvents::Recorded(event) = &event.data {
            // A contract made the call; the headers come behind the docket. Their base was known before.
            if let Some(last) = updates.last_mut().filter(|last| last.match_id.0 == event.matchId) {
                last.shown = recorded(event);
            }
            continue;
        }
        let is_told_by_its_call = matches!(event.data, Court::CourtEvents::Shown(_) | Court::CourtEvents::Contested(_));
        let Some((match_id, docket)) = docket_of(event.data) else { continue };
        let mut call = None;
        if is_told_by_its_call {
            let Some(transaction) = rpc.transaction(entry.transaction_hash).await? else { return Ok(None) };
            let is_direct = transaction.to == Some(court);
            call = is_direct.then(|| Court::CourtCalls::abi_decode(&transaction.input).ok()).flatten();
        }
        let (shown, contest) = match &call {
            Some(Court::CourtCalls::challenge(call)) => (Some(dispute::shown(&call.shown)), None),
            Some(Court::CourtCalls::respond(call)) => (Some(dispute::shown(&call.shown)), None),
            Some(Court::CourtCalls::contest(call)) => (None, Some(call.into())),
            _ => (None, None),
        };
        updates.push(DisputeUpdate { match_id, docket, shown, contest });
    }
    Ok(Some(updates))
}

/// What arbiters say in these logs of a court, which has checked whose word it is.
pub fn read_testimonies(court: Address, logs: &[LogEntry]) -> Vec<Testimony> {
    let told = logs.iter().filter(|entry| entry.address == court);
    told.filter_map(|entry| {
        let event = Court::CourtEvents::decode_log(&entry.log()).ok()?;
        let Court::CourtEvents::Testified(event) = event.data else { return None };
        let (match_id, top, legal) = (MatchId(event.matchId), StateHash(event.top), event.legal);
        let signature = Signature(event.signature.as_ref().try_into().ok()?);
        Some(Testimony { arbiter: event.arbiter, ruling: Ruling { match_id, top, legal }, signature })
    })
    .collect()
}

/// What an event says was shown: headers and moves. The base is not among them, so the first header stands for it.
fn recorded(event: &Court::Recorded) -> Option<(State, Vec<Shown>)> {
    let mut headers = event.headers.iter().zip(&event.moves).map(|(state, action)| Shown {
        state: state.into(),
        action: action.to_vec(),
        signatures: Vec::new(),
    });
    let base = headers.next()?.state;
    Some((base, headers.collect()))
}

/// What an event of a court says of a dispute: its newest docket, or that it has ended.
fn docket_of(event: Court::CourtEvents) -> Option<(MatchId, Option<Docket>)> {
    Some(match event {
        Court::CourtEvents::Shown(event) => (MatchId(event.matchId), Some((&event.docket).into())),
        Court::CourtEvents::Closed(event) => (MatchId(event.matchId), Some((&event.docket).into())),
        Court::CourtEvents::Contested(event) => (MatchId(event.matchId), Some((&event.docket).into())),
        Court::CourtEvents::Upheld(event) => (MatchId(event.matchId), Some((&event.docket).into())),
        Court::CourtEvents::Doubted(event) => (MatchId(event.matchId), Some((&event.docket).into())),
        Court::CourtEvents::Finalized(event) => (MatchId(event.matchId), None),
        Court::CourtEvents::Recorded(_)
        | Court::CourtEvents::Testified(_)
        | Court::CourtEvents::BondReturned(_)
        | Court::CourtEvents::BondLost(_)
        | Court::CourtEvents::BondPaid(_) => return None,
    })
}
