//! The reference emulator: what a program does, and what its translation costs while it does it.

use alloc::{vec, vec::Vec};

use alloy_primitives::keccak256;

use crate::machine::{GROUP, GUARD, Instruction, MAX_KECCAK, MAX_OUTPUT, Op, Program, host, input_address, register};

/// What a run costs, in EVM gas: found by the [translation](crate::translate()), exact under the gas schedule that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Gas of the block that begins with this instruction; 0 for all others. One more than there are instructions: the last is for
    /// running off the end.
    pub blocks: Vec<u32>,
    /// Before the first instruction: for itself, and for each group of the input.
    pub start: Linear,
    /// A hash: for itself, and for each group hashed.
    pub keccak256: Linear,
    /// The end: for itself, and for each group of the output.
    pub halt: Linear,
    /// Words of EVM memory that every run pays for; an output is staged behind them, and pays for its own. `None`: memory is free.
    pub words: Option<u64>,
}

/// A cost that grows with a number of groups of 32 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Linear {
    /// For none of them.
    pub base: u64,
    /// For each.
    pub group: u64,
}

impl Linear {
    fn of(self, length: u32) -> u64 {
        self.base + self.group * u64::from(length.div_ceil(GROUP))
    }
}

impl Meter {
    /// Counts instructions and nothing else.
    pub fn instructions(program: &Program) -> Meter {
        let free = Linear::default();
        let blocks = vec![1; program.instructions().len() + 1];
        Meter { blocks, start: free, keccak256: free, halt: free, words: None }
    }

    /// What the EVM takes for memory of so many words (Yellow Paper, equation 326).
    pub fn memory(words: u64) -> u64 {
        3 * words + words * words / 512
    }

    fn staging(&self, length: u32) -> u64 {
        let groups = u64::from(length.div_ceil(GROUP));
        self.words.map_or(0, |words| Meter::memory(words + groups) - Meter::memory(words))
    }
}

/// A run that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The output, empty for "illegal"; or the trap, which means "illegal" too.
    pub result: Result<Vec<u8>, Trap>,
    /// What the meter says. After a trap, up to the block that it happened in.
    pub gas: u64,
}

/// Why a program was stopped (M8). To the court every trap is an illegal move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Trap {
    /// The input does not fit above the data.
    #[error("an input of {length} bytes does not fit the memory")]
    Input {
        /// Its length.
        length: usize,
    },
    /// A panic, most likely.
    #[error("instruction {index} is none of the machine's")]
    Instruction {
        /// Which.
        index: usize,
    },
    /// A load outside of the memory.
    #[error("instruction {index} loads from {address:#x}")]
    Load {
        /// Which.
        index: usize,
        /// Where.
        address: u64,
    },
    /// A store outside of the memory.
    #[error("instruction {index} stores to {address:#x}")]
    Store {
        /// Which.
        index: usize,
        /// Where.
        address: u64,
    },
    /// A jump to no entry, or a branch out of the text.
    #[error("instruction {index} jumps to nowhere")]
    Jump {
        /// Which.
        index: usize,
    },
    /// A call with a number, an address or a length that the host does not take.
    #[error("instruction {index} calls the host in vain")]
    Host {
        /// Which.
        index: usize,
    },
    /// An endless loop, or a move dearer than the match allows.
    #[error("the budget of {budget} gas is used up")]
    OutOfGas {
        /// What there was.
        budget: u64,
    },
}

/// A program made ready to run many times.
#[derive(Clone, Debug)]
pub struct Emulator {
    steps: Vec<Step>,
    entries: Vec<u32>,
    start: u32,
    memory: Vec<u8>,
    size: u32,
    floor: u32,
    meter: Meter,
}

/// An instruction with everything about it that does not change.
#[derive(Clone, Copy, Debug)]
struct Step {
    op: Op,
    rd: u8,
    rs1: u8,
    rs2: u8,
    imm: i32,
    /// Where a direct jump leads: an index, `NOWHERE` out of the text.
    target: u32,
    /// The number that a jump leaves behind; the number of a host call.
    link: u32,
    cost: u32,
}

const NOWHERE: u32 = u32::MAX;

