//! Others that cheat, vanish or fail: what an honest player loses by it, which is nothing.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use alloy_primitives::B256;
use futures_util::{SinkExt, StreamExt};
use matchlock::{
    abi::MatchTerms,
    account::AccountId,
    chain::HttpProvider,
    channel::{Fault, HeaderField},
    client::{
        Client, ClientError, ClientEvent, Clock, Link, Match, MatchEvent, MemoryStore, RedbStore, Store, StoreError,
    },
    game::{Amount, Seat},
    session::{LONGEST_MATCH, Record, SessionError, SessionNotice},
    sign::Signer,
    transcript::judge,
    wire::{About, Refusal, TableSpec, ToClient, ToServer, Turn},
};
use matchlock_demo::{Strength, bots};
use matchlock_tests::{
    audit::{all_home, results},
    scene::{
        SEAT_0_WINS, STAKE, Script, bankroll, clients, first_wins, pocket, postcard_u8, scripted, sit, stake, travel_to,
    },
    tap::{Frame, Tap, Verdict, accept},
    world::{Failure, Plan, Played, World, eventually, in_time, play_match, play_seat},
};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loser_who_does_not_sign_its_statement_gains_nothing() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let tune = Some((|settings| settings.statement_grace = 0) as fn(&mut matchlock_server::Settings));
    let world = World::start(Plan { tune, settle_age: 10_000, ..Plan::quick(folder.path()) }).await?;
    let before = world.bank.pool().await?;
    let tap = Tap::before(world.server.url()).await?;
    let winner = world.player(0, bankroll(), pocket()).await?;
    let loser = world.newcomer(1, bankroll(), pocket()).await?.connect(tap.url()).await?;
    let mut players = vec![winner, loser];
    let rules = world.game("tictactoe")?;
    tap.rule(|frame| match frame {
        Frame::Up(ToServer::Statement { .. }) => Verdict::Lose,
        _ => Verdict::Pass,
    });
    let mut played = vec![first_wins(&players, &rules).await?];
    let results = results(&played);
    let worth = |account: AccountId| bankroll().signed() + results[&account];

    // Whoever does not sign plays no more.
    let spec = TableSpec { rules: rules.id(), seats: 2, stake: stake(), clock: 60, private: true };
    let refused = async || match players[1].client.create(spec.clone()).await?.table().await {
        Ok(table) => Ok(players[1].client.leave(table).await.map(|()| None)?),
        Err(error) => Ok(Some(error.to_string())),
    };
    let refusal = eventually("a refusal", refused).await?;
    assert_eq!(refusal, Refusal::StatementDue.to_string());

    // The winner needs nobody's consent: everyone signed the final.
    let transcript = &played[0].transcript;
    let owners: Vec<_> = transcript.players.iter().map(|player| player.owner).collect();
    let last = &transcript.turns.last().ok_or("a turn")?.state;
    let id = transcript.terms.id(&transcript.domain);
    let conclusion = players[0]
        .client
        .look(move |session| session.channel(id).and_then(|channel| channel.conclusion().map(<[_]>::to_vec)));
    let conclusion = conclusion.await?.ok_or("a final that everyone signed")?;
    let outcome = players[0].wallet.conclude(&transcript.terms, last, &owners, &conclusion).await?;
    players[0].paid(&outcome);
    let accounts: Vec<_> = players.iter().map(|player| player.client.account()).collect();
    for account in &accounts {
        assert_eq!(world.bank.account(*account).await?.equity(), worth(*account));
    }

    // The loser signs after all: its statement takes the place of the outcome, and counts once.
    tap.pass();
    tap.cut();
    for account in &accounts {
        eventually("a statement that absorbs the claim", async || {
            world.server.settle_now();
            let record = world.bank.account(*account).await?;
            assert_eq!(record.equity(), worth(*account));
            Ok((record.claims == 0 && record.net == results[account]).then_some(()))
        })
        .await?;
    }
    for player in &players {
        player.at_rest().await?;
        eventually("the bankroll without a claim", async || {
            let free = player.client.account_view().await?.available;
            Ok((free.signed() == worth(player.client.account())).then_some(()))
        })
        .await?;
    }
    played.push(play_match(&clients(&players), &rules, stake(), 2).await?);
    all_home(&world.bank, &before, &mut players, &played).await?;
    world.server.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_match_whose_loser_stalls_is_void_at_its_expiry_and_the_stakes_are_free_again() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::start(Plan::quick(folder.path())).await?;
    let before = world.bank.pool().await?;
    // Players whose clocks show what the chain's blocks do.
    let time = Arc::new(AtomicU64::new(0));
    let mut players = Vec::new();
    for n in 0..2 {
        let newcomer = world.newcomer(n, bankroll(), pocket()).await?;
        let mut config = newcomer.config(world.server.url(), RedbStore::open(&newcomer.file)?);
        let clock = time.clone();
        config.clock = Clock::new(move || clock.load(Ordering::SeqCst));
        players.push(newcomer.with(Client::connect(config).await?).await?);
    }
    let rules = world.game("tictactoe")?;
    let (mine, theirs) = sit(&players[0].client, &players[1].client, &rules).await?;
    let (mut mine, mut theirs) = (mine.opened().await?, theirs.opened().await?);
    // The first seat is about to win; the second plays no more.
    for (game, cell) in [(&mine, 0), (&theirs, 3), (&mine, 1), (&theirs, 4)] {
        eventually("the position", async || Ok(game.my_position().map(drop))).await?;
        game.play(postcard_u8(cell)).await?;
    }
    let expiry = mine.terms().expiry;
    time.store(expiry + 1, Ordering::SeqCst);
    travel_to(&world.bank, expiry + 1).await?;
    for game in [&mut mine, &mut theirs] {
        while game.event().await.ok_or("the client closed")? != MatchEvent::Void {}
    }
    for player in &players {
        player.at_rest().await?;
        eventually("the whole bankroll", async || {
            Ok((player.client.account_view().await?.available == bankroll()).then_some(()))
        })
        .await?;
    }
    all_home(&world.bank, &before, &mut players, &[]).await?;
    world.server.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_match_declared_void_before_its_expiry_is_not_given_up() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::start(Plan::quick(folder.path())).await?;
    let tap = Tap::before(world.server.url()).await?;
    let wary = world.newcomer(0, bankroll(), pocket()).await?.connect(tap.url()).await?;
    let players = [wary, world.player(1, bankroll(), pocket()).await?];
    let rules = world.game("tictactoe")?;
    let mut events = players[0].client.events();
    // The server claims it in place of the first turn that the other side makes.
    tap.rule(|frame| match frame {
        Frame::Down(ToClient::Turn { match_id, .. }) => {
            let (match_id, reason) = (*match_id, Refusal::Expired);
            Verdict::Instead(Box::new(Frame::Down(ToClient::Cancelled { match_id, reason })))
        }
        _ => Verdict::Pass,
    });
    let (first, second) = sit(&players[1].client, &players[0].client, &rules).await?;
    let (first, second) = (first.opened().await?, second.opened().await?);
    let plays = [tokio::spawn(play_seat(first, scripted(Seat(0)))), tokio::spawn(play_seat(second, scripted(Seat(1))))];
    loop {
        match events.recv().await? {
            ClientEvent::Suspicious(what) if what.contains("can have a result until") => break,
            _ => {}
        }
    }
    // With an honest server again the match goes on to its end.
    tap.pass();
    tap.cut();
    for play in plays {
        play.await??;
    }
    world.server.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn winnings_that_no_batch_has_settled_are_limited() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::start(Plan { settle_age: 10_000, ..Plan::quick(folder.path()) }).await?;
    let newcomer = world.newcomer(0, bankroll(), pocket()).await?;
    let node = HttpProvider::new(world.rpc())?;
    let limit = Amount::from_u64(STAKE / 2);
    let config = newcomer.config(world.server.url(), RedbStore::open(&newcomer.file)?).with_chain(node);
    let cautious = Client::connect(config.with_exposure(limit)).await?;
    let players = vec![newcomer.with(cautious).await?, world.player(1, bankroll(), pocket()).await?];
    let rules = world.game("tictactoe")?;
    first_wins(&players, &rules).await?;
    players[0].client.until_receipted().await?;
    let spec = TableSpec { rules: rules.id(), seats: 2, stake: stake(), clock: 60, private: true };
    let exposed = players[0].client.create(spec.clone()).await?.table().await;
    let expected =
        matches!(&exposed, Err(ClientError::Session(SessionError::Exposed { limit: other, .. })) if *other == limit);
    assert!(expected, "{exposed:?}");
    // What is on the chain is nobody's word any more.
    world.server.settle_now();
    eventually("a seat again", async || Ok(players[0].client.create(spec.clone()).await?.table().await.ok())).await?;
    world.server.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_what_the_chain_does_not_is_not_believed() -> Result<(), Failure> {
    let (folder, elsewhere) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let world = World::start(Plan { settle_age: 10_000, ..Plan::quick(folder.path()) }).await?;
    let tap = Tap::before(world.server.url()).await?;
    let newcomer = world.newcomer(0, bankroll(), pocket()).await?;

    // The same server, looked at through the node of another chain: no such arena.
    let other = World::start(Plan::quick(elsewhere.path())).await?;
    let wrong = newcomer.config(tap.url(), MemoryStore::default()).with_chain(HttpProvider::new(other.rpc())?);
    let refused = Client::connect(wrong).await.map(drop);
    assert!(matches!(refused, Err(ClientError::OtherArena(_))), "{refused:?}");

    let config = newcomer.config(tap.url(), RedbStore::open(&newcomer.file)?);
    let client = Client::connect(config.with_chain(HttpProvider::new(world.rpc())?)).await?;
    let players = vec![newcomer.with(client).await?, world.player(1, bankroll(), pocket()).await?];
    let mut events = players[0].client.events();
    // In place of an answer it claims that everything is settled, and would have the client forget its final.
    let claim = Arc::new(Mutex::new(None));
    let claimed = claim.clone();
    tap.rule(move |frame| match frame {
        Frame::Down(ToClient::Receipt { statement, .. }) => {
            *claimed.lock().expect("not poisoned") = Some(*statement);
            Verdict::Pass
        }
        Frame::Down(ToClient::Tables { .. }) => {
            let statement = claimed.lock().expect("not poisoned").expect("a receipt came before");
            Verdict::Instead(Box::new(Frame::Down(ToClient::Settled { statement, batch: 1 })))
        }
        _ => Verdict::Pass,
    });
    first_wins(&players, &world.game("tictactoe")?).await?;
    players[0].client.until_receipted().await?;
    let asking = tokio::spawn({
        let client = players[0].client.clone();
        async move { client.tables(None).await.map(drop) }
    });
    loop {
        match events.recv().await? {
            ClientEvent::Suspicious(what) if what.contains("the chain does not have") => break,
            _ => {}
        }
    }
    asking.abort();
    let kept =
        players[0].client.look(|session| session.channels().filter(|channel| channel.conclusion().is_some()).count());
    assert_eq!(kept.await?, 1);
    // When it is true, it counts.
    tap.pass();
    world.server.settle_now();
    eventually("the forgotten match", async || {
        Ok((players[0].client.look(|session| session.channels().count()).await? == 0).then_some(()))
    })
    .await?;
    world.server.shutdown().await;
    other.server.shutdown().await;
    Ok(())
}

