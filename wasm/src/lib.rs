//! Matchlock for the web.
//!
//! Today this crate holds what a page needs *before* it has a client: which protocol it would speak, which account a
//! wallet and an account key make together (so that the wallet can deposit to it), and whether a result that somebody
//! shows is under a root that the chain has. Each function is the SDK's own, so a page and a server cannot disagree.
//!
//! The browser's client itself (matches, a store in the browser, TypeScript types, an npm package) is not here: it comes
//! with an issue of its own. Until then a page can talk to a server only by speaking the frames of
//! `matchlock::wire` itself.
//!
//! Bytes cross the border as hexadecimal text with or without `0x`. What is malformed is thrown as a JavaScript error
//! that says which argument it was.

use alloy_primitives::{Address, B256};
use matchlock::{account::Player, settle, wire};
use wasm_bindgen::prelude::wasm_bindgen;

/// The WebSocket subprotocol that this build speaks, for instance `matchlock.v1` (R8.1).
#[wasm_bindgen(js_name = protocolVersion)]
pub fn protocol_version() -> String {
    wire::SUBPROTOCOL.into()
}

/// The account of a wallet's address and an account key's address (R2.3): what to deposit to.
///
/// # Errors
/// One of the two is no address.
#[wasm_bindgen(js_name = accountId)]
pub fn account_id(owner: &str, key: &str) -> Result<String, String> {
    let player = Player { owner: address("owner", owner)?, key: address("key", key)? };
    Ok(player.account().to_string())
}

/// Whether the leaf of a result lies under a batch's results root (R6.9). `path` is the siblings from the leaf up, one
/// after the other, 32 bytes each.
///
/// # Errors
/// Something is not as long as it must be, or no hexadecimal.
#[wasm_bindgen(js_name = provesResult)]
pub fn proves_result(root: &str, leaf: &str, path: &str) -> Result<bool, String> {
    let siblings = path.strip_prefix("0x").unwrap_or(path);
    let mut hashes = Vec::new();
    for sibling in siblings.as_bytes().chunks(64) {
        let sibling = str::from_utf8(sibling).map_err(|_| malformed("path", "is not hexadecimal"))?;
        hashes.push(hash("path", sibling)?);
    }
    Ok(settle::proves(hash("root", root)?, hash("leaf", leaf)?, &hashes))
}

fn address(what: &str, text: &str) -> Result<Address, String> {
    text.parse().map_err(|error| malformed(what, format!("is no address: {error}")))
}

fn hash(what: &str, text: &str) -> Result<B256, String> {
    text.parse().map_err(|error| malformed(what, format!("is not 32 bytes: {error}")))
}

fn malformed(what: &str, why: impl core::fmt::Display) -> String {
    format!("{what} {why}")
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;

    use super::*;

    const OWNER: &str = "0x00000000000000000000000000000000000000aa";
    const KEY: &str = "00000000000000000000000000000000000000bb";

    #[test]
    fn an_account_is_the_hash_of_its_two_addresses() {
        let mut pair = [0; 40];
        (pair[19], pair[39]) = (0xaa, 0xbb);
        let expected = Address::from_word(keccak256(pair)).to_string();
        assert_eq!(account_id(OWNER, KEY), Ok(expected.clone()));
        assert_ne!(account_id(KEY, OWNER), Ok(expected));
    }

    #[test]
    fn what_is_malformed_is_named() {
        assert!(account_id("0x1234", KEY).unwrap_err().starts_with("owner is no address"));
        assert!(account_id(OWNER, "gg").unwrap_err().starts_with("key is no address"));
        let zero = "00".repeat(32);
        assert!(proves_result("", &zero, "").unwrap_err().starts_with("root"));
        assert!(proves_result(&zero, &zero, "0xé").unwrap_err().starts_with("path"));
        assert!(proves_result(&zero, &zero, &zero[..62]).unwrap_err().starts_with("path"));
    }

    #[test]
    fn a_proof_is_the_sdks() {
        let leaves: Vec<B256> = (0..5u8).map(keccak_of).collect();
        let tree = settle::ResultsTree::new(leaves.clone());
        let path: String = tree.proof(3).expect("a leaf").iter().map(|hash| format!("{hash:x}")).collect();
        let text = |hash: B256| hash.to_string();
        assert_eq!(proves_result(&text(tree.root()), &text(leaves[3]), &path), Ok(true));
        assert_eq!(proves_result(&text(tree.root()), &text(leaves[2]), &path), Ok(false));
    }

    fn keccak_of(byte: u8) -> B256 {
        keccak256([byte])
    }
}
