//! Calls to the machine: the number in `a7`, arguments in `a0` to `a2`.
//!
//! The number is set right before the call, in the same breath: so the machine knows each call before the program runs.

use core::{arch::asm, mem::MaybeUninit};

/// Ends the program: the answer's address and length; a length of 0 is a refusal.
const HALT: u32 = 0;
/// Hashes: address and length of what is hashed, and the address of 32 bytes for the hash.
const KECCAK256: u32 = 1;

/// Ends the program with this answer; an empty one is a refusal.
pub fn halt(answer: &[u8]) -> ! {
    // SAFETY: the machine only reads the answer, and does not return.
    unsafe {
        asm!(
            "li a7, {HALT}", "ecall",
            HALT = const HALT,
            in("a0") answer.as_ptr(), in("a1") answer.len(),
            options(noreturn, nostack),
        )
    }
}

/// Ends the program as a fault, which is a refusal.
pub(crate) fn trap() -> ! {
    // SAFETY: an instruction that there is not stops the machine.
    unsafe { asm!("unimp", options(noreturn, nomem, nostack)) }
}

/// The hash of at most 2,048 bytes; more trap.
pub fn keccak256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = MaybeUninit::<[u8; 32]>::uninit();
    // SAFETY: the 32 bytes are there to be written, and are all written.
    unsafe {
        native_keccak256(bytes.as_ptr(), bytes.len(), hash.as_mut_ptr().cast());
        hash.assume_init()
    }
}

/// What `alloy-primitives` calls for every hash with its feature `native-keccak`.
///
/// # Safety
/// `length` readable bytes at `bytes`, 32 writable ones at `hash`.
#[unsafe(no_mangle)]
unsafe extern "C" fn native_keccak256(bytes: *const u8, length: usize, hash: *mut u8) {
    // SAFETY: as this function's caller promised; the machine touches nothing else.
    unsafe {
        asm!(
            "li a7, {KECCAK256}", "ecall",
            KECCAK256 = const KECCAK256,
            in("a0") bytes, in("a1") length, in("a2") hash, out("a7") _,
            options(nostack),
        )
    }
}
