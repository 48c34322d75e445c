//! A tap in the line between a client and its server: sees every frame, and may lose one, change it, or stop the line.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{SinkExt, StreamExt};
use matchlock::wire::{self, SUBPROTOCOL, ToClient, ToServer};
use serde::Serialize;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::AbortHandle,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async, connect_async,
    tungstenite::{
        Message,
        client::IntoClientRequest,
        handshake::server::{Request, Response},
        http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
    },
};

use crate::world::{Failure, eventually};

/// A frame on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// To the server.
    Up(ToServer),
    /// To the client.
    Down(ToClient),
}

/// What becomes of a frame.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// It is lost, and nothing else is.
    Lose,
    /// This goes on instead.
    Instead(Box<Frame>),
    /// It is lost, and so is everything after it until the connection ends.
    Stall,
}

type Rule = Box<dyn FnMut(&Frame) -> Verdict + Send>;

/// A WebSocket server that passes everything on to another one.
pub struct Tap {
    url: String,
    inner: Arc<Inner>,
    serving: AbortHandle,
}

struct Inner {
    upstream: String,
    rule: Mutex<Rule>,
    seen: Mutex<Vec<Frame>>,
    stalls: watch::Sender<u32>,
    cuts: watch::Sender<u32>,
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tap({} before {})", self.url, self.inner.upstream)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Tap {
    /// A tap before this server.
    ///
    /// # Errors
    /// There is no port.
    pub async fn before(upstream: impl Into<String>) -> Result<Tap, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("ws://{}/ws", listener.local_addr()?);
        let inner = Arc::new(Inner {
            upstream: upstream.into(),
            rule: Mutex::new(Box::new(|_| Verdict::Pass)),
            seen: Mutex::default(),
            stalls: watch::Sender::new(0),
            cuts: watch::Sender::new(0),
        });
        let shared = inner.clone();
        let serving = tokio::spawn(async move {
            // The lines end with the tap.
            let mut lines = tokio::task::JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let inner = shared.clone();
                lines.spawn(async move { drop(inner.line(socket).await) });
            }
        });
        Ok(Tap { url, inner, serving: serving.abort_handle() })
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// From now on every frame is judged by this.
    pub fn rule(&self, rule: impl FnMut(&Frame) -> Verdict + Send + 'static) {
        *lock(&self.inner.rule) = Box::new(rule);
    }

    /// From now on everything passes.
    pub fn pass(&self) {
        self.rule(|_| Verdict::Pass);
    }

    /// Ends every connection; clients come back by themselves.
    pub fn cut(&self) {
        self.inner.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Waits until the rule has stopped a line.
    ///
    /// # Errors
    /// It never does.
    pub async fn stalled(&self) -> Result<(), Failure> {
        eventually("a frame to stop the line at", async || Ok((*self.inner.stalls.borrow() > 0).then_some(()))).await
    }

    /// Every frame that came here, whatever became of it.
    pub fn seen(&self) -> Vec<Frame> {
        lock(&self.inner.seen).clone()
    }
}

impl Inner {
    async fn line(&self, socket: TcpStream) -> Result<(), Failure> {
        socket.set_nodelay(true)?;
        let mut request = self.upstream.as_str().into_client_request()?;
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        let (mut server, _) = connect_async(request).await?;
        let mut client = accept(socket).await?;
        let (mut stalled, mut cuts) = (false, self.cuts.subscribe());
        loop {
            let (up, message) = tokio::select! {
                message = client.next() => (true, message),
                message = server.next() => (false, message),
                _ = cuts.changed() => break,
            };
            let bytes = match message {
                Some(Ok(Message::Binary(bytes))) => bytes,
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => continue,
            };
            let frame = if up { Frame::Up(wire::decode(&bytes)?) } else { Frame::Down(wire::decode(&bytes)?) };
            lock(&self.seen).push(frame.clone());
            if stalled {
                continue;
            }
            let verdict = lock(&self.rule)(&frame);
            match verdict {
                Verdict::Lose => {}
                Verdict::Pass if up => server.send(Message::Binary(bytes)).await?,
                Verdict::Pass => client.send(Message::Binary(bytes)).await?,
                Verdict::Instead(other) => match *other {
                    Frame::Up(other) => server.send(wrap(&other)).await?,
                    Frame::Down(other) => client.send(wrap(&other)).await?,
                },
                Verdict::Stall => {
                    stalled = true;
                    self.stalls.send_modify(|stalls| *stalls += 1);
                }
            }
        }
        // Politely, so that whoever is left reads what was sent before.
        let _ = client.close(None).await;
        let _ = server.close(None).await;
        Ok(())
    }
}

/// Accepts a client that speaks this protocol.
///
/// # Errors
/// It is no WebSocket client.
pub async fn accept(socket: TcpStream) -> Result<WebSocketStream<TcpStream>, Failure> {
    #[allow(clippy::result_large_err, reason = "the library's shape")]
    let spoken = |_: &Request, mut response: Response| {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        Ok(response)
    };
    Ok(accept_hdr_async(socket, spoken).await?)
}

/// A frame as a message.
pub fn wrap<T: Serialize>(frame: &T) -> Message {
    Message::Binary(wire::encode(frame).into())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
