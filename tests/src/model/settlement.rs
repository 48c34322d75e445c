//! Statements (R6.3, R6.7, R6.8, R6.10).

use alloy_primitives::{Address, B256, U256, aliases::U96};
use matchlock::{
    abi::{Arena, Receipt, Statement},
    account::{AccountId, MAX_THROUGH, SettledSet},
    chain::{ArenaRefusal, Revert},
    settle::ENTRY,
};

use super::{
    Call, Model,
    accounts::{Account, grows},
    amounts,
    outcomes::Standing,
    pool::QUEUE_STEP,
    refuse, require,
    terms::{SIGNATURE, bad_length, expect_length, id_of, signer},
};

/// Why a statement is not applied (R6.8), by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skip {
    Signature = 1,
    OperatorKey = 2,
    Stale = 3,
    Underwater = 4,
    PoolShort = 5,
    Claims = 6,
    Matured = 7,
    Receipt = 8,
    Overflow = 9,
}

/// A packed entry, and whose key signed it.
struct Entry {
    owner: Address,
    statement: Statement,
    key: Option<Address>,
}

impl Model {
    pub(super) fn settle(&mut self, call: &Call, batch: &Arena::settleCall) -> Result<(), Revert> {
        self.expect_operator(call)?;
        let mut applied = 0;
        for entry in split(&batch.entries, ENTRY)? {
            applied += u32::from(self.settle_or_skip(call, entry, None)?);
        }
        self.pay_queue(QUEUE_STEP)?;
        self.pool.batches += 1;
        let number = self.pool.batches;
        if batch.resultsRoot != B256::ZERO {
            self.roots.insert(number, batch.resultsRoot);
        }
        // Fees rank behind what is owed; what the pool does not have stays in it (R6.13).
        let fees = self.pool.free().min(batch.fees.to());
        if batch.fees != U96::ZERO {
            self.pool.pay(fees)?;
            self.accrue(call, fees)?;
        }
        self.log_settled(number, batch.resultsRoot, batch.matches, applied, fees);
        Ok(())
    }

    pub(super) fn settle_signed(&mut self, call: &Call, entries: &[u8]) -> Result<(), Revert> {
        let mut applied = 0;
        for entry in split(entries, ENTRY + SIGNATURE)? {
            let (entry, receipt) = entry.split_at(ENTRY);
            applied += u32::from(self.settle_or_skip(call, entry, Some(receipt))?);
        }
        self.pay_queue(QUEUE_STEP)?;
        self.log_settled(0, B256::ZERO, 0, applied, 0);
        Ok(())
    }

    /// One statement that absorbs claims or frees locks (R6.10).
    pub(super) fn settle_claimed(&mut self, call: &Call, one: &Arena::settleClaimedCall) -> Result<(), Revert> {
        expect_length(&one.entry, ENTRY)?;
        let entry = self.read(&one.entry);
        let id = self.account_of(&entry).or_else(|(_, skip)| not_applied(skip))?;
        if call.from != self.config.operator || !one.receipt.is_empty() {
            expect_length(&one.receipt, SIGNATURE)?;
            self.expect_operators(self.digest(entry.statement.receipt_hash(id).0), &one.receipt, 0)?;
        }
        let before = self.record(id);
        self.absorb(id, &one.claims, &entry.statement.set)?;
        if let Some(skip) = self.advance(call, id, before.equity(), &entry.statement)? {
            return not_applied(skip);
        }
        self.pay_queue(QUEUE_STEP)?;
        self.log_settled(0, B256::ZERO, 0, 1, 0);
        Ok(())
    }

    /// Puts a statement in the place of the one before, and moves the pool; or says why not (R6.7, R6.8).
    ///
    /// `before` is the account's equity before the statement's claims were taken out of its funds.
    pub(super) fn advance(
        &mut self,
        call: &Call,
        id: AccountId,
        before: i128,
        statement: &Statement,
    ) -> Result<Option<Skip>, Revert> {
        let record = self.record(id);
        if !grows(&record.set, &statement.set) {
            return Ok(Some(Skip::Stale));
        }
        if statement.set.through >= MAX_THROUGH {
            return Ok(Some(Skip::Overflow));
        }
        // What is due after an exit is paid before a statement may open the window anew (R3.7).
        let matured = record.exit_at.is_some_and(|exit_at| call.at >= exit_at);
        if matured && before > record.locked as i128 {
            return Ok(Some(Skip::Matured));
        }
        let settled = Account { net: statement.net, set: statement.set, ..record };
        let after = settled.equity();
        if after < before {
            if after < record.locked as i128 {
                return Ok(Some(Skip::Underwater));
            }
            let debit = (before - after).unsigned_abs();
            if !self.pool.has_room_for(debit) {
                return Ok(Some(Skip::Overflow));
            }
            self.pool.receive(debit)?;
        } else if after > before {
            // The part that repays debt costs the pool nothing (R3.1).
            let credit = settled.payable() - before.max(0).unsigned_abs();
            if after > 0 && credit + self.pool.owed > self.pool.equity {
                return Ok(Some(Skip::PoolShort));
            }
            self.pool.pay(credit)?;
        }
        self.keep(id, settled);
        if matured && after > before && after > 0 {
            self.open_exit(call, id);
        }
        Ok(None)
    }

