//! Running translated code in an EVM of one's own, as the court would: the frame that the referee creates, and nothing around it.

use alloc::vec::Vec;

use alloy_primitives::Bytes;
use revm::{
    bytecode::Bytecode,
    context_interface::DummyHost,
    interpreter::{
        InputsImpl, InstructionResult, Interpreter, InterpreterAction, SharedMemory,
        instructions::{gas_table_spec, instruction_table},
        interpreter::{EthInterpreter, ExtBytecode},
    },
    primitives::hardfork::SpecId,
};

/// How a frame ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// What it reverted with; nothing where it ended in another way, which the referee takes for "illegal" as well.
    pub output: Vec<u8>,
    /// What it was charged.
    pub gas: u64,
}

/// What a run is charged beside what its [meter](crate::emulate::Meter) says: for reading the gas at first and comparing it at last.
pub const AROUND: u64 = 2 + 31;

/// Runs `code` with `input` behind it as init code with so much gas, by the rules of Osaka.
///
/// Only for code that the [translation](crate::translate()) made: there is no chain around it.
pub fn run(code: &[u8], input: &[u8], gas: u64) -> Ended {
    let code = Bytes::from([code, input].concat());
    let mut interpreter = Interpreter::<EthInterpreter>::new(
        SharedMemory::new(),
        ExtBytecode::new(Bytecode::new_raw(code)),
        InputsImpl::default(),
        false,
        SpecId::OSAKA,
        gas,
    );
    let table = instruction_table::<EthInterpreter, DummyHost>();
    let action = interpreter.run_plain(&table, &gas_table_spec(SpecId::OSAKA), &mut DummyHost::default());
    match action {
        InterpreterAction::Return(result) => Ended {
            gas: gas - result.gas.remaining(),
            output: match result.result {
                InstructionResult::Revert => result.output.to_vec(),
                _ => Vec::new(),
            },
        },
        InterpreterAction::NewFrame(_) => Ended { output: Vec::new(), gas },
    }
}
