//! Every numbered rule of the protocol is cited by code or a test: who changes one finds the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[test]
fn every_rule_of_the_protocol_is_cited() {
    let protocol = fs::read_to_string(Path::new(ROOT).join("docs/PROTOCOL.md")).expect("the protocol");
    let stated = stated(&protocol);
    assert!(stated.len() > 50, "only {} rules found in PROTOCOL.md: has their form changed?", stated.len());
    let mut cited = BTreeMap::new();
    for folder in ["sdk", "server", "demo-game", "tests"] {
        cite(&Path::new(ROOT).join(folder), &mut cited);
    }
    let missing: Vec<_> = stated.iter().filter(|rule| !cited.contains_key(*rule)).map(Rule::to_string).collect();
    assert!(missing.is_empty(), "{} rules that no code and no test cites: {}", missing.len(), missing.join(", "));
}

#[test]
fn no_rule_is_cited_that_the_protocol_does_not_state() {
    let protocol = fs::read_to_string(Path::new(ROOT).join("docs/PROTOCOL.md")).expect("the protocol");
    // Section 4's opening states R4.1 in a sentence; every mention counts here.
    let mentioned: BTreeSet<_> = rules_in(&protocol).collect();
    let mut cited = BTreeMap::new();
    for folder in ["sdk", "server", "demo-game", "tests"] {
        cite(&Path::new(ROOT).join(folder), &mut cited);
    }
    let unknown: Vec<_> = cited.iter().filter(|(rule, _)| !mentioned.contains(rule)).collect();
    let shown: Vec<_> = unknown.iter().map(|(rule, file)| format!("{rule} in {file}")).collect();
    assert!(shown.is_empty(), "rules that PROTOCOL.md does not state: {}", shown.join(", "));
}

/// Section and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rule(u32, u32);

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "R{}.{}", self.0, self.1)
    }
}

/// The rules that have to be cited: all that are stated, but for disputes (section 7) and those marked as not built (◦).
fn stated(protocol: &str) -> BTreeSet<Rule> {
    let lines = protocol.lines().enumerate().map(|(i, line)| (i, line.trim_start().trim_start_matches("- ")));
    let heads: Vec<_> = lines.filter_map(|(i, line)| Some((i, head(line)?))).collect();
    let all: Vec<&str> = protocol.lines().collect();
    let mut stated: BTreeSet<_> = heads
        .iter()
        .filter(|(start, _)| {
            // The rule's own lines: to the next one, an empty line or a heading.
            let ends = |i: &usize| {
                *i > *start && (all[*i].is_empty() || all[*i].starts_with('#') || heads.iter().any(|(j, _)| j == i))
            };
            let end = (*start..all.len()).find(ends).unwrap_or(all.len());
            !all[*start..end].iter().any(|line| line.contains('◦'))
        })
        .map(|(_, rule)| *rule)
        .collect();
    stated.extend(in_sentences(protocol));
    stated.retain(|rule| rule.0 != 7);
    stated
}

/// The rule that a line opens with: `**R5.1** ...`, `R7.1 ...`, `**R5.10 No rewind.** ...`.
fn head(line: &str) -> Option<Rule> {
    let line = line.trim_start_matches("**");
    line.starts_with('R').then(|| rules_in(line.split_whitespace().next()?).next())?
}

/// Rules that a sentence states by its end: `..., replays nothing (R4.1).` and `Hidden information. R5.15: ...`.
fn in_sentences(protocol: &str) -> BTreeSet<Rule> {
    let numbered: BTreeSet<_> = rules_in(protocol).collect();
    let headed: BTreeSet<_> =
        protocol.lines().filter_map(|line| head(line.trim_start().trim_start_matches("- "))).collect();
    numbered.difference(&headed).copied().collect()
}

/// All `R<section>.<number>` in a text.
fn rules_in(text: &str) -> impl Iterator<Item = Rule> + '_ {
    let starts = text.match_indices('R').map(|(at, _)| at);
    // Not in the middle of a word.
    let starts = starts.filter(|at| !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
    starts.filter_map(|at| {
        let (section, rest) = number(&text[at + 1..])?;
        let (rule, _) = number(rest.strip_prefix('.')?)?;
        Some(Rule(section, rule))
    })
}

fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// Adds the rules that the sources under a folder cite, each with one file that does.
fn cite(folder: &Path, cited: &mut BTreeMap<Rule, String>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["node_modules", "out", "cache", "target"].contains(&name.as_str()) {
                cite(&path, cited);
            }
        } else if path.extension().is_some_and(|kind| kind == "rs" || kind == "sol") && name != "rules_cited.rs" {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let shown = path.strip_prefix(ROOT).unwrap_or(&path).display().to_string();
            rules_in(&text).for_each(|rule| _ = cited.entry(rule).or_insert_with(|| shown.clone()));
        }
    }
}

#[test]
fn rules_are_found_in_all_their_forms() {
    let protocol = "\
## 4. Signed
salt, so that it replays nothing (R4.1).

- **R4.2** one
  on two lines, as R4.3 says.
- **R4.3** two ◦
- **R4.4** three
  not built ◦
- **R5.10 No rewind.** four

**Hidden.** R5.15: five

## 7. Disputes ◦
- R7.1 `respond`
";
    assert_eq!(stated(protocol).into_iter().collect::<Vec<_>>(), [Rule(4, 1), Rule(4, 2), Rule(5, 10), Rule(5, 15)]);
    let text = "(R3.2) R10.11, `R4.1`; not FOR4.1, R4, R.1, XR1.1";
    assert_eq!(rules_in(text).collect::<Vec<_>>(), [Rule(3, 2), Rule(10, 11), Rule(4, 1)]);
}