    /// Takes the outcomes that a statement contains out of the funds again, and frees the stakes (R6.10).
    fn absorb(&mut self, id: AccountId, claims: &[Arena::Claim], set: &SettledSet) -> Result<(), Revert> {
        let live = self.record(id).claims;
        let wrong = |given: usize| ArenaRefusal::WrongClaims { live: U256::from(live), given: U256::from(given) };
        let (mut found, mut last) = (0, B256::ZERO);
        for claim in claims {
            let table = self.open_at(&claim.terms, claim.seat)?;
            let (seat, match_id) = (usize::from(claim.seat), table.id);
            require(match_id.0 > last, wrong(claims.len()))?;
            last = match_id.0;
            require(table.terms.seats[seat] == id, ArenaRefusal::BadSeat { seat: U256::from(claim.seat) })?;
            let no_claim = ArenaRefusal::NoClaim { matchId: match_id.0 };
            let slot = self.slots.entry(match_id).or_default();
            let contained = set.contains(table.terms.indexes[seat]);
            match &mut slot.standing {
                Standing::Concluded { payouts, live } if live.contains(&claim.seat) => {
                    found += 1;
                    require(amounts(&claim.payouts) == *payouts, no_claim)?;
                    if contained {
                        let delta = table.delta(seat, payouts);
                        live.remove(&claim.seat);
                        // What is still owed of it never came into the funds.
                        let owed = self.dequeue(id, match_id);
                        let record = self.record(id).moved(owed as i128 - delta)?;
                        self.keep(id, Account { claims: record.claims - 1, ..record });
                    }
                }
                _ if contained && slot.locks.remove(&claim.seat) => self.unlock(&table, seat),
                _ => return refuse(no_claim),
            }
        }
        require(found == usize::from(live), wrong(found))
    }

    /// Whether the entry was applied; if not, it is skipped with an event (R6.8).
    fn settle_or_skip(&mut self, call: &Call, entry: &[u8], receipt: Option<&[u8]>) -> Result<bool, Revert> {
        let entry = self.read(entry);
        let (account, skip) = match self.account_of(&entry) {
            Err((account, skip)) => (account, Some(skip)),
            Ok(id) => {
                let digest = self.digest(entry.statement.receipt_hash(id).0);
                let unsigned = |receipt| signer(digest, receipt, 0) != Some(self.config.operator);
                let skip = if receipt.is_some_and(unsigned) {
                    Some(Skip::Receipt)
                } else {
                    self.settle_plain(call, id, &entry.statement)?
                };
                (id.0, skip)
            }
        };
        if let Some(skip) = skip {
            self.log(Arena::Skipped { account, reason: skip as u8 });
        }
        Ok(skip.is_none())
    }

    /// A statement of an account that must have no claims (R6.10).
    pub(super) fn settle_plain(
        &mut self,
        call: &Call,
        id: AccountId,
        statement: &Statement,
    ) -> Result<Option<Skip>, Revert> {
        let record = self.record(id);
        if record.claims > 0 { Ok(Some(Skip::Claims)) } else { self.advance(call, id, record.equity(), statement) }
    }

    /// Reads an entry, and recovers who signed it (R6.7).
    fn read(&self, entry: &[u8]) -> Entry {
        let owner = Address::from_slice(&entry[..20]);
        let statement = statement(&entry[20..40]);
        Entry { owner, statement, key: signer(self.digest(statement.struct_hash(owner)), &entry[40..ENTRY], 0) }
    }

    /// The entry's account, or why it has none that can be settled.
    fn account_of(&self, entry: &Entry) -> Result<AccountId, (Address, Skip)> {
        let key = entry.key.ok_or((Address::ZERO, Skip::Signature))?;
        let id = id_of(entry.owner, key);
        if key == self.config.operator { Err((id.0, Skip::OperatorKey)) } else { Ok(id) }
    }

    fn log_settled(&mut self, batch: u32, root: B256, matches: u32, applied: u32, fees: u128) {
        self.log(Arena::Settled { batch, resultsRoot: root, matches, applied, fees: U96::from(fees) });
    }

    /// The receipt for the statement on the chain, which withdrawals name.
    pub(super) fn receipt_of(&self, id: AccountId) -> Receipt {
        let Account { net, set, .. } = self.record(id);
        Statement { net, set }.receipt_hash(id)
    }
}

/// A statement as entries and exits hold it: net 12, through 4, pending 4 bytes.
pub(super) fn statement(packed: &[u8]) -> Statement {
    let sign = if packed[0] & 0x80 == 0 { 0 } else { 0xff };
    let mut net = [sign; 16];
    net[4..].copy_from_slice(&packed[..12]);
    let word = |at: usize| u32::from_be_bytes(packed[at..at + 4].try_into().expect("four bytes"));
    Statement { net: i128::from_be_bytes(net), set: SettledSet { through: word(12), pending: word(16) } }
}

fn split(packed: &[u8], size: usize) -> Result<impl Iterator<Item = &[u8]>, Revert> {
    let whole = packed.len() / size;
    if !packed.len().is_multiple_of(size) {
        return bad_length((whole + 1) * size, packed.len());
    }
    Ok(packed.chunks_exact(size))
}

fn not_applied<T>(skip: Skip) -> Result<T, Revert> {
    refuse(ArenaRefusal::NotApplied { reason: skip as u8 })
}
