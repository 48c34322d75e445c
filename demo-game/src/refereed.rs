//! The demo games as the chain has them: `rules/GAME.rules`, which `cargo xtask rules` makes of the very rules in this crate.

extern crate std;

use alloc::{sync::Arc, vec::Vec};
use std::sync::OnceLock;

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
    /// Read once: every reading is a translation.
    static READ: OnceLock<Vec<Refereed>> = OnceLock::new();
    let read = match READ.get() {
        Some(read) => read,
        None => {
            let read = |native: Arc<dyn Rules>| {
                let blob = blob(native.name()).expect("every demo game has a file")?;
                Ok(Refereed::new(native, blob))
            };
            let read = crate::games(BasisPoints::ZERO).into_iter().map(read).collect::<Result<_, BlobError>>()?;
            READ.get_or_init(|| read)
        }
    };
    let decided = |(native, read): (Arc<dyn Rules>, &Refereed)| -> Arc<dyn Rules> { Arc::new(read.over(native)) };
    Ok(crate::games(fee).into_iter().zip(read).map(decided).collect())
}

/// Every demo game in both forms, for tools that are shown a match of either.
pub fn known(fee: BasisPoints) -> Vec<Arc<dyn Rules>> {
    let mut all = crate::games(fee);
    all.extend(games(fee).unwrap_or_default());
    all
}
