//! `server.moves`: the server as a relay that stores, beside a raw one, both driven as fast as they go.
//!
//! The matches are opened by real clients. Then their moves are played and signed in advance, and only frames go back and
//! forth in the measured time: a player that signs and checks would take most of the machine that the server is measured on.

use std::{sync::Arc, time::Instant};

use futures_util::{SinkExt, StreamExt};
use matchlock::{
    abi::{Login, MatchId},
    account::Player,
    channel::{Channel, Effect, Input},
    client::Match,
    game::Seat,
    rules::Rules,
    sign::{Key, Signer},
    wire::{self, Have, SUBPROTOCOL, ToClient, ToServer},
};
use matchlock_demo::{Strength, bots};
use tokio::{net::TcpStream, task::JoinSet};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config,
    tungstenite::{
        Message,
        client::IntoClientRequest,
        http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
    },
};

use super::{
    Row,
    load::{Load, Served, player_key},
    relay,
};
use crate::world::{Failure, dev_key};

/// Moves of each match that are counted.
const MOVES: usize = 30;

/// One match: its turns, each as a frame with the seat that sends it.
struct Script {
    match_id: MatchId,
    turns: Vec<(usize, Message)>,
}

/// Both connections of a match, logged in.
struct Line {
    ends: [WebSocketStream<MaybeTlsStream<TcpStream>>; 2],
    script: Script,
}

/// Moves a second with this many matches at once, and CPU a move, beside a raw relay in the same run.
///
/// # Errors
/// A server says no.
pub async fn server_moves(matches: usize) -> Result<Vec<Row>, Failure> {
    let mut load = Load::start().await?;
    load.players(2 * matches).await?;
    let rules = load.game("broadside");
    let mut scripts = Vec::new();
    for pair in 0..matches {
        let games = load.open(&rules, pair).await?;
        scripts.push(script(&load, &games, &rules, pair).await?);
    }
    for client in std::mem::take(&mut load.clients) {
        client.close().await;
    }
    let bytes = scripts.iter().flat_map(|script| &script.turns).map(|(_, frame)| frame.len()).sum::<usize>();
    let bytes = bytes / (matches * MOVES);
    let mut lines = Vec::new();
    for (pair, script) in scripts.into_iter().enumerate() {
        let keys = [2 * pair, 2 * pair + 1].map(player_key);
        let a = log_in(&load.served.url, &keys[0], script.match_id).await?;
        let b = log_in(&load.served.url, &keys[1], script.match_id).await?;
        lines.push(Line { ends: [a, b], script });
    }
    let moves = (matches * MOVES) as f64;
    let (cpu, began) = (load.served.cpu()?, Instant::now());
    let mut playing = JoinSet::new();
    lines.into_iter().for_each(|line| drop(playing.spawn(line.play())));
    let mut kept = Vec::new();
    while let Some(line) = playing.join_next().await {
        kept.push(line??);
    }
    let rate = moves / began.elapsed().as_secs_f64();
    let each = (load.served.cpu()? - cpu) / moves;
    drop((kept, load));

    let (raw_rate, raw_each) = raw(matches, bytes).await?;
    Ok(vec![
        Row {
            limit: Some(raw_rate / 2.0),
            ratio: Some(rate / raw_rate),
            ..Row::report("server.moves", rate, "moves/s")
        },
        Row::report("server.relay", raw_rate, "messages/s"),
        Row { ratio: Some(each / raw_each), ..Row::report("server.moves.cpu", each * 1e6, "us/move") },
        Row::report("server.relay.cpu", raw_each * 1e6, "us/message"),
        Row::report("server.moves.bytes", bytes as f64, "bytes/move"),
    ])
}

