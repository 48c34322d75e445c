//! The program `matchlock` on the files of real matches, played at a real server.

mod common;

use std::{ffi::OsStr, path::Path, process::Command, sync::Arc};

use common::{Wallet, World, amount};
use matchlock::{
    client::{Client, ClientConfig, Match, MatchEvent, MemoryStore},
    game::BasisPoints,
    rules::{GameRules, Rules},
    session::Wanted,
    sign::Signer,
    transcript::{MAX_FILE, Transcript},
    wire::TableSpec,
};
use matchlock_server::Server;
use serde_json::Value;

/// What the program printed, and what it exited with.
struct Said {
    code: Option<i32>,
    output: String,
    error: String,
}

fn matchlock(arguments: &[&dyn AsRef<OsStr>]) -> Said {
    let program = env!("CARGO_BIN_EXE_matchlock");
    let done = Command::new(program).args(arguments.iter().map(AsRef::as_ref)).output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Said { code: done.status.code(), output: text(done.stdout), error: text(done.stderr) }
}

async fn connect(world: &World, server: &Server, wallet: Wallet) -> Client {
    let rules = vec![world.rules.clone()];
    let owner = wallet.owner.address();
    let config = ClientConfig::new(server.url(), owner, wallet.key, rules, MemoryStore::default());
    let client = Client::connect(config).await.expect("connects");
    client.until_available(amount(1_000)).await.expect("the deposit counts");
    client
}

async fn turned(game: &mut Match, wanted: u32) {
    loop {
        match game.event().await.expect("the client is open") {
            MatchEvent::Turned { turn, .. } if turn == wanted => return,
            _ => {}
        }
    }
}

/// A match of the demo's tic-tac-toe up to these moves; to its end where they lead there.
async fn transcript(moves: &[u8]) -> (Transcript, Arc<dyn Rules>) {
    let mut world = World::new().await;
    world.rules = matchlock_demo::games(BasisPoints::new(250).expect("a share")).remove(0);
    let server = world.start().await;
    let (first, second) = (world.depositor(1, 1_000).await, world.depositor(2, 1_000).await);
    let (first, second) = (connect(&world, &server, first).await, connect(&world, &server, second).await);
    let (rules, stake) = (world.rules.clone(), amount(100));
    let spec = TableSpec { rules: rules.id(), seats: 2, stake, clock: 600, private: true };
    let mut seating = first.create(spec).await.expect("a seat");
    let table = seating.table().await.expect("a table");
    let other = second.join(table, Wanted { rules: rules.id(), stake }).await.expect("a seat");
    let mut games = [seating.opened().await.expect("opens"), other.opened().await.expect("opens")];
    for (i, cell) in moves.iter().enumerate() {
        games[i % 2].play(vec![*cell]).await.expect("a legal move");
        turned(&mut games[1 - i % 2], i as u32 + 1).await;
    }
    let [mine, _theirs] = &mut games;
    if mine.snapshot().state.is_final() {
        while mine.event().await.expect("the client is open") != MatchEvent::Concluded {}
    }
    let transcript = mine.transcript().await.expect("it was open");
    server.shutdown().await;
    (transcript, rules)
}

