//! The fuzz targets without a fuzzer: seeded bytes, the seed corpora, and these with bytes changed.

use std::{env, fs, path::Path};

use alloy_primitives::hex;
use matchlock::local::Dice;
use matchlock_referee::Blob;
use matchlock_tests::fuzz::{TARGETS, Target};
use serde_json::Value;

/// Runs a target on random bytes, its seeds, and damaged seeds. A failure names the input, as hexadecimal.
fn run(name: &str, inputs: u64) {
    let (_, target): &Target = TARGETS.iter().find(|(target, _)| *target == name).expect("a target");
    let seeds = seeds(name);
    for (_, seed) in &seeds {
        target(seed);
    }
    for seed in 0..inputs {
        let mut dice = Dice::new(seed);
        let mut input = match seed % 2 {
            0 => (0..=dice.below(16)).flat_map(|_| dice.bytes()).collect(),
            _ => dice.pick(&seeds).1.clone(),
        };
        for _ in 0..dice.below(4) {
            let at = dice.below(input.len() as u32) as usize;
            input[at] ^= 1 << dice.below(8);
        }
        let caught = std::panic::catch_unwind(|| target(&input));
        assert!(caught.is_ok(), "{name}, seed {seed}: {}", hex::encode(&input));
    }
}

#[test]
fn any_bytes_are_no_frame_or_exactly_one() {
    run("frames", 20_000);
}

#[test]
fn a_channel_survives_any_inputs_and_signs_no_turn_twice() {
    run("channel", 150);
}

#[test]
fn a_judge_survives_any_transcript_and_frames_nobody() {
    run("judge", 400);
}

#[test]
fn the_arena_keeps_its_books_whatever_is_settled() {
    run("batch", 150);
}

#[test]
fn a_rules_file_is_refused_or_names_the_hash_of_its_translation() {
    run("blob", 2_000);
}

#[test]
fn any_bytes_as_a_program_do_the_same_in_the_emulator_and_in_the_evm() {
    run("program", 2_000);
}

/// The rules of two small games, as files.
const RULES: [&[u8]; 2] = [
    include_bytes!("../../demo-game/rules/tictactoe.rules"),
    include_bytes!("../../demo-game/rules/connectfour.rules"),
];

/// The seeds of a target: of `frames` the golden vectors, of `blob` two games' files, of the others bytes that lead far enough to be worth
/// changing, and of `program` these games' instructions as well.
fn seeds(name: &str) -> Vec<(String, Vec<u8>)> {
    if name == "frames" {
        let vectors: Value = serde_json::from_str(include_str!("../vectors/frames.json")).expect("JSON");
        let vectors = vectors.as_array().expect("a list").iter().enumerate();
        let seed = |(i, frame): (usize, &Value)| {
            let bytes = frame["bytes"].as_str().and_then(|bytes| hex::decode(bytes).ok()).expect("bytes");
            (format!("{i:02}"), bytes)
        };
        return vectors.map(seed).collect();
    }
    let file = |(i, file): (usize, &&[u8])| (format!("rules{i}"), file.to_vec());
    if name == "blob" {
        return RULES.iter().enumerate().map(file).collect();
    }
    // No choices, and then nothing but instructions.
    let text = |(i, file): (usize, &&[u8])| {
        let program = Blob::decode(file).expect("rules of this version").program().clone();
        let words = program.parts().text.iter().take(900).flat_map(|word| word.to_le_bytes());
        (format!("text{i}"), [0; 6].into_iter().chain(words).collect())
    };
    let texts = RULES.iter().enumerate().map(text).filter(|_| name == "program");
    (0..6u64)
        .map(|seed| {
            let mut dice = Dice::new(1_000 + seed);
            (format!("{seed}"), (0..4).flat_map(|_| dice.bytes()).collect())
        })
        .chain(texts)
        .collect()
}

#[test]
fn the_seeds_that_are_committed_are_those_of_the_vectors() {
    for (name, _) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
        if env::var_os("MATCHLOCK_BLESS").is_some_and(|value| value == "1") {
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(&folder).expect("a folder to write to");
            for (file, bytes) in seeds(name) {
                fs::write(folder.join(file), bytes).expect("written");
            }
        }
        let mut committed: Vec<(String, Vec<u8>)> = fs::read_dir(&folder)
            .expect("seeds")
            .map(|file| file.expect("a file"))
            .map(|file| (file.file_name().into_string().expect("a name"), fs::read(file.path()).expect("bytes")))
            .collect();
        let mut made = seeds(name);
        committed.sort();
        made.sort();
        assert!(
            committed == made,
            "the seeds of {name} are not what they are made of; set MATCHLOCK_BLESS=1 and run this again"
        );
    }
}