/// The same through the raw relay: messages of as many bytes, back and forth on as many lines.
async fn raw(lines: usize, bytes: usize) -> Result<(f64, f64), Failure> {
    let raw = Served::start("relay")?;
    let mut pairs = Vec::new();
    for line in 0..lines {
        pairs.push(relay::Pair::connect(&raw.url, line).await?);
    }
    let (cpu, began) = (raw.cpu()?, Instant::now());
    let mut playing = JoinSet::new();
    for mut pair in pairs {
        playing.spawn(async move {
            for _ in 0..MOVES {
                pair.there(bytes).await?;
            }
            Ok::<_, Failure>(pair)
        });
    }
    let mut kept = Vec::new();
    while let Some(pair) = playing.join_next().await {
        kept.push(pair??);
    }
    let messages = (lines * MOVES) as f64;
    Ok((messages / began.elapsed().as_secs_f64(), (raw.cpu()? - cpu) / messages))
}

/// Plays an open match ahead, from both clients' channels.
async fn script(load: &Load, games: &[Match; 2], rules: &Arc<dyn Rules>, pair: usize) -> Result<Script, Failure> {
    let match_id = games[0].id();
    let mut channels: Vec<Channel> = Vec::new();
    for client in &load.clients[2 * pair..2 * pair + 2] {
        let channel = client.look(move |session| session.channel(match_id).cloned()).await?;
        channels.push(channel.ok_or("an open match")?);
    }
    let keys = [2 * pair, 2 * pair + 1].map(player_key);
    let mut bots: Vec<_> = (0..2)
        .map(|seat| bots::player(rules.name(), Strength::Easy, Seat(seat), pair as u64).expect("a demo game"))
        .collect();
    let mut turns = Vec::new();
    while turns.len() < MOVES {
        let mover = channels[0].state().mover().ok_or("a longer match")?.index();
        let play = bots[mover].choose(&channels[mover].placed().position, Seat(mover as u8))?;
        for turn in feed(&mut channels[mover], Input::Play(play), &keys[mover])? {
            feed(&mut channels[1 - mover], Input::Turn(turn.clone()), &keys[1 - mover])?;
            turns.push((mover, Message::binary(wire::encode(&ToServer::Turn { match_id, turn }))));
        }
    }
    Ok(Script { match_id, turns })
}

fn feed(channel: &mut Channel, input: Input, key: &Key) -> Result<Vec<wire::Turn>, Failure> {
    let step = channel.decide(input, key)?;
    let effects = channel.commit(step)?.into_iter();
    Ok(effects
        .filter_map(|effect| match effect {
            Effect::Send(ToServer::Turn { turn, .. }) => Some(turn),
            _ => None,
        })
        .collect())
}

/// A connection that has everything of its match.
async fn log_in(
    url: &str,
    key: &Key,
    match_id: MatchId,
) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, Failure> {
    let mut request = url.into_client_request()?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    let (mut socket, _) = connect_async_with_config(request, None, true).await?;
    let ToClient::Welcome(welcome) = next(&mut socket).await? else { return Err("no welcome".into()) };
    let player = Player { owner: dev_key().address(), key: key.address() };
    let login = Login { account: player.account(), nonce: welcome.nonce };
    let signature = key.sign(welcome.domain.digest(login.struct_hash()))?;
    let resume = vec![Have { match_id, turn: Some(0) }];
    socket.send(Message::binary(wire::encode(&ToServer::Login { player, signature, resume }))).await?;
    let ToClient::Ready(_) = next(&mut socket).await? else { return Err("not logged in".into()) };
    // What is answered after the match was resumed.
    socket.send(Message::binary(wire::encode(&ToServer::Ping))).await?;
    while next(&mut socket).await? != ToClient::Pong {}
    Ok(socket)
}

async fn next(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>) -> Result<ToClient, Failure> {
    loop {
        if let Message::Binary(bytes) = socket.next().await.ok_or("the server closed")?? {
            return Ok(wire::decode(&bytes)?);
        }
    }
}

impl Line {
    /// Sends each turn once the one before has come through.
    async fn play(mut self) -> Result<Line, Failure> {
        for (from, frame) in std::mem::take(&mut self.script.turns) {
            self.ends[from].send(frame).await?;
            // Acknowledgements come in between; nothing else is as long as a turn.
            while self.ends[1 - from].next().await.ok_or("the server closed")??.len() < 100 {}
        }
        Ok(self)
    }
}
