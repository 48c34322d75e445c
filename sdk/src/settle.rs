//! Batches: packed statements for the contract, and the tree of results (section 6).

use alloc::vec::Vec;

use alloy_primitives::{Address, B256, keccak256};
use alloy_sol_types::SolValue;

use crate::{
    abi::{Arena, Statement},
    sign::Signature,
    wire::{Pair, ResultLeaf},
};

/// Bytes of a packed entry (R6.7).
pub const ENTRY: usize = 104;

/// One account's part of a batch: owner 20, net 12, through 4, pending 4, signature 64 bytes, big-endian.
pub fn entry(owner: Address, statement: &Statement, signature: &Signature) -> [u8; ENTRY] {
    let mut bytes = [0u8; ENTRY];
    bytes[..20].copy_from_slice(owner.as_slice());
    bytes[20..40].copy_from_slice(&packed(statement));
    bytes[40..].copy_from_slice(&signature.0);
    bytes
}

/// The same with the operator's receipt behind it: what anybody may submit (R6.3).
pub fn signed_entry(pair: &Pair) -> Vec<u8> {
    [&entry(pair.player.owner, &pair.statement, &pair.signature)[..], &pair.receipt.0].concat()
}

/// A statement with the operator's signature, as `exit` takes it.
pub fn exit_entry(statement: &Statement, receipt: &Signature) -> Vec<u8> {
    [&packed(statement)[..], &receipt.0].concat()
}

fn packed(statement: &Statement) -> [u8; 20] {
    let mut bytes = [0u8; 20];
    // The low 96 bits of two's complement; statements are checked to fit before they are signed.
    bytes[..12].copy_from_slice(&statement.net.to_be_bytes()[4..]);
    bytes[12..16].copy_from_slice(&statement.set.through.to_be_bytes());
    bytes[16..].copy_from_slice(&statement.set.pending.to_be_bytes());
    bytes
}

impl ResultLeaf {
    /// The leaf's hash in this arena's trees: `keccak256(0x00 ‖ keccak256(abi.encode(arena, result)))`.
    pub fn hash(&self, arena: Address) -> B256 {
        let inner = keccak256((arena, Arena::Result::from(self)).abi_encode_params());
        let mut preimage = [0u8; 33];
        preimage[1..].copy_from_slice(inner.as_slice());
        keccak256(preimage)
    }
}

impl From<&ResultLeaf> for Arena::Result {
    fn from(leaf: &ResultLeaf) -> Arena::Result {
        Arena::Result {
            matchId: leaf.match_id.0,
            seats: leaf.seats.iter().map(|seat| seat.0).collect(),
            payouts: leaf.payouts.iter().map(|payout| (*payout).into()).collect(),
            fee: leaf.fee.into(),
            finalState: leaf.final_state,
            transcript: leaf.transcript,
        }
    }
}

/// The Merkle tree over a batch's results: sorted pairs, nodes hashed as `keccak256(0x01 ‖ low ‖ high)`; a node
/// without a sibling is carried up.
#[derive(Clone, Debug)]
pub struct ResultsTree {
    layers: Vec<Vec<B256>>,
}

impl ResultsTree {
    /// The tree over these leaf hashes, in order.
    pub fn new(leaves: Vec<B256>) -> ResultsTree {
        let mut layers = Vec::from([leaves]);
        while let Some(layer) = layers.last().filter(|layer| layer.len() > 1) {
            let parents = layer
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => node(left, right),
                    single => single[0],
                })
                .collect();
            layers.push(parents);
        }
        ResultsTree { layers }
    }

    /// What the batch anchors; zero for a batch without results.
    pub fn root(&self) -> B256 {
        self.layers.last().and_then(|layer| layer.first()).copied().unwrap_or_default()
    }

    /// The siblings from leaf `index` to the root, or `None` if there is no such leaf.
    pub fn proof(&self, index: usize) -> Option<Vec<B256>> {
        if index >= self.layers[0].len() {
            return None;
        }
        let siblings = self.layers.iter().enumerate().filter_map(|(level, layer)| layer.get((index >> level) ^ 1));
        Some(siblings.copied().collect())
    }
}

/// Whether a leaf is in the tree of this root.
pub fn proves(root: B256, leaf: B256, path: &[B256]) -> bool {
    path.iter().fold(leaf, |hash, sibling| node(&hash, sibling)) == root
}

fn node(a: &B256, b: &B256) -> B256 {
    let (low, high) = if a <= b { (a, b) } else { (b, a) };
    let mut preimage = [1u8; 65];
    preimage[1..33].copy_from_slice(low.as_slice());
    preimage[33..].copy_from_slice(high.as_slice());
    keccak256(preimage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_of_every_size_is_proved_and_no_other() {
        for size in 0..40u8 {
            let leaves: Vec<B256> = (0..size).map(|i| keccak256([i])).collect();
            let tree = ResultsTree::new(leaves.clone());
            for (i, leaf) in leaves.iter().enumerate() {
                let path = tree.proof(i).expect("a leaf");
                assert!(proves(tree.root(), *leaf, &path));
                assert!(!proves(tree.root(), keccak256(leaf), &path));
            }
            assert_eq!(tree.proof(leaves.len()), None);
        }
    }
}
