//! The rules of the machine at their borders (docs/MACHINE.md, M1 to M9): the last that is allowed and the first that is not, in programs
//! written by hand, before the emulator and the EVM.

use alloy_primitives::keccak256;
use matchlock_referee::{
    emulate::{Emulator, Trap},
    machine::{Instruction, MAX_KECCAK, MAX_OUTPUT, Op, Parts, Program, Segment, UNIMP, host, register},
    run::{self, AROUND},
    translate,
};

const MEMORY: u32 = 4096;
/// Gas: more than any of these programs takes.
const BUDGET: u32 = 1_000_000;

/// Registers that hold what a test is about.
const X: u8 = 5;
const Y: u8 = 6;
const Z: u8 = 7;
/// And those of host calls.
const A0: u8 = register::A0;
const A1: u8 = register::A1;
const A2: u8 = register::A2;
const A7: u8 = register::A7;

/// Where a test's own instructions begin.
const BODY: usize = 6;
/// Where the values lie that only the machine sees.
const VALUES: u32 = 64;

fn word(op: Op, rd: u8, rs1: u8, rs2: u8, imm: i32) -> u32 {
    Instruction { op, rd, rs1, rs2, imm }.encode()
}

fn li(rd: u8, imm: i32) -> u32 {
    word(Op::Addi, rd, 0, 0, imm)
}

fn mv(rd: u8, rs1: u8) -> u32 {
    word(Op::Addi, rd, rs1, 0, 0)
}

const ECALL: u32 = 0x73;

/// Ends with so many bytes at an address.
fn output(address: i32, length: i32) -> [u32; 4] {
    [li(A0, address), li(A1, length), li(A7, host::HALT as i32), ECALL]
}

/// Parts of a program that begins at its first instruction.
fn parts(text: Vec<u32>) -> Parts {
    Parts { text, start: 0, entries: vec![], data: vec![], memory: MEMORY, floor: VALUES + 12, hot: vec![] }
}

/// Runs a program both ways, whichever of its registers are on the stack.
fn both(parts: &Parts, input: &[u8]) -> Result<Vec<u8>, Trap> {
    let hot = [vec![], vec![X, A0], vec![A1, Y, X, Z, A0, A2, A7, 1, 2, 8, 9, 31]];
    let results = hot.map(|hot| {
        let program = Program::new(Parts { hot, ..parts.clone() }).expect("within the limits");
        let translation = translate(&program, BUDGET).expect("a small program");
        let emulated = Emulator::new(&program, translation.meter).run(input, BUDGET.into());
        let ran = run::run(&translation.code, input, u64::from(BUDGET) * 2);
        assert_eq!(ran.output, emulated.result.clone().unwrap_or_default(), "{:?}", emulated.result);
        if emulated.result.is_ok() {
            assert_eq!(ran.gas, emulated.gas + AROUND, "the meter is exact");
        }
        emulated.result
    });
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{results:?}");
    let [result, ..] = results;
    result
}

/// What comes of `body` with these values in x5, x6 and x7, whether the translation knows them or finds them in memory.
fn with(values: [u32; 3], memory: u32, body: &[u32]) -> Result<Vec<u8>, Trap> {
    let known = [X, Y, Z].iter().zip(values).flat_map(|(register, value)| {
        let low = (value as i32) << 20 >> 20;
        let high = value.wrapping_sub(low as u32) as i32;
        [word(Op::Lui, *register, 0, 0, high), word(Op::Addi, *register, *register, 0, low)]
    });
    let loads = (0..).zip([X, Y, Z]).map(|(at, register)| word(Op::Lw, register, 0, 0, VALUES as i32 + 4 * at));
    let loaded = loads.chain([li(0, 0); 3]);
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let data = vec![Segment { address: VALUES, bytes }];
    let text = |prelude: Vec<u32>| [&prelude[..], body].concat();
    let known = Parts { memory, data: data.clone(), ..parts(text(known.collect())) };
    let loaded = Parts { memory, data, ..parts(text(loaded.collect())) };
    let result = both(&known, &[]);
    assert_eq!(both(&loaded, &[]), result, "known values and loaded ones");
    result
}

