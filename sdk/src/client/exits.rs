//! Ways out without the operator (R3.7): this account's own exit, and what an opponent's calls for.
//!
//! Like everything that an [`Advocate`] does, it follows at every look from the chain and from what is signed.

use core::fmt;
use std::{collections::BTreeSet, format, vec::Vec};

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolCall, SolEvent};

use super::{
    ClientError, ClientEvent,
    advocate::{Advocate, Bench, Brief, File, Order, send},
    own_chain::Ending,
};
use crate::{
    abi::{Arena, Court, Exit, MatchId, Receipt},
    account::AccountId,
    chain::{BlockId, CONCLUDED, CallError, ChainAccount, DISPUTED, ProviderError, TxOutcome, read_contract},
    channel::Status,
    dispute::Moment,
    game::{Amount, Seat},
    session::SessionError,
    settle,
    sign::SignerError,
    wire::Pair,
};

/// What a client does on the chain by itself, outside of disputes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deed {
    /// Keeps an opponent's stake back, who leaves in mid-match (R3.7).
    Lock {
        /// The match.
        match_id: MatchId,
        /// The opponent's seat.
        seat: Seat,
    },
    /// Settles what an opponent, who leaves, has signed (R6.5).
    Settle {
        /// The opponent.
        account: AccountId,
    },
    /// Applies a final that everyone signed, and no statement holds.
    Conclude {
        /// The match.
        match_id: MatchId,
    },
    /// Brings the newest receipt to this account's own exit.
    Bring,
    /// Has this account's own exit pay.
    Finish,
    /// Brings back a bond from a contest that a final ended (R7.9).
    Reclaim {
        /// The match.
        match_id: MatchId,
    },
    /// Has the court pay out bonds that it returned, or this account's part of one that was lost.
    Claim,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::Lock { match_id, seat } => write!(f, "a lock on the stake of {seat} in match {match_id}"),
            Deed::Settle { account } => write!(f, "what {account} has signed, who leaves"),
            Deed::Conclude { match_id } => write!(f, "the final of match {match_id}"),
            Deed::Bring => f.write_str("the newest receipt"),
            Deed::Finish => f.write_str("the end of the exit"),
            Deed::Reclaim { match_id } => write!(f, "the bond of match {match_id}"),
            Deed::Claim => f.write_str("bonds that are due"),
        }
    }
}

/// What was seen of exits and bonds.
#[derive(Default)]
pub(super) struct Departures {
    /// The end of this account's exit window, as it was told last.
    told: Option<u64>,
    sender: Option<Address>,
    /// An earlier run's bonds were looked for.
    looked: bool,
    contested: bool,
}

impl Departures {
    /// A bond was put up, and may come back.
    pub(super) fn put_up_a_bond(&mut self) {
        self.contested = true;
    }
}

