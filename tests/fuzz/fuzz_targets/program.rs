#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| matchlock_fuzz::fuzz::fuzz_program(data));
