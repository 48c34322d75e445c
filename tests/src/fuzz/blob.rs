//! `.rules` files: refused, or rules whose hash is that of their translation.

use alloy_primitives::keccak256;
use matchlock_referee::{Blob, blob::BlobError};

use super::program::agree;

/// The bytes as a file; one whose only fault is its hash is looked at with the right one as well.
pub fn fuzz_blob(data: &[u8]) {
    match Blob::decode(data) {
        Ok(blob) => check(&blob),
        Err(BlobError::Hash { named, made }) => {
            let places = (0..data.len() - 31).filter(|at| data[*at..][..32] == named[..]);
            let mut blobs = places.filter_map(|at| {
                let mut whole = data.to_vec();
                whole[at..at + 32].copy_from_slice(made.as_slice());
                Blob::decode(&whole).ok()
            });
            check(&blobs.next().expect("with its own hash it is whole"));
        }
        Err(_) => {}
    }
}

fn check(blob: &Blob) {
    assert_eq!(blob.hash(), keccak256(&blob.translation().code));
    assert_eq!(Blob::decode(&blob.encode()).as_ref(), Ok(blob));
    agree(blob.program(), &[0, 0, 4, 1, 2, 3, 4, 5]);
}
