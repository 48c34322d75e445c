//! The files.

use std::{env, fs, path::Path};

use alloy_primitives::B256;
use matchlock::sign::Key;
use serde_json::Value;

/// Compares what was produced with the file, or writes the file where the person asks for that.
pub(crate) fn check(name: &str, produced: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(name);
    if env::var_os("MATCHLOCK_BLESS").is_some_and(|value| value == "1") {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder to write to");
        let text = serde_json::to_string_pretty(produced).expect("JSON") + "\n";
        return fs::write(&path, text).expect("written");
    }
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let stored: Value = serde_json::from_str(&text).expect("JSON");
    if let Some((at, stored, produced)) = difference("", &stored, produced) {
        panic!(
            "{name} differs from what the SDK makes now, first at {at}:\n  file {stored}\n  now  {produced}\nIf the protocol \
             was meant to change, set MATCHLOCK_BLESS=1 and run this again."
        );
    }
}

/// The first place where two values differ.
fn difference(at: &str, stored: &Value, produced: &Value) -> Option<(String, Value, Value)> {
    match (stored, produced) {
        (Value::Object(a), Value::Object(b)) => a.keys().chain(b.keys()).find_map(|key| {
            let [a, b] = [a, b].map(|map| map.get(key).unwrap_or(&Value::Null));
            difference(&format!("{at}/{key}"), a, b)
        }),
        (Value::Array(a), Value::Array(b)) => (0..a.len().max(b.len())).find_map(|i| {
            let [a, b] = [a, b].map(|list| list.get(i).unwrap_or(&Value::Null));
            difference(&format!("{at}/{i}"), a, b)
        }),
        _ => (stored != produced).then(|| (at.to_owned(), stored.clone(), produced.clone())),
    }
}

/// A fixed key. The vectors are public, and so is it.
pub(crate) fn key(byte: u8) -> Key {
    Key::from_bytes(&B256::repeat_byte(byte)).expect("a key")
}
