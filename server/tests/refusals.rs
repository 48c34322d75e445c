//! Bad input: the culprit gets a typed answer, nobody else notices, nothing is lost.

mod common;

use alloy_primitives::B256;
use common::{Client, Wallet, World, amount, finish, open, propose};
use futures_util::{SinkExt, StreamExt};
use matchlock::{
    abi::{Domain, Login, MatchId, OVER, Statement},
    account::SettledSet,
    game::{Amount, Seat},
    rules::RulesId,
    sign::{Key, Signature, Signer},
    wire::{self, About, Field, Have, MAX_FRAME, Refusal, TableId, ToClient, ToServer},
};
use tokio_tungstenite::tungstenite::Message;

/// An open match, and the innocent opponent's word at the end that it heard nothing of what went wrong.
struct Scene {
    world: World,
    server: matchlock_server::Server,
    a: Client,
    b: Client,
    game: common::Game,
}

impl Scene {
    async fn new() -> Scene {
        let world = World::new().await;
        let server = world.start().await;
        let mut a = world.player(&server, 1, 1_000).await;
        let mut b = world.player(&server, 2, 1_000).await;
        let game = open(&world, &mut a, &mut b, 100, [0, 0]).await;
        Scene { world, server, a, b, game }
    }

    /// The match goes on as if nothing had happened, and ends.
    async fn goes_on(mut self) {
        assert_eq!(self.b.said().await, [], "the innocent hears nothing");
        finish(&mut self.game, &mut self.a, &mut self.b).await;
        self.a.agree().await;
        self.b.agree().await;
        self.server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_frame() {
    let mut scene = Scene::new().await;
    for bytes in [vec![], vec![wire::VERSION], vec![wire::VERSION, 200, 1, 2, 3], vec![wire::VERSION, 15, 0]] {
        scene.a.send_bytes(bytes).await;
        assert_eq!(scene.a.refusal().await, (About::Session, Refusal::Malformed));
    }
    scene.a.socket.send(Message::Text("hello".into())).await.expect("sent");
    assert_eq!(scene.a.refusal().await, (About::Session, Refusal::Malformed));
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncated_frame() {
    let mut scene = Scene::new().await;
    let turn = scene.game.clone().turn(&scene.a, 0);
    let mut bytes = wire::encode(&scene.game.frame(&turn));
    bytes.pop();
    scene.a.send_bytes(bytes).await;
    assert_eq!(scene.a.refusal().await, (About::Session, Refusal::Malformed));
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_is_not_canonical() {
    let mut scene = Scene::new().await;
    let mut bytes = wire::encode(&ToServer::Ping);
    bytes.push(0);
    scene.a.send_bytes(bytes).await;
    assert_eq!(scene.a.refusal().await, (About::Session, Refusal::Malformed));
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_frame() {
    let mut scene = Scene::new().await;
    let limit = Refusal::TooLarge { limit: MAX_FRAME as u32 };
    scene.a.send_bytes(vec![wire::VERSION; MAX_FRAME + 1]).await;
    assert_eq!(scene.a.refusal().await, (About::Session, limit.clone()));
    // One that is not even read to its end costs the connection, not the match.
    scene.a.send_bytes(vec![wire::VERSION; 3 * MAX_FRAME]).await;
    assert_eq!(scene.a.refusal().await, (About::Session, limit));
    assert_eq!(scene.a.fresh().await, None);
    scene.a = scene.a.wallet.clone().log_in(&scene.server, &[scene.game.have()]).await;
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_of_another_version() {
    let mut scene = Scene::new().await;
    let mut bytes = wire::encode(&ToServer::Ping);
    bytes[0] = 9;
    scene.a.send_bytes(bytes).await;
    assert_eq!(scene.a.refusal().await, (About::Session, Refusal::Version { ours: wire::VERSION }));
    assert_eq!(scene.a.fresh().await, None);
    scene.a = scene.a.wallet.clone().log_in(&scene.server, &[scene.game.have()]).await;
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_is_not_signed_by_its_key() {
    let scene = Scene::new().await;
    let stranger = Wallet::new(66);
    let mut client = stranger.connect(&scene.server).await;
    // The victim's name, the stranger's signature.
    let victim = scene.a.wallet.player();
    let login = Login { account: victim.account(), nonce: client.welcome.nonce };
    let signature = client.sign(login.struct_hash());
    client.send(&ToServer::Login { player: victim, signature, resume: vec![] }).await;
    assert_eq!(client.refusal().await, (About::Session, Refusal::WrongSigner { signer: victim.key }));
    assert_eq!(client.fresh().await, None);

    // Yesterday's login (another nonce), and one for another chain (R4.1).
    for (nonce, chain_id) in [(B256::ZERO, 31_337), (client.welcome.nonce, 1)] {
        let mut client = stranger.connect(&scene.server).await;
        let nonce = if nonce.is_zero() { nonce } else { client.welcome.nonce };
        let domain = Domain { chain_id, ..client.domain() };
        let login = Login { account: stranger.account(), nonce };
        let signature = stranger.key.sign(domain.digest(login.struct_hash())).expect("signs");
        client.send(&ToServer::Login { player: stranger.player(), signature, resume: vec![] }).await;
        let signer = stranger.key.address();
        assert_eq!(client.refusal().await, (About::Session, Refusal::WrongSigner { signer }));
    }
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn something_before_the_login() {
    let scene = Scene::new().await;
    let mut client = Wallet::new(66).connect(&scene.server).await;
    client.send(&ToServer::List { tag: 1, rules: None }).await;
    assert_eq!(client.refusal().await, (About::Session, Refusal::NotLoggedIn));
    assert_eq!(client.fresh().await, None);
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_login_supersedes_the_first() {
    let mut scene = Scene::new().await;
    let newer = scene.a.wallet.clone().log_in(&scene.server, &[scene.game.have()]).await;
    let mut older = std::mem::replace(&mut scene.a, newer);
    assert_eq!(older.refusal().await, (About::Session, Refusal::Superseded));
    assert_eq!(older.fresh().await, None);
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_out_of_turn() {
    let mut scene = Scene::new().await;
    // Seat 1 moves first.
    let id = scene.game.id;
    let turn = scene.game.clone().turn(&scene.b, 0);
    scene.b.send(&scene.game.frame(&turn)).await;
    let refusal = Refusal::OutOfTurn { turn: 1, mover: Seat(0) };
    assert_eq!(scene.b.refusal().await, (About::Turn(id, 1), refusal.clone()));
    // Seat 0 moves twice.
    let mut ahead = scene.game.clone();
    ahead.turn(&scene.a, 0);
    let second = ahead.turn(&scene.a, 1);
    scene.a.send(&scene.game.frame(&second)).await;
    assert_eq!(scene.a.refusal().await, (About::Turn(id, 2), refusal));
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_turn_and_another_one_for_the_same_number() {
    let mut scene = Scene::new().await;
    let mut other = scene.game.clone();
    let turn = scene.game.play(&mut scene.a, &mut scene.b, 0).await;
    // The same again, as after a lost connection, is acknowledged again and sent to nobody.
    scene.a.send(&scene.game.frame(&turn)).await;
    assert_eq!(scene.a.stored().await, 1);
    // R5.9: two headers for one turn.
    let other = other.turn(&scene.a, 8);
    scene.a.send(&scene.game.frame(&other)).await;
    assert_eq!(scene.a.refusal().await, (About::Turn(scene.game.id, 1), Refusal::TurnTaken { turn: 1 }));
    // The opponent replays it.
    scene.b.send(&scene.game.frame(&turn)).await;
    assert_eq!(scene.b.stored().await, 1);
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_that_does_not_follow() {
    let mut scene = Scene::new().await;
    let mut turn = scene.game.clone().turn(&scene.a, 0);
    turn.state.prev = Default::default();
    scene.a.send(&scene.game.frame(&turn)).await;
    assert_eq!(scene.a.refusal().await, (About::Turn(scene.game.id, 1), Refusal::Unlinked { turn: 0 }));
    // Payouts above the pot, a seat that there is not, more turns than there can be.
    let good = scene.game.clone().turn(&scene.a, 0);
    let mut wrong = [good.clone(), good.clone(), good.clone()];
    wrong[0].state.payouts = vec![Amount::MAX, Amount::MAX];
    wrong[1].state.mover = 7;
    wrong[2].state.payouts.pop();
    for turn in wrong {
        scene.a.send(&scene.game.frame(&turn)).await;
        assert_eq!(scene.a.refusal().await, (About::Turn(scene.game.id, 1), Refusal::Malformed));
    }
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_of_another_match() {
    let mut scene = Scene::new().await;
    let turn = scene.game.clone().turn(&scene.a, 0);
    let nowhere = MatchId(B256::repeat_byte(9));
    scene.a.send(&ToServer::Turn { match_id: nowhere, turn: turn.clone() }).await;
    assert_eq!(scene.a.refusal().await, (About::Turn(nowhere, 1), Refusal::UnknownMatch));
    // A stranger in a match that there is.
    let mut stranger = scene.world.player(&scene.server, 3, 0).await;
    stranger.send(&scene.game.frame(&turn)).await;
    assert_eq!(stranger.refusal().await, (About::Turn(scene.game.id, 1), Refusal::UnknownMatch));
    stranger.send(&ToServer::Turns { tag: 4, match_id: scene.game.id, from: 0 }).await;
    assert_eq!(stranger.refusal().await, (About::Request(4), Refusal::UnknownMatch));
    // A turn of one match in another one of the same players: it does not follow there.
    let other = open(&scene.world, &mut scene.a, &mut scene.b, 10, [1, 1]).await;
    scene.a.send(&ToServer::Turn { match_id: other.id, turn }).await;
    assert_eq!(scene.a.refusal().await, (About::Turn(other.id, 1), Refusal::Unlinked { turn: 0 }));
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signatures_by_the_wrong_key_or_with_a_high_s() {
    let world = World::new().await;
    let server = world.start().await;
    let mut a = world.player(&server, 1, 1_000).await;
    let mut b = world.player(&server, 2, 1_000).await;
    let terms = propose(&world, &mut a, &mut b, 100, [0, 0]).await;
    let match_id = terms.id(&a.domain());
    let about = About::Match(match_id);
    let wrong = Refusal::WrongSigner { signer: a.wallet.key.address() };

    // On the terms.
    let by_b = b.wallet.key.sign(match_id.0).expect("signs");
    a.send(&ToServer::Sign { match_id, signature: by_b }).await;
    assert_eq!(a.refusal().await, (about, wrong.clone()));
    let by_a = a.wallet.key.sign(match_id.0).expect("signs");
    a.send(&ToServer::Sign { match_id, signature: high_s(by_a) }).await;
    assert_eq!(a.refusal().await, (about, Refusal::HighS));
    a.send(&ToServer::Sign { match_id, signature: Signature([0; 64]) }).await;
    assert_eq!(a.refusal().await, (about, Refusal::BadSignature));
    a.sign_terms(&terms).await;
    b.sign_terms(&terms).await;

    // On State 0.
    let mut game = common::Game::new(&world.rules, &terms, &a.domain());
    a.guarantee().await;
    b.guarantee().await;
    let by_b = b.sign(game.state.hash(match_id).0);
    a.send(&ToServer::Start { match_id, signature: by_b }).await;
    assert_eq!(a.refusal().await, (about, wrong.clone()));
    a.sign_start(match_id, &game.state).await;
    b.sign_start(match_id, &game.state).await;
    a.opened().await;
    b.opened().await;

    // On a final: by its author, and by the other seat.
    for (i, play) in common::WIN[..4].iter().enumerate() {
        if i % 2 == 0 {
            game.play(&mut a, &mut b, *play).await
        } else {
            game.play(&mut b, &mut a, *play).await
        };
    }
    let mut last = game.clone().turn(&a, common::WIN[4]);
    assert_eq!(last.state.mover, OVER);
    let good = last.signature;
    last.signature = b.sign(last.state.hash(match_id).0);
    a.send(&game.frame(&last)).await;
    assert_eq!(a.refusal().await, (About::Turn(match_id, 5), wrong));
    last.signature = high_s(good);
    a.send(&game.frame(&last)).await;
    assert_eq!(a.refusal().await, (About::Turn(match_id, 5), Refusal::HighS));
    game.play(&mut a, &mut b, common::WIN[4]).await;
    let signature = a.sign(game.state.hash(match_id).0);
    b.send(&ToServer::Ack { match_id, turn: 5, signature }).await;
    let signer = b.wallet.key.address();
    assert_eq!(b.refusal().await, (About::Turn(match_id, 5), Refusal::WrongSigner { signer }));
    b.send(&game.ack(&b)).await;
    a.is_final().await;

    // On a statement.
    let statement = a.due().await;
    let signature = b.sign(statement.struct_hash(a.wallet.owner.address()));
    a.send(&ToServer::Statement { statement, signature }).await;
    assert_eq!(a.refusal().await, (About::Statement, Refusal::WrongSigner { signer: a.wallet.key.address() }));
    a.sign_statement(statement).await;
    a.receipt().await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stake_above_the_bankroll() {
    let scene = Scene::new().await;
    let mut poor = scene.world.player(&scene.server, 3, 5).await;
    let (spec, offer) = (scene.world.spec(6), poor.offer(0));
    poor.send(&ToServer::Create { tag: 1, spec, offer }).await;
    let refusal = Refusal::StakeTooHigh { stake: amount(6), available: amount(5) };
    assert_eq!(poor.refusal().await, (About::Request(1), refusal));
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_matches_on_one_deposit() {
    let mut scene = Scene::new().await;
    let mut poor = scene.world.player(&scene.server, 3, 5).await;
    let table = poor.create(scene.world.spec(5), 0).await;
    let (spec, offer) = (scene.world.spec(5), poor.offer(1));
    poor.send(&ToServer::Create { tag: 1, spec, offer }).await;
    let refusal = Refusal::StakeTooHigh { stake: amount(5), available: amount(0) };
    assert_eq!(poor.refusal().await, (About::Request(1), refusal));
    // The first one stands, and leaving it frees the stake.
    assert_eq!(poor.view().await.available, amount(0));
    poor.send(&ToServer::Leave { tag: 2, table }).await;
    assert_eq!(poor.expect(left).await, table);
    assert_eq!(poor.view().await.available, amount(5));
    scene.b.send(&ToServer::Join { tag: 3, table, offer: scene.b.offer(7) }).await;
    assert_eq!(scene.b.refusal().await, (About::Request(3), Refusal::UnknownTable));
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_account() {
    // Somebody logs in with its own key and the victim's owner address: that is another account (R2.3), with nothing.
    let scene = Scene::new().await;
    let mut thief = Wallet::new(66);
    thief.owner = scene.a.wallet.owner.clone();
    let mut client = thief.log_in(&scene.server, &[]).await;
    assert_ne!(client.account(), scene.a.account());
    assert_eq!(client.view.available, amount(0));
    // The victim's statement and match are not its own.
    let statement = Statement { net: 0, set: SettledSet { through: 1, pending: 0 } };
    client.sign_statement(statement).await;
    assert_eq!(client.refusal().await, (About::Statement, Refusal::NotDue));
    client.send(&scene.game.ack(&client)).await;
    assert_eq!(client.refusal().await, (About::Turn(scene.game.id, 0), Refusal::UnknownMatch));
    let named = [Have { match_id: scene.game.id, turn: Some(0) }];
    let mut client = thief.log_in(&scene.server, &named).await;
    assert_eq!(client.refusal().await, (About::Match(scene.game.id), Refusal::UnknownMatch));
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operators_key_as_a_player() {
    let scene = Scene::new().await;
    let operator =
        Wallet { key: scene.world.operator.clone(), owner: Key::from_bytes(&B256::repeat_byte(5)).expect("a key") };
    let mut client = operator.connect(&scene.server).await;
    client.say_login(&[]).await;
    let signer = operator.key.address();
    assert_eq!(client.refusal().await, (About::Session, Refusal::WrongSigner { signer }));
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_shrinks_or_is_not_the_one_due() {
    let world = World::new().await;
    let server = world.start().await;
    let mut a = world.player(&server, 1, 1_000).await;
    let mut b = world.player(&server, 2, 1_000).await;
    let mut game = open(&world, &mut a, &mut b, 100, [0, 0]).await;
    finish(&mut game, &mut a, &mut b).await;
    let due = a.due().await;
    // More than was won.
    a.sign_statement(Statement { net: due.net + 1, ..due }).await;
    assert_eq!(a.refusal().await, (About::Statement, Refusal::NotDue));
    a.sign_statement(due).await;
    let receipt = a.receipt().await;
    // The same again is the same receipt; one that forgets the match is refused (R6.4).
    a.sign_statement(due).await;
    assert_eq!(a.receipt().await, receipt);
    a.sign_statement(Statement::default()).await;
    assert_eq!(a.refusal().await, (About::Statement, Refusal::StatementShrinks));
    assert_eq!(a.view().await.statement, due);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loser_who_does_not_sign_its_statement() {
    let mut world = World::new().await;
    world.settings.statement_grace = 0;
    let server = world.start().await;
    let mut a = world.player(&server, 1, 1_000).await;
    let mut b = world.player(&server, 2, 1_000).await;
    let mut game = open(&world, &mut a, &mut b, 100, [0, 0]).await;
    finish(&mut game, &mut a, &mut b).await;
    b.due().await;
    // What it lost stays held (R5.1), and it opens no match (R6.12).
    assert_eq!(b.view().await.available, amount(900));
    let (spec, offer) = (world.spec(1), b.offer(1));
    b.send(&ToServer::Create { tag: 1, spec, offer }).await;
    assert_eq!(b.refusal().await, (About::Request(1), Refusal::StatementDue));
    a.agree().await;
    a.create(world.spec(1), 1).await;
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indexes_that_are_used_or_too_far_ahead() {
    let mut scene = Scene::new().await;
    for (index, refusal) in
        [(0, Refusal::IndexUsed { index: 0, next: 1 }), (32, Refusal::IndexTooFar { index: 32, open: 0 })]
    {
        let (spec, offer) = (scene.world.spec(1), scene.a.offer(index));
        scene.a.send(&ToServer::Create { tag: 9, spec, offer }).await;
        assert_eq!(scene.a.refusal().await, (About::Request(9), refusal));
    }
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_cannot_be() {
    let mut scene = Scene::new().await;
    let spec = scene.world.spec(1);
    let (a, offer) = (&mut scene.a, scene.b.offer(1));
    let range = |field, min, max| Refusal::OutOfRange { field, min, max };
    let mut wrong = vec![spec.clone(); 4];
    wrong[0].rules = RulesId(B256::ZERO);
    wrong[1].seats = 3;
    wrong[2].clock = 0;
    wrong[3].stake = Amount::MAX;
    let refusals = [
        Refusal::UnknownRules,
        range(Field::Seats, 2, 2),
        range(Field::Clock, 1, 3600),
        range(Field::Stake, 0, Amount::MAX.units() / 2),
    ];
    for (spec, refusal) in wrong.into_iter().zip(refusals) {
        a.send(&ToServer::Create { tag: 1, spec, offer }).await;
        assert_eq!(a.refusal().await, (About::Request(1), refusal));
    }
    // Nobody sits twice, or with another one's dice (R5.13).
    let table = a.create(spec, 1).await;
    a.send(&ToServer::Join { tag: 2, table, offer: a.offer(2) }).await;
    assert_eq!(a.refusal().await, (About::Request(2), Refusal::AlreadySeated));
    let mut thief = scene.world.player(&scene.server, 3, 100).await;
    let stolen = matchlock::wire::Offer { index: 0, anchor: a.offer(1).anchor };
    thief.send(&ToServer::Join { tag: 3, table, offer: stolen }).await;
    assert_eq!(thief.refusal().await, (About::Request(3), Refusal::AnchorTaken));
    thief.send(&ToServer::Join { tag: 4, table: TableId(1), offer: thief.offer(0) }).await;
    assert_eq!(thief.refusal().await, (About::Request(4), Refusal::UnknownTable));
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_pool_can_pay() {
    // R6.6: the test's pool holds 1,000, so of two matches for 600 it can pay one.
    let world = World::new().await;
    let server = world.start().await;
    let mut rich = world.player(&server, 1, 2_000).await;
    let mut other = world.player(&server, 2, 2_000).await;
    open(&world, &mut rich, &mut other, 600, [0, 0]).await;
    let (spec, offer) = (world.spec(600), rich.offer(1));
    rich.send(&ToServer::Create { tag: 1, spec, offer }).await;
    assert_eq!(rich.refusal().await, (About::Request(1), Refusal::PoolShort));
    assert!(common::get(&server, "/health").await.contains("\"open_matches\":\"600000000000000000\""));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_tables() {
    let mut scene = Scene::new().await;
    for index in 1..16 {
        scene.a.create(scene.world.spec(1), index).await;
    }
    let (spec, offer) = (scene.world.spec(1), scene.a.offer(16));
    scene.a.send(&ToServer::Create { tag: 99, spec, offer }).await;
    assert_eq!(scene.a.refusal().await, (About::Request(99), Refusal::TooManyOpen { limit: 16 }));
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_requests() {
    let mut world = World::new().await;
    world.settings.requests_per_second = 1;
    let server = world.start().await;
    let mut a = world.player(&server, 1, 0).await;
    for tag in 0..3 {
        a.send(&ToServer::List { tag, rules: None }).await;
    }
    let (about, refusal) = a.refusal().await;
    assert_eq!(about, About::Request(2));
    assert!(matches!(refusal, Refusal::RateLimited { retry_ms: 1..=1_000 }));
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_read_is_cut_off() {
    let scene = Scene::new().await;
    let mut deaf = scene.world.player(&scene.server, 3, 0).await;
    // Answers of 64 KiB that nobody reads; the kernel's buffers hold some megabytes.
    let answered = async {
        for tag in 0.. {
            let request = wire::encode(&ToServer::Account { tag });
            let frames = (0..64).map(|_| Ok(Message::Binary(request.clone().into())));
            if deaf.socket.send_all(&mut futures_util::stream::iter(frames)).await.is_err() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), answered).await;
    scene.goes_on().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_says_nothing_is_closed() {
    let mut world = World::new().await;
    world.settings.login_timeout = std::time::Duration::from_millis(50);
    world.settings.idle_timeout = std::time::Duration::from_millis(300);
    let server = world.start().await;
    let mut mute = Wallet::new(1).connect(&server).await;
    assert_eq!(mute.refusal().await, (About::Session, Refusal::TimedOut));
    assert_eq!(mute.fresh().await, None);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_closes_says_so() {
    let Scene { server, mut a, .. } = Scene::new().await;
    server.shutdown().await;
    assert_eq!(a.refusal().await, (About::Session, Refusal::Closing));
    while a.socket.next().await.is_some_and(|message| message.is_ok()) {}
}

fn left(frame: &ToClient) -> Option<TableId> {
    match frame {
        ToClient::Left { table, .. } => Some(*table),
        _ => None,
    }
}

/// The signature with an s above half the curve's order. In 64 bytes there is room for very few: the top bit is the parity.
fn high_s(mut signature: Signature) -> Signature {
    signature.0[32..].fill(0xff);
    signature.0[32] = 0x7f;
    signature
}
