//! The arena's court, as whoever acts before it sees it: a server, a tower, an arbiter.

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes, U256};
use matchlock::{
    abi::{Court, MatchId},
    chain::{BlockId, DisputeUpdate, read_contract},
    dispute::{Dispute, Plea, Testimony},
    entrust::{self, OpenDispute},
};
use serde::{Deserialize, Serialize};

use crate::{
    arbiter::{Bench, BenchStart},
    chain::{Chain, ChainError, Outcome, Submission},
    store::{Change, Store, StoreError},
};

/// The arena's court.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CourtInfo {
    arena: Address,
    address: Address,
    bond: U256,
    /// How many arbiters rule.
    pub(crate) quorum: usize,
}

impl CourtInfo {
    /// What the chain says of the arena's court; `None`: it has none.
    pub(crate) async fn read(chain: &Chain) -> Result<Option<CourtInfo>, ChainError> {
        let address = chain.arena().court;
        if address == Address::ZERO {
            return Ok(None);
        }
        let limits = read_contract(chain.node(), address, &Court::limitsCall {}, BlockId::Latest).await?;
        let arena = chain.arena().domain.arena;
        Ok(Some(CourtInfo { arena, address, bond: U256::from(limits.bond), quorum: limits.quorum.into() }))
    }

    /// Whether this is one of the court's arbiters.
    pub(crate) async fn seats(&self, chain: &Chain, who: Address) -> Result<bool, ChainError> {
        Ok(read_contract(chain.node(), self.address, &Court::isArbiterCall { who }, BlockId::Latest).await?)
    }

    /// The transaction that brings a plea.
    pub(crate) fn submission(&self, plea: Plea) -> Submission {
        let Plea { key, motion, calldata } = plea;
        let to = if motion.is_for_arena() { self.arena } else { self.address };
        let value = if motion.is_bonded() { self.bond } else { U256::ZERO };
        Submission { key, to, calldata: Bytes::from(calldata), value, gas_limit: None }
    }
}

/// What the chain says of where a server settles.
#[derive(Default)]
pub(crate) struct Venue {
    /// The arena's token; zero for the chain's coin.
    pub(crate) token: Address,
    /// The court's referee; zero where there is no court.
    pub(crate) referee: Address,
    /// The arena's court, where it has one.
    pub(crate) court: Option<CourtInfo>,
    /// Where the server's key is one of the court's arbiters'.
    pub(crate) bench: Option<Bench>,
}

impl Venue {
    /// What the chain says, and the store of what this key has ruled.
    pub(crate) async fn read(chain: &Chain, store: &Store) -> Result<Venue, BenchStart> {
        let court = CourtInfo::read(chain).await?;
        let bench = Bench::take(chain, court, &chain.config().key, store).await?;
        let (token, referee) = (chain.arena().token, chain.arena().referee);
        Ok(Venue { token, referee, court, bench })
    }
}

/// Disputes, and what was submitted about them.
#[derive(Default)]
pub(crate) struct Disputes {
    known: BTreeMap<MatchId, History>,
    /// By the plea's key, which names its match.
    submitted: BTreeMap<String, Submitted>,
}

/// A dispute as it was after each block that changed it, oldest first; `None`: it had ended. The last is what counts, the others are
/// for a reorganisation that undoes it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct History(Vec<(u64, Option<Dispute>)>);

/// So many changes of a dispute are remembered; who undoes more has rewritten hours of the chain.
const MOST_CHANGES: usize = 16;
/// Blocks after which an ended dispute is forgotten.
const KEEP_ENDED: u64 = 256;
/// Seconds after which a plea that came to nothing may be made again, each time twice as late: somebody else was faster, or a
/// reorganisation has taken back what it led to.
const AGAIN: u64 = 30;

/// What became of a plea.
#[derive(Debug)]
struct Submitted {
    what: String,
    /// The chain's answer; `None` as long as there is none.
    answer: Option<Result<(), String>>,
    /// When it was made or answered, in Unix seconds.
    since: u64,
    tries: u32,
}

/// Notes of disputes are named so, and by their match.
const NOTE: &str = "dispute-";

impl Disputes {
    /// Those that an earlier run knew.
    pub(crate) fn restore(store: &Store) -> Result<Disputes, StoreError> {
        let mut disputes = Disputes::default();
        for (name, bytes) in store.notes(NOTE)? {
            let match_id = name.strip_prefix(NOTE).and_then(|id| id.parse().ok()).map(MatchId);
            let history = postcard::from_bytes(&bytes).ok();
            let (Some(match_id), Some(history)) = (match_id, history) else { return Err(StoreError::Damaged) };
            disputes.known.insert(match_id, history);
        }
        Ok(disputes)
    }

    /// Those that are open.
    pub(crate) fn open(&self) -> Vec<(MatchId, Dispute)> {
        let open = self.known.iter().filter_map(|(id, history)| Some((*id, history.now()?.clone())));
        open.collect()
    }

    /// One of them.
    pub(crate) fn find(&self, match_id: &MatchId) -> Option<&Dispute> {
        self.known.get(match_id)?.now()
    }

