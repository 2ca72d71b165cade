//! What is encoded and parsed is the same, or was refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

type Input<'a> = (&'a str, &'a str, Vec<(String, String)>, &'a [u8]);

fuzz_target!(|input: Input<'_>| {
    let (subject, reply, headers, payload) = input;
    shizuku::fuzzing::encode_then_parse(subject, reply, &headers, payload);
});
