//! What `docs/` promises is what the code does.

use std::collections::BTreeMap;

use taskyard_core::{ErrorCode, limits};
use taskyard_proto::status::grpc_code;
use taskyard_runtime::http_error;

/// The rows of a document's tables, by the name in backquotes of the first column.
fn rows(document: &str) -> BTreeMap<String, Vec<String>> {
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows = document.lines().filter(|line| line.starts_with("| `")).map(cells);
    rows.map(|mut cells| (cells.remove(0).trim_matches('`').to_owned(), cells)).collect()
}

#[test]
fn every_code_is_documented_with_its_statuses() {
    let rows = rows(include_str!("../../../docs/errors.md"));
    assert_eq!(rows.len(), ErrorCode::ALL.len());
    for code in ErrorCode::ALL {
        let row = rows.get(code.as_str()).unwrap_or_else(|| panic!("{code:?} is missing"));
        assert_eq!(row[0], http_error::status(code).as_u16().to_string(), "{code:?}");
        let grpc = row[1].replace('_', "").to_lowercase();
        assert_eq!(grpc, format!("`{:?}`", grpc_code(code)).to_lowercase(), "{code:?}");
        assert_eq!(row[2], if code.retryable() { "yes" } else { "no" }, "{code:?}");
        assert!(row[3].starts_with(http_error::title(code)), "{code:?}: {}", http_error::title(code));
    }
}

#[test]
fn every_route_is_documented() {
    let document = include_str!("../../../docs/rest.md");
    for route in crate::router::described() {
        let line = format!("`{} {}`", route.method.to_uppercase(), route.path);
        assert!(document.contains(&line), "{line} is missing");
    }
}

#[test]
fn every_limit_is_documented_with_its_value() {
    let rows = rows(include_str!("../../../docs/limits.md"));
    let seconds = |duration: std::time::Duration| match duration.subsec_millis() {
        0 => format!("{} s", duration.as_secs()),
        _ => format!("{} ms", duration.as_millis()),
    };
    macro_rules! values {
        ($($as:ident: $($name:ident)*;)*) => { [$($((stringify!($name), values!($as limits::$name)),)*)*] };
        (count $value:expr) => { $value.to_string() };
        (bytes $value:expr) => { format!("{} bytes", $value) };
        (time $value:expr) => { seconds($value) };
        (text $value:expr) => { format!("`{}`", $value) };
    }
    let values: BTreeMap<_, String> = BTreeMap::from(values! {
        bytes: NAME_BYTES_MAX TITLE_BYTES_MAX DESCRIPTION_BYTES_MAX LABEL_KEY_BYTES_MAX LABEL_VALUE_BYTES_MAX
            PAYLOAD_BYTES_MAX RESULT_BYTES_MAX ERROR_BYTES_MAX PROGRESS_BYTES_MAX IDEMPOTENCY_KEY_BYTES_MAX
            REQUEST_BYTES_MAX CHUNK_BYTES_MAX WORKER_BYTES_DEFAULT CRON_BYTES_MAX SCHEDULE_PAYLOAD_BYTES_MAX
            EMAIL_BYTES_MAX PERSON_NAME_BYTES_MAX NAMESPACE_NAME_BYTES_MIN NAMESPACE_NAME_BYTES_MAX
            SEARCH_QUERY_BYTES_MAX CREATOR_BYTES_MAX;
        count: LABELS_MAX BATCH_TASKS_MAX PRIORITY_MAX PRIORITY_DEFAULT ATTEMPTS_MAX PAGE_SIZE_MAX PAGE_SIZE_DEFAULT
            EVENTS_PAGE_SIZE_MAX EVENTS_PAGE_SIZE_DEFAULT QUEUES_MAX QUEUE_CONCURRENCY_MAX SLOTS_MAX WORKER_NAMES_MAX
            RETURNS_UNCOUNTED_MAX WATCHES_MAX WATCH_REPLAY_EVENTS_MAX NESTING_MAX SCHEDULES_MAX
            SCHEDULE_LABELS_MAX CATCH_UP_MAX CATCH_UP_DEFAULT TICKS_MISSED_SHOWN TICKS_KEPT TICKS_SHOWN NEXT_TIMES_SHOWN
            NEXT_TIMES_MAX PASSWORD_CHARS_MIN PASSWORD_CHARS_MAX NAMESPACES_MAX KEYS_MAX INVITATIONS_MAX
            SEARCH_WORDS_MAX SEARCH_PAGE_SIZE_MAX SEARCH_PAGE_SIZE_DEFAULT SEARCH_RANKED;
        time: IDEMPOTENCY_KEY_LIFE BACKOFF_MIN BACKOFF_MAX RETRY_DELAY_MAX TIMEOUT_MIN TIMEOUT_MAX TIMEOUT_DEFAULT
            DUE_AHEAD_MAX ID_AHEAD_MAX ID_BEHIND_MAX SCHEDULE_INTERVAL_MIN SCHEDULE_INTERVAL_MAX JITTER_MAX
            TICK_LATE_MAX INVITATION_LIFE;
        text: QUEUE_DEFAULT KIND_MANUAL;
    });
    for (name, value) in &values {
        let row = rows.get(*name).unwrap_or_else(|| panic!("{name} is missing; its value is {value}"));
        assert_eq!(row[0].replace(',', ""), *value, "{name}");
    }
    // A limit that is new in core must come here too.
    let source = include_str!("../../../libs/core/src/limits.rs");
    let declared = source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
    let declared: Vec<_> = declared.collect();
    assert!(!declared.is_empty());
    for name in &declared {
        assert!(values.contains_key(name), "{name} is not in this test");
    }
    assert!(rows.keys().all(|name| declared.contains(&name.as_str())), "a row has no constant");
}
