//! viem, the client of web pages, does the same: `web/viem.mjs` says what.

use std::process::{Command, Stdio};

use crate::{
    node::{Node, folder},
    on_each_node,
};

on_each_node!(viem_plays_along);

async fn viem_plays_along(node: Node) {
    let mut script = Command::new("node");
    script.arg(folder().join("web/viem.mjs")).arg(node.url()).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || script.output())
        .await
        .expect("not cancelled")
        .expect("Node starts: `cargo xtask test` installs it");
    let text = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
    assert!(output.status.success(), "{text}");
    assert!(text.trim_end().ends_with("all as expected"), "{text}");
}
