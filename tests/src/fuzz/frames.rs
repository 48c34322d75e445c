//! Frames (R8.1, R8.2): whatever decodes encodes to the same bytes.

use std::fmt::Debug;

use matchlock::{
    transcript::Transcript,
    wire::{ToClient, ToServer, decode, encode},
};
use serde::{Serialize, de::DeserializeOwned};

/// The bytes, as a frame of either side, and as a transcript.
pub fn fuzz_frames(data: &[u8]) {
    round_trips::<ToServer>(data);
    round_trips::<ToClient>(data);
    round_trips::<Transcript>(data);
}

fn round_trips<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(frame) = decode::<T>(bytes) else { return };
    assert_eq!(encode(&frame), bytes, "{frame:?} has two encodings");
    assert_eq!(decode::<T>(bytes).as_ref(), Ok(&frame));
}