/// What it takes to see a proposal and change it.
type Forgery = fn(&mut MatchTerms, usize);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proposal_other_than_what_was_agreed_is_not_signed() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::start(Plan::quick(folder.path())).await?;
    let tap = Tap::before(world.server.url()).await?;
    let wary = world.newcomer(0, bankroll(), pocket()).await?.connect(tap.url()).await?;
    let other = world.player(1, bankroll(), pocket()).await?;
    let rules = world.game("tictactoe")?;
    let account = wary.client.account();
    let forgeries: [(&str, Forgery); 5] = [
        ("expiry", |terms, _| terms.expiry += LONGEST_MATCH),
        ("stake", |terms, seat| terms.stakes[seat] = Amount::from_u64(2 * STAKE)),
        ("rules", |terms, _| terms.rules.0.0[0] ^= 1),
        ("index", |terms, seat| terms.indexes[seat] += 1),
        ("seed", |terms, seat| terms.seeds[seat] = B256::repeat_byte(7)),
    ];
    for (field, forge) in forgeries {
        tap.rule(move |frame| match frame {
            Frame::Down(ToClient::Proposal { table, terms, players }) => {
                let mut terms = terms.clone();
                let seat = terms.seat_of(account).expect("a seat").index();
                forge(&mut terms, seat);
                let (table, players) = (*table, players.clone());
                Verdict::Instead(Box::new(Frame::Down(ToClient::Proposal { table, terms, players })))
            }
            _ => Verdict::Pass,
        });
        let (mine, _theirs) = sit(&wary.client, &other.client, &rules).await?;
        let refused = mine.opened().await.map(|game| game.id());
        let expected =
            matches!(&refused, Err(ClientError::Session(SessionError::OtherTerms(other))) if *other == field);
        assert!(expected, "{field}: {refused:?}");
    }
    let signed = tap.seen().into_iter().find(|frame| matches!(frame, Frame::Up(ToServer::Sign { .. })));
    assert_eq!(signed, None);
    assert_eq!(wary.client.look(|session| session.channels().count()).await?, 0);
    // The same client plays with the same server when it is honest.
    tap.pass();
    play_match(&[wary.client.clone(), other.client.clone()], &rules, stake(), 1).await?;
    world.server.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_plays_only_at_its_own_server_and_says_what_is_wrong_with_others() -> Result<(), Failure> {
    let (folder, elsewhere) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let world = World::start(Plan::quick(folder.path())).await?;
    let newcomer = world.newcomer(0, bankroll(), pocket()).await?;
    let connect = async |url: String, store: RedbStore| Client::connect(newcomer.config(url, store)).await.map(drop);
    let store = || RedbStore::open(&newcomer.file);

    let client = Client::connect(newcomer.config(world.server.url(), store()?)).await?;
    let in_use = store().map(drop);
    assert!(matches!(in_use, Err(StoreError::InUse(_))), "{in_use:?}");

    let spec = TableSpec {
        rules: world.game("pig")?.id(),
        seats: 2,
        stake: Amount::from_u64(21 * STAKE),
        clock: 60,
        private: true,
    };
    let too_high = client.create(spec).await?.table().await;
    assert!(matches!(too_high, Err(ClientError::Refused(Refusal::StakeTooHigh { .. }))), "{too_high:?}");

    client.close().await;
    let store = async || eventually("the closed file", async || Ok(store().ok())).await;
    let other = World::start(Plan::quick(elsewhere.path())).await?;
    let refused = connect(other.server.url(), store().await?).await;
    assert!(matches!(refused, Err(ClientError::Session(SessionError::OtherServer { .. }))), "{refused:?}");

    let gone = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let refused = connect(format!("ws://{gone}/ws"), store().await?).await;
    assert!(matches!(refused, Err(ClientError::Unreachable { .. })), "{refused:?}");

    // Something else that speaks HTTP, something else that speaks WebSocket, and something else.
    let refused = connect(format!("ws://{}/games", other.server.addr()), store().await?).await;
    assert!(matches!(refused, Err(ClientError::NotAServer(_))), "{refused:?}");
    for speaks in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("ws://{}/ws", listener.local_addr()?);
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await?;
            if speaks {
                let mut socket = accept(socket).await?;
                socket.send(Message::Text("hello".into())).await?;
                socket.send(Message::Binary(vec![1, 2, 3].into())).await?;
                while socket.next().await.is_some() {}
            } else {
                tokio::io::AsyncWriteExt::write_all(&mut socket, b"220 ready\r\n").await?;
            }
            Ok::<(), Failure>(())
        });
        let refused = connect(url, store().await?).await;
        assert!(matches!(refused, Err(ClientError::NotAServer(_))), "speaks {speaks}: {refused:?}");
    }

    // None of it has hurt: at home everything is as it was.
    connect(world.server.url(), store().await?).await?;
    world.server.shutdown().await;
    other.server.shutdown().await;
    Ok(())
}

