//! Whatever a client receives and is asked to do, it completes every request exactly once, and
//! terminates.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|script: &[u8]| shizuku::fuzzing::any_conversation(script));
