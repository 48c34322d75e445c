//! What was entrusted, checked and durable.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use alloy_primitives::Address;
use matchlock::{
    abi::{MatchId, MatchTerms, State},
    account::{AccountId, SettledSet},
    dispute::{Counsel, Replay, Signed},
    entrust::{Entrust, EntrustError, Held},
    game::Seat,
    rules::{Rules, RulesId},
    sign::Signature,
    transcript::Transcript,
    wire::{Pair, Turn},
};
use serde::{Deserialize, Serialize};

use super::{
    Limits,
    verify::{Place, Seal},
};
use crate::{
    store::{Change, Store, StoreError, decode_row, encode_row},
    sync::lock,
};

/// Notes are named so, and by match or account.
const MATCH: &str = "match/";
const TURN: &str = "turn/";
const PAIR: &str = "pair/";

/// Everything that a tower was entrusted with.
pub(crate) struct Book {
    seal: Seal,
    games: BTreeMap<RulesId, Arc<dyn Rules>>,
    limits: Limits,
    store: Arc<Store>,
    shelf: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    matches: BTreeMap<MatchId, Arc<Kept>>,
    of_account: BTreeMap<AccountId, BTreeSet<MatchId>>,
    pairs: BTreeMap<AccountId, Pair>,
    bytes: u64,
}

/// A match without its turns, as it is stored.
#[derive(Serialize, Deserialize)]
struct Head {
    start: State,
    /// Everything but the turns.
    transcript: Transcript,
}

/// A match in memory. The turns are in the store.
pub(crate) struct Kept {
    head: Arc<Head>,
    /// The newest header.
    newest: State,
    /// The position there; `None` where the rules are not known, or nobody has asked since the start.
    position: Option<Vec<u8>>,
    /// The newest turn that each seat has signed.
    acks: Vec<u32>,
    bytes: u64,
}

impl Kept {
    pub(crate) fn terms(&self) -> &MatchTerms {
        &self.head.transcript.terms
    }

    pub(crate) fn turn(&self) -> u32 {
        self.newest.turn
    }

    pub(crate) fn is_concluded(&self) -> bool {
        !self.head.transcript.conclusion.is_empty()
    }

    /// Each seat's signature on the terms, then the operator's.
    pub(crate) fn guarantee(&self) -> &[Signature] {
        &self.head.transcript.guarantee
    }

    pub(crate) fn owners(&self) -> Vec<Address> {
        self.head.transcript.players.iter().map(|player| player.owner).collect()
    }

    /// What the seat of an account gains by the result; `None` before there is one.
    pub(crate) fn delta(&self, account: AccountId) -> Option<i128> {
        let seat = self.terms().seat_of(account).filter(|_| self.is_concluded())?;
        Some(self.terms().delta(seat, &self.newest.payouts))
    }

    fn agreed(&self) -> u32 {
        if self.is_concluded() { self.newest.turn } else { self.acks.iter().copied().min().unwrap_or(0) }
    }

    fn held(&self, match_id: MatchId) -> Held {
        Held::Match { match_id, turn: self.turn(), concluded: self.is_concluded() }
    }
}

/// A match with all its turns, to be taken to court.
pub(crate) struct File {
    id: MatchId,
    head: Arc<Head>,
    turns: Vec<Turn>,
    owners: Vec<Address>,
    rules: Option<Arc<dyn Rules>>,
}

impl File {
    pub(crate) fn counsel(&self) -> Counsel<'_> {
        let Transcript { terms, guarantee, opening, conclusion, .. } = &self.head.transcript;
        let signed = Signed { id: self.id, start: &self.head.start, owners: &self.owners, opening, turns: &self.turns };
        Counsel { conclusion, ..Counsel::new(terms, guarantee, signed, self.rules.as_deref()) }
    }

    pub(crate) fn terms(&self) -> &MatchTerms {
        &self.head.transcript.terms
    }

    /// All of it, as it would be entrusted.
    pub(crate) fn entrusted(&self) -> Entrust {
        let transcript = Transcript { turns: self.turns.clone(), ..self.head.transcript.clone() };
        Entrust::Match { start: self.head.start.clone(), transcript: Box::new(transcript) }
    }
}

