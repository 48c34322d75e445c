//! Times, seats and matches as people read them.

use matchlock::{game::Seat, rules::Rules, transcript::Transcript};
use serde_json::{Value, json};

/// `Seat 1`, at the head of a sentence.
pub(super) fn capital(seat: Seat) -> String {
    format!("Seat {}", seat.0)
}

/// A time in Unix seconds, as `2026-11-25 10:02:11 UTC`.
pub(super) fn utc(seconds: u64) -> String {
    let (mut days, second) = (seconds / 86_400, seconds % 86_400);
    if days > 3_000_000 {
        // Beyond the year 9999 it is no time that anybody signed in earnest.
        return format!("Unix second {seconds}");
    }
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let months = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= months[month] {
        days -= months[month];
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year}-{:02}-{:02} {hour:02}:{minute:02}:{second:02} UTC", month + 1, days + 1)
}

/// Which match it is, in two lines.
pub(super) fn heading(transcript: &Transcript, rules: &dyn Rules) -> String {
    let Transcript { domain, terms, .. } = transcript;
    let (name, fee) = (rules.name(), rules.fee().points());
    let (id, arena, chain) = (terms.id(domain), domain.arena, domain.chain_id);
    format!("{name} at {fee} basis points, match {id}\n  arena {arena} on chain {chain}\n")
}

/// The same for programs.
pub(super) fn identity(transcript: &Transcript, rules: &dyn Rules) -> Value {
    let Transcript { domain, terms, operator, .. } = transcript;
    json!({
        "match": terms.id(domain).to_string(), "chain": domain.chain_id, "arena": domain.arena, "operator": operator,
        "game": rules.name(), "rules": terms.rules.0, "fee": rules.fee().points(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        let cases = [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (1_764_064_931, "2025-11-25 10:02:11 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ];
        for (seconds, text) in cases {
            assert_eq!(utc(seconds), text);
        }
        assert_eq!(utc(u64::MAX), format!("Unix second {}", u64::MAX));
    }
}
