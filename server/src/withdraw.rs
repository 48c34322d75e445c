//! Co-operative withdrawals: the operator signs what the account may take out at once.

use std::sync::Arc;

use matchlock::{
    abi::Withdrawal,
    game::Amount,
    wire::{Field, Refusal, ToClient},
};

use crate::{
    account::Account,
    hub::Hub,
    opening::signer,
    store::{Change, HeldWithdrawal},
    sync::lock,
};

impl Hub {
    /// Signs a withdrawal, at once or, where a statement has to be settled first, when that is on the chain.
    pub(crate) fn withdraw(self: &Arc<Self>, account: &Arc<Account>, tag: u32, amount: Amount) -> Result<(), Refusal> {
        self.accepting()?;
        let mut book = lock(&account.book);
        let chain = book.chain.as_ref().ok_or(Refusal::Chain)?;
        if chain.exit_at != 0 {
            return Err(Refusal::Exiting);
        }
        if let Some(held) = book.held(self.moment()).cloned() {
            // One at a time. The same again is the same answer: the first may have been lost.
            if held.amount != amount {
                return Err(Refusal::TooManyOpen { limit: 1 });
            }
            let HeldWithdrawal { withdrawal, signature, .. } = held;
            let account = account.clone();
            self.store.write(Vec::new(), move || account.send(&ToClient::Withdrawal { tag, withdrawal, signature }));
            return Ok(());
        }
        if book.wanted.is_some() {
            return Err(Refusal::TooManyOpen { limit: 1 });
        }
        let available = book.available(self.moment());
        if amount == Amount::ZERO || amount > available {
            return Err(Refusal::OutOfRange { field: Field::Amount, min: 1, max: available.units() });
        }
        book.wanted = Some((tag, amount));
        let settle_first = book.to_settle().is_some();
        drop(book);
        if settle_first {
            lock(&self.settler).demand();
        } else {
            self.resume_withdrawal(account);
        }
        Ok(())
    }

    /// Signs the withdrawal that waited for a batch, if nothing is left to settle.
    pub(crate) fn resume_withdrawal(self: &Arc<Self>, account: &Arc<Account>) {
        let mut book = lock(&account.book);
        if book.to_settle().is_some() {
            return;
        }
        let Some((tag, amount)) = book.wanted.take() else { return };
        // Something may have happened in between: a withdrawal that was signed elsewhere, an exit.
        if amount > book.available(self.moment()) {
            let refusal =
                Refusal::OutOfRange { field: Field::Amount, min: 1, max: book.available(self.moment()).units() };
            drop(book);
            return self.refuse_request(account, tag, refusal);
        }
        let withdrawn = book.chain.as_ref().map_or(Amount::ZERO, |chain| chain.withdrawn);
        let Some(total) = withdrawn.checked_add(amount) else { return };
        let withdrawal = Withdrawal {
            account: account.id,
            total,
            deadline: self.chain_now() + self.settings.withdraw_for,
            receipt: book.settled().receipt_hash(account.id),
        };
        let signature = match self.operator.sign(self.operator.digest(withdrawal.struct_hash())) {
            Ok(signature) => signature,
            Err(error) => {
                drop(book);
                return self.refuse_request(account, tag, signer(error));
            }
        };
        book.row.withdrawal = Some(HeldWithdrawal { withdrawal, amount, signature });
        let account = account.clone();
        self.store.write(vec![Change::account(&book.row)], move || {
            account.send(&ToClient::Withdrawal { tag, withdrawal, signature });
        });
    }

    fn refuse_request(&self, account: &Account, tag: u32, refusal: Refusal) {
        if let Some(peer) = account.peer() {
            peer.refuse(matchlock::wire::About::Request(tag), refusal);
        }
    }
}