impl Book {
    /// What an earlier run kept.
    pub(crate) fn restore(
        seal: Seal,
        games: BTreeMap<RulesId, Arc<dyn Rules>>,
        limits: Limits,
        store: Arc<Store>,
    ) -> Result<Book, StoreError> {
        let mut shelf = Shelf::default();
        for (name, bytes) in store.notes(MATCH)? {
            let id = name.strip_prefix(MATCH).and_then(|id| id.parse().ok()).map(MatchId).ok_or(StoreError::Damaged)?;
            let head: Head = decode_row(&bytes)?;
            let turns = store.notes(&turns_of(id))?;
            let size = bytes.len() + turns.iter().map(|(_, turn)| turn.len()).sum::<usize>();
            let turns: Vec<Turn> = turns.iter().map(|(_, turn)| decode_row(turn)).collect::<Result<_, _>>()?;
            shelf.put(id, Kept::of(Arc::new(head), &turns, None, size as u64));
        }
        for (_, bytes) in store.notes(PAIR)? {
            let pair: Pair = decode_row(&bytes)?;
            shelf.pairs.insert(pair.player.account(), pair);
        }
        Ok(Book { seal, games, limits, store, shelf: Mutex::new(shelf) })
    }

    /// Takes what is entrusted; it is durable when this returns. Blocks: checking takes time, and so does the disk.
    pub(crate) fn entrust(&self, entrusted: Entrust) -> Result<Held, EntrustError> {
        match entrusted {
            Entrust::Match { start, transcript } => self.whole(start, *transcript),
            Entrust::Turns { match_id, turns, conclusion } => self.turns(match_id, turns, conclusion),
            Entrust::Pair(pair) => self.pair(pair),
            // A variant that this tower is too old to know does not decode, so nothing comes here.
            _ => Err(EntrustError::Malformed),
        }
    }

    fn whole(&self, start: State, transcript: Transcript) -> Result<Held, EntrustError> {
        let Transcript { turns, conclusion, .. } = transcript;
        // Receipts of arrival and second headers are for people; no call takes them.
        let (fork, arrivals) = (None, Vec::new());
        let head = Transcript { turns: Vec::new(), conclusion: Vec::new(), fork, arrivals, ..transcript };
        let id = self.seal.head(&head, &start, self.games.get(&head.terms.rules))?;
        if self.find(&id).is_none() {
            let head = Head { start, transcript: head };
            let row = encode_row(&head);
            let kept = Kept::of(Arc::new(head), &[], None, row.len() as u64);
            let mut shelf = lock(&self.shelf);
            if !shelf.matches.contains_key(&id) {
                self.has_room(&shelf, &kept)?;
                shelf.put(id, kept);
                self.store.write(vec![Change::Note(match_note(id), Some(row))], || {});
            }
        }
        self.turns(id, turns, conclusion)
    }

    fn has_room(&self, shelf: &Shelf, kept: &Kept) -> Result<(), EntrustError> {
        let full = |what: &str, limit| Err(EntrustError::Full { what: what.to_owned(), limit });
        if shelf.matches.len() as u64 >= self.limits.matches {
            return full("matches", self.limits.matches);
        }
        if shelf.bytes + kept.bytes > self.limits.bytes {
            return full("bytes", self.limits.bytes);
        }
        Ok(())
    }

    fn turns(&self, id: MatchId, turns: Vec<Turn>, conclusion: Vec<Signature>) -> Result<Held, EntrustError> {
        let error = loop {
            let kept = self.find(&id).ok_or(EntrustError::UnknownMatch)?;
            let (grown, error) = self.grow(id, &kept, &turns, &conclusion)?;
            if let Some((kept_then, changes)) = grown {
                let mut shelf = lock(&self.shelf);
                // Somebody else may have sent the same meanwhile.
                if !shelf.matches.get(&id).is_some_and(|now| Arc::ptr_eq(now, &kept)) {
                    continue;
                }
                if kept_then.bytes > self.limits.match_bytes {
                    return Err(EntrustError::TooLarge { limit: self.limits.match_bytes });
                }
                if shelf.bytes + kept_then.bytes.saturating_sub(kept.bytes) > self.limits.bytes {
                    return Err(EntrustError::Full { what: "bytes".to_owned(), limit: self.limits.bytes });
                }
                shelf.put(id, kept_then);
                self.store.write(changes, || {});
            }
            break error;
        };
        // Behind everything that was queued before, whoever queued it.
        self.store.write_now(Vec::new()).map_err(|_| EntrustError::Storage)?;
        match error {
            Some(error) => Err(error),
            None => Ok(self.find(&id).ok_or(EntrustError::UnknownMatch)?.held(id)),
        }
    }

