//! `.rules` files by strangers: refused, or rules that are what they say. Nothing in a file panics or keeps whoever reads it busy.

mod common;

use alloy_primitives::{B256, keccak256};
use common::{dice::Dice, program};
use matchlock_referee::{
    Blob,
    blob::{BlobError, MAGIC, MAX_BLOB, MAX_BUDGET, TRANSLATOR},
    emulate::Emulator,
    machine::{Instruction, MAX_TEXT, Op, Parts, Program, ProgramError, Segment, UNIMP, host},
    translate,
    translate::TranslateError,
};
use serde::{Deserialize, Serialize};

const TICTACTOE: &[u8] = include_bytes!("../../../demo-game/rules/tictactoe.rules");

/// What a file holds behind its first bytes (docs/MACHINE.md, Files), for a stranger to fill in.
#[derive(Clone, Serialize, Deserialize)]
struct File {
    name: String,
    version: u32,
    translator: u32,
    toolchain: String,
    budget: u32,
    hash: [u8; 32],
    text: Vec<u8>,
    start: u32,
    entries: Vec<u32>,
    data: Vec<Segment>,
    memory: u32,
    floor: u32,
    hot: Vec<u8>,
}

impl File {
    /// The file of a program, with the hash of its translation or, where it has none, some other.
    fn of(parts: Parts) -> File {
        let budget = 100_000;
        let code = Program::new(parts.clone()).ok().and_then(|program| translate(&program, budget).ok());
        let hash = code.map_or([7; 32], |translation| keccak256(translation.code).0);
        let Parts { text, start, entries, data, memory, floor, hot } = parts;
        let text = text.iter().flat_map(|word| word.to_le_bytes()).collect();
        let (name, toolchain) = ("nim".into(), "rustc".into());
        File {
            name,
            version: 1,
            translator: TRANSLATOR,
            toolchain,
            budget,
            hash,
            text,
            start,
            entries,
            data,
            memory,
            floor,
            hot,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        [&MAGIC[..], &postcard::to_allocvec(self).expect("it encodes")].concat()
    }

    fn decode(&self) -> Result<Blob, BlobError> {
        Blob::decode(&self.bytes())
    }
}

fn word(op: Op, rd: u8, rs1: u8, rs2: u8, imm: i32) -> u32 {
    Instruction { op, rd, rs1, rs2, imm }.encode()
}

/// A program that says one byte.
fn small() -> Parts {
    let li = |rd, imm| word(Op::Addi, rd, 0, 0, imm);
    let text = vec![li(10, 8), li(11, 1), li(17, host::HALT as i32), 0x73];
    let data = vec![Segment { address: 8, bytes: vec![9] }];
    Parts { text, start: 0, entries: vec![], data, memory: 4096, floor: 12, hot: vec![10] }
}

/// Bytes with something wrong: bits, lengths, counts, pieces.
fn mutated(dice: &mut Dice, file: &[u8]) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for _ in 0..1 + dice.below(3) {
        let at = dice.below(bytes.len());
        match dice.below(8) {
            0 | 1 => bytes[at] ^= 1 << dice.below(8),
            2 => bytes[at] = dice.word() as u8,
            // The largest number there is, wherever a number is expected.
            3 => drop(bytes.splice(at..at + 1, [0xff, 0xff, 0xff, 0xff, 0x0f])),
            4 => bytes.truncate(at.max(1)),
            5 => drop(bytes.drain(at..(at + dice.below(40)).min(bytes.len()))),
            6 => drop(bytes.splice(at..at, (0..dice.below(40)).map(|_| 0).collect::<Vec<u8>>())),
            _ => {
                let from = dice.below(bytes.len());
                let piece = bytes[from..(from + 30).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

#[test]
fn a_damaged_file_is_refused_or_says_what_it_said_before() {
    const SEEDS: std::ops::Range<u64> = 0..20_000;
    println!("seeds {SEEDS:?}");
    let (small, tictactoe) = (File::of(small()).bytes(), TICTACTOE.to_vec());
    let mut read = 0;
    for seed in SEEDS {
        let mut dice = Dice::new(seed);
        let file = if dice.one_in(10) { &tictactoe } else { &small };
        let expected = Blob::decode(file).expect("whole");
        if let Ok(blob) = Blob::decode(&mutated(&mut dice, file)) {
            // Name, version and compiler are said, and not committed to.
            assert_eq!((blob.hash(), blob.budget()), (expected.hash(), expected.budget()), "seed {seed}");
            assert_eq!(blob.translation(), expected.translation(), "seed {seed}");
            assert_eq!(Blob::decode(&blob.encode()), Ok(blob), "seed {seed}");
            read += 1;
        }
    }
    println!("{read} were still rules");
    assert!(read < 4_000, "{read}");
}

#[test]
fn random_bytes_are_no_rules() {
    const SEEDS: std::ops::Range<u64> = 0..20_000;
    println!("seeds {SEEDS:?}");
    for seed in SEEDS {
        let mut dice = Dice::new(seed);
        let noise: Vec<u8> = (0..dice.below(300)).map(|_| dice.value() as u8).collect();
        assert!(Blob::decode(&noise).is_err(), "seed {seed}");
        assert!(Blob::decode(&[&MAGIC[..], &noise].concat()).is_err(), "seed {seed}");
    }
}

/// Whatever fields a stranger fills in, with the right hash where there is one.
#[test]
fn random_fields_are_rules_of_the_machine_or_refused() {
    const SEEDS: std::ops::Range<u64> = 0..5_000;
    println!("seeds {SEEDS:?}");
    let (mut read, mut refused) = (0, 0);
    for seed in SEEDS {
        let mut dice = Dice::new(seed);
        let mut parts = program::random(&mut dice).0.parts().clone();
        if dice.one_in(2) {
            parts.text.iter_mut().for_each(|word| *word = dice.word() as u32);
        }
        let value = dice.value();
        match dice.below(12) {
            0 => parts.start = value,
            1 => parts.entries.push(value),
            2 => parts.entries = (0..parts.text.len() as u32).collect(),
            3 => parts.data.push(Segment { address: value, bytes: vec![1; dice.below(9000)] }),
            4 => parts.data = vec![Segment { address: u32::MAX, bytes: vec![1; 2] }],
            5 => parts.memory = value,
            6 => parts.floor = value,
            7 => parts.hot = (0..dice.below(40)).map(|_| dice.below(34) as u8).collect(),
            8 => parts.memory = 1024 * (1 + dice.below(300) as u32),
            _ => {}
        }
        match File::of(parts).decode() {
            Err(error) => {
                assert!(!matches!(error, BlobError::Damaged | BlobError::Magic), "seed {seed}: {error}");
                refused += 1;
            }
            Ok(blob) => {
                let run = Emulator::new(blob.program(), blob.translation().meter.clone()).run(&[1, 0, 0], 100_000);
                assert!(run.gas <= 100_000 || run.result.is_err(), "seed {seed}");
                read += 1;
            }
        }
    }
    println!("{read} rules, {refused} refused");
    assert!(read > 1_500 && refused > 500, "{read} rules, {refused} refused");
}

/// Half of why hostile code harms nobody: whoever reads the file finds that it is not what it says. That the other half holds, `Referee.t.sol`
/// shows.
#[test]
fn a_file_that_names_other_code_than_its_translation_is_refused() {
    let foreign: [(&str, &[u8]); 8] = [
        ("call", &[0x5f, 0x5f, 0x5f, 0x5f, 0x5f, 0x33, 0x5a, 0xf1, 0x60, 2, 0x5f, 0xfd]),
        ("self-destruct", &[0x33, 0xff]),
        ("store", &[0x60, 1, 0x5f, 0x55, 0x60, 2, 0x5f, 0xfd]),
        ("look at the time", &[0x42, 0x5f, 0x52, 0x60, 2, 0x5f, 0xfd]),
        ("return a contract", &[0x60, 1, 0x5f, 0xf3]),
        ("say yes to all", &[0x60, 2, 0x5f, 0xfd]),
        ("take much memory", &[0x62, 0x10, 0, 0, 0x5f, 0xfd]),
        ("nothing", &[]),
    ];
    let honest = File::of(small());
    let made = honest.decode().expect("whole").hash();
    for (what, code) in foreign {
        let named = keccak256(code);
        let lying = File { hash: named.0, ..honest.clone() };
        assert_eq!(lying.decode(), Err(BlobError::Hash { named, made }), "{what}");
        // The code itself in place of the text, or behind it, translates to something else as well.
        let text = [code, &[0; 3]].concat();
        let text = text[..text.len() / 4 * 4].to_vec();
        let lying = File { hash: named.0, text, ..honest.clone() };
        assert!(lying.decode().is_err_and(|error| error != BlobError::Damaged), "{what}");
        assert_eq!(Blob::decode(&[honest.bytes(), code.to_vec()].concat()).is_ok(), code.is_empty(), "{what}");
    }
    // A hash belongs to one budget, one choice of registers, and one program.
    let others = [
        File { budget: 100_001, ..honest.clone() },
        File { hot: vec![11], ..honest.clone() },
        File { memory: 5120, ..honest.clone() },
        File { floor: 64, ..honest.clone() },
    ];
    for other in others {
        assert!(matches!(other.decode(), Err(BlobError::Hash { named, .. }) if named == made));
    }
}

#[test]
fn limits_are_met_exactly() {
    let refused = |file: File| file.decode().expect_err("beyond a limit");
    let honest = File::of(small());
    assert!(File { name: "n".repeat(128), ..honest.clone() }.decode().is_ok());
    assert_eq!(refused(File { name: "n".repeat(129), ..honest.clone() }), BlobError::Name);
    assert_eq!(refused(File { name: String::new(), ..honest.clone() }), BlobError::Name);
    assert_eq!(refused(File { toolchain: "n".repeat(129), ..honest.clone() }), BlobError::Name);
    let budget = MAX_BUDGET + 1;
    assert_eq!(refused(File { budget, ..honest.clone() }), BlobError::Budget { budget });
    let translator = TRANSLATOR + 1;
    assert_eq!(refused(File { translator, ..honest.clone() }), BlobError::Translator { translator });
    assert_eq!(refused(File { text: vec![0x73; 7], ..honest.clone() }), BlobError::Damaged);

    let with = |text| Parts { text, ..small() };
    assert!(File::of(with(vec![UNIMP; MAX_TEXT])).decode().is_ok());
    let text = ProgramError::Text { instructions: MAX_TEXT + 1 };
    assert_eq!(refused(File::of(with(vec![UNIMP; MAX_TEXT + 1]))), BlobError::Program(text));
    let outside = Segment { address: 12, bytes: vec![1] };
    let data = Parts { data: vec![outside], ..small() };
    assert_eq!(refused(File::of(data)), BlobError::Program(ProgramError::Data { address: 12 }));

    // The largest file that is looked at is one of data; with a byte more, nobody looks.
    let memory = 256 * 1024;
    let data = |bytes: usize| Parts {
        memory,
        floor: memory - 32,
        data: vec![Segment { address: 0, bytes: vec![1; bytes] }],
        ..small()
    };
    let around = File::of(data(200_000)).bytes().len() - 200_000;
    let most = MAX_BLOB - around;
    assert_eq!(File::of(data(most)).bytes().len(), MAX_BLOB);
    assert!(matches!(refused(File::of(data(most))), BlobError::Translate(TranslateError::TooLarge { .. })));
    assert_eq!(refused(File::of(data(most + 1))), BlobError::TooLarge { size: MAX_BLOB + 1 });
}

/// Sixteen thousand jumps, each to the one before it: what the first reads is needed by all of them.
#[test]
fn a_chain_of_jumps_backwards_is_analysed_like_any_other_text() {
    let chain = |length: usize| {
        let mut text = vec![word(Op::Sw, 0, 0, 5, 0), UNIMP];
        text.resize(length, word(Op::Jal, 0, 0, 0, -4));
        text[2] = word(Op::Jal, 0, 0, 0, -8);
        Parts { start: length as u32 - 1, text, ..small() }
    };
    assert!(File::of(chain(9_000)).decode().is_ok());
    let refused = File::of(chain(MAX_TEXT)).decode();
    assert!(matches!(refused, Err(BlobError::Translate(TranslateError::TooLarge { .. }))), "{refused:?}");
    // And by way of what every jump through a pointer may go to.
    let text = (0..MAX_TEXT).map(|at| word(Op::Jalr, 0, (at % 31) as u8 + 1, 0, 0)).collect();
    let entries = (0..MAX_TEXT as u32).collect();
    let refused = File::of(Parts { text, entries, ..small() }).decode();
    assert!(matches!(refused, Err(BlobError::Translate(TranslateError::TooLarge { .. }))), "{refused:?}");
}

/// What nobody reads is not translated, so that the EVM has nothing to do where the emulator has a loop of thousands of instructions.
#[test]
fn a_block_of_idle_instructions_is_refused() {
    let idle = [0x0f, word(Op::Addi, 5, 5, 0, 1), word(Op::Addi, 5, 0, 0, 1), word(Op::Addi, 0, 0, 0, 0)];
    for instruction in idle {
        let looping = |count: usize| {
            let mut text = vec![instruction; count];
            text.push(word(Op::Jal, 0, 0, 0, -4 * count as i32));
            File::of(with(text)).decode()
        };
        assert!(looping(10).is_ok());
        for count in [100, 1_000, MAX_TEXT - 1] {
            assert_eq!(looping(count), Err(BlobError::Idle { index: 0 }));
        }
        // Blocks that fall into each other, or that a branch which is never taken stands between.
        for between in [word(Op::Beq, 0, 6, 7, 4), word(Op::Bne, 0, 0, 0, 4)] {
            let mut text: Vec<u32> = [&[instruction; 90][..], &[between]].concat();
            text.push(word(Op::Jal, 0, 0, 0, -4 * text.len() as i32));
            assert_eq!(File::of(with(text)).decode(), Err(BlobError::Idle { index: 0 }));
        }
    }
    fn with(text: Vec<u32>) -> Parts {
        Parts { text, ..small() }
    }
}

#[test]
fn the_demo_games_files_are_what_they_say() {
    let blob = Blob::decode(TICTACTOE).expect("rules of this version");
    assert_eq!(blob.hash(), keccak256(&blob.translation().code));
    assert_ne!(blob.hash(), B256::ZERO);
    assert_eq!(blob.encode(), TICTACTOE);
}