#[test]
fn loads_and_stores_reach_the_last_byte_and_none_behind_it() {
    use Op::*;
    for op in [Lb, Lbu, Lh, Lhu, Lw, Sb, Sh, Sw] {
        let stores = matches!(op, Sb | Sh | Sw);
        let width = Instruction { op, rd: 0, rs1: 0, rs2: 0, imm: 0 }.width();
        let access = |imm| word(op, if stores { 0 } else { Z }, X, if stores { Y } else { 0 }, imm);
        let trap = |address| match stores {
            true => Trap::Store { index: BODY, address },
            false => Trap::Load { index: BODY, address },
        };
        for imm in [0, 1, 2047, -1, -2048] {
            let last = MEMORY - width;
            let base = (i64::from(last) - i64::from(imm)) as u32;
            let body = [&[access(imm)][..], &output(4, 1)].concat();
            assert_eq!(with([base, 0, 0], MEMORY, &body), Ok(vec![0]), "{op:?} {imm}");
            for beyond in [1, 2, 3, 4, 1 << 20] {
                let address = u64::from(last + beyond);
                assert_eq!(with([base + beyond, 0, 0], MEMORY, &body), Err(trap(address)), "{op:?} {imm}");
            }
            // M4: an address is an integer, and does not wrap.
            let address = (i64::from(u32::MAX) + i64::from(imm)) as u64;
            assert_eq!(with([u32::MAX, 0, 0], MEMORY, &body), Err(trap(address)), "{op:?} {imm}");
        }
    }
}

#[test]
fn the_guard_below_zero_is_memory_that_only_negative_offsets_reach() {
    use Op::*;
    let value = 0x8bad_f00d_u32;
    for (base, imm) in [(0, -2048), (0, -2047), (0, -4), (0, -3), (0, -1), (2046, -2048), (2, -4)] {
        let body = [&[word(Sw, 0, X, Y, imm), word(Lw, Z, X, 0, imm), word(Sw, 0, 0, Z, 16)][..], &output(16, 4)];
        assert_eq!(with([base, value, 0], MEMORY, &body.concat()), Ok(value.to_le_bytes().to_vec()), "{base} {imm}");
        let body = [&[word(Lw, Z, X, 0, imm), word(Sw, 0, 0, Z, 16)][..], &output(16, 4)];
        assert_eq!(with([base, value, 0], MEMORY, &body.concat()), Ok(vec![0; 4]), "zero at the start");
    }
    // A word across zero: its upper half lies at 0.
    let body = [&[word(Sw, 0, X, Y, -2)][..], &output(0, 4)].concat();
    assert_eq!(with([0, value, 0], MEMORY, &body), Ok(vec![0xad, 0x8b, 0, 0]));
    // The same addresses modulo 2^32 are none: a stack that went below zero.
    for below in [1u32, 4, 16, 2048] {
        let address = below.wrapping_neg();
        let body = [&[word(Sw, 0, X, Y, 0)][..], &output(0, 4)].concat();
        let trap = Trap::Store { index: BODY, address: address.into() };
        assert_eq!(with([address, value, 0], MEMORY, &body), Err(trap));
    }
}

/// The translation keeps registers and its own accounts right behind the guard.
#[test]
fn what_is_stored_at_the_lowest_address_touches_nothing_else() {
    use Op::*;
    let ones = [word(Addi, 28, 0, 0, -1)];
    let stores = |op, step: usize| (0..8).map(move |at| word(op, 0, X, 28, -2048 + (at * step) as i32));
    for stores in [stores(Sw, 4), stores(Sh, 2), stores(Sb, 1)] {
        let saved = (1..32)
            .filter(|register| *register != 28)
            .map(|register| word(Sw, 0, 0, register, 128 + 4 * i32::from(register)));
        let body: Vec<u32> = ones.into_iter().chain(stores).chain(saved).chain(output(132, 124)).collect();
        let mut expected = [0; 124];
        expected[16..28].copy_from_slice(&[0, 0, 0, 0, 0xef, 0xbe, 0xad, 0xde, 7, 0, 0, 0]);
        let address = (MEMORY - 32).to_le_bytes();
        expected[36..40].copy_from_slice(&address);
        assert_eq!(with([0, 0xdead_beef, 7], MEMORY, &body), Ok(expected.to_vec()));
    }
}

