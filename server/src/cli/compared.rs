//! `matchlock diff`: where two clients of one match part.

use std::{path::Path, sync::Arc};

use matchlock::{
    game::{BasisPoints, Seat},
    rules::Rules,
    transcript::{Comparison, Divergence, Right, diff as compare},
};
use serde_json::json;

use super::{CliError, Found, read, recording, rules_of, words};

pub(super) fn diff(a: &Path, b: &Path, games: &impl Fn(BasisPoints) -> Vec<Arc<dyn Rules>>) -> Result<Found, CliError> {
    let (first, second) = (read(a)?, read(b)?);
    let rules = rules_of(a, &first.transcript().terms, games)?;
    let (first, second) = (recording(a, first, &rules)?, recording(b, second, &rules)?);
    let Comparison { turns, divergence } = compare(&first, &second, &rules)
        .map_err(|error| CliError::NotComparable { a: a.to_owned(), b: b.to_owned(), error })?;
    let mut text = words::heading(&first.transcript, &*rules);
    text += &format!("  A  {}, {} turns\n  B  {}, {} turns\n", a.display(), turns[0], b.display(), turns[1]);
    text += &match &divergence {
        Some(divergence) => parted(divergence, &*rules),
        None if turns[0] == turns[1] => "They agree in every turn and position.\n".into(),
        None => format!("They agree in every turn and position up to turn {}.\n", turns[0].min(turns[1])),
    };
    let mut json = words::identity(&first.transcript, &*rules);
    json["turns"] = json!(turns);
    json["divergence"] = json!(divergence.as_ref().map(|parted| {
        let Divergence { turn, author, field, a, b, signed, here } = parted;
        let (author, signed, here) = (author.map(|seat| seat.0), signed.map(side), here.map(side));
        json!({ "turn": turn, "seat": author, "field": field, "a": a, "b": b, "signed": signed, "here": here })
    }));
    Ok(Found { text, json, well: divergence.is_none() })
}

fn side(right: Right) -> &'static str {
    match right {
        Right::A => "A",
        Right::B => "B",
        Right::Both => "both",
        Right::Neither => "neither",
    }
}

fn parted(divergence: &Divergence, rules: &dyn Rules) -> String {
    let Divergence { turn, author, field, a, b, signed, here } = divergence;
    let by = author.map(|seat| format!(", which {seat} played")).unwrap_or_default();
    let mut text = format!("They part at turn {turn}{by}:\n  {field}: {a} in A, {b} in B\n");
    let who = author.map_or("Everyone".into(), |seat: Seat| words::capital(seat));
    text += &match signed {
        Some(Right::A) => format!("{who} signed what A has.\n"),
        Some(Right::B) => format!("{who} signed what B has.\n"),
        Some(Right::Both) => format!("{who} signed both.\n"),
        Some(Right::Neither) => format!("{who} signed neither of them.\n"),
        None => String::new(),
    };
    let name = rules.name();
    text += &match here {
        Some(Right::A) => format!("The rules of {name} in this program compute what A has: B runs another build.\n"),
        Some(Right::B) => format!("The rules of {name} in this program compute what B has: A runs another build.\n"),
        Some(Right::Neither) => format!("The rules of {name} in this program compute neither of them.\n"),
        Some(Right::Both) | None => String::new(),
    };
    text
}
