//! One connection to a server: dialling, logging in, frames.

use std::time::Duration;

use alloc::{string::String, string::ToString, vec::Vec};
use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        handshake::client::{Request, Response},
        http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
        protocol::WebSocketConfig,
    },
};

use super::{ClientError, OwnChain, Store, actor::tell};
use crate::{
    session::{Session, SessionEffect, SessionInput},
    wire::{self, MAX_FRAME, SUBPROTOCOL, ToClient, ToServer, Welcome},
};

/// How long connecting and the server's first frames may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

pub(super) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Connects; what answers may still be no server.
pub(super) async fn dial(url: &str) -> Result<Socket, ClientError> {
    let unreachable = |reason: String| ClientError::Unreachable { url: url.to_string(), reason };
    let not_a_server = || ClientError::NotAServer(url.to_string());
    let mut request = url.into_client_request().map_err(|error| unreachable(error.to_string()))?;
    if request.uri().scheme_str() == Some("wss") && !cfg!(feature = "tls") {
        return Err(ClientError::NoTls { url: url.to_string() });
    }
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    let limits = WebSocketConfig::default().max_message_size(Some(MAX_FRAME)).max_frame_size(Some(MAX_FRAME));
    let (socket, _) = timeout(HANDSHAKE, connect(request, limits))
        .await
        .map_err(|_| unreachable("it does not answer".into()))?
        .map_err(|error| match &error {
            // What answers, but not as a WebSocket server does. One that is full says so.
            tungstenite::Error::Http(answer) if !answer.status().is_server_error() => not_a_server(),
            tungstenite::Error::Protocol(_) | tungstenite::Error::HttpFormat(_) => not_a_server(),
            _ => unreachable(error.to_string()),
        })?;
    Ok(socket)
}

/// Checks the server, and logs in; what was missed follows.
pub(super) async fn log_in<S: Store>(
    mut socket: Socket,
    url: &str,
    session: &mut Session,
    store: &mut S,
    chain: Option<&OwnChain>,
) -> Result<(Socket, Welcome), ClientError> {
    let unreachable = |reason: String| ClientError::Unreachable { url: url.to_string(), reason };
    let not_a_server = || ClientError::NotAServer(url.to_string());
    let welcome = match timeout(HANDSHAKE, receive(&mut socket)).await {
        Ok(Ok(ToClient::Welcome(welcome))) => welcome,
        Ok(Ok(ToClient::Refused { refusal, .. })) => return Err(refusal.into()),
        _ => return Err(not_a_server()),
    };
    let (login, record) = session.login(&welcome)?;
    if let Some(chain) = chain {
        // Before the account is bound to this server, and before anything that it says of settlements counts.
        chain.check(&welcome).await?;
        let settled = chain.statement(&welcome, session.account()).await.map_err(ClientError::Chain)?;
        tell(session, SessionInput::OnChain(settled))?;
    }
    if let Some(record) = record {
        store.save(Vec::from([record])).await?;
        session.bind(&welcome);
    }
    send(&mut socket, &login).await.map_err(unreachable)?;
    let ready = match timeout(HANDSHAKE, receive(&mut socket)).await {
        Ok(Ok(ready @ ToClient::Ready(_))) => ready,
        Ok(Ok(ToClient::Refused { refusal, .. })) => return Err(refusal.into()),
        _ => return Err(not_a_server()),
    };
    let step = session.decide(SessionInput::Frame(ready))?;
    if !step.records().is_empty() {
        store.save(step.records().to_vec()).await?;
    }
    for effect in session.commit(step)? {
        if let SessionEffect::Send(frame) = effect {
            send(&mut socket, &frame).await.map_err(unreachable)?;
        }
    }
    Ok((socket, welcome))
}

#[cfg(not(feature = "tls"))]
async fn connect(request: Request, limits: WebSocketConfig) -> Result<(Socket, Response), tungstenite::Error> {
    tokio_tungstenite::connect_async_with_config(request, Some(limits), true).await
}

/// As `https://` endpoints are connected to: the system says whom to trust. The program's own choice of cryptography counts,
/// if it made one; rustls refuses to choose where two are linked.
#[cfg(feature = "tls")]
async fn connect(request: Request, limits: WebSocketConfig) -> Result<(Socket, Response), tungstenite::Error> {
    use alloc::{boxed::Box, sync::Arc};
    use rustls::{
        ClientConfig,
        crypto::{CryptoProvider, aws_lc_rs},
    };
    use rustls_platform_verifier::BuilderVerifierExt as _;
    use tokio_tungstenite::{Connector, connect_async_tls_with_config};

    let mut connector = Connector::Plain;
    if request.uri().scheme_str() == Some("wss") {
        let chosen = CryptoProvider::get_default().cloned();
        let provider = chosen.unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()));
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_platform_verifier())
            .map_err(|error| tungstenite::error::TlsError::Rustls(Box::new(error)))?;
        connector = Connector::Rustls(Arc::new(config.with_no_client_auth()));
    }
    connect_async_tls_with_config(request, Some(limits), true, Some(connector)).await
}

pub(super) async fn receive(socket: &mut Socket) -> Result<ToClient, String> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => return wire::decode(&bytes).map_err(|error| error.to_string()),
            Some(Ok(Message::Close(_))) | None => return Err("the server closed the connection".into()),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.to_string()),
        }
    }
}

pub(super) async fn send(socket: &mut Socket, frame: &ToServer) -> Result<(), String> {
    socket.send(Message::Binary(wire::encode(frame).into())).await.map_err(|error| error.to_string())
}
