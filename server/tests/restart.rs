//! The server dies at every stage of a match's life. What it had said stands, what it had not said did not happen, play
//! goes on from there, and nothing is settled twice.

mod common;

use common::{Client, Game, WIN, World, amount, finish, open, propose, start};
use matchlock::{
    abi::Statement,
    account::SettledSet,
    chain::SignedWithdrawal,
    game::Seat,
    sign::Signer,
    wire::{About, Have, Refusal, ToClient, ToServer},
};
use matchlock_server::Server;

struct Scene {
    world: World,
    server: Server,
    a: Client,
    b: Client,
}

impl Scene {
    async fn new() -> Scene {
        let world = World::new().await;
        let server = world.start().await;
        let a = world.player(&server, 1, 1_000).await;
        let b = world.player(&server, 2, 1_000).await;
        Scene { world, server, a, b }
    }

    /// The process dies and is started again; both players log in with what they have.
    async fn crash(self, have: &[Have]) -> Scene {
        let Scene { world, server, a, b } = self;
        server.kill().await;
        let server = world.start().await;
        let a = a.wallet.log_in(&server, have).await;
        let b = b.wallet.log_in(&server, have).await;
        Scene { world, server, a, b }
    }

    /// To the end, with every sum right.
    async fn ends(mut self, mut game: Game) {
        finish(&mut game, &mut self.a, &mut self.b).await;
        self.settles().await;
    }

    async fn settles(mut self) {
        let won = self.a.agree().await;
        let lost = self.b.agree().await;
        assert_eq!(won, Statement { net: amount(98).signed(), set: SettledSet { through: 1, pending: 0 } });
        assert_eq!(lost.net, -amount(100).signed());
        self.server.settle_now();
        assert_eq!(self.a.settled().await.0, won);
        assert_eq!(self.b.settled().await.0, lost);
        self.once().await;
    }

