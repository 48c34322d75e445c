//! The endpoint as browsers and strangers meet it.

mod common;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use common::{Bench, alice};
use matchlock_devchain::{BATCH_REQUESTS, BODY_BYTES};
use serde_json::{Value, json};
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot};

/// A served chain; stops with the value.
struct Served {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    runtime: Runtime,
    task: Option<tokio::task::JoinHandle<std::io::Result<()>>>,
}

impl Served {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let chain = Bench::new().chain;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = runtime.spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            chain.serve(listener, shutdown).await
        });
        Self { address, stop: Some(stop), runtime, task: Some(task) }
    }

    /// Sends a request and returns the status line, the headers and the body.
    fn http(&self, method: &str, body: &[u8]) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let head = format!(
            "{method} / HTTP/1.1\r\nHost: chain\r\nOrigin: https://game.example\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), body.to_owned())
    }

    fn post(&self, body: impl AsRef<[u8]>) -> Value {
        let (status, _, body) = self.http("POST", body.as_ref());
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        self.runtime.block_on(self.task.take().unwrap()).unwrap().unwrap();
    }
}

#[test]
fn requests_and_batches_are_answered() {
    let served = Served::new();
    let request = json!({ "jsonrpc": "2.0", "id": 7, "method": "eth_chainId" });
    assert_eq!(served.post(request.to_string()), json!({ "jsonrpc": "2.0", "id": 7, "result": "0x7a69" }));
    let batch = json!([
        { "jsonrpc": "2.0", "id": "a", "method": "eth_blockNumber", "params": [] },
        { "jsonrpc": "2.0", "method": "evm_mine", "params": [] },
        { "jsonrpc": "2.0", "id": "b", "method": "eth_blockNumber", "params": [] },
        { "jsonrpc": "2.0", "id": "c", "method": "eth_makeCoffee", "params": [] },
        17,
    ]);
    let answer = served.post(batch.to_string());
    assert_eq!(answer[0]["result"], "0x0");
    assert_eq!(answer[1], json!({ "jsonrpc": "2.0", "id": "b", "result": "0x1" }));
    assert_eq!(answer[2]["error"]["code"], -32601);
    assert_eq!(answer[3]["error"]["code"], -32600);
    let notification = json!({ "jsonrpc": "2.0", "method": "evm_mine" });
    let (status, _, body) = served.http("POST", notification.to_string().as_bytes());
    assert_eq!((status, body.as_str()), (204, ""));
}

#[test]
fn a_browser_is_let_in() {
    let served = Served::new();
    for (method, body) in [("OPTIONS", ""), ("POST", "{}"), ("GET", "")] {
        let (_, head, _) = served.http(method, body.as_bytes());
        assert!(head.contains("access-control-allow-origin: *"), "{head}");
    }
    let (status, head, _) = served.http("OPTIONS", b"");
    assert_eq!(status, 204);
    assert!(head.contains("access-control-allow-headers: *"), "{head}");
    assert_eq!(served.http("GET", b"").0, 405);
}

#[test]
fn rubbish_gets_a_typed_answer() {
    let served = Served::new();
    let cases = [
        ("{", -32700),
        ("", -32700),
        ("[]", -32600),
        ("\"hello\"", -32600),
        ("{}", -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"eth_chainId"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":5}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["0x12"]}"#, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"eth_getBalance"}"#, -32602),
    ];
    for (body, code) in cases {
        let answer = served.post(body);
        assert_eq!(answer["error"]["code"], code, "{body} got {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().len() > 10);
    }
    // Deep nesting is an error like any other.
    assert_eq!(served.post("[".repeat(100_000))["error"]["code"], -32700);
}

#[test]
fn too_much_is_refused() {
    let served = Served::new();
    let (status, _, body) = served.http("POST", &vec![b' '; BODY_BYTES + 1]);
    assert_eq!(status, 413);
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["error"]["code"], -32600);

    let one = json!({ "jsonrpc": "2.0", "id": 1, "method": "evm_mine" });
    let answer = served.post(Value::from(vec![one; BATCH_REQUESTS + 1]).to_string());
    assert_eq!(answer["error"]["code"], -32600);
    let number = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber" });
    assert_eq!(served.post(number.to_string())["result"], "0x0", "none of them ran");
}

#[test]
fn the_same_chain_is_asked_in_process() {
    let runtime = Runtime::new().unwrap();
    let chain = Bench::new().chain;
    runtime.block_on(async {
        let request = json!([{ "from": alice().address, "to": alice().address }]);
        let sends = (0..20).map(|_| {
            let (chain, request) = (chain.clone(), request.clone());
            tokio::spawn(async move { chain.request("eth_sendTransaction", request).await })
        });
        for send in sends.collect::<Vec<_>>() {
            send.await.unwrap().unwrap();
        }
        assert_eq!(chain.request("eth_blockNumber", json!([])).await.unwrap(), "0x14");
    });
}
