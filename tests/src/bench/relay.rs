//! A raw WebSocket relay, and both ends of a line through it: what any relay costs at least.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpListener, net::TcpStream, sync::mpsc};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, accept_async, connect_async_with_config, tungstenite::Message,
};

use crate::world::Failure;

type Ends = Arc<Mutex<HashMap<Vec<u8>, mpsc::UnboundedSender<Message>>>>;
type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Serves: a connection's first message names a line; the rest goes to the line's other end. Its address.
pub(super) async fn start() -> Result<String, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}", listener.local_addr()?);
    tokio::spawn(async move {
        let ends = Ends::default();
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(relay(stream, ends.clone()));
        }
    });
    Ok(url)
}

async fn relay(stream: TcpStream, ends: Ends) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let (mut write, mut read) = accept_async(stream).await.ok()?.split();
    let name = read.next().await?.ok()?.into_data().to_vec();
    let mut other = name.clone();
    *other.last_mut()? ^= 1;
    let (out, mut outgoing) = mpsc::unbounded_channel();
    ends.lock().ok()?.insert(name, out);
    write.send(Message::text("there")).await.ok()?;
    tokio::spawn(async move {
        while let Some(message) = outgoing.recv().await {
            if write.send(message).await.is_err() {
                break;
            }
        }
    });
    let mut forward = None;
    while let Some(Ok(message)) = read.next().await {
        if forward.is_none() {
            forward = ends.lock().ok()?.get(&other).cloned();
        }
        forward.as_ref()?.send(message).ok()?;
    }
    Some(())
}

/// Both ends of a line.
pub(super) struct Pair {
    ends: [Socket; 2],
    from: usize,
}

impl Pair {
    pub(super) async fn connect(url: &str, line: usize) -> Result<Pair, Failure> {
        let mut ends = Vec::new();
        for end in 0..2u8 {
            let (mut socket, _) = connect_async_with_config(url, None, true).await?;
            let name = [&line.to_be_bytes()[..], &[end]].concat();
            socket.send(Message::binary(name)).await?;
            socket.next().await.ok_or("the relay closed")??;
            ends.push(socket);
        }
        let ends = <[Socket; 2]>::try_from(ends).map_err(|_| "two ends")?;
        Ok(Pair { ends, from: 0 })
    }

    /// How long a message takes to the other end; the ends take turns.
    pub(super) async fn there(&mut self, bytes: usize) -> Result<Duration, Failure> {
        let message = Message::binary(vec![7; bytes]);
        let began = Instant::now();
        self.ends[self.from].send(message).await?;
        self.from = 1 - self.from;
        self.ends[self.from].next().await.ok_or("the relay closed")??;
        Ok(began.elapsed())
    }
}
