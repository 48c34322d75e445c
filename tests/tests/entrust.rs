//! What a tower takes and what not: everything is checked before it is kept, and nothing is ever taken back.

use std::sync::Arc;

use alloy_primitives::{Address, B256, U256, keccak256};
use matchlock::{
    abi::{MatchId, State, Statement},
    account::{AccountId, SettledSet},
    chain::{HttpProvider, Provider},
    client::{TowerError, Watchtower},
    dispute::Replay,
    entrust::{Entrust, EntrustError, Held, MAX_REQUEST},
    game::{BasisPoints, Seat},
    rules::Rules,
    sign::{Signature, Signer},
    transcript::Transcript,
    wire::{Pair, Turn},
};
use matchlock_server::{
    chain::{ChainConfig, CourtConfig, DeployConfig, deploy_through},
    tower::{Tower, TowerConfig},
};
use matchlock_tests::{
    table::{Table, key},
    world::{Failure, chain, eventually},
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A tower of an arena whose operator is the tables', and a match that was played to its end on one of them.
struct Scene {
    tower: Tower,
    at: Watchtower,
    table: Table,
    start: State,
    whole: Transcript,
    id: MatchId,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn new(tune: fn(&mut TowerConfig), knows_the_rules: bool) -> Result<Scene, Failure> {
        let rpc = chain().await?;
        let operator = key("operator", 0);
        let node = HttpProvider::new(&rpc)?;
        node.request("anvil_setBalance", json!([operator.address(), U256::from(10u128.pow(20))])).await?;
        let court = CourtConfig {
            minimum: 60,
            patience: 600,
            bond: matchlock::game::Amount::from_u64(1),
            quorum: 1,
            arbiters: Vec::new(),
        };
        let config = DeployConfig {
            token: Address::ZERO,
            court: Some(court),
            exit_window: 3_600,
            salt: None,
            split: Vec::new(),
        };
        let deployment = deploy_through(node, &operator, config).await?;
        let folder = tempfile::tempdir()?;
        let mut config = TowerConfig::new(folder.path(), ChainConfig::new(&rpc, deployment.arena, key("tower", 0)));
        // Thousands of requests in a test are no flood.
        config.limits.requests_per_second = 1_000_000;
        tune(&mut config);
        let games = matchlock_demo::games(BasisPoints::new(250)?);
        let rules = games.iter().find(|rules| rules.name() == "tictactoe").ok_or("tic-tac-toe")?.clone();
        let tower = Tower::start(config, if knows_the_rules { games } else { Vec::new() }).await?;
        let table = played(&tower, &rules, 1);
        let whole = table.channels[0].transcript().ok_or("it was open")?;
        let id = table.channels[0].id();
        let start = Replay::new(id, &whole.terms, &*rules)?.state().clone();
        let at = Watchtower::new(&tower.url())?;
        Ok(Scene { tower, at, table, start, whole, id, _folder: folder })
    }

    /// The match as it stood after so many turns.
    fn up_to(&self, turns: usize) -> Transcript {
        Transcript { turns: self.whole.turns[..turns].to_vec(), conclusion: Vec::new(), ..self.whole.clone() }
    }

    async fn give(&self, transcript: Transcript) -> Result<Held, TowerError> {
        self.at.entrust(&Entrust::Match { start: self.start.clone(), transcript: Box::new(transcript) }).await
    }

    async fn more(&self, turns: &[Turn], conclusion: &[Signature]) -> Result<Held, TowerError> {
        let (turns, conclusion) = (turns.to_vec(), conclusion.to_vec());
        self.at.entrust(&Entrust::Turns { match_id: self.id, turns, conclusion }).await
    }

    fn held(&self, turn: u32, concluded: bool) -> Held {
        Held::Match { match_id: self.id, turn, concluded }
    }

    /// A header instead of this turn's, by its author and with the same move.
    fn forked(&self, turn: usize, change: impl FnOnce(&mut State)) -> Turn {
        let Turn { mut state, action, .. } = self.whole.turns[turn - 1].clone();
        change(&mut state);
        self.signed(turn, state, action)
    }

    fn signed(&self, turn: usize, state: State, action: Vec<u8>) -> Turn {
        let parent = if turn == 1 { &self.start } else { &self.whole.turns[turn - 2].state };
        let author = parent.mover().expect("not over");
        let digest = self.whole.domain.digest(state.hash(self.id).0);
        let signature = self.table.keys[author.index()].sign(digest).expect("signs");
        Turn { state, action, signature }
    }
}

fn played(tower: &Tower, rules: &Arc<dyn Rules>, salt: u64) -> Table {
    let far = u64::from(u32::MAX);
    let mut table = Table::open_until(tower.domain(), rules, 2, 0, salt, [far, far]);
    table.play_out(salt);
    table
}

#[track_caller]
fn refused(answer: Result<Held, TowerError>) -> EntrustError {
    match answer {
        Err(TowerError::Refused(error)) => error,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_entrusted_grows_turn_by_turn_and_never_shrinks() -> Result<(), Failure> {
    let scene = Scene::new(|_| {}, true).await?;
    let turns = &scene.whole.turns;
    assert_eq!(refused(scene.more(&turns[..1], &[]).await), EntrustError::UnknownMatch);
    assert_eq!(scene.give(scene.up_to(2)).await?, scene.held(2, false));
    assert_eq!(scene.more(&turns[2..3], &[]).await?, scene.held(3, false));
    // The same again, older, and overlapping.
    assert_eq!(scene.more(&turns[2..3], &[]).await?, scene.held(3, false));
    assert_eq!(scene.give(scene.up_to(1)).await?, scene.held(3, false));
    assert_eq!(scene.more(&turns[1..4], &[]).await?, scene.held(4, false));
    assert_eq!(refused(scene.more(&turns[5..], &[]).await), EntrustError::Gap { held: 4 });
    let conclusion = scene.table.conclusion();
    let last = turns.len() as u32;
    assert_eq!(scene.more(&turns[4..], &conclusion).await?, scene.held(last, true));
    assert_eq!(scene.more(&[], &[]).await?, scene.held(last, true));
    assert_eq!(scene.at.held(scene.id).await?, Some(scene.held(last, true)));
    // What it gives away is what another tower takes.
    let given = scene.at.transcript(scene.id).await?.ok_or("a transcript")?;
    let other = Scene::new(|_| {}, false).await?;
    assert!(matches!(refused(other.at.entrust(&given).await), EntrustError::OtherArena { .. }));
    let Entrust::Match { transcript, .. } = given else { return Err("a match".into()) };
    assert_eq!((transcript.turns, transcript.conclusion), (scene.whole.turns.clone(), conclusion));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_kept_that_its_signers_did_not_sign() -> Result<(), Failure> {
    let scene = Scene::new(|_| {}, true).await?;
    let wrong = scene.whole.opening[0];
    for forge in [
        |whole: &mut Transcript, wrong| whole.guarantee[0] = wrong,
        |whole: &mut Transcript, wrong| whole.guarantee[2] = wrong,
        |whole: &mut Transcript, wrong: Signature| whole.opening[1] = wrong,
    ] {
        let mut forged = scene.up_to(2);
        forge(&mut forged, wrong);
        assert!(matches!(refused(scene.give(forged).await), EntrustError::Signature { .. }));
    }
    let mut other = scene.up_to(2);
    other.domain.arena = Address::repeat_byte(1);
    assert!(matches!(refused(scene.give(other).await), EntrustError::OtherArena { .. }));
    let mut other = scene.up_to(2);
    other.players.swap(0, 1);
    assert!(matches!(refused(scene.give(other).await), EntrustError::Seats { .. }));
    let mut other = scene.up_to(2);
    other.terms.stakes.pop();
    assert!(matches!(refused(scene.give(other).await), EntrustError::Terms { .. }));
    let mut start = scene.start.clone();
    start.mover = 1;
    let other = Entrust::Match { start, transcript: Box::new(scene.up_to(2)) };
    assert!(matches!(refused(scene.at.entrust(&other).await), EntrustError::Terms { .. }));
    assert_eq!(scene.tower.turn(scene.id), None, "nothing was kept");

    // Turns before the one that is wrong count; that one and what follows it do not.
    let mut forged = scene.up_to(4);
    forged.turns[2].signature = forged.turns[0].signature;
    assert!(matches!(refused(scene.give(forged).await), EntrustError::Signature { what, .. } if what == "turn 3"));
    assert_eq!(scene.tower.turn(scene.id), Some(2));
    let rules = scene.table.channels[0].rules().clone();
    let another = played(&scene.tower, &rules, 2).channels[0].transcript().ok_or("open")?;
    assert!(matches!(refused(scene.more(&another.turns[2..3], &[]).await), EntrustError::Turn { turn: 3, .. }));
    let mut conclusion = scene.table.conclusion();
    conclusion.swap(0, 1);
    let rest = &scene.whole.turns[2..];
    assert!(matches!(refused(scene.more(rest, &conclusion).await), EntrustError::Signature { .. }));
    assert_eq!(scene.at.held(scene.id).await?, Some(scene.held(scene.whole.turns.len() as u32, false)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_rules_forbid_is_kept_only_where_they_are_not_known() -> Result<(), Failure> {
    for knows in [true, false] {
        let scene = Scene::new(|_| {}, knows).await?;
        scene.give(scene.up_to(2)).await?;
        let illegal = scene.forked(3, |state| state.payouts.reverse());
        let answer = scene.more(&[illegal], &[]).await;
        if knows {
            assert!(matches!(refused(answer), EntrustError::Turn { turn: 3, .. }));
            assert_eq!(scene.tower.turn(scene.id), Some(2));
        } else {
            assert_eq!(answer?, scene.held(3, false));
        }
        // But nobody keeps what the arena could not apply.
        let beyond = scene.forked(3, |state| state.payouts.pop().map_or((), drop));
        assert!(matches!(refused(scene.more(&[beyond], &[]).await), EntrustError::Turn { turn: 3, .. }));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_branch_takes_the_place_of_what_is_held_once_everybody_went_on_with_it() -> Result<(), Failure> {
    let scene = Scene::new(|_| {}, false).await?;
    // A loser entrusts a header of its own before the other side's tower hears of the true one.
    scene.give(scene.up_to(2)).await?;
    let fork = scene.forked(3, |state| state.board = B256::repeat_byte(7));
    let author = scene.whole.turns[1].state.mover().ok_or("not over")?;
    assert_eq!(scene.more(&[fork], &[]).await?, scene.held(3, false));
    let turns = &scene.whole.turns;
    assert_eq!(refused(scene.more(&turns[2..3], &[]).await), EntrustError::Forked { turn: 3, seat: author });
    assert_eq!(scene.more(&turns[2..4], &[]).await?, scene.held(4, false), "the other seat has built on it");
    // From there on the fork is what is refused.
    let fork = scene.forked(3, |state| state.board = B256::repeat_byte(8));
    assert_eq!(refused(scene.more(&[fork], &[]).await), EntrustError::Forked { turn: 3, seat: author });
    let Some(Entrust::Match { transcript, .. }) = scene.at.transcript(scene.id).await? else {
        return Err("a transcript".into());
    };
    assert_eq!(transcript.turns, turns[..4]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_is_kept_if_both_parties_signed_it_and_it_is_the_newest() -> Result<(), Failure> {
    let scene = Scene::new(|_| {}, true).await?;
    let player = Table::player(0);
    let account: AccountId = player.account();
    let pair = |through, net| {
        let statement = Statement { net, set: SettledSet { through, pending: 0 } };
        let domain = scene.whole.domain;
        let signature = scene.table.keys[0].sign(domain.digest(statement.struct_hash(player.owner))).expect("signs");
        let receipt = scene.table.operator.sign(domain.digest(statement.receipt_hash(account).0)).expect("signs");
        Pair { player, statement, signature, receipt }
    };
    let give = async |pair| scene.at.entrust(&Entrust::Pair(pair)).await;
    let held = Held::Pair { account, through: 3, pending: 0 };
    assert_eq!(give(pair(3, -5)).await?, held);
    assert_eq!(give(pair(3, -5)).await?, held, "the same again");
    assert_eq!(refused(give(pair(2, -4)).await), EntrustError::Older);
    let swapped = Pair { signature: pair(4, 0).receipt, receipt: pair(4, 0).signature, ..pair(4, 0) };
    assert!(matches!(refused(give(swapped).await), EntrustError::Signature { .. }));
    let other = Pair { statement: pair(5, 0).statement, ..pair(4, 0) };
    assert!(matches!(refused(give(other).await), EntrustError::Signature { .. }));
    assert_eq!(give(pair(4, -9)).await?, Held::Pair { account, through: 4, pending: 0 });
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_strangers_send_has_a_limit() -> Result<(), Failure> {
    let scene = Scene::new(|config| config.limits.matches = 1, true).await?;
    let mut large = scene.up_to(1);
    large.turns[0].action = vec![0; MAX_REQUEST];
    assert_eq!(refused(scene.give(large).await), EntrustError::TooLarge { limit: MAX_REQUEST as u64 });
    scene.give(scene.up_to(1)).await?;
    let rules = scene.table.channels[0].rules().clone();
    let another = played(&scene.tower, &rules, 2).channels[0].transcript().ok_or("open")?;
    let start = Replay::new(another.terms.id(&another.domain), &another.terms, &*rules)?.state().clone();
    let another = Entrust::Match { start, transcript: Box::new(another) };
    let full = EntrustError::Full { what: "matches".to_owned(), limit: 1 };
    assert_eq!(refused(scene.at.entrust(&another).await), full);

    let (status, body) = post(&scene.tower, b"\x01rubbish").await?;
    assert_eq!((status, body["error"].as_str()), (400, Some("malformed")), "{body}");
    let (_, body) = post(&scene.tower, b"\x7f").await?;
    assert_eq!(body["error"].as_str(), Some("version"));
    assert!(body["message"].as_str().is_some_and(|words| words.contains("version 1")), "{body}");

    let small = Scene::new(|config| config.limits.match_bytes = 2_000, true).await?;
    let too_long = refused(small.give(small.whole.clone()).await);
    assert_eq!(too_long, EntrustError::TooLarge { limit: 2_000 });

    let flooded = Scene::new(|config| config.limits.requests_per_second = 5, true).await?;
    flooded.give(flooded.up_to(1)).await?;
    let limited = eventually("a refusal", async || match flooded.more(&[], &[]).await {
        Err(TowerError::Refused(EntrustError::RateLimited { retry_ms })) => Ok(Some(retry_ms)),
        other => Ok(other.map(|_| None)?),
    })
    .await?;
    assert!(limited > 0);
    assert_eq!(flooded.tower.turn(flooded.id), Some(1));
    Ok(())
}

/// Posts bytes as they are; the status and the JSON of the answer.
async fn post(tower: &Tower, body: &[u8]) -> Result<(u16, serde_json::Value), Failure> {
    let mut socket = tokio::net::TcpStream::connect(tower.addr()).await?;
    let head =
        format!("POST /entrust HTTP/1.1\r\nhost: tower\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(body).await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    let answer = String::from_utf8(answer)?;
    let status = answer.split(' ').nth(1).ok_or("a status")?.parse()?;
    let (_, json) = answer.split_once("\r\n\r\n").ok_or("a body")?;
    Ok((status, serde_json::from_str(json)?))
}

#[test]
fn a_seat_and_a_hash_look_the_same_in_every_tongue() {
    let held = Held::Match { match_id: MatchId(keccak256("match")), turn: 3, concluded: false };
    let json = serde_json::to_value(held).expect("encodes");
    assert_eq!(json["match"]["turn"], 3);
    let forked = EntrustError::Forked { turn: 3, seat: Seat(1) };
    assert_eq!(serde_json::to_value(forked).expect("encodes"), json!({ "error": "forked", "turn": 3, "seat": 1 }));
}
