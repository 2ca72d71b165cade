//! Encoding and then parsing returns the same value, or encoding was refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

type Input<'a> = (&'a str, &'a str, Vec<(String, String)>, &'a [u8]);

fuzz_target!(|input: Input<'_>| {
    let (subject, reply, headers, payload) = input;
    shizuku::fuzzing::encode_then_parse(subject, reply, &headers, payload);
});