fn save(path: &Path, transcript: &Transcript) {
    std::fs::write(path, transcript.to_bytes().expect("small")).expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_match_that_was_won_is_judged_shown_and_compared() {
    let (won, rules) = transcript(&common::WIN).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("won.match");
    save(&file, &won);

    let said = matchlock(&[&"judge", &file]);
    assert_eq!(said.code, Some(0), "{}", said.error);
    assert!(said.output.starts_with("tictactoe at 250 basis points, match 0x"), "{}", said.output);
    assert!(said.output.contains("Legal and over after 5 turns; every seat and the operator 0x"), "{}", said.output);

    let said = matchlock(&[&"judge", &file, &"--json"]);
    let verdict: Value = serde_json::from_str(&said.output).expect("JSON");
    assert_eq!(said.code, Some(0));
    assert_eq!(verdict["match"], won.terms.id(&won.domain).to_string());
    assert_eq!(verdict["rules"], rules.id().0.to_string());
    assert_eq!((&verdict["turns"], &verdict["over"], &verdict["concluded"]), (&5.into(), &true.into(), &true.into()));
    assert_eq!((&verdict["guilty"], &verdict["holds"]), (&Value::Null, &Value::Null));
    assert_eq!(verdict["seats"][0]["payout"], amount(195).to_string());
    assert_eq!(verdict["seats"][1]["payout"], "0");

    let said = matchlock(&[&"show", &file]);
    assert_eq!(said.code, Some(0), "{}", said.error);
    assert!(said.output.contains("    1  seat 0  0\n    2  seat 1  3\n"), "{}", said.output);
    assert!(said.output.contains("board: [0, 0, 0, 1, 1, none, none, none, none]"), "{}", said.output);

    let said = matchlock(&[&"diff", &file, &file]);
    assert_eq!(said.code, Some(0), "{}", said.error);
    assert!(said.output.contains("They agree in every turn and position."), "{}", said.output);

    // Another match: where they part is before its first turn.
    let mut other = won.clone();
    other.terms.clock += 1;
    let changed = folder.path().join("other.match");
    save(&changed, &other);
    let said = matchlock(&[&"diff", &file, &changed, &"--json"]);
    let compared: Value = serde_json::from_str(&said.output).expect("JSON");
    assert_eq!((said.code, &compared["divergence"]["field"]), (Some(1), &"terms.clock".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_to_act_is_named() {
    let (open, _) = transcript(&[4, 0]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("open.match");
    save(&file, &open);
    let said = matchlock(&[&"judge", &file]);
    assert_eq!(said.code, Some(1), "{}", said.error);
    let sentence = "Not over: Seat 0 holds turn 3; no receipt of the operator says since when.";
    assert!(said.output.contains(sentence), "{}", said.output);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_file_is_told_apart_and_exits_with_two() {
    let (open, _) = transcript(&[4]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    };
    let refused = |path: &Path, reason: &str| {
        for command in ["judge", "show"] {
            let said = matchlock(&[&command, &path]);
            assert_eq!((said.code, said.output.as_str()), (Some(2), ""), "{command} {}", path.display());
            assert!(said.error.contains(reason), "{command}: {}", said.error);
            assert!(said.error.contains(&path.display().to_string()), "{command}: {}", said.error);
        }
        let said = matchlock(&[&"diff", &path, &path, &"--json"]);
        let error: Value = serde_json::from_str(&said.output).expect("JSON");
        assert_eq!(said.code, Some(2));
        assert!(error["error"].as_str().is_some_and(|error| error.contains(reason)), "{error}");
    };
    let bytes = open.to_bytes().expect("small");
    refused(&folder.path().join("nowhere"), "No such file");
    refused(&write("empty", &[]), "neither a Matchlock transcript nor a recording");
    refused(&write("picture", b"\x89PNG\r\n\x1a\n and so on"), "neither a Matchlock transcript nor a recording");
    refused(&write("cut", &bytes[..bytes.len() / 2]), "ends too early");
    refused(&write("longer", &[&bytes[..], &[0]].concat()), "damaged: something follows the end");

    // Too large to be read at all: a file of a terabyte that takes no room.
    let huge = write("huge", &bytes);
    std::fs::OpenOptions::new().write(true).open(&huge).expect("opens").set_len(1 << 40).expect("sparse");
    refused(&huge, &format!("more than {MAX_FILE} bytes"));

    let mut unknown = open.clone();
    unknown.terms.rules = GameRules::new(matchlock::doc::TicTacToe, BasisPoints::ZERO).id();
    unknown.terms.rules.0.0[0] ^= 1;
    let path = folder.path().join("unknown");
    save(&path, &unknown);
    refused(&path, "which no game here has at any fee (tictactoe, broadside, pig, connectfour)");
    refused(&path, &unknown.terms.rules.0.to_string());

    let mut forged = open.clone();
    forged.turns[0].signature = forged.opening[0];
    let path = folder.path().join("forged");
    save(&path, &forged);
    let said = matchlock(&[&"judge", &path]);
    assert_eq!(said.code, Some(2));
    assert!(said.error.contains("no evidence: a turn of seat 0, turn 1: signed by 0x"), "{}", said.error);

    assert_eq!(matchlock(&[&"judge"]).code, Some(2), "no file");
    assert_eq!(matchlock(&[&"--version"]).code, Some(0));
}
