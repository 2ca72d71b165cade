//! A client that hears and is asked anything answers every request once, and comes to its end.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| shizuku::fuzzing::any_conversation(script));