/// Opens this account's exit, or finds it open; when its window ends.
pub(super) async fn open(bench: &Bench, brief: &Brief) -> Result<u64, ClientError> {
    if !bench.has_wallet {
        return Err(ClientError::NoWallet);
    }
    let account = brief.player.account();
    let own = record(bench, account).await.map_err(ClientError::Chain)?;
    if own.is_leaving() {
        return Ok(own.exit_at);
    }
    let mut owing = Vec::new();
    for pair in &brief.opponents {
        let theirs = record(bench, pair.player.account()).await.map_err(ClientError::Chain)?;
        // What a loser signed fills the pool that this account is paid from.
        let owes = pair.statement.net < theirs.net && theirs.claims == 0;
        owing.extend((owes && pair.statement.set.exceeds(&theirs.set)).then_some(*pair));
    }
    let arena = bench.arena.info().domain.arena;
    if !owing.is_empty() {
        match send(bench, arena, settle_signed(&owing), U256::ZERO).await {
            // Without them the exit opens all the same.
            Ok(_) | Err(CallError::Refused(_) | CallError::Reverted { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let sender = bench.arena.sender().await?;
    send(bench, arena, exit_call(bench, brief, &own, sender)?, U256::ZERO).await?;
    Ok(record(bench, account).await.map_err(ClientError::Chain)?.exit_at)
}

/// Does what is due about exits and bonds.
pub(super) async fn go_on(advocate: &mut Advocate, brief: &Brief, moment: Moment) -> Result<(), ProviderError> {
    let bench = advocate.bench.clone();
    let account = brief.player.account();
    let own = record(&bench, account).await?;
    if own.is_leaving() {
        leave(advocate, brief, &own, moment).await?;
    }
    let seats = brief.files.iter().flat_map(|file| &file.transcript.terms.seats);
    let opponents: BTreeSet<AccountId> = seats.copied().filter(|seat| *seat != account).collect();
    for opponent in opponents {
        let theirs = record(&bench, opponent).await?;
        let opened = theirs.exit_at.saturating_sub(bench.arena.info().exit_window.into());
        // The server does the same while it is there.
        let late = moment.now > opened.saturating_add(bench.policy.grace);
        if theirs.is_leaving() && late && moment.passed < theirs.exit_at {
            answer(advocate, brief, opponent, &theirs, moment).await?;
        }
    }
    bonds(advocate, brief).await
}

/// Goes on with this account's own exit.
async fn leave(
    advocate: &mut Advocate,
    brief: &Brief,
    own: &ChainAccount,
    moment: Moment,
) -> Result<(), ProviderError> {
    let bench = advocate.bench.clone();
    if advocate.departures.told != Some(own.exit_at) {
        advocate.departures.told = Some(own.exit_at);
        advocate.tell(ClientEvent::ExitOpened { until: own.exit_at });
    }
    if moment.passed >= own.exit_at && own.free() > Amount::ZERO {
        // Before anything that would open the window anew.
        let call = Arena::finishExitCall { owner: brief.player.owner, key: brief.player.key };
        let key = format!("finish-{}-{}", own.exit_at, own.withdrawn);
        act(advocate, key, Deed::Finish, call.abi_encode());
        return Ok(());
    }
    let receipted = brief.receipt.map(|(statement, _)| statement.set).unwrap_or_default();
    if receipted.exceeds(&own.set) {
        let key = format!("bring-{}-{}", receipted.through, receipted.pending);
        if let Some(call) = bring_call(&bench, brief, own).await? {
            act(advocate, key, Deed::Bring, call);
        }
    }
    for file in brief.files.iter().filter(|file| file.status == Status::Concluded) {
        let settled = own.set.contains(file.index) || receipted.contains(file.index);
        if !settled && file.delta(file.seat) > 0 && ending(&bench, file).await?.status != CONCLUDED {
            conclude(advocate, file);
        }
    }
    Ok(())
}

/// An opponent leaves: it pays first for what it lost, and leaves behind what it may still lose.
async fn answer(
    advocate: &Advocate,
    brief: &Brief,
    opponent: AccountId,
    theirs: &ChainAccount,
    moment: Moment,
) -> Result<(), ProviderError> {
    let bench = advocate.bench.clone();
    let held = brief.opponents.iter().find(|pair| pair.player.account() == opponent);
    let newer = held.filter(|pair| pair.statement.set.exceeds(&theirs.set));
    if let Some(pair) = newer
        && let Some(claims) = claims(&bench, brief, opponent, theirs).await?
    {
        let set = pair.statement.set;
        let key = format!("pair-{opponent}-{}-{}", set.through, set.pending);
        act(advocate, key, Deed::Settle { account: opponent }, Arena::settleClaimedCall::of(pair, claims).abi_encode());
    }
    for file in &brief.files {
        let terms = &file.transcript.terms;
        let Some(seat) = terms.seat_of(opponent) else { continue };
        let index = terms.indexes[seat.index()];
        if theirs.set.contains(index) || newer.is_some_and(|pair| pair.statement.set.contains(index)) {
            continue;
        }
        let ending = ending(&bench, file).await?;
        let in_play = matches!(file.status, Status::Open { .. } | Status::Over | Status::Faulted(_));
        let open = ending.status == DISPUTED || ending.status != CONCLUDED && moment.now <= terms.expiry;
        if in_play && open && !ending.is_locked(seat) {
            let call = Arena::lockCall::of(terms, seat, &file.owners(), &file.transcript.guarantee);
            let key = format!("lock-{}-{}", file.id, seat.0);
            act(advocate, key, Deed::Lock { match_id: file.id, seat }, call.abi_encode());
        }
        if file.status == Status::Concluded && ending.status != CONCLUDED && file.delta(seat) < 0 {
            conclude(advocate, file);
        }
    }
    Ok(())
}

/// Brings back a bond of a match that has ended by its final.
pub(super) fn reclaim(advocate: &Advocate, match_id: MatchId) {
    let Some(court) = advocate.bench.court() else { return };
    let calldata = Court::reclaimCall { id: match_id.0 }.abi_encode();
    let order = Order { key: format!("reclaim-{match_id}"), to: court, calldata, value: U256::ZERO };
    let deed = Deed::Reclaim { match_id };
    advocate.order(order, move |outcome| (None, ClientEvent::Acted { deed, outcome: hash_of(outcome) }));
}

/// Has bonds paid that came back, and this account's part of lost ones.
async fn bonds(advocate: &mut Advocate, brief: &Brief) -> Result<(), ProviderError> {
    let Departures { looked, contested, .. } = advocate.departures;
    let bench = advocate.bench.clone();
    let Some(court) = bench.court().filter(|_| contested || !looked) else { return Ok(()) };
    let Some(contester) = sender(advocate).await else { return Ok(()) };
    let at = BlockId::Latest;
    let bond = read_contract(&bench.node.0, court, &Court::bondOfCall { contester }, at).await?;
    let (owner, key) = (brief.player.owner, brief.player.key);
    let account = brief.player.account().0;
    let share = read_contract(&bench.node.0, court, &Court::shareOfCall { account }, at).await?;
    let mut claims = Vec::new();
    claims.extend((!bond.is_zero()).then(|| ("bond", Court::claimBondCall { contester }.abi_encode())));
    claims.extend((!share.is_zero()).then(|| ("share", Court::claimShareCall { owner, key }.abi_encode())));
    advocate.departures.looked = claims.is_empty();
    for (what, calldata) in claims {
        let order = Order { key: format!("claim-{what}"), to: court, calldata, value: U256::ZERO };
        advocate.order(order, |outcome| (None, ClientEvent::Acted { deed: Deed::Claim, outcome: hash_of(outcome) }));
    }
    Ok(())
}

fn conclude(advocate: &Advocate, file: &File) {
    let transcript = &file.transcript;
    let Some(last) = transcript.turns.last() else { return };
    let call = Arena::concludeCall::of(&transcript.terms, &last.state, &file.owners(), &transcript.conclusion);
    let deed = Deed::Conclude { match_id: file.id };
    act(advocate, format!("conclude-{}", file.id), deed, call.abi_encode());
}

fn act(advocate: &Advocate, key: std::string::String, deed: Deed, calldata: Vec<u8>) {
    let to = advocate.bench.arena.info().domain.arena;
    let events = advocate.events.clone();
    advocate.order(Order { key, to, calldata, value: U256::ZERO }, move |outcome| {
        if let Ok(outcome) = &outcome
            && let Some(paid) = outcome.logs.iter().find_map(paid)
        {
            let _ = events.send(ClientEvent::ExitFinished { paid });
        }
        (None, ClientEvent::Acted { deed, outcome: hash_of(outcome) })
    });
}

fn paid(entry: &crate::chain::LogEntry) -> Option<Amount> {
    let event = Arena::ExitFinished::decode_log(&entry.log()).ok()?;
    Amount::new(event.paid.to()).ok()
}

fn hash_of(outcome: Result<TxOutcome, CallError>) -> Result<B256, CallError> {
    outcome.map(|outcome| outcome.hash)
}

/// The call that opens an exit, with the newest receipt.
fn exit_call(bench: &Bench, brief: &Brief, own: &ChainAccount, sender: Address) -> Result<Vec<u8>, SessionError> {
    let newest = brief.receipt.filter(|(statement, _)| statement.set.exceeds(&own.set));
    let (owner, key) = (brief.player.owner, brief.player.key);
    let exit_sig = if sender == owner {
        Vec::new()
    } else {
        let account = brief.player.account();
        let receipt = newest.map_or(Receipt::default(), |(statement, _)| statement.receipt_hash(account));
        let exit = Exit { account, receipt, nonce: own.nonce };
        bench.sign(exit.struct_hash())?.0.to_vec()
    };
    let entry = newest.map(|(statement, receipt)| settle::exit_entry(&statement, &receipt)).unwrap_or_default();
    Ok(Arena::exitCall { owner, key, entry: entry.into(), exitSig: exit_sig.into() }.abi_encode())
}

/// The call that settles this account's newest receipt; `None`: it has claims that are not known here.
async fn bring_call(bench: &Bench, brief: &Brief, own: &ChainAccount) -> Result<Option<Vec<u8>>, ProviderError> {
    let Some((statement, receipt)) = brief.receipt else { return Ok(None) };
    let Some(claims) = claims(bench, brief, brief.player.account(), own).await? else { return Ok(None) };
    // Signed before, and the same again: signers are deterministic.
    let Ok(signature) = bench.sign(statement.struct_hash(brief.player.owner)) else { return Ok(None) };
    let pair = Pair { player: brief.player, statement, signature, receipt };
    Ok(Some(Arena::settleClaimedCall::of(&pair, claims).abi_encode()))
}

/// All live claims of an account, in the contract's order (R6.10); `None`: it has some from matches that are not known here.
async fn claims(
    bench: &Bench,
    brief: &Brief,
    account: AccountId,
    record: &ChainAccount,
) -> Result<Option<Vec<Arena::Claim>>, ProviderError> {
    let mut claims = Vec::new();
    let known = if record.claims == 0 { &[][..] } else { &brief.files };
    for file in known {
        let terms = &file.transcript.terms;
        let (Some(payouts), Some(seat)) = (&file.outcome, terms.seat_of(account)) else { continue };
        if ending(bench, file).await?.is_live(seat) {
            let payouts = payouts.iter().map(|payout| (*payout).into()).collect();
            claims.push((file.id, Arena::Claim { terms: terms.into(), payouts, seat: seat.0 }));
        }
    }
    claims.sort_by_key(|(id, _)| *id);
    let all = claims.len() == usize::from(record.claims);
    Ok(all.then(|| claims.into_iter().map(|(_, claim)| claim).collect()))
}

/// Settles several at once, and leaves out what cannot be settled.
fn settle_signed(pairs: &[Pair]) -> Vec<u8> {
    let entries: Vec<u8> = pairs.iter().flat_map(settle::signed_entry).collect();
    Arena::settleSignedCall { entries: entries.into() }.abi_encode()
}

/// The wallet's address, once it says so.
async fn sender(advocate: &mut Advocate) -> Option<Address> {
    if advocate.departures.sender.is_none() {
        advocate.departures.sender = advocate.bench.arena.sender().await.ok();
    }
    advocate.departures.sender
}

async fn ending(bench: &Bench, file: &File) -> Result<Ending, ProviderError> {
    bench.node.ending(bench.arena.info().domain.arena, file.id, BlockId::Latest).await
}

/// All that was ever paid to an account that has left, once there is nothing more to pay now.
pub(super) async fn paid_in_all(bench: &Bench, account: AccountId) -> Result<Option<Amount>, ProviderError> {
    let (own, head) = (record(bench, account).await?, bench.node.0.head().await?);
    let over = own.is_leaving() && head.timestamp.to::<u64>() >= own.exit_at;
    Ok((over && own.free() == Amount::ZERO).then_some(own.withdrawn))
}

async fn record(bench: &Bench, account: AccountId) -> Result<ChainAccount, ProviderError> {
    ChainAccount::read(&bench.node.0, bench.arena.info().domain.arena, account, BlockId::Latest).await
}

impl Bench {
    fn sign(&self, struct_hash: B256) -> Result<crate::sign::Signature, SignerError> {
        self.signer.sign(self.arena.info().domain.digest(struct_hash))
    }
}

impl File {
    fn owners(&self) -> Vec<Address> {
        self.transcript.players.iter().map(|player| player.owner).collect()
    }

    /// What the match did to a seat, where that is certain; else nothing.
    fn delta(&self, seat: Seat) -> i128 {
        self.outcome.as_ref().map_or(0, |payouts| self.transcript.terms.delta(seat, payouts))
    }
}
