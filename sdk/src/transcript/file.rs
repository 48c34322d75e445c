//! Transcripts and recordings as bytes, for a file: a line that says what it is, one byte of version, canonical postcard.

use alloc::{string::String, vec::Vec};

use serde::{Serialize, de::DeserializeOwned};

use super::{Recording, Transcript};
use crate::rules;

/// Largest file, in bytes. A match of 1,900 turns that all have the largest move fits, or one of 60,000 turns of usual
/// size. What is decoded from it takes at most some twenty times as much memory, so a stranger's file hurts nobody.
pub const MAX_FILE: usize = 16 * 1024 * 1024;

/// Version of both files.
const VERSION: u8 = 1;
const TRANSCRIPT: &[u8] = b"Matchlock transcript\n";
const RECORDING: &[u8] = b"Matchlock recording\n";

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    /// Everything signed.
    Transcript(Transcript),
    /// That, and what one client made of it.
    Recording(Recording),
}

/// Bytes that are no file of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// Too many bytes.
    #[error("more than {MAX_FILE} bytes, so no transcript or recording")]
    TooLarge,
    /// Something else.
    #[error("neither a Matchlock transcript nor a recording; a client makes them with `Transcript::to_bytes`")]
    Unknown,
    /// A transcript where a recording was wanted, or the other way round.
    #[error("a {found}, not a {wanted}")]
    OtherKind {
        /// What was wanted.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// Another version.
    #[error("a file of version {0}; this program reads version {VERSION}")]
    Version(u8),
    /// The end is missing.
    #[error("the file ends too early: copy it again, whole")]
    Truncated,
    /// Not what was written.
    #[error("the file is damaged: {reason}")]
    Damaged {
        /// What is wrong.
        reason: String,
    },
}

impl File {
    /// What these bytes hold.
    ///
    /// # Errors
    /// They are no file of these, too large, cut off or damaged. Whether a transcript is true says
    /// [`judge`](super::judge), not this.
    pub fn from_bytes(bytes: &[u8]) -> Result<File, FileError> {
        if bytes.len() > MAX_FILE {
            return Err(FileError::TooLarge);
        }
        if let Some(rest) = bytes.strip_prefix(TRANSCRIPT) {
            return decoded(rest).map(File::Transcript);
        }
        if let Some(rest) = bytes.strip_prefix(RECORDING) {
            return decoded(rest).map(File::Recording);
        }
        let begun = [TRANSCRIPT, RECORDING].iter().any(|kind| !bytes.is_empty() && kind.starts_with(bytes));
        Err(if begun { FileError::Truncated } else { FileError::Unknown })
    }

    /// Everything signed, whichever file it is.
    pub fn transcript(&self) -> &Transcript {
        match self {
            File::Transcript(transcript) => transcript,
            File::Recording(recording) => &recording.transcript,
        }
    }
}

impl Transcript {
    /// As a file: what `matchlock judge` reads.
    ///
    /// # Errors
    /// Longer than [`MAX_FILE`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, FileError> {
        encoded(TRANSCRIPT, self)
    }

    /// From a file's bytes.
    ///
    /// # Errors
    /// As [`File::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Transcript, FileError> {
        match File::from_bytes(bytes)? {
            File::Transcript(transcript) => Ok(transcript),
            File::Recording(_) => Err(FileError::OtherKind { wanted: "transcript", found: "recording" }),
        }
    }
}

impl Recording {
    /// As a file: what `matchlock diff` reads.
    ///
    /// # Errors
    /// Longer than [`MAX_FILE`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, FileError> {
        encoded(RECORDING, self)
    }

    /// From a file's bytes.
    ///
    /// # Errors
    /// As [`File::from_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Recording, FileError> {
        match File::from_bytes(bytes)? {
            File::Recording(recording) => Ok(recording),
            File::Transcript(_) => Err(FileError::OtherKind { wanted: "recording", found: "transcript" }),
        }
    }
}

fn encoded<T: Serialize>(kind: &[u8], value: &T) -> Result<Vec<u8>, FileError> {
    let bytes = postcard::to_extend(value, [kind, &[VERSION]].concat())
        .map_err(|error| FileError::Damaged { reason: alloc::format!("{error}") })?;
    if bytes.len() > MAX_FILE { Err(FileError::TooLarge) } else { Ok(bytes) }
}

fn decoded<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, FileError> {
    let damaged = |reason: &str| FileError::Damaged { reason: reason.into() };
    let body = match bytes.split_first() {
        None => return Err(FileError::Truncated),
        Some((&VERSION, body)) => body,
        Some((version, _)) => return Err(FileError::Version(*version)),
    };
    let value: T = match postcard::take_from_bytes(body) {
        Ok((value, [])) => value,
        Ok(_) => return Err(damaged("something follows the end")),
        Err(postcard::Error::DeserializeUnexpectedEnd) => return Err(FileError::Truncated),
        Err(error) => return Err(FileError::Damaged { reason: alloc::format!("{error}") }),
    };
    if rules::is_canonical(&value, body) { Ok(value) } else { Err(damaged("it is not encoded as it is written")) }
}
