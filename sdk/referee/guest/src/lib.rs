//! What a game's rules stand on when they run on the chain: a start, memory, and calls to the machine around them.
//!
//! The machine is riscv32im with flat memory and nothing else. It starts the program with one question in memory, and
//! the program halts with the answer. It knows nothing of Matchlock's types, so that a game brings whichever `matchlock` it
//! was written for; the program that [`build`](../matchlock_referee/build/index.html) generates puts the two together:
//!
//! ```ignore
//! #[unsafe(no_mangle)]
//! extern "C" fn referee(start: *const u8, length: usize) -> ! {
//!     // SAFETY: the machine's own arguments.
//!     let question = unsafe { matchlock_guest::question(start, length) };
//!     ...
//! }
//! ```
//!
//! # Memory
//!
//! From 0 upwards: the stack, which grows down, so that one too deep leaves memory and traps; constants, data, the heap.
//! The question is put so that it ends where memory ends, and the heap may grow up to it. Code is elsewhere and cannot be
//! read.
//!
//! # What goes wrong
//!
//! A panic, memory that does not suffice and a stack too deep all trap, and a trap is a refusal.
#![no_std]

mod heap;
mod host;
mod memory;
mod question;

pub use host::{halt, keccak256};
pub use question::{Answer, OVER, Question, question};

// The stack pointer is the only thing to set up: constants need no copying, and memory starts as zeros.
core::arch::global_asm!(
    ".section .text.start, \"ax\"",
    ".globl _start",
    "_start:",
    "lui sp, %hi(__stack_top)",
    "addi sp, sp, %lo(__stack_top)",
    "tail referee",
);

/// A panic has no text: the program is compiled to abort at once. This is what the language asks for.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    host::trap()
}