/// A store on a disk that can be full.
#[derive(Clone, Default)]
struct Fragile {
    records: Arc<Mutex<Vec<Record>>>,
    full: Arc<AtomicBool>,
}

impl Store for Fragile {
    fn load(&mut self) -> Result<Vec<Record>, StoreError> {
        Ok(self.records.lock().expect("not poisoned").clone())
    }

    async fn save(&mut self, records: Vec<Record>) -> Result<(), StoreError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Io("no space left on device".into()));
        }
        self.records.lock().expect("not poisoned").extend(records);
        Ok(())
    }
}

async fn turned(game: &mut Match, number: u32) -> Result<(), Failure> {
    loop {
        match game.event().await {
            Some(MatchEvent::Turned { turn, .. }) if turn == number => return Ok(()),
            Some(_) => {}
            None => return Err("the client closed".into()),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_disk_is_full_sends_nothing_and_goes_on_when_it_is_not() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::start(Plan::quick(folder.path())).await?;
    let before = world.bank.pool().await?;
    let tap = Tap::before(world.server.url()).await?;
    let newcomer = world.newcomer(0, bankroll(), pocket()).await?;
    let disk = Fragile::default();
    let client = Client::connect(newcomer.config(tap.url(), disk.clone())).await?;
    let mut players = vec![newcomer.with(client).await?, world.player(1, bankroll(), pocket()).await?];
    let rules = world.game("tictactoe")?;
    let (mine, theirs) = sit(&players[0].client, &players[1].client, &rules).await?;
    let (mut mine, mut theirs) = (mine.opened().await?, theirs.opened().await?);
    let mut events = players[0].client.events();
    let sent = || tap.seen().iter().filter(|frame| matches!(frame, Frame::Up(ToServer::Turn { .. }))).count();

    // Its own turn: refused, not signed as far as anybody will ever know, and possible again.
    disk.full.store(true, Ordering::SeqCst);
    eventually("the first turn's position", async || Ok(mine.my_position().map(drop))).await?;
    let refused = mine.play(postcard_u8(SEAT_0_WINS[0])).await;
    assert!(matches!(refused, Err(ClientError::Store(StoreError::Io(_)))), "{refused:?}");
    assert_eq!((sent(), mine.snapshot().state.turn), (0, 0));
    disk.full.store(false, Ordering::SeqCst);
    mine.play(postcard_u8(SEAT_0_WINS[0])).await?;
    turned(&mut theirs, 1).await?;

    // Another's turn: not taken note of, and taken when there is room again.
    disk.full.store(true, Ordering::SeqCst);
    theirs.play(postcard_u8(SEAT_0_WINS[1])).await?;
    eventually("a word about the full disk", async || {
        Ok(matches!(events.recv().await?, ClientEvent::NotStored(_)).then_some(()))
    })
    .await?;
    assert_eq!(mine.snapshot().state.turn, 1);
    disk.full.store(false, Ordering::SeqCst);
    turned(&mut mine, 2).await?;

    let rest = |seat: usize| Box::new(Script(SEAT_0_WINS[2..].iter().copied().skip(seat).step_by(2).collect()));
    let other = tokio::spawn(play_seat(theirs, rest(1)));
    let transcript = play_seat(mine, rest(0)).await?;
    other.await??;
    // Whoever starts from what was stored holds all that was sent.
    let stored = disk.clone().load()?;
    let turns = stored
        .iter()
        .filter(|record| matches!(record, Record::Channel { event: matchlock::channel::Event::Turned(_), .. }));
    assert_eq!(turns.count(), transcript.turns.len());
    let played = [Played { moves: 5, signatures: 0, transcript }];
    all_home(&world.bank, &before, &mut players, &played).await?;
    world.server.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cheat_is_caught_with_evidence_and_disturbs_no_other_match() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::start(Plan::quick(folder.path())).await?;
    let tap = Tap::before(world.server.url()).await?;
    let cheat = world.newcomer(0, bankroll(), pocket()).await?.connect(tap.url()).await?;
    let honest = world.player(1, bankroll(), pocket()).await?;
    let rules = world.game("tictactoe")?;
    // Another match of the two is open all the while.
    let (a, b) = sit(&cheat.client, &honest.client, &rules).await?;
    let (a, b) = (a.opened().await?, b.opened().await?);

    // Seat 0's second turn says that it gets everything, signed as its author signs.
    let (domain, key) = (world.server.domain(), cheat.key.clone());
    let fair = a.id();
    tap.rule(move |frame| match frame {
        Frame::Up(ToServer::Turn { match_id, turn }) if turn.state.turn == 3 && *match_id != fair => {
            let Turn { mut state, action, .. } = turn.clone();
            state.payouts = vec![Amount::from_u64(2 * STAKE), Amount::ZERO];
            let signature = key.sign(domain.digest(state.hash(*match_id).0)).expect("signs");
            let turn = Turn { state, action, signature };
            Verdict::Instead(Box::new(Frame::Up(ToServer::Turn { match_id: *match_id, turn })))
        }
        _ => Verdict::Pass,
    });
    let (mine, theirs) = sit(&cheat.client, &honest.client, &rules).await?;
    let (mut mine, mut theirs) = (mine.opened().await?, theirs.opened().await?);
    mine.play(postcard_u8(SEAT_0_WINS[0])).await?;
    turned(&mut theirs, 1).await?;
    theirs.play(postcard_u8(SEAT_0_WINS[1])).await?;
    turned(&mut mine, 2).await?;
    mine.play(postcard_u8(SEAT_0_WINS[2])).await?;
    let evidence = loop {
        match theirs.event().await {
            Some(MatchEvent::Faulted(evidence)) => break evidence,
            Some(_) => {}
            None => return Err("the client closed".into()),
        }
    };
    let fault = Fault::Header { field: HeaderField::Payouts };
    assert_eq!((evidence.seat, evidence.turn.state.turn, &evidence.fault), (Seat(0), 3, &fault));
    let verdict = judge(&theirs.transcript().await?, &rules)?;
    let guilt = verdict.guilty.ok_or("somebody is guilty")?;
    assert_eq!((guilt.seat, guilt.turn, guilt.fault), (Seat(0), 3, fault));
    assert_eq!(verdict.turns, 2, "what counts is what was legal");
    assert!(!verdict.concluded);

    let other = tokio::spawn(play_seat(a, scripted(Seat(0))));
    play_seat(b, scripted(Seat(1))).await?;
    other.await??;
    world.server.shutdown().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_that_logs_in_elsewhere_is_told_so_where_it_was() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let world = World::start(Plan::quick(folder.path())).await?;
    let tap = Tap::before(world.server.url()).await?;
    let newcomer = world.newcomer(0, bankroll(), pocket()).await?;
    let other = world.player(1, bankroll(), pocket()).await?;
    let rules = world.game("pig")?;
    let older = Client::connect(newcomer.config(tap.url(), RedbStore::open(&newcomer.file)?)).await?;
    in_time("the deposit", older.until_available(bankroll())).await?;
    let (mine, theirs) = sit(&older, &other.client, &rules).await?;
    let (mine, theirs) = (mine.opened().await?, theirs.opened().await?);
    let (id, seat) = (mine.id(), mine.seat());
    let bot = |seat| bots::player("pig", Strength::Fair, seat, 3).expect("a demo game");
    let playing = tokio::spawn(play_seat(theirs, bot(Seat(1 - seat.0))));

    // Somewhere else, with nothing but the key: it may look, and knows of no match to sign anything in.
    let mut events = older.events();
    let newer_tap = Tap::before(world.server.url()).await?;
    let newer = Client::connect(newcomer.config(newer_tap.url(), MemoryStore::default())).await?;
    eventually("a word about the other one", async || {
        let superseded = SessionNotice::Refused { about: About::Session, refusal: Refusal::Superseded };
        Ok(matches!(events.recv().await?, ClientEvent::Notice(notice) if notice == superseded).then_some(()))
    })
    .await?;
    older.link().wait_for(|link| *link == Link::Closed).await?;
    let refused = mine.play(vec![0]).await;
    assert!(matches!(refused, Err(ClientError::Closed)), "{refused:?}");
    assert_eq!(newer.account_view().await?.open, [id]);
    newer.close().await;
    drop((older, mine));

    // Back where its records are, it goes on.
    let store = eventually("the closed file", async || Ok(RedbStore::open(&newcomer.file).ok())).await?;
    let again = Client::connect(newcomer.config(tap.url(), store)).await?;
    let resumed = again.resumed().await?.pop().ok_or("the match is still open")?;
    let transcript = play_seat(resumed, bot(seat)).await?;
    assert_eq!(transcript, playing.await??);
    let signs = |frame: &Frame| {
        matches!(frame, Frame::Up(ToServer::Turn { .. } | ToServer::Sign { .. } | ToServer::Statement { .. }))
    };
    assert!(!newer_tap.seen().iter().any(signs), "nothing was signed without the records");
    world.server.shutdown().await;
    Ok(())
}