    /// What a match becomes with these turns, and what is wrong with the first that it does not take.
    #[expect(clippy::type_complexity, reason = "said once")]
    fn grow(
        &self,
        id: MatchId,
        kept: &Kept,
        turns: &[Turn],
        conclusion: &[Signature],
    ) -> Result<(Option<(Kept, Vec<Change>)>, Option<EntrustError>), EntrustError> {
        let head = &kept.head;
        let held = kept.turn();
        let first = turns.first().map_or(held + 1, |turn| turn.state.turn);
        if first > held + 1 || first == 0 {
            return Err(EntrustError::Gap { held });
        }
        if let Some(at) = turns.iter().zip(first..).find(|(turn, number)| turn.state.turn != *number) {
            return Err(EntrustError::Turn { turn: at.1, reason: "the turns do not follow each other".to_owned() });
        }
        // Where these turns leave what is held.
        let mut known = Vec::new();
        if first <= held {
            known = self.stored_now(id)?;
        }
        let same = (turns.iter().zip(known.iter().skip(first as usize - 1)))
            .take_while(|(turn, known)| turn.state == known.state)
            .count();
        let (base, news) = (first - 1 + same as u32, &turns[same..]);
        let is_fork = base < held && !news.is_empty();

        let at = if is_fork { base } else { held };
        let rules = self.games.get(&head.transcript.terms.rules);
        let (state, replay) = if at == held {
            (kept.newest.clone(), rules.map(|rules| self.replay_of(id, kept, rules)).transpose()?)
        } else {
            known.truncate(at as usize);
            let state = known.last().map_or(&head.start, |turn| &turn.state).clone();
            (state, rules.map(|rules| replayed(id, &head.transcript.terms, rules, &known)).transpose()?)
        };
        let mut place = Place::new(self.seal, id, &head.transcript, state, replay);
        let (mut taken, mut error) = (Vec::new(), None);
        for turn in news {
            match place.follow(turn) {
                Ok(()) => taken.push(turn),
                Err(refused) => {
                    error = Some(refused);
                    break;
                }
            }
        }
        let mut concluded = None;
        if error.is_none() && !conclusion.is_empty() && (is_fork || !kept.is_concluded()) {
            let checked = self.seal.conclusion(id, &head.transcript.players, &place.state, conclusion);
            match checked {
                Ok(()) => concluded = Some(conclusion.to_vec()),
                Err(refused) => error = Some(refused),
            }
        }
        if taken.is_empty() && concluded.is_none() {
            return Ok((None, error));
        }

        let mut changes = Vec::new();
        let mut new_head = head.clone();
        if concluded.is_some() || is_fork && kept.is_concluded() {
            let conclusion = concluded.unwrap_or_default();
            let transcript = Transcript { conclusion, ..head.transcript.clone() };
            new_head = Arc::new(Head { start: head.start.clone(), transcript });
            changes.push(Change::Note(match_note(id), Some(encode_row(&*new_head))));
        }
        let mut after = kept.after(new_head, &place, &taken, if is_fork { Some(&known) } else { None });
        if is_fork {
            if after.agreed() <= base {
                let seat = known.last().map_or(&head.start, |turn| &turn.state).mover().unwrap_or(Seat(0));
                return Err(EntrustError::Forked { turn: base + 1, seat });
            }
            changes.extend((base + 1..=held).map(|turn| Change::Note(turn_note(id, turn), None)));
            after.bytes = 0;
            after.bytes += known.iter().map(|turn| encode_row(turn).len() as u64).sum::<u64>();
            after.bytes += encode_row(&*after.head).len() as u64;
        }
        for turn in taken {
            let row = encode_row(turn);
            after.bytes += row.len() as u64;
            changes.push(Change::Note(turn_note(id, turn.state.turn), Some(row)));
        }
        Ok((Some((after, changes)), error))
    }

