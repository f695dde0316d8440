#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| flight_group::fleet::fuzz::address(bytes));