impl Emulator {
    /// `meter` has to be the program's own.
    pub fn new(program: &Program, meter: Meter) -> Emulator {
        let instructions = program.instructions();
        let step = |(index, instruction): (usize, &Instruction)| Step {
            op: instruction.op,
            rd: instruction.rd,
            rs1: instruction.rs1,
            rs2: instruction.rs2,
            imm: instruction.imm,
            target: instruction
                .target(index)
                .filter(|target| *target < instructions.len())
                .map_or(NOWHERE, |target| target as u32),
            link: match instruction.op {
                Op::Ecall => program.host_call(index).unwrap_or(u32::MAX),
                _ => instruction.links().then(|| program.number(index + 1)).flatten().unwrap_or(0),
            },
            cost: meter.blocks[index],
        };
        let mut steps: Vec<Step> = instructions.iter().enumerate().map(step).collect();
        let end = Step { op: Op::Illegal, rd: 0, rs1: 0, rs2: 0, imm: 0, target: NOWHERE, link: 0, cost: 0 };
        steps.push(end);

        let parts = program.parts();
        let mut memory = vec![0; (GUARD + parts.memory) as usize];
        for segment in &parts.data {
            let at = (GUARD + segment.address) as usize;
            memory[at..at + segment.bytes.len()].copy_from_slice(&segment.bytes);
        }
        Emulator {
            steps,
            entries: program.entries().to_vec(),
            start: parts.start,
            memory,
            size: parts.memory,
            floor: parts.floor,
            meter,
        }
    }

    /// Runs to the end, or until `budget` is used up.
    pub fn run(&self, input: &[u8], budget: u64) -> Run {
        self.observe(input, budget, &mut |_| {})
    }

    /// Runs, and shows the index of every instruction before it is executed.
    pub fn observe(&self, input: &[u8], budget: u64, observer: &mut impl FnMut(usize)) -> Run {
        let mut run = Running { memory: self.memory.clone(), registers: [0; 32], gas: 0, budget };
        let result = run.go(self, input, observer);
        Run { result, gas: run.gas }
    }
}

struct Running {
    memory: Vec<u8>,
    registers: [u32; 32],
    gas: u64,
    budget: u64,
}

impl Running {
    fn go(&mut self, emulator: &Emulator, input: &[u8], observer: &mut impl FnMut(usize)) -> Result<Vec<u8>, Trap> {
        let length = input.len();
        let address = input_address(emulator.size, emulator.floor, length).ok_or(Trap::Input { length })?;
        let at = (GUARD + address) as usize;
        self.memory[at..at + length].copy_from_slice(input);
        self.registers[usize::from(register::A0)] = address;
        self.registers[usize::from(register::A1)] = length as u32;
        self.charge(emulator.meter.start.of(length as u32))?;

        let mut index = emulator.start as usize;
        loop {
            use Op::*;
            let step = &emulator.steps[index];
            observer(index);
            self.gas += u64::from(step.cost);
            if self.gas > self.budget {
                return Err(Trap::OutOfGas { budget: self.budget });
            }
            let (rs1, rs2) = (self.registers[usize::from(step.rs1 & 31)], self.registers[usize::from(step.rs2 & 31)]);
            let value = match step.op {
                Lb => self.load(index, step, rs1).map(|[byte]: [u8; 1]| byte as i8 as u32)?,
                Lbu => self.load(index, step, rs1).map(|[byte]: [u8; 1]| u32::from(byte))?,
                Lh => self.load(index, step, rs1).map(|half| i16::from_le_bytes(half) as u32)?,
                Lhu => self.load(index, step, rs1).map(|half| u32::from(u16::from_le_bytes(half)))?,
                Lw => self.load(index, step, rs1).map(u32::from_le_bytes)?,
                // What writes no register has x0 for one.
                Sb => self.store(index, step, rs1, [rs2 as u8]).map(|()| 0)?,
                Sh => self.store(index, step, rs1, (rs2 as u16).to_le_bytes()).map(|()| 0)?,
                Sw => self.store(index, step, rs1, rs2.to_le_bytes()).map(|()| 0)?,
                Fence => 0,
                Ecall => match self.call(&emulator.meter, index, step.link)? {
                    Some(output) => return Ok(output),
                    None => 0,
                },
                Beq | Bne | Blt | Bge | Bltu | Bgeu => {
                    let taken = match step.op {
                        Beq => rs1 == rs2,
                        Bne => rs1 != rs2,
                        Blt => (rs1 as i32) < rs2 as i32,
                        Bge => rs1 as i32 >= rs2 as i32,
                        Bltu => rs1 < rs2,
                        _ => rs1 >= rs2,
                    };
                    index = match taken {
                        false => index + 1,
                        true if step.target == NOWHERE => return Err(Trap::Jump { index }),
                        true => step.target as usize,
                    };
                    continue;
                }
                Jal => {
                    if step.target == NOWHERE {
                        return Err(Trap::Jump { index });
                    }
                    self.write(step.rd, step.link);
                    index = step.target as usize;
                    continue;
                }
                Jalr => {
                    let rank = (rs1.wrapping_add(step.imm as u32) >> 2).wrapping_sub(1);
                    let target = emulator.entries.get(rank as usize).ok_or(Trap::Jump { index })?;
                    self.write(step.rd, step.link);
                    index = *target as usize;
                    continue;
                }
                Illegal => return Err(Trap::Instruction { index }),
                op => Instruction::value(op, rs1, rs2, step.imm).expect("all others compute"),
            };
            self.write(step.rd, value);
            index += 1;
        }
    }

