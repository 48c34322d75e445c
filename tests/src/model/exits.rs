//! Ways out: together with the operator, or without it (R3.7).

use alloy_primitives::{Address, U256, aliases::U96};
use matchlock::{
    abi::{Arena, Exit, Receipt, Withdrawal},
    account::AccountId,
    chain::{ArenaRefusal, Revert},
    game::Amount,
};

use super::{
    Call, Model,
    accounts::Account,
    outcomes::Standing,
    pool::QUEUE_STEP,
    require,
    settlement::statement,
    terms::{SIGNATURE, Table, bad_signature, expect_length, id_of, signer},
};

/// Bytes of an exit's receipt: net 12, through 4, pending 4, then the operator's signature.
const EXIT_ENTRY: usize = 20 + SIGNATURE;

impl Model {
    /// Account and operator both signed: pays at once, on top of the statement on the chain, which both named.
    pub(super) fn withdraw(&mut self, call: &Call, signed: &Arena::withdrawCall) -> Result<(), Revert> {
        let Arena::withdrawCall { owner, key, total, deadline, accountSig, operatorSig } = signed;
        require(call.at <= *deadline, ArenaRefusal::Expired { deadline: U256::from(*deadline) })?;
        expect_length(accountSig, SIGNATURE)?;
        expect_length(operatorSig, SIGNATURE)?;
        let (id, total) = (id_of(*owner, *key), total.to::<u128>());
        let withdrawal = Withdrawal {
            account: id,
            total: Amount::new(total).expect("96 bits fit an amount"),
            deadline: *deadline,
            receipt: self.receipt_of(id),
        };
        let digest = self.digest(withdrawal.struct_hash());
        require(signer(digest, accountSig, 0) == Some(*key), bad_signature(0))?;
        require(signer(digest, operatorSig, 0) == Some(self.config.operator), bad_signature(1))?;

        let record = self.record(id);
        require(total > record.withdrawn, ArenaRefusal::NothingToPay {})?;
        let (amount, available) = (total - record.withdrawn, record.free());
        require(amount <= available, ArenaRefusal::NotAvailable { available: U256::from(available) })?;
        let record = record.moved(-(amount as i128))?;
        self.keep(id, Account { withdrawn: total, ..record });
        self.held[0] -= amount;
        self.log(Arena::Withdrawn { account: id.0, owner: *owner, amount: U96::from(amount), total: U96::from(total) });
        self.push(*owner)
    }

    /// Opens the exit: by the owner as sender, or with the key's signature. The account stays closed.
    pub(super) fn exit(&mut self, call: &Call, exit: &Arena::exitCall) -> Result<(), Revert> {
        let id = id_of(exit.owner, exit.key);
        let mut newest = None;
        let mut receipt = Receipt::default();
        if !exit.entry.is_empty() {
            expect_length(&exit.entry, EXIT_ENTRY)?;
            let (packed, signature) = exit.entry.split_at(20);
            let statement = statement(packed);
            receipt = statement.receipt_hash(id);
            self.expect_operators(self.digest(receipt.0), signature, 0)?;
            newest = Some(statement);
        }
        let record = self.record(id);
        if call.from != exit.owner {
            expect_length(&exit.exitSig, SIGNATURE)?;
            let order = Exit { account: id, receipt, nonce: record.exits };
            let by = signer(self.digest(order.struct_hash()), &exit.exitSig, 0);
            require(by == Some(exit.key), bad_signature(0))?;
        }
        self.keep(id, Account { exits: record.exits + 1, ..record });
        if record.exit_at.is_none() {
            self.open_exit(call, id);
        }
        // One that cannot be settled keeps nobody in.
        if let Some(statement) = newest {
            match self.settle_plain(call, id, &statement)? {
                None => self.pay_queue(QUEUE_STEP)?,
                Some(skip) => self.log(Arena::Skipped { account: id.0, reason: skip as u8 }),
            }
        }
        Ok(())
    }

