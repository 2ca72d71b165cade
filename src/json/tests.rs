#![allow(clippy::unwrap_used)]

use std::borrow::Cow;

use super::{Fields, FromJson, Object, Value, Writer, parse, read};

/// Reads the fields a test asks for.
struct Asked<'a>(Fields<'a>);

impl<'a> FromJson<'a> for Asked<'a> {
    fn from_json(fields: &mut Fields<'a>) -> Self {
        let object = std::mem::take(&mut fields.object);
        let error = None;
        Self(Fields { object, error })
    }
}

fn fields(json: &str) -> Fields<'_> {
    read::<Asked<'_>>(json.as_bytes()).unwrap().0
}

#[test]
fn reads_values_of_all_types() {
    let json = r#" {"a": 1, "b":["x",null], "c":"x\"\u00e9\ud83d\ude00\n", "a":2, "d":{"k":"v"}, "l":[{}], "s":"t", "o":{"a":3}} "#;
    let mut read = fields(json);
    assert_eq!(read.number("a"), 2);
    assert_eq!(read.text("c"), "x\"é😀\n");
    assert_eq!(read.string_map("d", "_").unwrap()["k"], "v");
    assert_eq!(read.all::<Asked<'_>>("l").unwrap().len(), 1);
    assert!(read.maybe::<Asked<'_>>("none").is_none() && read.strings("none").is_empty());
    assert!(!read.flag("none") && read.string("none").is_empty());
    assert_eq!(read.string("s"), "t");
    assert_eq!(read.need::<Asked<'_>>("o").0.number("a"), 3);
    assert!(read.error.is_none());
    assert_eq!(read.strings("b"), ["x"]);
    assert_eq!(read.error.unwrap().to_string(), "texts expected as `b`");
}

#[test]
fn numbers_keep_all_their_digits_and_their_ranges() {
    let json = r#"{"most":18446744073709551615,"more":18446744073709551616,"least":-9223372036854775808,"part":1.5,"text":"1"}"#;
    assert_eq!(fields(json).number("most"), u64::MAX);
    assert_eq!(fields(json).signed("least"), i64::MIN);
    assert_eq!(fields(json).maybe_number("none"), None);
    for name in ["more", "least", "part", "text"] {
        let mut read = fields(json);
        assert_eq!(read.maybe_number(name), None, "{name}");
        assert!(read.error.is_some(), "{name}");
    }
    let mut read = fields(json);
    assert_eq!(read.small::<u8>("most"), 0);
    let error = read.error.unwrap().to_string();
    assert_eq!(error, "a smaller number expected as `most`");
}

#[test]
fn a_missing_required_field_is_an_error() {
    for ask in [
        |read: &mut Fields<'_>| _ = read.text("none"),
        |read: &mut Fields<'_>| _ = read.need::<Asked<'_>>("none"),
        |read: &mut Fields<'_>| _ = read.text("null"),
        |read: &mut Fields<'_>| _ = read.maybe_text("number"),
        |read: &mut Fields<'_>| _ = read.flag("number"),
        |read: &mut Fields<'_>| _ = read.maybe_object("number"),
        |read: &mut Fields<'_>| _ = read.strings("number"),
    ] {
        let mut read = fields(r#"{"null":null,"number":1}"#);
        ask(&mut read);
        assert!(read.error.is_some());
    }
    let error = read::<Asked<'_>>(b"[]").err().unwrap().to_string();
    assert_eq!(error, "invalid JSON: an object expected at byte 0");
}

#[test]
fn invalid_json_is_an_error_with_a_position() {
    let error = parse(br#"{"a":1,}"#).unwrap_err().to_string();
    assert_eq!(error, "invalid JSON: a name expected at byte 7");
    assert!(parse(b"\xff").is_err());
    // Cases that random input rarely hits in `accepts_what_serde_json_accepts`.
    for text in [
        r#"{"a" 1}"#,
        r#"{"a",1}"#,
        "[1}",
        r#"{"a":1]"#,
        "01",
        "-01",
        "1e",
        "1e+",
        r#""\u00g0""#,
        r#""\ud83dxxde00""#,
        r#""\ud83d\n0000""#,
    ] {
        assert!(parse(text.as_bytes()).is_err(), "{text}");
    }
    for text in ["1e+5", "1E-5", "-0", "0.5e10"] {
        assert_eq!(parse(text.as_bytes()).unwrap(), Value::Number(text));
    }
    let deep = |depth| [b"[".repeat(depth), b"]".repeat(depth)].concat();
    assert!(parse(&deep(64)).is_ok());
    assert!(parse(&deep(65)).is_err());
    assert!(parse(&b"[".repeat(1_000_000)).is_err());
}

/// Writes the same as `serde_json` for the same fields.
#[test]
fn writes_fields_of_all_types() {
    let mut json = Writer::new();
    json.text("a\n", "\u{1f}\0\u{7f}é\"\\");
    json.number("n", u64::MAX);
    json.signed("s", i64::MIN);
    json.open("o");
    json.texts("l", &["{".into(), "[".into()]);
    json.flag("f", true);
    json.flag("g", false);
    json.close();
    json.open_list("items");
    for name in ["x", "y"] {
        json.open_item();
        json.text("name", name);
        json.close();
    }
    json.close_list();
    json.maybe_number("none", None);
    json.maybe_text("none", None);
    json.null("z");
    let expected = serde_json::json!({
        "a\n": "\u{1f}\0\u{7f}é\"\\", "n": u64::MAX, "s": i64::MIN,
        "o": {"l": ["{", "["], "f": true, "g": false},
        "items": [{"name": "x"}, {"name": "y"}], "z": null,
    });
    let written: serde_json::Value = serde_json::from_slice(&json.finish()).unwrap();
    assert_eq!(written, expected);
}

/// Converts to `serde_json`'s tree.
fn through_serde(value: &Value<'_>) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(digits) => serde_json::from_str(digits).unwrap(),
        Value::Text(text) => (&**text).into(),
        Value::List(list) => list.iter().map(through_serde).collect(),
        Value::Object(Object(fields)) => {
            let field =
                |(name, value): &(Cow<'_, str>, _)| (name.to_string(), through_serde(value));
            fields.iter().map(field).collect()
        }
    }
}

crate::platform::native_only! {
    use proptest::prelude::*;

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(serde_json::Value::from),
            any::<u64>().prop_map(serde_json::Value::from),
            any::<i64>().prop_map(serde_json::Value::from),
            any::<i32>().prop_map(|n| serde_json::Value::from(f64::from(n) / 4.0)),
            any::<String>().prop_map(serde_json::Value::from),
            "[\"\\\\/\u{0}-\u{1f}]{0,5}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(serde_json::Value::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..5)
                    .prop_map(|fields| fields.into_iter().collect()),
            ]
        })
    }

    proptest! {
        /// Reads what `serde_json` writes, and writes what `serde_json` reads as the same value.
        #[test]
        fn agrees_with_serde_json(value in any_json(), pretty: bool) {
            let text = if pretty {
                serde_json::to_string_pretty(&value).unwrap()
            } else {
                value.to_string()
            };
            let read = parse(text.as_bytes()).unwrap();
            prop_assert_eq!(through_serde(&read), value.clone());
            let mut writer = Writer::new();
            writer.field("it", &read);
            let written: serde_json::Value = serde_json::from_slice(&writer.finish()).unwrap();
            prop_assert_eq!(&written["it"], &value);
        }

        /// On almost valid JSON, both accept the same texts.
        #[test]
        fn accepts_what_serde_json_accepts(
            text in proptest::collection::vec(
                proptest::sample::select(vec![
                    "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\\", "\\u", "\"\\u00e9\"", "\"\\ud83d\\ude00\"",
                    "\\ud83d", "0", "1", "-", ".", "e", "+", "true", "false", "null", "n", " ", "\n", "\u{1}", "é",
                ]),
                0..12,
            ),
            quoted: bool,
        ) {
            let text = match quoted {
                true => format!("\"{}\"", text.concat()),
                false => text.concat(),
            };
            match (parse(text.as_bytes()), serde_json::from_str::<serde_json::Value>(&text)) {
                (Ok(ours), Ok(theirs)) => prop_assert_eq!(through_serde(&ours), theirs, "{}", text),
                (Err(_), Err(_)) => {}
                // A number outside the range of floats is still a number.
                (Ok(_), Err(error)) if error.to_string().contains("out of range") => {}
                (ours, theirs) => prop_assert!(false, "{text:?} is {ours:?}, not {theirs:?}"),
            }
        }
    }
}
