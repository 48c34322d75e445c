//! Disputes: calls of the arena's court (section 7). `dispute` has what they are made of.

use alloy_primitives::{Address, U256};
use alloy_sol_types::{SolCall, SolEventInterface};

use super::{ArenaChain, CallError, Provider, TxOutcome};
use crate::{
    abi::{Court, MatchId, MatchTerms, State},
    dispute::Docket,
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

/// What an event of a court says of a dispute: its newest docket, or that it has ended.
pub fn docket_of(event: Court::CourtEvents) -> Option<(MatchId, Option<Docket>)> {
    Some(match event {
        Court::CourtEvents::Shown(event) => (MatchId(event.matchId), Some((&event.docket).into())),
        Court::CourtEvents::Closed(event) => (MatchId(event.matchId), Some((&event.docket).into())),
        Court::CourtEvents::Contested(event) => (MatchId(event.matchId), Some((&event.docket).into())),
        Court::CourtEvents::Upheld(event) => (MatchId(event.matchId), Some((&event.docket).into())),
        Court::CourtEvents::Doubted(event) => (MatchId(event.matchId), Some((&event.docket).into())),
        Court::CourtEvents::Finalized(event) => (MatchId(event.matchId), None),
        Court::CourtEvents::Recorded(_)
        | Court::CourtEvents::BondReturned(_)
        | Court::CourtEvents::BondLost(_)
        | Court::CourtEvents::BondPaid(_) => return None,
    })
}
