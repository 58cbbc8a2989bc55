#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| { scopegate_fuzz_targets::framing(data); });