    /// The match where it stands, by its rules.
    fn replay_of<'a>(
        &self,
        id: MatchId,
        kept: &'a Kept,
        rules: &'a Arc<dyn Rules>,
    ) -> Result<Replay<'a>, EntrustError> {
        let terms = kept.terms();
        let known = kept.position.as_deref();
        match known.and_then(|position| Replay::from(id, terms, &**rules, kept.newest.clone(), position)) {
            Some(replay) => Ok(replay),
            None => replayed(id, terms, rules, &self.stored_now(id)?),
        }
    }

    fn pair(&self, pair: Pair) -> Result<Held, EntrustError> {
        self.seal.pair(&pair)?;
        let (account, set) = (pair.player.account(), pair.statement.set);
        {
            let mut shelf = lock(&self.shelf);
            match shelf.pairs.get(&account) {
                Some(known) if known.statement == pair.statement => {}
                Some(known) if !set.exceeds(&known.statement.set) => return Err(EntrustError::Older),
                None if shelf.pairs.len() as u64 >= self.limits.pairs => {
                    return Err(EntrustError::Full { what: "statements".to_owned(), limit: self.limits.pairs });
                }
                _ => {
                    shelf.pairs.insert(account, pair);
                    self.store.write(vec![Change::Note(pair_note(account), Some(encode_row(&pair)))], || {});
                }
            }
        }
        self.store.write_now(Vec::new()).map_err(|_| EntrustError::Storage)?;
        let SettledSet { through, pending } = set;
        Ok(Held::Pair { account, through, pending })
    }

    /// What is held of a match.
    pub(crate) fn held(&self, id: MatchId) -> Option<Held> {
        self.find(&id).map(|kept| kept.held(id))
    }

    /// A match without its turns.
    pub(crate) fn find(&self, id: &MatchId) -> Option<Arc<Kept>> {
        lock(&self.shelf).matches.get(id).cloned()
    }

    /// A match with its turns, up to the first that the rules forbid.
    pub(crate) fn file(&self, id: MatchId) -> Result<Option<File>, StoreError> {
        let Some(kept) = self.find(&id) else { return Ok(None) };
        let rules = self.games.get(&kept.terms().rules).cloned();
        let mut turns = self.stored(id)?;
        turns.truncate(kept.turn() as usize);
        // The tower may have learnt the rules since.
        if let Some(rules) = &rules {
            let mut replay = Replay::new(id, kept.terms(), &**rules).map_err(|_| StoreError::Damaged)?;
            let legal = turns.iter().take_while(|turn| replay.follow(&turn.state, &turn.action).is_ok()).count();
            turns.truncate(legal);
        }
        Ok(Some(File { id, owners: kept.owners(), head: kept.head.clone(), turns, rules }))
    }

    /// The same with everything that was queued before. Blocks.
    fn stored_now(&self, id: MatchId) -> Result<Vec<Turn>, EntrustError> {
        self.store.write_now(Vec::new()).and_then(|()| self.stored(id)).map_err(|_| EntrustError::Storage)
    }

    fn stored(&self, id: MatchId) -> Result<Vec<Turn>, StoreError> {
        self.store.notes(&turns_of(id))?.iter().map(|(_, turn)| decode_row(turn)).collect()
    }

    /// The newest statement of an account.
    pub(crate) fn pair_of(&self, account: &AccountId) -> Option<Pair> {
        lock(&self.shelf).pairs.get(account).copied()
    }

    /// Matches in which an account sits.
    pub(crate) fn matches_of(&self, account: &AccountId) -> Vec<(MatchId, Arc<Kept>)> {
        let shelf = lock(&self.shelf);
        let ids = shelf.of_account.get(account).into_iter().flatten();
        ids.filter_map(|id| Some((*id, shelf.matches.get(id)?.clone()))).collect()
    }

    /// Every account of which anything is held.
    pub(crate) fn accounts(&self) -> BTreeSet<AccountId> {
        let shelf = lock(&self.shelf);
        shelf.of_account.keys().chain(shelf.pairs.keys()).copied().collect()
    }

    /// Every match.
    pub(crate) fn matches(&self) -> Vec<(MatchId, Arc<Kept>)> {
        lock(&self.shelf).matches.iter().map(|(id, kept)| (*id, kept.clone())).collect()
    }

    /// How much is held: matches, statements, bytes.
    pub(crate) fn size(&self) -> (usize, usize, u64) {
        let shelf = lock(&self.shelf);
        (shelf.matches.len(), shelf.pairs.len(), shelf.bytes)
    }

    /// Forgets a match.
    pub(crate) fn forget(&self, id: MatchId) {
        let mut shelf = lock(&self.shelf);
        let Some(kept) = shelf.take(&id) else { return };
        let turns = (1..=kept.turn()).map(|turn| Change::Note(turn_note(id, turn), None));
        self.store.write(turns.chain([Change::Note(match_note(id), None)]).collect(), || {});
    }

    /// Forgets the statement of an account.
    pub(crate) fn forget_pair(&self, account: AccountId) {
        if lock(&self.shelf).pairs.remove(&account).is_some() {
            self.store.write(vec![Change::Note(pair_note(account), None)], || {});
        }
    }
}