#[test]
fn branches_and_jumps_go_to_instructions_and_nowhere_else() {
    use Op::*;
    let jump = |op, imm: i32| {
        let rd = if op == Jal { 1 } else { 0 };
        [&[word(op, rd, 0, 0, imm), UNIMP][..], &output(4, 1), &[UNIMP]].concat()
    };
    let count = (BODY + jump(Jal, 0).len()) as i32;
    let here = BODY as i32;
    let nowhere = Err(Trap::Jump { index: BODY });
    for op in [Beq, Bgeu, Bge, Jal] {
        let lands = |imm| with([0; 3], MEMORY, &jump(op, imm));
        assert_eq!(lands(8), Ok(vec![0]), "{op:?}");
        assert_eq!(lands(4), Err(Trap::Instruction { index: BODY + 1 }), "{op:?}");
        for misaligned in [2, 6, 10, -2, 4094] {
            assert_eq!(lands(misaligned), nowhere, "{op:?} {misaligned}");
        }
        assert_eq!(lands(4 * (count - 1 - here)), Err(Trap::Instruction { index: count as usize - 1 }), "the last");
        for outside in [count - here, count - here + 1, -here - 1, -1024] {
            assert_eq!(lands(4 * outside), nowhere, "{op:?} {outside}");
        }
    }
    for outside in [-1_048_576, 1_048_572, 1_048_574] {
        assert_eq!(with([0; 3], MEMORY, &jump(Jal, outside)), nowhere);
    }
    // What is not taken may lead anywhere.
    for imm in [2, -4096, 4094] {
        for op in [Bne, Bltu, Blt] {
            let body = [&[word(op, 0, 0, 0, imm)][..], &output(4, 1)].concat();
            assert_eq!(with([0; 3], MEMORY, &body), Ok(vec![0]), "{op:?} {imm}");
        }
    }
    assert_eq!(with([0; 3], MEMORY, &[li(Z, 1)]), Err(Trap::Instruction { index: BODY + 1 }), "off the end");
}

#[test]
fn a_code_pointer_names_an_entry_by_four_numbers_and_nothing_else_does() {
    use Op::*;
    // Three entries: two that say who they are, and the one behind a link that is the last instruction.
    let text = |imm| {
        let value = word(Lw, X, 0, 0, VALUES as i32);
        let [first, second] = [1, 2].map(|says| [&[li(Y, says), word(Sb, 0, 0, Y, 4)][..], &output(4, 1)].concat());
        [&[value, word(Jalr, 0, X, 0, imm), UNIMP][..], &first, &second, &[word(Jal, 1, 0, 0, 0)]].concat()
    };
    let goes = |number: u32, imm: i32| {
        let data = vec![Segment { address: VALUES, bytes: number.to_le_bytes().to_vec() }];
        let text: Vec<u32> = text(imm);
        let data = data.into_iter().filter(|_| number != 0).collect();
        both(&Parts { entries: vec![3, 9], data, ..parts(text) }, &[])
    };
    let nowhere = Err(Trap::Jump { index: 1 });
    for low in 0..4 {
        assert_eq!(goes(low, 0), nowhere);
        assert_eq!(goes(4 + low, 0), Ok(vec![1]));
        assert_eq!(goes(8 + low, 0), Ok(vec![2]));
        assert_eq!(goes(12 + low, 0), Err(Trap::Instruction { index: 16 }), "the end of the text");
        assert_eq!(goes(16 + low, 0), nowhere);
        // The sum wraps, as RISC-V has it.
        assert_eq!(goes((4 + low).wrapping_sub(2047), 2047), Ok(vec![1]));
        assert_eq!(goes(8 + low + 2048, -2048), Ok(vec![2]));
        assert_eq!(goes(low + 2047, -2048), nowhere);
    }
    for number in [20, 32, 64, 1 << 10, 1 << 16, 1 << 17, 1 << 20, 1 << 24, 1 << 31, u32::MAX - 3, u32::MAX] {
        assert_eq!(goes(number, 0), nowhere, "{number:#x}");
    }
}

#[test]
fn a_jump_reads_its_register_before_it_writes_its_link() {
    let code = [
        word(Op::Lw, X, 0, 0, VALUES as i32),
        word(Op::Jalr, X, X, 0, 0),
        UNIMP, // number 4, behind the link
        word(Op::Sw, 0, 0, X, 4),
    ];
    let data = vec![Segment { address: VALUES, bytes: vec![8] }];
    let text = [&code[..], &output(4, 4)].concat();
    assert_eq!(both(&Parts { entries: vec![3], data, ..parts(text) }, &[]), Ok(vec![4, 0, 0, 0]));
}

