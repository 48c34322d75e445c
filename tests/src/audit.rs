//! Where every wei went, and whether every result can be proved: asked of the chain alone.

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256};
use alloy_sol_types::SolEvent;
use matchlock::{
    abi::{self, Arena::Settled},
    account::AccountId,
    chain::Pool,
    game::{Amount, Seat},
    settle,
    transcript::{self, Transcript},
};

use crate::world::{Failure, Played, PlayerClient, Wallet};

/// What an audit found.
#[derive(Clone, Copy, Debug)]
pub struct Audit {
    /// Batches on the chain.
    pub batches: u32,
    /// The gas of all of them.
    pub gas: u64,
    /// The matches that they say they settle.
    pub matches: u32,
    /// What the operator took.
    pub fees: u128,
    /// Wei that are not where they should be, and matches that are not settled exactly once. Zero.
    pub missing: U256,
}

/// Compares what the chain says with what was signed, once all these players have withdrawn everything.
///
/// # Errors
/// The chain cannot be read.
pub async fn audit(
    bank: &Wallet,
    pool_before: &Pool,
    players: &[PlayerClient],
    played: &[Played],
) -> Result<Audit, Failure> {
    let (batches, gas, matches) = settlements(bank).await?;
    let mut missing = U256::ZERO;
    let results = results(played);
    for player in players {
        let account = player.client.account();
        let delta = results.get(&account).copied().unwrap_or(0);
        let record = bank.account(account).await?;
        let wallet = bank.rpc().balance(player.owner).await?;
        missing += player.should_have(delta).abs_diff(wallet) + U256::from(record.payable().units());
    }
    let fees: u128 = played.iter().map(fee_of).sum();
    let pool = bank.pool().await?;
    let held = bank.rpc().balance(bank.domain().arena).await?;
    // What is left in the arena is the operator's: its pool and the fees. Players' gains and losses cancel but for the fees.
    missing += held.abs_diff(U256::from(pool.equity.units() + fees));
    missing += U256::from(pool.owed) + U256::from(pool.equity.units().abs_diff(pool_before.equity.units()));
    missing += U256::from(u64::from(matches.abs_diff(played.len() as u32)));
    Ok(Audit { batches, gas, matches, fees, missing })
}

/// Everybody withdraws everything; every wei is where it should be, and every result is proved.
///
/// # Errors
/// Something is missing, or somebody says no.
pub async fn all_home(
    bank: &Wallet,
    pool_before: &Pool,
    players: &mut [PlayerClient],
    played: &[Played],
) -> Result<Audit, Failure> {
    for player in players.iter_mut() {
        player.online().await?;
        player.withdraw_all().await?;
    }
    let audit = audit(bank, pool_before, players, played).await?;
    if audit.missing != U256::ZERO {
        return Err(format!("{} matches played: {audit:?}", played.len()).into());
    }
    for Played { transcript, .. } in played {
        if !prove(bank, players, transcript).await? {
            return Err(format!("{} is not proved", transcript.terms.id(&transcript.domain)).into());
        }
    }
    Ok(audit)
}

/// Batches, the gas of all of them, and the matches that they say they settle, from the chain's own logs.
///
/// # Errors
/// The chain cannot be read.
pub async fn settlements(bank: &Wallet) -> Result<(u32, u64, u32), Failure> {
    let rpc = bank.rpc();
    let head = rpc.head().await?;
    let logs = rpc.logs(&[bank.domain().arena], 0, head.number.to()).await?;
    let (mut batches, mut gas, mut matches) = (0, 0, 0);
    for entry in logs {
        let Ok(settled) = Settled::decode_log(&entry.log()) else { continue };
        let receipt = rpc.receipt(entry.transaction_hash).await?.ok_or("a mined batch has a receipt")?;
        batches += 1;
        gas += receipt.gas_used.to::<u64>();
        matches += settled.matches;
    }
    Ok((batches, gas, matches))
}

/// What each account won or lost, from the transcripts.
pub fn results(played: &[Played]) -> BTreeMap<AccountId, i128> {
    let mut results = BTreeMap::new();
    for Played { transcript, .. } in played {
        let payouts = &transcript.turns.last().expect("a played match").state.payouts;
        for (i, seat) in transcript.terms.seats.iter().enumerate() {
            *results.entry(*seat).or_insert(0) += transcript.terms.delta(Seat(i as u8), payouts);
        }
    }
    results
}

fn fee_of(played: &Played) -> u128 {
    let payouts = &played.transcript.turns.last().expect("a played match").state.payouts;
    let sum = |amounts: &[Amount]| amounts.iter().map(|amount| amount.units()).sum::<u128>();
    sum(&played.transcript.terms.stakes) - sum(payouts)
}

/// Whether a match is proved against the root on the chain, by the contract and by the SDK, as what its transcript says.
///
/// # Errors
/// It is not settled yet, or none of these players sat in it.
pub async fn prove(bank: &Wallet, players: &[PlayerClient], transcript: &Transcript) -> Result<bool, Failure> {
    let id = transcript.terms.id(&transcript.domain);
    let player = players.iter().find(|player| player.client.account() == transcript.terms.seats[0]);
    let proof = player.ok_or("a seat of nobody")?.client.prove(id).await?;
    let leaf = proof.result.hash(transcript.domain.arena);
    let on_chain = bank.prove_result(proof.batch, &proof.result, &proof.path).await?;
    let same = proof.result.match_id == id
        && proof.result.transcript == transcript::id(id, &transcript.turns)
        && proof.result.payouts == transcript.turns.last().ok_or("no turn")?.state.payouts;
    let root: B256 = bank.read(&abi::Arena::resultsRootCall { batch: proof.batch }).await?;
    Ok(on_chain && same && settle::proves(root, leaf, &proof.path))
}