    /// One batch, and the sums on the chain are those of one match.
    async fn once(self) {
        let arena = self.world.bank().await;
        let pool = arena.pool().await.expect("answers");
        assert_eq!(pool.batches, 1);
        assert_eq!(pool.equity, amount(1_000), "the loser's debit paid the winner and the fee");
        assert_eq!(arena.account(self.a.account()).await.expect("answers").equity(), amount(1_098).signed());
        assert_eq!(arena.account(self.b.account()).await.expect("answers").equity(), amount(900).signed());
        self.server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_proposal() {
    let mut scene = Scene::new().await;
    let terms = propose(&scene.world, &mut scene.a, &mut scene.b, 100, [0, 0]).await;
    let id = scene.a.sign_terms(&terms).await;
    // One seat's signature was under way, or is lost: it comes again.
    let mut scene = scene.crash(&[Have { match_id: id, turn: None }]).await;
    assert_eq!(scene.a.proposal().await, terms);
    assert_eq!(scene.b.proposal().await, terms);
    assert_eq!(scene.a.view().await.available, amount(900));
    scene.a.sign_terms(&terms).await;
    scene.b.sign_terms(&terms).await;
    let game = Game::new(&scene.world.rules, &terms, &scene.a.domain());
    start(&game, &mut scene.a, &mut scene.b).await;
    scene.ends(game).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_guarantee() {
    let mut scene = Scene::new().await;
    let terms = propose(&scene.world, &mut scene.a, &mut scene.b, 100, [0, 0]).await;
    let id = scene.a.sign_terms(&terms).await;
    scene.b.sign_terms(&terms).await;
    let guarantee = scene.a.guarantee().await;
    let game = Game::new(&scene.world.rules, &terms, &scene.a.domain());
    let mut scene = scene.crash(&[Have { match_id: id, turn: None }]).await;
    // The very same guarantee: the operator does not sign another one.
    assert_eq!(scene.a.guarantee().await, guarantee);
    assert_eq!(scene.b.guarantee().await, guarantee);
    for client in [&mut scene.a, &mut scene.b] {
        client.sign_start(id, &game.state).await;
    }
    scene.a.opened().await;
    scene.b.opened().await;
    scene.ends(game).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_opening() {
    let mut scene = Scene::new().await;
    let game = open(&scene.world, &mut scene.a, &mut scene.b, 100, [0, 0]).await;
    let have = [Have { match_id: game.id, turn: None }];
    let mut scene = scene.crash(&have).await;
    for client in [&mut scene.a, &mut scene.b] {
        client.guarantee().await;
        client.opened().await;
    }
    scene.ends(game).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_mid_match() {
    let mut scene = Scene::new().await;
    let mut game = open(&scene.world, &mut scene.a, &mut scene.b, 100, [0, 0]).await;
    let first = game.play(&mut scene.a, &mut scene.b, WIN[0]).await;
    let second = game.play(&mut scene.b, &mut scene.a, WIN[1]).await;
    // One player has lost a turn, the other nothing: each gets what it lacks, in order (R8.3).
    let Scene { world, server, a, b } = scene;
    server.kill().await;
    let server = world.start().await;
    let mut a = a.wallet.log_in(&server, &[Have { match_id: game.id, turn: Some(0) }]).await;
    let mut b = b.wallet.log_in(&server, &[game.have()]).await;
    let turns: Vec<_> = a.said().await.into_iter().filter_map(turn).collect();
    assert_eq!(turns, [first, second]);
    assert_eq!(b.said().await, []);
    Scene { world, server, a, b }.ends(game).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_that_were_passed_on_and_not_stored_are_brought_back() {
    let mut scene = Scene::new().await;
    let game = open(&scene.world, &mut scene.a, &mut scene.b, 100, [0, 0]).await;
    // Both hold two turns that the server does not have: it passed them on and died before they were on its disk.
    let mut ahead = game.clone();
    let first = ahead.turn(&scene.a, WIN[0]);
    let second = ahead.turn(&scene.b, WIN[1]);
    let mut scene = scene.crash(&[ahead.have()]).await;
    let lacking = (About::Turn(game.id, 2), Refusal::OutOfTurn { turn: 1, mover: Seat(0) });
    assert_eq!(scene.a.refusal().await, lacking);
    assert_eq!(scene.b.refusal().await, lacking);
    // Seat 1 brings both, the other seat's as well: its author signed it, so it is no worse than from itself.
    scene.b.send(&game.frame(&first)).await;
    scene.b.send(&game.frame(&second)).await;
    assert_eq!(scene.a.stored().await, 1);
    assert_eq!(scene.b.stored().await, 2);
    assert_eq!(scene.a.turn().await, second);
    // One that the author did not sign is refused.
    let mut forged = ahead.clone().turn(&scene.a, WIN[2]);
    forged.signature = scene.b.sign(forged.state.hash(game.id).0);
    scene.b.send(&game.frame(&forged)).await;
    let refusal = Refusal::OutOfTurn { turn: 3, mover: Seat(0) };
    assert_eq!(scene.b.refusal().await, (About::Turn(game.id, 3), refusal));
    scene.ends(ahead).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_the_last_turn_and_the_final() {
    let mut scene = Scene::new().await;
    let mut game = open(&scene.world, &mut scene.a, &mut scene.b, 100, [0, 0]).await;
    for (i, play) in WIN.into_iter().enumerate() {
        let (from, to) = if i % 2 == 0 { (&mut scene.a, &mut scene.b) } else { (&mut scene.b, &mut scene.a) };
        game.play(from, to, play).await;
    }
    let mut scene = scene.crash(&[game.have()]).await;
    let ack = game.ack(&scene.b);
    scene.b.send(&ack).await;
    scene.a.is_final().await;
    scene.b.is_final().await;
    scene.settles().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_final() {
    let mut scene = Scene::new().await;
    let mut game = open(&scene.world, &mut scene.a, &mut scene.b, 100, [0, 0]).await;
    for (i, play) in WIN.into_iter().enumerate() {
        let (from, to) = if i % 2 == 0 { (&mut scene.a, &mut scene.b) } else { (&mut scene.b, &mut scene.a) };
        game.play(from, to, play).await;
    }
    let ack = game.ack(&scene.b);
    scene.b.send(&ack).await;
    let last = scene.a.is_final().await;
    let due = scene.a.due().await;
    let mut scene = scene.crash(&[game.have()]).await;
    // The same final and the same statement: never a second one (R6.1, R6.4).
    assert_eq!(scene.a.is_final().await, last);
    assert_eq!(scene.b.is_final().await, last);
    assert_eq!(scene.a.view().await.available, amount(900), "the stake is held until the statement is signed");
    scene.a.sign_statement(due).await;
    assert_eq!(scene.a.receipt().await.0, due);
    scene.b.agree().await;
    scene.server.settle_now();
    scene.a.settled().await;
    scene.b.settled().await;
    scene.once().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_one_receipt() {
    let mut scene = Scene::new().await;
    let mut game = open(&scene.world, &mut scene.a, &mut scene.b, 100, [0, 0]).await;
    finish(&mut game, &mut scene.a, &mut scene.b).await;
    let due = scene.a.due().await;
    scene.a.sign_statement(due).await;
    let receipt = scene.a.receipt().await;
    let mut scene = scene.crash(&[game.have()]).await;
    assert_eq!(scene.a.view.receipt, Some(receipt.1));
    // The winner's pair is in the loser's hands again, the loser's statement is still due.
    let pair = scene.b.expect(|frame| match frame {
        ToClient::Opponent { pair, .. } => Some(*pair),
        _ => None,
    });
    assert_eq!(pair.await.statement, due);
    // The client did not get the receipt: it signs again and gets the same one.
    scene.a.sign_statement(due).await;
    assert_eq!(scene.a.receipt().await, receipt);
    scene.b.agree().await;
    scene.server.settle_now();
    scene.a.settled().await;
    scene.b.settled().await;
    scene.once().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_batch_is_under_way() {
    let mut scene = Scene::new().await;
    let mut game = open(&scene.world, &mut scene.a, &mut scene.b, 100, [0, 0]).await;
    finish(&mut game, &mut scene.a, &mut scene.b).await;
    scene.a.agree().await;
    scene.b.agree().await;
    // Nothing is mined until the server is back.
    scene.world.node.0.request("evm_setAutomine", serde_json::json!([false])).await.expect("answers");
    scene.server.settle_now();
    while !common::get(&scene.server, "/health").await.contains("\"in_flight\":1") {
        tokio::task::yield_now().await;
    }
    let mut scene = scene.crash(&[game.have()]).await;
    scene.world.node.0.request("evm_setAutomine", serde_json::json!([true])).await.expect("answers");
    scene.world.node.0.request("evm_mine", serde_json::json!([])).await.expect("answers");
    scene.a.settled().await;
    scene.b.settled().await;
    // Proved under the one root that there is.
    scene.a.send(&ToServer::Prove { tag: 1, match_id: game.id }).await;
    let batch = scene.a.expect(|frame| match frame {
        ToClient::Proof { batch, .. } => Some(*batch),
        ToClient::Refused { refusal, .. } => panic!("{refusal}"),
        _ => None,
    });
    assert_eq!(batch.await, 1);
    scene.once().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_result_applied_by_the_chain() {
    let mut scene = Scene::new().await;
    let mut game = open(&scene.world, &mut scene.a, &mut scene.b, 100, [0, 0]).await;
    for (i, play) in WIN.into_iter().enumerate() {
        let (from, to) = if i % 2 == 0 { (&mut scene.a, &mut scene.b) } else { (&mut scene.b, &mut scene.a) };
        game.play(from, to, play).await;
    }
    let ack = game.ack(&scene.b);
    scene.b.send(&ack).await;
    let (mut signatures, operator) = scene.a.is_final().await;
    signatures.push(operator);
    let won = scene.a.agree().await;
    // The loser does not sign, so the winner takes the final to the chain (R6.12): both have a claim there.
    let arena = scene.world.bank().await;
    let owners = [&scene.a, &scene.b].map(|client| client.wallet.owner.address());
    arena.conclude(&game.terms, &game.state, &owners, &signatures).await.expect("concludes");
    while scene.a.view().await.available != amount(0) {
        tokio::task::yield_now().await;
    }
    assert_eq!(arena.account(scene.a.account()).await.expect("answers").claims, 1);
    // R6.10: the statement absorbs the claim, across a restart, and the same gain is counted once.
    let mut scene = scene.crash(&[game.have()]).await;
    scene.server.settle_now();
    assert_eq!(scene.a.settled().await, (won, 0));
    let record = arena.account(scene.a.account()).await.expect("answers");
    assert_eq!((record.equity(), record.claims), (amount(1_098).signed(), 0));
    assert_eq!(scene.a.view().await.available, amount(1_098));
    // The loser comes round.
    scene.b.agree().await;
    scene.server.settle_now();
    scene.b.settled().await;
    let record = arena.account(scene.b.account()).await.expect("answers");
    assert_eq!((record.equity(), record.claims), (amount(900).signed(), 0));
    scene.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_withdrawal_signed() {
    let mut scene = Scene::new().await;
    scene.a.send(&ToServer::Withdraw { tag: 1, amount: amount(400) }).await;
    let signed = scene.a.expect(withdrawal).await;
    let mut scene = scene.crash(&[]).await;
    // It may still be used, so the money is not there to play with.
    assert_eq!(scene.a.view.available, amount(600));
    scene.a.send(&ToServer::Withdraw { tag: 2, amount: amount(400) }).await;
    assert_eq!(scene.a.expect(withdrawal).await, signed);
    let (withdrawal, operator) = signed;
    let account = scene.a.sign(withdrawal.struct_hash());
    let player = scene.a.wallet.player();
    let signed = SignedWithdrawal { player, withdrawal, account, operator };
    scene.world.bank().await.withdraw(&signed).await.expect("pays");
    while scene.a.view().await.withdrawn != amount(400) {
        tokio::task::yield_now().await;
    }
    assert_eq!(scene.a.view().await.available, amount(600));
    scene.server.shutdown().await;
}

fn turn(frame: ToClient) -> Option<matchlock::wire::Turn> {
    match frame {
        ToClient::Turn { turn, .. } => Some(turn),
        _ => None,
    }
}

fn withdrawal(frame: &ToClient) -> Option<(matchlock::abi::Withdrawal, matchlock::sign::Signature)> {
    match frame {
        ToClient::Withdrawal { withdrawal, signature, .. } => Some((*withdrawal, *signature)),
        _ => None,
    }
}