#[test]
fn only_an_ecall_with_its_number_right_before_it_calls_the_host() {
    use Op::*;
    let halt = li(A7, host::HALT as i32);
    let ends = |body: &[u32]| with([0, 1, 7], MEMORY, &[&[li(A0, 4), li(A1, 1)], body].concat());
    let refused = |at: usize| Err(Trap::Host { index: BODY + 2 + at });
    assert_eq!(ends(&[halt, ECALL]), Ok(vec![0]));
    assert_eq!(ends(&[ECALL]), refused(0));
    assert_eq!(ends(&[halt, li(0, 0), ECALL]), refused(2));
    assert_eq!(ends(&[word(Lui, A7, 0, 0, 0), ECALL]), refused(1));
    assert_eq!(ends(&[mv(A7, X), ECALL]), refused(1), "the register holds 0 all the same");
    assert_eq!(ends(&[word(Ori, A7, 0, 0, 0), ECALL]), refused(1));
    for number in [2, 3, 2047, -1, -2048] {
        assert_eq!(ends(&[li(A7, number), ECALL]), refused(1), "{number}");
    }
    // M7: what is in the register counts for nothing, and so does where one comes from.
    assert_eq!(ends(&[word(Jal, 0, 0, 0, 8), halt, ECALL]), Ok(vec![0]));
    assert_eq!(ends(&[mv(A7, Z), word(Jal, 0, 0, 0, 8), halt, ECALL]), Ok(vec![0]));
    assert_eq!(both(&parts(vec![ECALL]), &[]), Err(Trap::Host { index: 0 }));
}

#[test]
fn what_is_hashed_has_at_most_2048_bytes_and_whole_groups_within_memory() {
    const MEMORY: u32 = 8192;
    let hash = [mv(A0, X), mv(A1, Y), mv(A2, Z), li(A7, host::KECCAK256 as i32), ECALL];
    let body = [&hash[..], &[mv(A0, Z), li(A1, 32), li(A7, host::HALT as i32), ECALL]].concat();
    let hashes = |address: u32, length: u32, to: u32| with([address, length, to], MEMORY, &body);
    let zeros = |length: u32| Ok(keccak256(vec![0; length as usize]).to_vec());
    let refused = Err(Trap::Host { index: BODY + 4 });
    for length in [0, 1, 31, 32, 33, 2017, MAX_KECCAK] {
        assert_eq!(hashes(4096, length, 128), zeros(length), "{length}");
        let last = MEMORY - length.next_multiple_of(32);
        assert_eq!(hashes(last, length, 128), zeros(length), "{length} at the end");
        assert_eq!(hashes(last + 1, length, 128), refused, "{length} at the end");
        assert_eq!(hashes(u32::MAX, length, 128), refused, "{length}");
    }
    for length in [MAX_KECCAK + 1, MAX_KECCAK + 32, 4096, u32::MAX - 31, u32::MAX] {
        assert_eq!(hashes(128, length, 128), refused, "{length}");
    }
    for (to, fits) in [(MEMORY - 32, true), (MEMORY - 31, false), (MEMORY, false), (u32::MAX, false)] {
        assert_eq!(hashes(4096, 32, to), if fits { zeros(32) } else { refused.clone() }, "{to}");
    }
    assert_eq!(hashes(4096, 64, 4100), zeros(64), "over what was hashed");
    assert_eq!(hashes(1, 1, 1), zeros(1), "at no even address");
}

#[test]
fn an_output_ends_within_memory_and_has_at_most_as_many_bytes_as_the_court_takes() {
    const MEMORY: u32 = 64 * 1024;
    let body = [mv(A0, X), mv(A1, Y), li(A7, host::HALT as i32), ECALL];
    let says = |address: u32, length: u32| with([address, length, 0], MEMORY, &body);
    let zeros = |length: u32| Ok(vec![0; length as usize]);
    let refused = Err(Trap::Host { index: BODY + 3 });
    for length in [0, 1, 31, 32, 33, 8192, MAX_OUTPUT - 1, MAX_OUTPUT] {
        let last = MEMORY - length.next_multiple_of(32);
        assert_eq!(says(last, length), zeros(length), "{length}");
        assert_eq!(says(last + 1, length), refused, "{length}");
        assert_eq!(says(u32::MAX, length), refused, "{length}");
    }
    for length in [MAX_OUTPUT + 1, MAX_OUTPUT + 31, MEMORY, u32::MAX - 31, u32::MAX] {
        assert_eq!(says(0, length), refused, "{length}");
    }
    // The values themselves, in the order of addresses.
    assert_eq!(says(VALUES + 1, 5), Ok(vec![0, 0, 0, 5, 0]));
}

