//! One suite of behaviours, run against the embedded chain and against anvil: what works on one works on the other.
//!
//! The client is alloy, and once viem; both know nothing of what they talk to. anvil and viem come from npm:
//! `cargo xtask test` installs them.

mod contract;
mod node;
mod viem;

mod blocks;
mod calls;
mod develop;
mod referee;
mod refusals;
mod transactions;

/// Makes each async function of a node two tests: on the embedded chain and on anvil.
macro_rules! on_each_node {
    ($($name:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::node::Node::embedded().await).await;
            })*
        }
        mod anvil {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::node::Node::anvil().await).await;
            })*
        }
    };
}
use on_each_node;