    fn write(&mut self, rd: u8, value: u32) {
        self.registers[usize::from(rd & 31)] = value;
        self.registers[0] = 0;
    }

    fn charge(&mut self, gas: u64) -> Result<(), Trap> {
        self.gas += gas;
        if self.gas > self.budget { Err(Trap::OutOfGas { budget: self.budget }) } else { Ok(()) }
    }

    /// Where an access lies in `memory`, whose first byte is the guard's; `Err` with the effective address, as a number that does not
    /// wrap (M4).
    fn place(&self, rs1: u32, imm: i32, width: usize) -> Result<usize, u64> {
        let at = u64::from(rs1) + u64::from((imm + GUARD as i32) as u32);
        if at + width as u64 <= self.memory.len() as u64 { Ok(at as usize) } else { Err(at - u64::from(GUARD)) }
    }

    fn load<const WIDTH: usize>(&self, index: usize, step: &Step, rs1: u32) -> Result<[u8; WIDTH], Trap> {
        let at = self.place(rs1, step.imm, WIDTH).map_err(|address| Trap::Load { index, address })?;
        Ok(self.memory[at..at + WIDTH].try_into().expect("as many bytes as it is wide"))
    }

    fn store<const WIDTH: usize>(
        &mut self,
        index: usize,
        step: &Step,
        rs1: u32,
        value: [u8; WIDTH],
    ) -> Result<(), Trap> {
        let at = self.place(rs1, step.imm, WIDTH).map_err(|address| Trap::Store { index, address })?;
        self.memory[at..at + WIDTH].copy_from_slice(&value);
        Ok(())
    }

    /// A call to the host (M7); `Some` ends the run.
    fn call(&mut self, meter: &Meter, index: usize, number: u32) -> Result<Option<Vec<u8>>, Trap> {
        let argument = |register: u8| self.registers[usize::from(register)];
        let (address, length) = (argument(register::A0), argument(register::A1));
        let refused = Trap::Host { index };
        match number {
            host::HALT => {
                let output = self.region(address, length, MAX_OUTPUT).ok_or(refused)?.to_vec();
                self.charge(meter.halt.of(length) + meter.staging(length))?;
                Ok(Some(output))
            }
            host::KECCAK256 => {
                let to = self.place(argument(register::A2), 0, 32).map_err(|_| refused)?;
                let hash = keccak256(self.region(address, length, MAX_KECCAK).ok_or(refused)?);
                self.charge(meter.keccak256.of(length))?;
                self.memory[to..to + 32].copy_from_slice(hash.as_slice());
                Ok(None)
            }
            _ => Err(refused),
        }
    }

    /// Bytes that the host reads: in whole groups, so they have to end a group below the end of the memory, or earlier.
    fn region(&self, address: u32, length: u32, limit: u32) -> Option<&[u8]> {
        if length > limit {
            return None;
        }
        let whole = (length.div_ceil(GROUP) * GROUP) as usize;
        let at = self.place(address, 0, whole).ok()?;
        Some(&self.memory[at..at + length as usize])
    }
}
