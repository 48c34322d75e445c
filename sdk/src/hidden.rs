//! Hidden information: commit to it now, reveal parts of it later (R5.15).
//!
//! A [`Secret`] is a list of cells, each with its own salt, under a keccak256 Merkle tree. Its [`Commitment`] goes into
//! the board; an [`Opening`] of one cell goes into a move, and the rules check it. Salts keep unopened cells secret;
//! leaves and nodes are hashed in separate domains, and the number of cells is part of the commitment.

use alloc::{vec, vec::Vec};

use alloy_primitives::{B256, keccak256};
use serde::{Deserialize, Serialize};

/// Most cells of one secret.
pub const MAX_CELLS: usize = 1 << 16;

/// What a player keeps to itself. `T` is one cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Secret<T> {
    cells: Vec<T>,
    salt: B256,
}

/// What everyone sees of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commitment {
    root: B256,
    cells: u32,
}

/// One cell of a secret, with the proof that it was committed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening<T> {
    /// Which cell.
    pub index: u32,
    /// What it holds.
    pub cell: T,
    salt: B256,
    path: Vec<B256>,
}

impl<T: Clone + Serialize> Secret<T> {
    /// `salt` is 32 bytes that nobody else can guess; each cell's own salt is derived from it.
    ///
    /// # Panics
    /// On no cell or more than [`MAX_CELLS`].
    pub fn new(cells: Vec<T>, salt: B256) -> Secret<T> {
        assert!(!cells.is_empty() && cells.len() <= MAX_CELLS, "1 to {MAX_CELLS} cells");
        Secret { cells, salt }
    }

    /// The cells themselves.
    pub fn cells(&self) -> &[T] {
        &self.cells
    }

    /// What to put into the board.
    pub fn commitment(&self) -> Commitment {
        let mut layer = self.leaves();
        while layer.len() > 1 {
            layer = parents(&layer);
        }
        Commitment { root: layer[0], cells: self.cells.len() as u32 }
    }

    /// What to put into a move, or `None` for a cell that there is not.
    pub fn open(&self, index: u32) -> Option<Opening<T>> {
        let cell = self.cells.get(index as usize)?.clone();
        let mut path = Vec::new();
        let mut layer = self.leaves();
        let mut at = index as usize;
        while layer.len() > 1 {
            // A node without a sibling is carried up as it is.
            if let Some(sibling) = layer.get(at ^ 1) {
                path.push(*sibling);
            }
            layer = parents(&layer);
            at /= 2;
        }
        Some(Opening { index, cell, salt: cell_salt(&mut self.salted(), index), path })
    }

    fn leaves(&self) -> Vec<B256> {
        // What every cell needs is there once: a hundred cells are a hundred times as much on the chain.
        let (mut salted, mut preimage) = (self.salted(), vec![0; SMALL_LEAF]);
        let leaf = |(cell, index)| leaf(&mut preimage, index, cell, &cell_salt(&mut salted, index));
        self.cells.iter().zip(0..).map(leaf).collect()
    }

    /// The preimage of a cell's salt, but for its index.
    fn salted(&self) -> [u8; 36] {
        let mut salted = [0u8; 36];
        salted[..32].copy_from_slice(self.salt.as_slice());
        salted
    }
}

fn cell_salt(salted: &mut [u8; 36], index: u32) -> B256 {
    salted[32..].copy_from_slice(&index.to_be_bytes());
    keccak256(salted.as_slice())
}

impl Commitment {
    /// How many cells were committed to.
    pub fn cells(&self) -> u32 {
        self.cells
    }

    /// Whether this cell, at this index, was committed to.
    pub fn verify<T: Serialize>(&self, opening: &Opening<T>) -> bool {
        if opening.index >= self.cells {
            return false;
        }
        let mut node = leaf(&mut vec![0; SMALL_LEAF], opening.index, &opening.cell, &opening.salt);
        let (mut at, mut width) = (opening.index, self.cells);
        let mut path = opening.path.iter();
        while width > 1 {
            if at ^ 1 < width {
                let Some(sibling) = path.next() else { return false };
                node = if at & 1 == 0 { parent(&node, sibling) } else { parent(sibling, &node) };
            }
            at /= 2;
            width = width.div_ceil(2);
        }
        path.next().is_none() && node == self.root
    }
}

/// Bytes of a leaf's preimage before its cell.
const LEAF_HEAD: usize = 1 + 4 + 32;
/// Bytes of one with a small cell.
const SMALL_LEAF: usize = 64;

/// `preimage` is room for one, which grows where it does not suffice.
fn leaf<T: Serialize>(preimage: &mut Vec<u8>, index: u32, cell: &T, salt: &B256) -> B256 {
    loop {
        let (head, rest) = preimage.split_at_mut(LEAF_HEAD);
        head[1..5].copy_from_slice(&index.to_be_bytes());
        head[5..].copy_from_slice(salt.as_slice());
        match postcard::to_slice(cell, rest).map(|encoded| encoded.len()) {
            Ok(length) => return keccak256(&preimage[..LEAF_HEAD + length]),
            Err(postcard::Error::SerializeBufferFull) => *preimage = vec![0; preimage.len() * 2],
            Err(error) => panic!("serde cannot encode a cell: {error}"),
        }
    }
}

fn parents(layer: &[B256]) -> Vec<B256> {
    let mut preimage = NODE;
    let parent = |pair: &[B256]| if let [left, right] = pair { node(&mut preimage, left, right) } else { pair[0] };
    layer.chunks(2).map(parent).collect()
}

fn parent(left: &B256, right: &B256) -> B256 {
    node(&mut { NODE }, left, right)
}

/// What a node's preimage is around its children.
const NODE: [u8; 65] = [1; 65];

fn node(preimage: &mut [u8; 65], left: &B256, right: &B256) -> B256 {
    preimage[1..33].copy_from_slice(left.as_slice());
    preimage[33..].copy_from_slice(right.as_slice());
    keccak256(preimage.as_slice())
}