    /// The exit window begins, or begins again.
    pub(super) fn open_exit(&mut self, call: &Call, id: AccountId) {
        let exit_at = call.at + self.exit_window();
        self.keep(id, Account { exit_at: Some(exit_at), ..self.record(id) });
        let exit_at = exit_at.try_into().expect("40 bits hold block times");
        self.log(Arena::ExitOpened { account: id.0, exitAt: exit_at });
    }

    /// In an exit window: keeps the stake of a fully signed open match back.
    pub(super) fn lock(&mut self, call: &Call, lock: &Arena::lockCall) -> Result<(), Revert> {
        let table = self.open_at(&lock.terms, lock.seat)?;
        self.expect_everybody(&table, &lock.owners, &lock.signatures, table.id.0)?;
        let seat = usize::from(lock.seat);
        let (id, stake) = (table.terms.seats[seat], table.terms.stakes[seat].units());
        let record = self.record(id);
        let Some(exit_at) = record.exit_at else { return super::refuse(ArenaRefusal::ExitNotOpen {}) };
        require(call.at < exit_at, ArenaRefusal::ExitWindowOver {})?;
        require(!record.set.contains(table.terms.indexes[seat]), ArenaRefusal::MatchSettled {})?;
        let slot = self.slots.entry(table.id).or_default();
        let disputed = match slot.standing {
            Standing::Concluded { .. } => return super::refuse(ArenaRefusal::MatchConcluded {}),
            Standing::Disputed(_) => true,
            Standing::None => false,
        };
        // A dispute outlives the expiry, and so do the stakes in it (R7.14).
        require(disputed || call.at <= table.terms.expiry, ArenaRefusal::MatchExpired {})?;
        require(slot.locks.insert(lock.seat), ArenaRefusal::AlreadyLocked {})?;
        let locked = record.locked + stake;
        require(locked <= Amount::MAX.units(), ArenaRefusal::TooMuch {})?;
        self.keep(id, Account { locked, ..record });
        self.log(Arena::Locked { account: id.0, matchId: table.id.0, stake: U96::from(stake) });
        Ok(())
    }

    /// Frees the stake of a match that is settled for the seat, or past its expiry without a dispute.
    pub(super) fn release(&mut self, call: &Call, release: &Arena::releaseCall) -> Result<(), Revert> {
        let table = self.open_at(&release.terms, release.seat)?;
        let seat = usize::from(release.seat);
        let slot = self.slots.entry(table.id).or_default();
        require(slot.locks.remove(&release.seat), ArenaRefusal::NotLocked {})?;
        let lapsed = call.at > table.terms.expiry && !matches!(slot.standing, Standing::Disputed(_));
        let settled = self.record(table.terms.seats[seat]).set.contains(table.terms.indexes[seat]);
        require(lapsed || settled, ArenaRefusal::StillLocked {})?;
        self.unlock(&table, seat);
        Ok(())
    }

    pub(super) fn unlock(&mut self, table: &Table, seat: usize) {
        let (id, stake) = (table.terms.seats[seat], table.terms.stakes[seat].units());
        let record = self.record(id);
        self.keep(id, Account { locked: record.locked - stake, ..record });
        self.log(Arena::Released { account: id.0, matchId: table.id.0, stake: U96::from(stake) });
    }

    /// After the window: pays the owner what is not locked.
    pub(super) fn finish_exit(&mut self, call: &Call, owner: Address, key: Address) -> Result<(), Revert> {
        let id = id_of(owner, key);
        let record = self.record(id);
        let Some(exit_at) = record.exit_at else { return super::refuse(ArenaRefusal::ExitNotOpen {}) };
        require(call.at >= exit_at, ArenaRefusal::ExitWindowRuns { exitAt: U256::from(exit_at) })?;
        let amount = record.free();
        require(amount > 0, ArenaRefusal::NothingToPay {})?;
        // A total that is full: nothing is withdrawn by total any more.
        let withdrawn = (record.withdrawn + amount).min(Amount::MAX.units());
        let record = record.moved(-(amount as i128))?;
        self.keep(id, Account { withdrawn, ..record });
        self.held[0] -= amount;
        self.log(Arena::ExitFinished { account: id.0, owner, paid: U96::from(amount) });
        self.push(owner)
    }
}
