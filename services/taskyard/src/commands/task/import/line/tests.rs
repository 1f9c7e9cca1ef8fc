use std::io::BufReader;

use proptest::prelude::*;

use super::*;
use crate::commands::task::import::lines::Lines;

fn read_text(text: &str) -> Result<Option<v1::NewTask>, Bad> {
    read(&Line { number: 7, bytes: Some(text.as_bytes()) }, &Defaults { queue: "q".into(), kind: "k".into() })
}

#[test]
fn every_field_is_read() {
    let line = r#" {"id":"i","idempotency_key":"x","queue":"q2","kind":"k2","title":"t","description":"d",
        "payload": {"a": [1.00, 2]}, "labels":{"l":"m"},"priority":7,"due_at":"2026-01-02T03:04:05.5+02:00",
        "delay_ms":1500,"timeout_ms":60000,"retry":{"attempts_max":3,"backoff_ms":250,"backoff_max_ms":null}} "#;
    let task = read_text(&line.replace('\n', "")).unwrap().unwrap();
    let duration = |seconds, nanos| Some(prost_types::Duration { seconds, nanos });
    let expected = v1::NewTask {
        id: "i".into(),
        idempotency_key: "x".into(),
        queue: "q2".into(),
        kind: "k2".into(),
        title: "t".into(),
        description: "d".into(),
        payload: r#"{"a": [1.00, 2]}"#.into(),
        labels: [("l".to_owned(), "m".to_owned())].into(),
        priority: Some(7),
        due_time: Some(prost_types::Timestamp { seconds: 1_767_315_845, nanos: 500_000_000 }),
        delay: duration(1, 500_000_000),
        timeout: duration(60, 0),
        retry: Some(v1::RetryPolicy { attempts_max: 3, backoff: duration(0, 250_000_000), backoff_max: None }),
    };
    assert_eq!(task, expected);
}

#[test]
fn the_same_line_has_the_same_key_wherever_it_is_read() {
    let task = read_text("{}").unwrap().unwrap();
    assert_eq!((task.queue.as_str(), task.kind.as_str()), ("q", "k"));
    assert_eq!(task.idempotency_key.len(), "import-".len() + 64);
    assert_eq!(read_text("{}\r").unwrap().unwrap(), task);
    let elsewhere = read(&Line { number: 8, bytes: Some(b"{}") }, &Defaults::default()).unwrap().unwrap();
    assert_ne!(elsewhere.idempotency_key, task.idempotency_key);
    let with_id = read_text(r#"{"id": "i"}"#).unwrap().unwrap();
    assert_eq!(with_id.idempotency_key, "");
    let marked = Line { number: 1, bytes: Some(b"\xef\xbb\xbf{}") };
    assert!(read(&marked, &Defaults::default()).is_ok());
}

#[test]
fn what_is_wrong_is_named() {
    for (line, message) in [
        ("[]", "is not a JSON object such as"),
        ("null", "is not a JSON object such as"),
        ("{\"kind\": ", "kind: EOF while parsing a value at column 8"),
        ("{} {}", "trailing characters at column 4"),
        (r#"{"colour": 1}"#, "colour: unknown field `colour`, expected one of `id`"),
        (r#"{"kind": 1}"#, "kind: invalid type: integer `1`, expected a string at column 10"),
        (r#"{"labels": {"a": 1}}"#, "labels.a: invalid type"),
        (r#"{"priority": -1}"#, "priority: invalid value"),
        (r#"{"retry": [1, 2, 3]}"#, "retry: invalid type: sequence, expected a map"),
        (r#"{"retry": {"attempts": 1}}"#, "retry: unknown field `attempts`, expected `attempts_max`"),
        (r#"{"due_at": "tomorrow"}"#, "due_at: "),
        (r#"{"kind": "a", "kind": "b"}"#, "duplicate field `kind`"),
    ] {
        let bad = read_text(line).unwrap_err();
        assert!(bad.message.starts_with(message) || bad.message.contains(message), "{line}: {bad:?}");
        assert_eq!(bad.code, "INVALID_INPUT");
    }
    let too_long = read(&Line { number: 1, bytes: None }, &Defaults::default()).unwrap_err();
    assert_eq!(too_long.code, "TOO_LARGE");
    let bytes = read(&Line { number: 1, bytes: Some(b"{\"kind\": \"\xff\"}") }, &Defaults::default()).unwrap_err();
    assert_eq!(bytes.message, "is not UTF-8 (byte 11)");
}

/// Lines that are nearly right find more than noise does.
fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        Just("kind"),
        Just("payload"),
        Just("labels"),
        Just("retry"),
        Just("priority"),
        Just("due_at"),
        Just("x")
    ];
    let value = prop_oneof![
        Just("1"),
        Just("\"a\""),
        Just("null"),
        Just("{}"),
        Just("{\"a\":\"b\"}"),
        Just("[[1]]"),
        Just("1e999"),
        Just("\"\\ud800\""),
        Just("{\"attempts_max\":18446744073709551615}"),
        Just("\"2026-01-31T12:00:00Z\""),
        Just("{")
    ];
    let object = prop::collection::vec((name, value), 0..4).prop_map(|fields| {
        let fields: Vec<_> = fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(",")).into_bytes()
    });
    prop_oneof![object, prop::collection::vec(any::<u8>(), 0..40)]
}

fn is_blank(line: &Line<'_>) -> bool {
    line.bytes
        .is_some_and(|bytes| bytes.iter().all(|byte| byte.is_ascii_whitespace() || BYTE_ORDER_MARK.contains(byte)))
}

proptest! {
    #[test]
    fn every_line_is_blank_a_task_or_an_error_with_its_number(
        parts in prop::collection::vec(nearly_json(), 0..8), buffer_bytes in 1..64usize, bytes_max in 0..64usize,
    ) {
        let bytes = parts.join(&b'\n');
        let mut lines = Lines::new(BufReader::with_capacity(buffer_bytes, bytes.as_slice()), bytes_max);
        let mut number = 0;
        while let Some(line) = lines.next().unwrap() {
            number += 1;
            prop_assert_eq!(line.number, number);
            match read(&line, &Defaults { queue: "q".into(), kind: "k".into() }) {
                Ok(None) => prop_assert!(is_blank(&line)),
                Ok(Some(task)) => {
                    prop_assert!(task.idempotency_key.len() <= limits::IDEMPOTENCY_KEY_BYTES_MAX || !task.id.is_empty());
                    prop_assert!(!task.kind.is_empty() && !task.queue.is_empty());
                }
                Err(bad) => prop_assert!(!bad.message.is_empty()),
            }
        }
        let expected = bytes.split(|byte| *byte == b'\n').count() - usize::from(bytes.last().is_none_or(|last| *last == b'\n'));
        prop_assert_eq!(number, expected as u64);
    }
}