impl Shelf {
    fn put(&mut self, id: MatchId, kept: Kept) {
        self.take(&id);
        self.bytes += kept.bytes;
        for seat in &kept.terms().seats {
            self.of_account.entry(*seat).or_default().insert(id);
        }
        self.matches.insert(id, Arc::new(kept));
    }

    fn take(&mut self, id: &MatchId) -> Option<Arc<Kept>> {
        let kept = self.matches.remove(id)?;
        self.bytes -= kept.bytes;
        for seat in &kept.terms().seats {
            if let Some(of_it) = self.of_account.get_mut(seat) {
                of_it.remove(id);
                if of_it.is_empty() {
                    self.of_account.remove(seat);
                }
            }
        }
        Some(kept)
    }
}

impl Kept {
    fn of(head: Arc<Head>, turns: &[Turn], position: Option<Vec<u8>>, bytes: u64) -> Kept {
        let newest = turns.last().map_or(&head.start, |turn| &turn.state).clone();
        let mut acks = vec![0; head.transcript.terms.seats.len()];
        sign_off(&mut acks, &head.start, turns.iter());
        Kept { head, newest, position, acks, bytes }
    }

    /// The match at this place: with `taken` on top of what was held, or of `known` where they are a branch.
    fn after(&self, head: Arc<Head>, place: &Place<'_>, taken: &[&Turn], known: Option<&[Turn]>) -> Kept {
        let mut acks = self.acks.clone();
        match known {
            None => sign_off(&mut acks, &self.newest, taken.iter().copied()),
            Some(known) => {
                acks.fill(0);
                sign_off(&mut acks, &head.start, known.iter().chain(taken.iter().copied()));
            }
        }
        Kept { head, newest: place.state.clone(), position: place.position(), acks, bytes: self.bytes }
    }
}

/// Notes for each seat the newest turn that it wrote.
fn sign_off<'a>(acks: &mut [u32], parent: &State, turns: impl Iterator<Item = &'a Turn>) {
    let mut author = parent.mover();
    for turn in turns {
        if let Some(ack) = author.and_then(|seat| acks.get_mut(seat.index())) {
            *ack = turn.state.turn;
        }
        author = turn.state.mover();
    }
}

fn replayed<'a>(
    id: MatchId,
    terms: &'a MatchTerms,
    rules: &'a Arc<dyn Rules>,
    turns: &[Turn],
) -> Result<Replay<'a>, EntrustError> {
    let mut replay =
        Replay::new(id, terms, &**rules).map_err(|error| EntrustError::Terms { reason: error.to_string() })?;
    for turn in turns {
        // Taken before these rules were known here.
        let illegal =
            |fault: matchlock::channel::Fault| EntrustError::Turn { turn: turn.state.turn, reason: fault.to_string() };
        replay.follow(&turn.state, &turn.action).map_err(illegal)?;
    }
    Ok(replay)
}

fn match_note(id: MatchId) -> String {
    format!("{MATCH}{id}")
}

fn turns_of(id: MatchId) -> String {
    format!("{TURN}{id}/")
}

fn turn_note(id: MatchId, turn: u32) -> String {
    format!("{TURN}{id}/{turn:010}")
}

fn pair_note(account: AccountId) -> String {
    format!("{PAIR}{account}")
}
