//! A dispute before a referee, on any development chain.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Bytes, U256};
use alloy_sol_types::SolCall;
use matchlock::{
    abi::{Court, Trial},
    chain::{ArenaChain, BlockId, Call, CourtError, HttpProvider, LocalWallet, Provider, Revert},
    dispute::{Case, Docket, Phase, Replay},
    rules::Rules,
    sign::Signer,
};
use matchlock_server::chain::deploy_through;
use serde_json::json;

use crate::{
    table::{Table, key},
    world::{Failure, Wallet, arena_config},
};

/// What is on top of the dispute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Top {
    /// A turn as it was played.
    Played,
    /// The move before, signed again.
    Foul,
    /// A turn as it was played, but for its board.
    FalseBoard,
}

/// A court, and a dispute of a game that its referee judges.
pub struct Trying {
    /// Where it is, as the operator.
    pub arena: Wallet,
    /// The match.
    pub case: Case,
}

impl Trying {
    /// Deploys the contracts on a development chain, and opens a dispute with turn `turn` on top.
    ///
    /// # Errors
    /// The chain does not work, or the match is too short.
    pub async fn of(rpc: &str, rules: &Arc<dyn Rules>, turn: usize, top: Top) -> Result<Trying, Failure> {
        Trying::of_match(rpc, rules, 1, turn, top).await
    }

    /// The same, of the match that bots play with this seed.
    ///
    /// # Errors
    /// The chain does not work, or the match is too short.
    pub async fn of_match(
        rpc: &str,
        rules: &Arc<dyn Rules>,
        seed: u64,
        turn: usize,
        top: Top,
    ) -> Result<Trying, Failure> {
        let operator = key("operator", 0);
        let node = HttpProvider::new(rpc)?;
        node.request("anvil_setBalance", json!([operator.address(), U256::from(10u128.pow(24))])).await?;
        let deployment = deploy_through(HttpProvider::new(rpc)?, &operator, arena_config()).await?;
        let wallet = LocalWallet::new(HttpProvider::new(rpc)?, operator);
        let arena = ArenaChain::connect(wallet, deployment.arena).await?;
        let far = arena.rpc().head().await?.timestamp.to::<u64>() + 1_000_000;
        let trial = Trial::of(&**rules, arena.info().referee);
        let mut proposals = Table::proposals(arena.domain(), rules, 2, 0, 1);
        for proposal in &mut proposals {
            let terms = &mut proposal.terms;
            (terms.referee, terms.budget, terms.open_by, terms.expiry) = (trial.referee, trial.budget, far, far);
        }
        let mut table = Table::of(proposals, rules);
        table.play_out(seed);
        let transcript = match top {
            Top::Foul => table.with_foul(turn),
            Top::FalseBoard => table.with_false_board(turn),
            Top::Played => table.channels[0].transcript().ok_or("an open match")?,
        };
        let case = Case::new(transcript, rules)?;
        let evidence = case.up_to(turn).evidence();
        arena.challenge(case.terms(), case.guarantee().ok_or("a guarantee")?, evidence).await?;
        Ok(Trying { arena, case })
    }

    /// The dispute as it is.
    ///
    /// # Errors
    /// The chain does not work.
    pub async fn docket(&self) -> Result<Docket, Failure> {
        self.arena.docket(self.case.signed().id, 0).await?.ok_or_else(|| "no dispute".into())
    }

    /// The contest of the docket's top.
    ///
    /// # Errors
    /// The chain does not work.
    pub async fn contest(&self, rules: &dyn Rules) -> Result<Court::contestCall, Failure> {
        let docket = self.docket().await?;
        let signed = self.case.up_to(docket.turn() as usize);
        let (last, before) = signed.turns.split_last().ok_or("a turn")?;
        let mut replay = Replay::new(signed.id, self.case.terms(), rules)?;
        for turn in before {
            replay.follow(&turn.state, &turn.action)?;
        }
        Ok(Court::contestCall {
            terms: self.case.terms().into(),
            trail: [docket.turn() - 1, docket.turn()]
                .iter()
                .filter_map(|turn| signed.header(*turn))
                .map(Into::into)
                .collect(),
            docket: (&docket).into(),
            code: rules.on_chain().ok_or("rules with code")?.code.to_vec().into(),
            position: replay.position().to_vec().into(),
            action: last.action.clone().into(),
        })
    }

    /// What becomes of it with this much gas: the docket afterwards, which is then as it was before again. `None`: no node takes it.
    ///
    /// # Errors
    /// The chain does not work.
    pub async fn attempt(&self, call: &Court::contestCall, gas: u64) -> Result<Option<Docket>, Failure> {
        let (rpc, data) = (self.arena.rpc(), Bytes::from(call.abi_encode()));
        let (from, to) = (key("operator", 0).address(), self.arena.info().court);
        let sent = json!([{ "from": from, "to": to, "data": data, "gas": U256::from(gas) }]);
        // Every block takes a second, and the window is short.
        let before = rpc.0.request("evm_snapshot", json!([])).await?;
        let Ok(hash) = rpc.0.request("eth_sendTransaction", sent).await else { return Ok(None) };
        let hash = serde_json::from_value(hash)?;
        rpc.mined(hash, Duration::from_secs(60)).await?.ok_or("it was never mined")?;
        let docket = self.docket().await?;
        rpc.0.request("evm_revert", json!([before])).await?;
        Ok(Some(docket))
    }

    /// What a contest that closes the case takes, in gas.
    ///
    /// # Errors
    /// The court finds the top legal.
    pub async fn close(&self, call: &Court::contestCall) -> Result<u64, Failure> {
        const ALL: u64 = 16_777_216; // EIP-7825
        let (rpc, data) = (self.arena.rpc(), Bytes::from(call.abi_encode()));
        let (from, to) = (key("operator", 0).address(), self.arena.info().court);
        let sent = json!([{ "from": from, "to": to, "data": data, "gas": U256::from(ALL) }]);
        let hash = serde_json::from_value(rpc.0.request("eth_sendTransaction", sent).await?)?;
        let receipt = rpc.mined(hash, Duration::from_secs(60)).await?.ok_or("it was never mined")?;
        match self.docket().await?.phase() {
            Phase::Closed => Ok(receipt.gas_used.to()),
            phase => Err(format!("{phase:?} after a contest").into()),
        }
    }

    /// Why the court refuses it, with all the gas that there is.
    ///
    /// # Errors
    /// It is not refused.
    pub async fn refused(&self, call: &Court::contestCall) -> Result<CourtError, Failure> {
        let asked = Call::view(self.arena.info().court, call.abi_encode());
        let error = self.arena.rpc().call(&asked, BlockId::Latest).await.expect_err("it reverts");
        Ok(Revert::of(&error).and_then(|revert| revert.court()).ok_or("a refusal")?)
    }
}
