//! The whole road: from a deposit to a withdrawal, over a real WebSocket and a real chain.

mod common;

use common::{World, amount, finish, open, propose};
use matchlock::{
    abi::{Exit, Statement},
    account::SettledSet,
    chain::{ArenaChain, LocalWallet, SignedWithdrawal},
    settle::proves,
    sign::{Signer, verify},
    wire::{About, Field, Pair, Refusal, ToClient, ToServer},
};
use matchlock_server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_match_is_played_settled_proved_and_withdrawn() {
    let mut world = World::new().await;
    world.settings.settle_count = 2;
    let server = world.start().await;
    let mut a = world.player(&server, 1, 1_000).await;
    let mut b = world.player(&server, 2, 1_000).await;
    assert_eq!(a.view.available, amount(1_000));

    let mut game = open(&world, &mut a, &mut b, 100, [0, 0]).await;
    assert_eq!(a.view().await.available, amount(900), "the stake is held");
    assert_eq!(a.view().await.open, [game.id]);
    finish(&mut game, &mut a, &mut b).await;

    // R6.2: each seat signs its statement, and gets the opponent's pair (R6.5).
    let won = a.agree().await;
    let lost = b.agree().await;
    // 200 staked, a fee of one per cent of the pot.
    assert_eq!(won, Statement { net: amount(98).signed(), set: SettledSet { through: 1, pending: 0 } });
    assert_eq!(lost.net, -amount(100).signed());
    let pair: Pair = a.expect(opponent).await;
    assert_eq!((pair.player, pair.statement), (b.wallet.player(), lost));
    verify(a.domain().digest(lost.receipt_hash(b.account()).0), &pair.receipt, server.operator()).expect("a receipt");
    assert_eq!(b.expect(opponent).await.statement, won);

    // Two accounts wait: a batch goes out.
    let (settled, batch) = a.settled().await;
    assert_eq!((settled, batch), (won, 1));
    assert_eq!(b.settled().await, (lost, 1));

    // R6.9: the result is proved against the chain.
    a.send(&ToServer::Prove { tag: 5, match_id: game.id }).await;
    let (batch, result, path) = a
        .expect(|frame| match frame {
            ToClient::Proof { tag: 5, batch, result, path } => Some((*batch, result.clone(), path.clone())),
            _ => None,
        })
        .await;
    assert_eq!(result.payouts, game.state.payouts);
    assert_eq!(result.final_state, game.state.hash(game.id).0);
    let arena = world.bank().await;
    assert!(arena.prove_result(batch, &result, &path).await.expect("answers"));
    assert!(proves(result.hash(a.domain().arena), result.hash(a.domain().arena), &[]), "a lone leaf is the root");

    // Everything is taken out again, and the pool is short of nothing but what a player gained (the fee is revenue).
    for (client, total) in [(&mut a, 1_098), (&mut b, 900)] {
        client.send(&ToServer::Withdraw { tag: 9, amount: amount(total) }).await;
        let (withdrawal, operator) = client.expect(withdrawal).await;
        let account = client.sign(withdrawal.struct_hash());
        let owner = client.wallet.owner.address();
        let signed = SignedWithdrawal { player: client.wallet.player(), withdrawal, account, operator };
        arena.withdraw(&signed).await.expect("pays");
        assert_eq!(arena.balance(owner).await.expect("answers").to::<u128>(), amount(total).units());
        assert_eq!(arena.account(client.account()).await.expect("answers").equity(), 0);
    }
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_that_is_not_signed_lapses_and_is_given_up_by_a_statement() {
    let mut world = World::new().await;
    world.settings.open_for = 1;
    let server = world.start().await;
    let mut a = world.player(&server, 1, 100).await;
    let mut b = world.player(&server, 2, 100).await;
    let terms = propose(&world, &mut a, &mut b, 100, [0, 0]).await;
    let id = a.sign_terms(&terms).await;
    let reason = a.expect(|frame| match frame {
        ToClient::Cancelled { match_id, reason } => Some((*match_id, reason.clone())),
        _ => None,
    });
    assert_eq!(reason.await, (id, Refusal::TimedOut));
    assert_eq!(a.view().await.available, amount(100), "the operator never signed: the stake is free at once");
    // R5.4: the index is in the statement, with delta zero, and can be used no more.
    let due = a.due().await;
    assert_eq!(due, Statement { net: 0, set: SettledSet { through: 1, pending: 0 } });
    a.sign_statement(due).await;
    a.receipt().await;
    // Too late.
    b.sign_terms(&terms).await;
    assert_eq!(b.refusal().await, (About::Match(id), Refusal::NotOpen));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_matches_at_once_end_in_one_statement() {
    let world = World::new().await;
    let server = world.start().await;
    let mut a = world.player(&server, 1, 1_000).await;
    let mut b = world.player(&server, 2, 1_000).await;
    let mut games = Vec::new();
    for index in 0..3 {
        games.push(open(&world, &mut a, &mut b, 10, [index, index]).await);
    }
    // The last one opened ends first: the set has holes until the others end (R5.5).
    finish(&mut games[2], &mut a, &mut b).await;
    let first = a.due().await;
    assert_eq!(first.set, SettledSet { through: 3, pending: 0b110 });
    finish(&mut games[1], &mut a, &mut b).await;
    finish(&mut games[0], &mut a, &mut b).await;
    a.sign_statement(first).await;
    assert_eq!(a.receipt().await.0, first);
    // The two that ended meanwhile are in the next one together (R6.4).
    let second = a.agree().await;
    assert_eq!(second.set, SettledSet { through: 3, pending: 0 });
    assert_eq!(second.net, 3 * (amount(98).signed() / 10));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_settles_first_and_is_given_once() {
    let world = World::new().await;
    let server = world.start().await;
    let mut a = world.player(&server, 1, 1_000).await;
    let mut b = world.player(&server, 2, 1_000).await;
    let mut game = open(&world, &mut a, &mut b, 100, [0, 0]).await;
    finish(&mut game, &mut a, &mut b).await;
    let won = a.agree().await;
    b.agree().await;
    // No batch is due by number or age; the withdrawal asks for one.
    a.send(&ToServer::Withdraw { tag: 1, amount: amount(1_000) }).await;
    let (withdrawal, signature) = a.expect(withdrawal).await;
    assert_eq!(a.settled().await.0, won);
    assert_eq!(withdrawal.receipt, won.receipt_hash(a.account()));
    assert_eq!(a.view().await.available, amount(98), "what is signed away is not available");
    // The same again is the same answer; more than one at a time is refused.
    a.send(&ToServer::Withdraw { tag: 2, amount: amount(1_000) }).await;
    assert_eq!(a.expect(self::withdrawal).await, (withdrawal, signature));
    a.send(&ToServer::Withdraw { tag: 3, amount: amount(1) }).await;
    assert_eq!(a.refusal().await, (About::Request(3), Refusal::TooManyOpen { limit: 1 }));
    // b asks for more than it has.
    b.send(&ToServer::Withdraw { tag: 4, amount: amount(901) }).await;
    let limit = Refusal::OutOfRange { field: Field::Amount, min: 1, max: amount(900).units() };
    assert_eq!(b.refusal().await, (About::Request(4), limit));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exit_on_the_chain_ends_play_and_a_deposit_there_counts() {
    let world = World::new().await;
    let server = world.start().await;
    let mut a = world.player(&server, 1, 0).await;
    assert_eq!(a.view.available, amount(0));
    world.bank().await.deposit(a.account(), amount(50)).await.expect("deposits");
    while a.view().await.available != amount(50) {
        tokio::task::yield_now().await;
    }
    leave(&world, &a).await;
    while a.view().await.available != amount(0) {
        tokio::task::yield_now().await;
    }
    let (spec, offer) = (world.spec(1), a.offer(0));
    a.send(&ToServer::Create { tag: 1, spec, offer }).await;
    assert_eq!(a.refusal().await, (About::Request(1), Refusal::Exiting));
    server.shutdown().await;
}

/// The account key signs an exit without a receipt; somebody rich submits it.
async fn leave(world: &World, client: &common::Client) {
    let exit = Exit { account: client.account(), receipt: Default::default(), nonce: 0 };
    let signature = client.sign(exit.struct_hash());
    world.bank().await.exit(client.wallet.player(), None, Some(&signature)).await.expect("opens an exit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_chain_serves_everything_on_one_port() {
    let world = World::new().await;
    let directory = tempfile::tempdir().expect("a directory");
    let config = || matchlock_server::Config::new(directory.path());
    let server = Server::start(config(), vec![world.rules.clone()]).await.expect("starts");
    let (domain, rpc) = (server.domain(), server.rpc_url().expect("embedded"));

    // A wallet finds the chain behind /rpc, and play money behind /faucet.
    let wallet = common::Wallet::new(1);
    let owner = LocalWallet::new(common::http(&rpc), wallet.owner.clone());
    let arena = ArenaChain::connect(owner, domain.arena).await.expect("an arena");
    common::post(&server, "/faucet", &format!("{{\"address\":\"{}\"}}", wallet.owner.address())).await;
    arena.deposit(wallet.account(), amount(500)).await.expect("deposits");
    let a = wallet.log_in(&server, &[]).await;
    assert_eq!(a.view.available, amount(500));
    assert!(common::get(&server, "/health").await.contains("\"ok\":true"));
    assert!(common::get(&server, "/games").await.contains("tictactoe"));
    assert!(common::get(&server, "/").await.contains(&format!("{:?}", domain.arena)));
    server.shutdown().await;

    // The chain and the server restart together.
    let server = Server::start(config(), vec![world.rules.clone()]).await.expect("starts again");
    assert_eq!(server.domain(), domain);
    assert_eq!(wallet.log_in(&server, &[]).await.view.available, amount(500));
    server.shutdown().await;
}

fn opponent(frame: &ToClient) -> Option<Pair> {
    match frame {
        ToClient::Opponent { pair, .. } => Some(*pair),
        _ => None,
    }
}

fn withdrawal(frame: &ToClient) -> Option<(matchlock::abi::Withdrawal, matchlock::sign::Signature)> {
    match frame {
        ToClient::Withdrawal { withdrawal, signature, .. } => Some((*withdrawal, *signature)),
        _ => None,
    }
}
