//! What translated code can do: compute, and revert. Whatever the program is, no instruction that reaches out of its frame is ever executed.

mod common;

use std::collections::BTreeSet;

use alloy_primitives::Bytes;
use common::{dice::Dice, program};
use matchlock_referee::{
    Blob,
    machine::{Instruction, Op, Parts, Program, Segment},
    translate,
};
use revm::{
    bytecode::{Bytecode, opcode::OpCode},
    context_interface::DummyHost,
    interpreter::{
        InputsImpl, Interpreter, SharedMemory,
        instructions::{gas_table_spec, instruction_table},
        interpreter::{EthInterpreter, ExtBytecode},
        interpreter_types::Jumps,
    },
    primitives::hardfork::SpecId,
};

const BUDGET: u32 = 60_000;

/// All that a translation may consist of, beside PUSH, DUP and SWAP.
const HARMLESS: [&str; 34] = [
    "ADD",
    "MUL",
    "SUB",
    "DIV",
    "SDIV",
    "MOD",
    "SMOD",
    "SIGNEXTEND",
    "LT",
    "SLT",
    "GT",
    "SGT",
    "EQ",
    "ISZERO",
    "AND",
    "OR",
    "XOR",
    "NOT",
    "SHL",
    "SHR",
    "SAR",
    "KECCAK256",
    "CODESIZE",
    "CODECOPY",
    "POP",
    "MLOAD",
    "MSTORE",
    "MSTORE8",
    "JUMP",
    "JUMPI",
    "GAS",
    "JUMPDEST",
    "PUSH0",
    "REVERT",
];

/// The instructions of a translation, read from its first byte to where its data begins.
struct Listing {
    /// Place, opcode, and what is pushed.
    instructions: Vec<(usize, OpCode, Vec<u8>)>,
    places: BTreeSet<usize>,
    landings: BTreeSet<usize>,
}

impl Listing {
    fn of(code: &[u8], end: usize) -> Listing {
        let mut listing = Listing { instructions: vec![], places: BTreeSet::new(), landings: BTreeSet::new() };
        let mut at = 0;
        while at < end {
            let opcode = OpCode::new(code[at]).unwrap_or_else(|| panic!("no opcode: {:#x}", code[at]));
            let pushed = usize::from(opcode.info().immediate_size());
            listing.places.insert(at);
            if opcode == OpCode::JUMPDEST {
                listing.landings.insert(at);
            }
            listing.instructions.push((at, opcode, code[at + 1..at + 1 + pushed].to_vec()));
            at += 1 + pushed;
        }
        assert_eq!(at, end, "the data begin where an instruction ends");
        listing
    }
}

fn is_harmless(opcode: OpCode) -> bool {
    let name = opcode.as_str();
    HARMLESS.contains(&name) || ["PUSH", "DUP", "SWAP"].iter().any(|kind| name.starts_with(kind))
}

/// Reads the code from the first byte, and shows that control stays within what was read: every jump goes to a `JUMPDEST` of it that is
/// written right before the jump, or comes from the table of entries or the stack of one of four shared routines.
fn inspect(program: &Program, code: &[u8]) -> Listing {
    let parts = program.parts();
    let data: usize = parts.data.iter().map(|segment| segment.bytes.len()).sum();
    let table = 2 * program.entries().len().max(1);
    let listing = Listing::of(code, code.len() - data - table);
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));

    let mut from_elsewhere = Vec::new();
    for (index, (at, opcode, _)) in listing.instructions.iter().enumerate() {
        assert!(is_harmless(*opcode), "{opcode} at {at}");
        if ![OpCode::JUMP, OpCode::JUMPI].contains(opcode) {
            continue;
        }
        let (_, before, pushed) = &listing.instructions[index - 1];
        match before.as_str().starts_with("PUSH") {
            true => assert!(listing.landings.contains(&number(pushed)), "the jump at {at}"),
            false => from_elsewhere.push(before.as_str()),
        }
    }
    from_elsewhere.sort_unstable();
    let hashes = from_elsewhere.contains(&"MSTORE");
    let routines: &[_] = if hashes { &["AND", "MSTORE", "POP", "SWAP1"] } else { &["AND", "POP", "SWAP1"] };
    assert_eq!(from_elsewhere, routines, "the dispatch by the table, and three routines that return");

    let last = listing.instructions.last().map(|(_, opcode, _)| opcode.as_str());
    assert!(matches!(last, Some("JUMP" | "REVERT")), "nothing runs on into the data: {last:?}");
    for entry in code[code.len() - table..].chunks(2).map(number).filter(|_| !program.entries().is_empty()) {
        assert!(listing.landings.contains(&entry), "an entry at {entry}");
    }
    listing
}

