//! The operator's pool, and the queue of what it owes (R3.2, R3.5).

use alloy_primitives::{Address, U256, aliases::U96};
use matchlock::{
    abi::{Arena, MatchId},
    account::AccountId,
    chain::{ArenaRefusal, Revert},
    game::Amount,
};

use super::{Call, Model, accounts::MAX_FUNDS, refuse, require};

/// Entries of the queue that a call looks at which brings money in.
pub(super) const QUEUE_STEP: u64 = 4;

/// The pool's record.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pool {
    pub(super) equity: u128,
    pub(super) owed: u128,
    pub(super) batches: u32,
}

impl Pool {
    pub(super) fn receive(&mut self, amount: u128) -> Result<(), Revert> {
        require(self.has_room_for(amount), ArenaRefusal::TooMuch {})?;
        self.equity += amount;
        Ok(())
    }

    /// Whoever asks for it has looked at what there is.
    pub(super) fn pay(&mut self, amount: u128) -> Result<(), Revert> {
        self.equity = self.equity.checked_sub(amount).expect("R3.4: no road takes the pool below zero");
        Ok(())
    }

    pub(super) fn has_room_for(&self, amount: u128) -> bool {
        self.equity + amount <= Amount::MAX.units()
    }

    /// What is left for all that ranks behind `owed` (R3.5).
    pub(super) fn free(&self) -> u128 {
        self.equity.saturating_sub(self.owed)
    }
}

/// What the pool owes an account for a match; nothing any more where a statement has absorbed the match.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owed {
    pub(super) account: AccountId,
    pub(super) id: MatchId,
    pub(super) amount: u128,
}

/// The operator's announced withdrawal from the pool; nothing at the epoch's start before the first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Notice {
    amount: u128,
    from: u64,
}

impl Model {
    pub(super) fn deposit(&mut self, call: &Call, account: Address) -> Result<(), Revert> {
        let (id, amount) = (AccountId(account), coins(call)?);
        let record = self.record(id);
        require(record.exit_at.is_none(), ArenaRefusal::ExitIsOpen {})?; // R3.7
        require(account != Address::ZERO, ArenaRefusal::ZeroAddress {})?;
        require(record.funds + amount as i128 <= MAX_FUNDS, ArenaRefusal::TooMuch {})?; // R3.6
        self.keep(id, record.moved(amount as i128)?);
        self.held[0] += amount;
        // Debt to the pool is repaid first (R3.2).
        if record.debt() > 0 {
            self.pool.receive(amount.min(record.debt()))?;
            self.pay_queue(QUEUE_STEP)?;
        }
        self.log(Arena::Deposited { account, from: call.from, amount: U96::from(amount) });
        Ok(())
    }

    pub(super) fn fund(&mut self, call: &Call) -> Result<(), Revert> {
        let amount = coins(call)?;
        self.log(Arena::Funded { from: call.from, amount: U96::from(amount) });
        self.pool.receive(amount)?;
        self.held[0] += amount;
        self.pay_queue(QUEUE_STEP)
    }

    pub(super) fn pay_owed(&mut self, n: U256) -> Result<(), Revert> {
        self.pay_queue(n.saturating_to())
    }

    pub(super) fn request_pool(&mut self, call: &Call, amount: u128) -> Result<(), Revert> {
        self.expect_operator(call)?;
        self.notice = Notice { amount, from: call.at + self.exit_window() };
        let (from, until) = (self.notice.from, self.notice.from + self.exit_window());
        self.log(Arena::PoolRequested {
            amount: U96::from(amount),
            from: from.try_into().expect("40 bits hold block times"),
            until: until.try_into().expect("40 bits hold block times"),
        });
        Ok(())
    }

    pub(super) fn withdraw_pool(&mut self, call: &Call) -> Result<(), Revert> {
        self.expect_operator(call)?;
        let (Notice { amount, from }, until) = (self.notice, self.notice.from + self.exit_window());
        let running = (from..until).contains(&call.at);
        require(running, ArenaRefusal::NoticeRuns { from: U256::from(from), until: U256::from(until) })?;
        self.notice = Notice::default();
        let amount = amount.min(self.pool.free());
        require(amount > 0, ArenaRefusal::NothingToPay {})?;
        self.pool.pay(amount)?;
        self.held[0] -= amount;
        self.log(Arena::PoolWithdrawn { amount: U96::from(amount) });
        self.push(self.config.operator)
    }

    pub(super) fn exit_window(&self) -> u64 {
        self.config.exit_window.into()
    }

    /// Looks at `n` entries of the queue, the oldest first, and pays what there is (R3.5).
    pub(super) fn pay_queue(&mut self, n: u64) -> Result<(), Revert> {
        if self.pool.owed == 0 {
            return Ok(());
        }
        for _ in 0..n {
            let Some(owed) = self.queue.front().copied() else { break };
            if owed.amount > 0 && !self.pay_first(&owed)? {
                break;
            }
            self.queue.pop_front();
        }
        Ok(())
    }

    /// Pays the first of the queue what there is; whether that was all of it.
    fn pay_first(&mut self, owed: &Owed) -> Result<bool, Revert> {
        let account = self.record(owed.account);
        // What the account owes the pool is netted; the pool pays the rest.
        let paid = owed.amount.min(self.pool.equity + account.debt());
        if paid == 0 {
            return Ok(false);
        }
        // An account that is full does not stop the queue: what does not fit is dropped.
        let room = (MAX_FUNDS - account.funds).unsigned_abs();
        let (paid, dropped) = if paid > room { (room, owed.amount - room) } else { (paid, 0) };
        self.transfer(owed.account, account.moved(paid as i128)?)?;
        self.pool.owed -= paid + dropped;
        let left = owed.amount - paid - dropped;
        self.queue[0].amount = left;
        self.log(Arena::OwedPaid { account: owed.account.0, matchId: owed.id.0, amount: U96::from(paid) });
        Ok(left == 0)
    }

    pub(super) fn enqueue(&mut self, account: AccountId, id: MatchId, amount: u128) {
        self.pool.owed += amount;
        self.queue.push_back(Owed { account, id, amount });
        self.log(Arena::OwedAdded { account: account.0, matchId: id.0, amount: U96::from(amount) });
    }

    /// A statement has absorbed the match: what is still owed for it.
    pub(super) fn dequeue(&mut self, account: AccountId, id: MatchId) -> u128 {
        let mine = |owed: &&mut Owed| owed.account == account && owed.id == id && owed.amount > 0;
        let Some(owed) = self.queue.iter_mut().find(mine) else { return 0 };
        let amount = std::mem::take(&mut owed.amount);
        self.pool.owed -= amount;
        self.log(Arena::OwedPaid { account: account.0, matchId: id.0, amount: U96::ZERO });
        amount
    }
}

/// The coins that come with a call; there are not more than an amount holds.
fn coins(call: &Call) -> Result<u128, Revert> {
    match u128::try_from(call.value) {
        Ok(amount) if amount <= Amount::MAX.units() => Ok(amount),
        _ => refuse(ArenaRefusal::TooMuch {}),
    }
}