    /// What the chain says of a dispute, up to a block.
    pub(crate) fn told(&mut self, height: u64, update: &DisputeUpdate) -> Change {
        let known = self.find(&update.match_id).cloned();
        self.put(height, update.match_id, update.clone().after(known))
    }

    /// What an arbiter says; `None` where it is nothing new.
    pub(crate) fn hear(&mut self, height: u64, testimony: &Testimony) -> Option<Change> {
        let match_id = testimony.ruling.match_id;
        let mut dispute = self.find(&match_id)?.clone();
        dispute.hear(*testimony).then(|| self.put(height, match_id, Some(dispute)))
    }

    /// The chain has applied an outcome.
    pub(crate) fn ended(&mut self, height: u64, match_id: MatchId) -> Option<Change> {
        self.find(&match_id)?;
        Some(self.put(height, match_id, None))
    }

    /// Blocks above `fork` were undone: what they did comes again, if it does, and is answered again.
    pub(crate) fn undone(&mut self, fork: u64) -> Vec<Change> {
        self.submitted.clear();
        let mut changes = Vec::new();
        for (match_id, history) in &mut self.known {
            let before = history.0.len();
            history.0.retain(|(height, _)| *height <= fork);
            if history.0.len() != before {
                changes.push(note(*match_id, history));
            }
        }
        self.known.retain(|_, history| !history.0.is_empty());
        changes
    }

    /// Forgets what has ended long before this block.
    pub(crate) fn forget(&mut self, height: u64) -> Vec<Change> {
        let is_past =
            |history: &History| matches!(history.0.last(), Some((ended, None)) if ended + KEEP_ENDED < height);
        let past: Vec<MatchId> = self.known.iter().filter(|(_, history)| is_past(history)).map(|(id, _)| *id).collect();
        let forgotten = |id: &MatchId| {
            self.known.remove(id);
            let of_it = format!("-{id}");
            self.submitted.retain(|key, _| !key.contains(&of_it));
            Change::Note(format!("{NOTE}{id}"), None)
        };
        past.iter().map(forgotten).collect()
    }

    fn put(&mut self, height: u64, match_id: MatchId, dispute: Option<Dispute>) -> Change {
        let history = self.known.entry(match_id).or_default();
        // Several changes up to one block are undone together.
        history.0.retain(|(before, _)| *before < height);
        history.0.push((height, dispute));
        let over = history.0.len().saturating_sub(MOST_CHANGES);
        history.0.drain(..over);
        note(match_id, history)
    }

    /// Whether a plea is to be submitted: once for each key, and again where it was answered a while ago and is still to be made.
    pub(crate) fn submit(&mut self, now: u64, plea: &Plea) -> bool {
        self.submit_as(now, &plea.key, || plea.motion.to_string())
    }

    /// The same for any other call.
    pub(crate) fn submit_as(&mut self, now: u64, key: &str, what: impl FnOnce() -> String) -> bool {
        let tries = match self.submitted.get(key) {
            None => 0,
            Some(Submitted { answer: Some(_), since, tries, .. }) if now >= since + (AGAIN << (*tries).min(8)) => {
                tries + 1
            }
            Some(_) => return false,
        };
        let submitted = Submitted { what: what(), answer: None, since: now, tries };
        self.submitted.insert(key.to_owned(), submitted);
        true
    }

    /// What became of a submission, if it is one of these.
    pub(crate) fn answered(&mut self, now: u64, outcome: &Outcome) {
        let Some(submitted) = self.submitted.get_mut(outcome.key()) else { return };
        submitted.since = now;
        submitted.answer = Some(match outcome {
            Outcome::Confirmed(_) => Ok(()),
            Outcome::Reverted(_, revert) | Outcome::Refused(_, revert) => Err(revert.to_string()),
        });
    }

    /// What was submitted about a match in this run.
    fn submitted(&self, match_id: &MatchId) -> Vec<entrust::Submitted> {
        let of_it = format!("-{match_id}");
        let submitted = self.submitted.iter().filter(|(key, _)| key.contains(&of_it)).map(|(_, submitted)| submitted);
        let told = submitted.map(|submitted| entrust::Submitted {
            what: submitted.what.clone(),
            answer: match &submitted.answer {
                None => "on its way".to_owned(),
                Some(Ok(())) => "done".to_owned(),
                Some(Err(reason)) => reason.clone(),
            },
        });
        told.collect()
    }
}

/// How a dispute is listed: with the newest turn held of its match, and what this arbiter has ruled.
pub(crate) fn shown(
    disputes: &Disputes,
    match_id: MatchId,
    held: Option<u32>,
    bench: Option<&Bench>,
) -> Option<OpenDispute> {
    let dispute = disputes.find(&match_id)?;
    let mut shown = OpenDispute::of(match_id, dispute);
    shown.held = held;
    shown.submitted = disputes.submitted(&match_id);
    shown.verdict = dispute.accused(match_id).and_then(|header| bench?.ruled(header));
    Some(shown)
}

impl History {
    fn now(&self) -> Option<&Dispute> {
        self.0.last()?.1.as_ref()
    }
}

fn note(match_id: MatchId, history: &History) -> Change {
    let bytes = postcard::to_allocvec(history).expect("a dispute always encodes");
    Change::Note(format!("{NOTE}{match_id}"), (!history.0.is_empty()).then_some(bytes))
}
