//! The demo games as the chain has them: `rules/GAME.rules`, which `cargo xtask rules` makes of the very rules in this crate.

use alloc::{sync::Arc, vec::Vec};

use matchlock::{game::BasisPoints, rules::Rules};
use matchlock_referee::{Blob, Refereed, blob::BlobError};

/// The files, by the names of their games.
const FILES: [(&str, &[u8]); 4] = [
    ("tictactoe", include_bytes!("../rules/tictactoe.rules")),
    ("connectfour", include_bytes!("../rules/connectfour.rules")),
    ("broadside", include_bytes!("../rules/broadside.rules")),
    ("pig", include_bytes!("../rules/pig.rules")),
];

/// The demo game of this name for the chain. `None` if there is no such game.
///
/// # Errors
/// The file was made by another version of the referee.
pub fn blob(game: &str) -> Option<Result<Blob, BlobError>> {
    FILES.iter().find(|(name, _)| *name == game).map(|(_, file)| Blob::decode(file))
}

/// As [`games`](crate::games), with verdicts by what the court would run.
///
/// # Errors
/// A file was made by another version of the referee.
pub fn games(fee: BasisPoints) -> Result<Vec<Arc<dyn Rules>>, BlobError> {
    let decided = |native: Arc<dyn Rules>| -> Result<Arc<dyn Rules>, BlobError> {
        match blob(native.name()) {
            Some(blob) => Ok(Arc::new(Refereed::new(native, blob?))),
            None => Ok(native),
        }
    };
    crate::games(fee).into_iter().map(decided).collect()
}

/// Every demo game in both forms, for tools that are shown a match of either.
pub fn known(fee: BasisPoints) -> Vec<Arc<dyn Rules>> {
    let mut all = crate::games(fee);
    all.extend(games(fee).unwrap_or_default());
    all
}