/// Runs the code and shows that nothing but the listed instructions is executed.
fn trace(listing: &Listing, code: &[u8], input: &[u8], executed: &mut BTreeSet<&'static str>) {
    let bytes = Bytes::from([code, input].concat());
    let mut interpreter = Interpreter::<EthInterpreter>::new(
        SharedMemory::new(),
        ExtBytecode::new(Bytecode::new_raw(bytes)),
        InputsImpl::default(),
        false,
        SpecId::OSAKA,
        u64::from(BUDGET) + 2_000,
    );
    let (table, gas) = (instruction_table::<EthInterpreter, DummyHost>(), gas_table_spec(SpecId::OSAKA));
    loop {
        let at = interpreter.bytecode.pc();
        assert!(listing.places.contains(&at), "{} at {at}", interpreter.bytecode.opcode());
        executed.insert(OpCode::new(interpreter.bytecode.opcode()).expect("listed").as_str());
        if interpreter.step(&table, &gas, &mut DummyHost::default()).is_err() {
            return;
        }
    }
}

/// Bytes that are landings and instructions that reach out, wherever one would come down.
const BAIT: [u8; 16] = [0x5b, 0xf1, 0x5b, 0x55, 0x5b, 0xf0, 0x5b, 0x42, 0x5b, 0xff, 0x5b, 0xf4, 0x5b, 0xa0, 0x5b, 0xf3];

/// Puts code where data and input are, and more entries, so that there is something to go astray to.
fn baited(program: &Program, dice: &mut Dice) -> (Program, Vec<u8>) {
    let mut parts = program.parts().clone();
    for segment in &mut parts.data {
        let length = segment.bytes.len();
        segment.bytes = BAIT.iter().copied().cycle().take(length).collect();
    }
    // Words that a translation pushes as they are, bait among them.
    for word in &mut parts.text {
        let instruction = Instruction::decode(*word);
        if instruction.op == Op::Lui && dice.one_in(2) {
            *word = Instruction { imm: 0x5bf1_5000, ..instruction }.encode();
        }
    }
    let input = BAIT.iter().copied().cycle().take(96).collect();
    (Program::new(parts).expect("within the limits"), input)
}

#[test]
fn no_program_becomes_code_that_reaches_out_of_its_frame() {
    const SEEDS: std::ops::Range<u64> = 0..2_000;
    println!("seeds {SEEDS:?}");
    let mut executed = BTreeSet::new();
    for seed in SEEDS {
        let mut dice = Dice::new(seed);
        let (program, input) = program::random(&mut dice);
        let (with_bait, bait) = baited(&program, &mut dice);
        for (program, input) in [(program, input), (with_bait, bait)] {
            let code = translate(&program, BUDGET).expect("a small program").code;
            trace(&inspect(&program, &code), &code, &input, &mut executed);
        }
    }
    println!("executed: {executed:?}");
    assert!(executed.len() > 50, "it ran most of what there is: {}", executed.len());
}

/// Text of random words is mostly no instructions; every other bit pattern of them that there is.
#[test]
fn no_words_whatever_become_code_that_reaches_out_of_its_frame() {
    const SEEDS: std::ops::Range<u64> = 0..2_000;
    println!("seeds {SEEDS:?}");
    let opcodes = [0x37, 0x6f, 0x67, 0x63, 0x03, 0x23, 0x13, 0x33, 0x73, 0x0f];
    let mut executed = BTreeSet::new();
    for seed in SEEDS {
        let mut dice = Dice::new(seed);
        let text: Vec<u32> = (0..1 + dice.below(120))
            .map(|_| match dice.below(4) {
                0 => dice.word() as u32,
                1 => u32::from_le_bytes([BAIT[0], BAIT[1], BAIT[2], dice.word() as u8]),
                _ => dice.word() as u32 & !0x7f | dice.pick(&opcodes),
            })
            .collect();
        let count = text.len();
        let mut entries: Vec<u32> = (0..dice.below(30)).map(|_| dice.below(count) as u32).collect();
        entries.sort_unstable();
        entries.dedup();
        let data = vec![Segment { address: 8, bytes: BAIT.to_vec() }];
        let hot = (1..=dice.below(13) as u8).collect();
        let start = dice.below(count) as u32;
        let parts = Parts { text, start, entries, data, memory: 8192, floor: 64, hot };
        let program = Program::new(parts).expect("within the limits");
        let code = translate(&program, BUDGET).expect("a small program").code;
        trace(&inspect(&program, &code), &code, &BAIT, &mut executed);
    }
    println!("executed: {executed:?}");
}

#[test]
fn the_demo_games_become_code_that_reaches_out_of_nothing() {
    for file in [
        &include_bytes!("../../../demo-game/rules/tictactoe.rules")[..],
        include_bytes!("../../../demo-game/rules/connectfour.rules"),
        include_bytes!("../../../demo-game/rules/broadside.rules"),
        include_bytes!("../../../demo-game/rules/pig.rules"),
    ] {
        let blob = Blob::decode(file).expect("rules of this version");
        inspect(blob.program(), &blob.translation().code);
    }
}
