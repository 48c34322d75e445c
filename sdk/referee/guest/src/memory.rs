//! Copying, filling and comparing. The compiler calls these by name.
//!
//! `compiler_builtins` has them too, made for machines on which it matters whether an address is a multiple of four. On
//! this one it does not, and code is what is dear.

/// # Safety
/// As C's: `length` bytes readable at `from` and writable at `to`, which do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    let mut at = 0;
    // SAFETY: no access is beyond `length`.
    unsafe {
        let read = |at: usize| from.add(at).cast::<u32>().read_unaligned();
        let write = |at: usize, word: u32| to.add(at).cast::<u32>().write_unaligned(word);
        // Hashes, most of all: eight loads in a row are one once translated, and so are eight stores.
        while at + 32 <= length {
            let words = [read(at), read(at + 4), read(at + 8), read(at + 12)];
            let more = [read(at + 16), read(at + 20), read(at + 24), read(at + 28)];
            let [a, b, c, d] = words;
            write(at, a);
            write(at + 4, b);
            write(at + 8, c);
            write(at + 12, d);
            let [a, b, c, d] = more;
            write(at + 16, a);
            write(at + 20, b);
            write(at + 24, c);
            write(at + 28, d);
            at += 32;
        }
        while at < length {
            to.add(at).write_volatile(*from.add(at));
            at += 1;
        }
    }
    to
}

/// # Safety
/// As C's: `length` bytes readable at `from` and writable at `to`, which may overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    if to.addr() <= from.addr() {
        // SAFETY: copying upwards reads every byte before it writes there.
        return unsafe { memcpy(to, from, length) };
    }
    let mut at = length;
    // SAFETY: no access is beyond `length`; copying downwards reads every byte before it writes there.
    unsafe {
        while at > 0 {
            at -= 1;
            to.add(at).write_volatile(*from.add(at));
        }
    }
    to
}

/// # Safety
/// As C's: `length` bytes writable at `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, length: usize) -> *mut u8 {
    let word = u32::from(byte as u8) * 0x0101_0101;
    let mut at = 0;
    // SAFETY: no access is beyond `length`.
    unsafe {
        while at + 4 <= length {
            to.add(at).cast::<u32>().write_unaligned(word);
            at += 4;
        }
        while at < length {
            to.add(at).write_volatile(byte as u8);
            at += 1;
        }
    }
    to
}

/// # Safety
/// As C's: `length` bytes readable at both.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
    for at in 0..length {
        // SAFETY: `at` is below `length`.
        let (one, other) = unsafe { (*one.add(at), *other.add(at)) };
        if one != other {
            return i32::from(one) - i32::from(other);
        }
    }
    0
}