#[test]
fn an_input_fits_above_the_floor_or_the_run_is_a_trap_from_the_start() {
    // Says what it was asked.
    let echo = vec![li(A7, host::HALT as i32), ECALL];
    for memory in [4096, 8192, 32 * 1024] {
        for floor in [0, 1, 31, 32, 33, memory / 2, memory - 64, memory - 33, memory - 32] {
            let parts = Parts { memory, floor, ..parts(echo.clone()) };
            let most = ((memory - 32 - floor) / 32 * 32) as usize;
            for length in [0, 1, 31, 32, 33, most.saturating_sub(1), most] {
                let input: Vec<u8> = (0..length).map(|at| (at * 7 + 1) as u8).collect();
                let expected = if length <= most { Ok(input.clone()) } else { Err(Trap::Input { length }) };
                assert_eq!(both(&parts, &input), expected, "{length} of {most} bytes");
            }
            for length in [most + 1, most + 31, most + 32, most + 33, 65_536] {
                assert_eq!(both(&parts, &vec![7; length]), Err(Trap::Input { length }));
            }
        }
    }
}

#[test]
fn registers_are_zero_at_the_start_but_for_the_inputs_address_and_length() {
    let text = (1..32).map(|register| word(Op::Sw, 0, 0, register, 4 * i32::from(register))).chain(output(4, 124));
    for length in [0u32, 1, 32, 33] {
        let mut expected = [0; 124];
        let address = MEMORY - 32 - length.next_multiple_of(32);
        expected[36..40].copy_from_slice(&address.to_le_bytes());
        expected[40..44].copy_from_slice(&length.to_le_bytes());
        assert_eq!(both(&parts(text.clone().collect()), &vec![1; length as usize]), Ok(expected.to_vec()));
    }
    let elsewhere = Parts { start: 1, ..parts([&[UNIMP][..], &output(4, 1)].concat()) };
    assert_eq!(both(&elsewhere, &[]), Ok(vec![0]), "it begins where it says");
}

#[test]
fn words_that_are_no_instructions_trap_where_they_are_executed_and_only_there() {
    let auipc = 0x0000_0297;
    let (ebreak, csr, compressed, wide) = (0x0010_0073, 0xc000_22f3, 0x0001_0001, 0x0000_001f);
    let (float, atomic, double, jalr) = (0x0000_7053, 0x0000_202f, 0x0000_3003, 0x0000_1067);
    let shift = 0x0200_1013; // of more than 31 bits
    for bad in [0, u32::MAX, UNIMP, ebreak, csr, auipc, compressed, wide, float, atomic, double, jalr, shift] {
        let trap = Err(Trap::Instruction { index: BODY });
        assert_eq!(with([0; 3], MEMORY, &[&[bad][..], &output(4, 1)].concat()), trap, "{bad:#x}");
        let around = [word(Op::Jal, 0, 0, 0, 8), bad];
        assert_eq!(with([0; 3], MEMORY, &[&around[..], &output(4, 1)].concat()), Ok(vec![0]), "{bad:#x}");
    }
    for fence in [0x0ff0_000f, 0x0000_000f] {
        assert_eq!(with([0; 3], MEMORY, &[&[fence][..], &output(4, 1)].concat()), Ok(vec![0]));
    }
}

#[test]
fn a_run_that_meets_its_budget_is_legal_and_one_that_is_a_gas_short_is_not() {
    use Op::*;
    let nothing = output(4, 1).to_vec();
    let large = [li(A0, 0), word(Lui, A1, 0, 0, 4096), li(A7, 0), ECALL].to_vec();
    let counts = [&[li(X, 100), word(Addi, X, X, 0, -1), word(Bne, 0, X, 0, -4)][..], &output(4, 1)].concat();
    let hashes = [&[li(A0, 512), li(A1, 99), li(A7, 1), ECALL][..], &output(4, 1)].concat();
    for text in [nothing, counts, hashes, large] {
        let program = Program::new(Parts { memory: 8192, ..parts(text) }).expect("within the limits");
        let at = |budget: u32, gas: u64| {
            let translation = translate(&program, budget).expect("a small program");
            let emulated = Emulator::new(&program, translation.meter).run(&[], budget.into());
            (emulated.result, emulated.gas, run::run(&translation.code, &[], gas).output)
        };
        let (result, gas, ran) = at(BUDGET, 5_000_000);
        let full = result.expect("it ends");
        assert_eq!(ran, full);
        let exactly = gas as u32;
        assert_eq!(at(exactly, 5_000_000), (Ok(full.clone()), gas, full.clone()), "a budget changes no cost");
        assert_eq!(at(exactly, gas + AROUND), (Ok(full.clone()), gas, full.clone()), "with no gas more than that");
        assert!(at(exactly, gas + AROUND - 1).2.is_empty());
        let short = exactly - 1;
        assert_eq!(at(short, 5_000_000), (Err(Trap::OutOfGas { budget: short.into() }), gas, vec![]));
        assert!(at(0, 5_000_000).2.is_empty());
    }
}
