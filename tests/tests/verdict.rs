//! Verdicts that anybody can check: matches of real clients at a real server, judged and compared from their files.

use std::{path::Path, sync::Arc};

use matchlock::{
    client::{Client, Match, MatchEvent, RedbStore},
    game::{Amount, BasisPoints, Game, Next, Pot, Seat},
    rules::{GameRules, Rules},
    session::Wanted,
    sign::Signer,
    transcript::{Transcript, judge},
    wire::{Arrived, TableSpec, ToServer, Turn},
};
use matchlock_demo::tictactoe::{Board, Illegal, TicTacToe};
use matchlock_server::cli::{self, Answer};
use matchlock_tests::{
    scene::{STAKE, bankroll, first_wins, pocket, postcard_u8, stake, two_players},
    tap::{Frame, Tap, Verdict},
    world::{Failure, Plan, World, eventually},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What `matchlock` answers to these arguments.
fn matchlock(arguments: &[&str]) -> Answer {
    let arguments: Vec<&str> = ["matchlock"].iter().chain(arguments).copied().collect();
    cli::answer(arguments, matchlock_demo::games)
}

fn json(arguments: &[&str]) -> Result<(u8, Value), Failure> {
    let Answer { output, code, .. } = matchlock(&[arguments, &["--json"]].concat());
    Ok((code, serde_json::from_str(&output)?))
}

fn saved(folder: &Path, name: &str, bytes: Vec<u8>) -> Result<String, Failure> {
    let path = folder.join(name);
    std::fs::write(&path, bytes)?;
    Ok(path.display().to_string())
}

/// An open match of tic-tac-toe with this clock, in seconds.
async fn open(world: &World, first: &Client, second: &Client, clock: u32) -> Result<(Match, Match), Failure> {
    let rules = world.game("tictactoe")?;
    let spec = TableSpec { rules: rules.id(), seats: 2, stake: stake(), clock, private: true };
    let mut seating = first.create(spec).await?;
    let table = seating.table().await?;
    let second = second.join(table, Wanted { rules: rules.id(), stake: stake() }).await?;
    Ok((seating.opened().await?, second.opened().await?))
}

async fn play(game: &Match, cell: u8) -> Result<(), Failure> {
    eventually("the position", async || Ok(game.my_position().map(drop))).await?;
    Ok(game.play(postcard_u8(cell)).await?)
}

/// The operator's receipt of a turn, once it has come.
async fn arrived(game: &mut Match, turn: u32) -> Result<Arrived, Failure> {
    loop {
        match game.event().await.ok_or("the client closed")? {
            MatchEvent::Arrived(arrived) if arrived.turn == turn => return Ok(arrived),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_match_is_judged_from_its_file() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::start(Plan::quick(folder.path())).await?;
    let players = two_players(&world).await?;
    let played = first_wins(&players, &world.game("tictactoe")?).await?;
    let file = saved(folder.path(), "won", played.transcript.to_bytes()?)?;
    let said = matchlock(&["judge", &file]);
    assert_eq!((said.code, said.error.as_str()), (0, ""));
    assert!(said.output.contains("Legal and over after 5 turns"), "{}", said.output);
    world.server.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cheat_is_named_with_its_turn_and_what_it_broke() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::start(Plan::quick(folder.path())).await?;
    let tap = Tap::before(world.server.url()).await?;
    let cheat = world.newcomer(0, bankroll(), pocket()).await?;
    let (domain, key) = (world.server.domain(), cheat.key.clone());
    let cheat = cheat.connect(tap.url()).await?;
    let honest = world.player(1, bankroll(), pocket()).await?;
    // Its third turn gives it the whole pot, signed as an author signs.
    tap.rule(move |frame| match frame {
        Frame::Up(ToServer::Turn { match_id, turn }) if turn.state.turn == 3 => {
            let Turn { mut state, action, .. } = turn.clone();
            state.payouts = vec![Amount::from_u64(2 * STAKE), Amount::ZERO];
            let signature = key.sign(domain.digest(state.hash(*match_id).0)).expect("signs");
            let turn = Turn { state, action, signature };
            Verdict::Instead(Box::new(Frame::Up(ToServer::Turn { match_id: *match_id, turn })))
        }
        _ => Verdict::Pass,
    });
    let (mine, mut theirs) = open(&world, &cheat.client, &honest.client, 60).await?;
    for (game, cell) in [(&mine, 0), (&theirs, 3), (&mine, 1)] {
        play(game, cell).await?;
    }
    // Nobody asks the client to: it keeps the receipt of the forged turn by itself.
    let receipt = arrived(&mut theirs, 3).await?;
    let file = saved(folder.path(), "cheated", theirs.transcript().await?.to_bytes()?)?;
    let said = matchlock(&["judge", &file]);
    let sentence = "Seat 0 is guilty: its turn 3 breaks the rules: the header's payouts is not what the move leads to.";
    assert!(said.output.contains(sentence), "{}{}", said.output, said.error);
    let (code, verdict) = json(&["judge", &file])?;
    assert_eq!((code, &verdict["guilty"]["seat"], &verdict["guilty"]["turn"]), (1, &0.into(), &3.into()));
    assert_eq!((&verdict["turns"], &verdict["holds"]), (&2.into(), &Value::Null));
    assert_eq!(verdict["seats"][0]["payout"], "0", "as if it had never acted again");
    let (_, shown) = json(&["show", &file])?;
    assert_eq!(shown["turns"][2]["arrived"], receipt.at);

    // Its recording shows the same, and what the honest client computed instead.
    let file = saved(folder.path(), "recorded", theirs.recording().await?.to_bytes()?)?;
    assert_eq!(json(&["judge", &file])?.1["guilty"], verdict["guilty"]);
    world.server.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_match_shows_who_held_it_and_since_when() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::start(Plan::quick(folder.path())).await?;
    let newcomer = world.newcomer(0, bankroll(), pocket()).await?;
    let (url, config) = (world.server.url(), |url: String, store| newcomer.config(url, store));
    let first = Client::connect(config(url.clone(), RedbStore::open(&newcomer.file)?)).await?;
    first.until_available(bankroll()).await?;
    let other = world.player(1, bankroll(), pocket()).await?;
    let (mut mine, theirs) = open(&world, &first, &other.client, 2).await?;
    play(&mine, 4).await?;
    // The other seat says nothing for half of its clock: the client asks for a receipt by itself, and keeps it.
    let receipt = arrived(&mut mine, 1).await?;
    let transcript = mine.transcript().await?;
    let held = judge(&transcript, mine.rules())?.holds.ok_or("somebody holds it")?;
    assert_eq!((held.seat, held.turn, held.clock, held.since), (Seat(1), 2, 2, Some(receipt)));
    assert_eq!((theirs.seat(), held.overdue(receipt.at + 2)), (Seat(1), None));

    let file = saved(folder.path(), "stalled", transcript.to_bytes()?)?;
    let late = (receipt.at + 2 + 312).to_string();
    let (code, verdict) = json(&["judge", &file, "--at", &late])?;
    let holds = &verdict["holds"];
    assert_eq!((code, &holds["seat"], &holds["turn"], &holds["overdue"]), (1, &1.into(), &2.into(), &312.into()));
    assert_eq!(holds["since"], receipt.at);
    let said = matchlock(&["judge", &file, "--at", &late]).output;
    assert!(said.contains("Not over: Seat 1 has held turn 2 since 20"), "{said}");
    let operator = transcript.operator;
    assert!(said.contains(&format!("UTC (receipt by {operator}), 312 s beyond its clock of 2 s.")), "{said}");

    // Nobody's word but the operator's: another time makes the file worthless.
    let mut forged = transcript.clone();
    forged.arrivals.iter_mut().for_each(|arrived| arrived.at -= 1_000);
    let file = saved(folder.path(), "forged", forged.to_bytes()?)?;
    let said = matchlock(&["judge", &file]);
    assert_eq!(said.code, 2);
    assert!(said.error.contains("a receipt of arrival of the operator, turn "), "{}", said.error);

    // It is there after the client's own end, too.
    let id = mine.id();
    drop(mine);
    first.close().await;
    let store = eventually("the closed file", async || Ok(RedbStore::open(&newcomer.file).ok())).await?;
    let again = Client::connect(config(url, store)).await?;
    let kept = again.look(move |session| session.channel(id).and_then(|channel| channel.transcript())).await?;
    assert!(kept.ok_or("the match")?.arrivals.contains(&receipt));
    world.server.shutdown().await;
    Ok(())
}

/// Tic-tac-toe as another compiler has built it: what is put into the last cell lands in the one before. Its name, version and
/// parameters are the true game's, and so is the rules' id.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Miscompiled;

impl Game for Miscompiled {
    const NAME: &'static str = TicTacToe::NAME;
    type Board = Board;
    type Move = u8;
    type Error = Illegal;

    fn max_turns(&self) -> u32 {
        TicTacToe.max_turns()
    }

    fn start(&self, seats: usize) -> Board {
        TicTacToe.start(seats)
    }

    fn next(&self, board: &Board, pot: &Pot) -> Next {
        TicTacToe.next(board, pot)
    }

    fn play(&self, board: &Board, seat: Seat, cell: &u8) -> Result<Board, Illegal> {
        TicTacToe.play(board, seat, if *cell == 8 { &7 } else { cell })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clients_with_two_builds_find_the_turn_and_the_field() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::start(Plan::quick(folder.path())).await?;
    let first = world.player(0, bankroll(), pocket()).await?;
    let newcomer = world.newcomer(1, bankroll(), pocket()).await?;
    let mut config = newcomer.config(world.server.url(), RedbStore::open(&newcomer.file)?);
    let twisted: Arc<dyn Rules> = GameRules::shared(Miscompiled, BasisPoints::new(250)?);
    assert_eq!(twisted.id(), world.game("tictactoe")?.id());
    config.rules = vec![twisted];
    let second = newcomer.with(Client::connect(config).await?).await?;

    let (mine, mut theirs) = open(&world, &first.client, &second.client, 60).await?;
    for (game, cell) in [(&mine, 0), (&theirs, 1), (&mine, 8)] {
        play(game, cell).await?;
    }
    while !matches!(theirs.event().await.ok_or("the client closed")?, MatchEvent::Faulted(_)) {}
    let a = saved(folder.path(), "a", mine.recording().await?.to_bytes()?)?;
    let b = saved(folder.path(), "b", theirs.recording().await?.to_bytes()?)?;
    let said = matchlock(&["diff", &a, &b]);
    let found = "They part at turn 3, which seat 0 played:\n  board[7]: none in A, 0 in B\n";
    assert_eq!((said.code, said.error.as_str()), (1, ""));
    assert!(said.output.contains(found), "{}", said.output);
    assert!(said.output.contains("Seat 0 signed what A has.\n"), "{}", said.output);
    assert!(said.output.contains("compute what A has: B runs another build.\n"), "{}", said.output);
    let (code, compared) = json(&["diff", &a, &b])?;
    let parted = &compared["divergence"];
    assert_eq!((code, &parted["turn"], &parted["field"]), (1, &3.into(), &"board[7]".into()));
    assert_eq!((&parted["signed"], &parted["here"]), (&"A".into(), &"A".into()));

    // The build that is wrong takes the honest seat for a cheat; a judge with the true rules does not.
    let accused = judge(&theirs.transcript().await?, theirs.rules())?.guilty.ok_or("by its own build")?;
    assert_eq!((accused.seat, accused.turn), (Seat(0), 3));
    let (_, verdict) = json(&["judge", &b])?;
    assert_eq!((&verdict["guilty"], &verdict["holds"]["seat"]), (&Value::Null, &1.into()));
    assert_eq!(Transcript::from_bytes(&mine.transcript().await?.to_bytes()?)?, mine.transcript().await?);
    world.server.shutdown().await;
    Ok(())
}
