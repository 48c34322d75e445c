use alloy_primitives::{Address, B256};
use matchlock::{account::SettledSet, sign::Signature};

use super::*;

const NOW: Moment = Moment { now: 1_000, passed: 900 };

fn units(units: u64) -> Amount {
    Amount::from_u64(units)
}

fn player() -> Player {
    Player { owner: Address::repeat_byte(1), key: Address::repeat_byte(2) }
}

fn book(funds: i128) -> Book {
    let mut book = Book::new(AccountRow::new(player()));
    book.observe(chain(funds, Statement::default()), 0);
    book
}

fn chain(funds: i128, statement: Statement) -> ChainAccount {
    ChainAccount {
        funds,
        net: statement.net,
        set: statement.set,
        claims: 0,
        special: false,
        withdrawn: Amount::ZERO,
        locked: Amount::ZERO,
        exit_at: 0,
        nonce: 0,
    }
}

fn id(number: u8) -> MatchId {
    MatchId(B256::repeat_byte(number))
}

fn offer(index: u32) -> Offer {
    Offer { index, anchor: B256::ZERO }
}

/// Plays match `index` for a stake of 10 up to its result.
fn play(book: &mut Book, index: u32, delta: i128) {
    let table = TableId(index.into());
    book.reserve(&offer(index), units(10), table, NOW, 10).expect("reserves");
    book.promote(table, id(index as u8));
    book.finish(Due { match_id: id(index as u8), index, delta }, false, NOW.now);
}

fn sign(book: &mut Book) -> Statement {
    let statement = book.row.due.as_ref().expect("due").statement;
    let signature = Signature([0; 64]);
    book.cosign(Pair { player: player(), statement, signature, receipt: signature });
    statement
}

#[test]
fn what_is_lost_is_not_available_before_or_after_it_is_signed() {
    let mut book = book(100);
    play(&mut book, 0, -10);
    assert_eq!(book.available(NOW), units(90));
    sign(&mut book);
    assert_eq!(book.available(NOW), units(90));
}

#[test]
fn what_is_won_is_available_once_it_is_signed() {
    let mut book = book(100);
    play(&mut book, 0, 7);
    assert_eq!((book.available(NOW), book.unsettled_gain()), (units(90), 7));
    let statement = sign(&mut book);
    assert_eq!((book.available(NOW), book.unsettled_gain()), (units(107), 7));
    assert_eq!(book.observe(chain(100, statement), 3), Some(statement));
    assert_eq!((book.available(NOW), book.unsettled_gain()), (units(107), 0));
    assert_eq!(book.row.unsettled, []);
    assert_eq!(book.observe(chain(100, statement), 3), None, "told once");
}

#[test]
fn results_that_come_while_a_statement_is_due_wait_for_the_next_one() {
    let mut book = book(100);
    play(&mut book, 1, 5);
    play(&mut book, 0, -10);
    let first = sign(&mut book);
    assert_eq!(first, Statement { net: 5, set: SettledSet { through: 2, pending: 0b10 } });
    book.ask(NOW.now);
    let second = sign(&mut book);
    assert_eq!(second, Statement { net: -5, set: SettledSet { through: 2, pending: 0 } });
    assert!(second.set.exceeds(&first.set));
    assert_eq!(book.ask(NOW.now), None);
}

#[test]
fn an_index_is_used_once() {
    let mut book = book(100);
    let reserve = |book: &mut Book, index| book.reserve(&offer(index), units(1), TableId(9), NOW, 10);
    reserve(&mut book, 3).expect("free");
    let used = |next| Err(Refusal::IndexUsed { index: 3, next });
    assert_eq!(reserve(&mut book, 3), used(0));
    // A table that came to nothing used no index.
    book.release_table(TableId(9));
    play(&mut book, 3, 0);
    assert_eq!(reserve(&mut book, 3), used(4), "the statement is due");
    sign(&mut book);
    assert_eq!(reserve(&mut book, 3), used(4), "it is signed");
    assert_eq!(reserve(&mut book, 32), Err(Refusal::IndexTooFar { index: 32, open: 0 }));
    reserve(&mut book, 31).expect("in the window");
}

#[test]
fn a_withdrawal_holds_its_amount_until_it_is_used_void_or_late() {
    let mut book = book(100);
    let withdrawal = matchlock::abi::Withdrawal {
        account: player().account(),
        total: units(40),
        deadline: NOW.now,
        receipt: Statement::default().receipt_hash(player().account()),
    };
    let signature = Signature([0; 64]);
    book.row.withdrawal = Some(HeldWithdrawal { withdrawal, amount: units(40), signature });
    assert_eq!(book.available(NOW), units(60));
    let late = Moment { passed: NOW.now + 1, ..NOW };
    assert_eq!(book.available(late), units(100));
    let used = ChainAccount { withdrawn: units(40), ..chain(60, Statement::default()) };
    book.observe(used, 0);
    assert_eq!(book.available(NOW), units(60));
    // The statement that it names is replaced on the chain: nobody can use it.
    let replaced = Statement { net: 1, set: SettledSet { through: 1, pending: 0 } };
    book.observe(chain(100, replaced), 1);
    assert_eq!(book.available(NOW), units(101));
}

#[test]
fn nothing_is_lent_to_who_leaves_has_claims_or_is_unknown() {
    let mut book = book(100);
    book.observe(ChainAccount { exit_at: 5, ..chain(100, Statement::default()) }, 0);
    assert_eq!(book.available(NOW), Amount::ZERO);
    assert_eq!(book.reserve(&offer(0), units(1), TableId(1), NOW, 10), Err(Refusal::Exiting));
    book.observe(ChainAccount { claims: 1, ..chain(100, Statement::default()) }, 0);
    assert_eq!(book.available(NOW), Amount::ZERO);
    book.chain = None;
    assert_eq!(book.reserve(&offer(0), units(1), TableId(1), NOW, 10), Err(Refusal::Chain));
}
