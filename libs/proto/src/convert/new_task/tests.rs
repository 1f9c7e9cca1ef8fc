use std::collections::BTreeMap;

use proptest::prelude::*;
use taskyard_core::ErrorCode;

use super::*;
use crate::convert::{duration_to_proto, timestamp_to_proto};

fn least() -> v1::NewTask {
    v1::NewTask { kind: "echo".into(), ..Default::default() }
}

fn wrong_fields(task: v1::NewTask) -> Vec<String> {
    let error = new_task(task, Utc::now()).expect_err("something is wrong");
    assert_eq!(error.code, ErrorCode::InvalidInput);
    error.violations.into_iter().map(|violation| violation.field).collect()
}

#[test]
fn what_is_left_out_has_its_default() {
    let task = new_task(least(), Utc::now()).unwrap();
    assert_eq!(task.id.get_version_num(), 7);
    assert_eq!(task.idempotency_key, None);
    assert_eq!(task.queue, "default");
    assert_eq!(task.payload, b"null");
    assert_eq!(task.priority, 5);
    assert_eq!(task.start, Start::Now);
    assert_eq!(task.timeout, Duration::from_secs(3600));
    assert_eq!(task.retry, RetryPolicy::default());
}

#[test]
fn everything_that_is_wrong_is_named_at_once() {
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let fields = wrong_fields(v1::NewTask {
        id: Uuid::new_v4().to_string(),
        idempotency_key: "k".repeat(257),
        queue: "no spaces".into(),
        kind: String::new(),
        title: "t".repeat(1_001),
        description: "\0".into(),
        payload: "{".into(),
        labels: BTreeMap::from([("team".to_owned(), "v".repeat(257))]),
        priority: Some(10),
        due_time: Some(timestamp_to_proto(Utc::now())),
        delay: seconds(1),
        timeout: seconds(0),
        retry: Some(v1::RetryPolicy { attempts_max: 101, backoff: seconds(0), backoff_max: seconds(604_801) }),
    });
    let all = [
        "id",
        "idempotency_key",
        "queue",
        "kind",
        "title",
        "description",
        "payload",
        "labels.team",
        "priority",
        "delay",
        "timeout",
        "retry.attempts_max",
        "retry.backoff",
        "retry.backoff_max",
    ];
    assert_eq!(fields, all);
}

#[test]
fn bounds() {
    let now = Utc::now();
    let start = |due: DateTime<Utc>| new_task(v1::NewTask { due_time: Some(timestamp_to_proto(due)), ..least() }, now);
    assert_eq!(start(now - TimeDelta::days(400)).unwrap().start, Start::Now);
    assert!(matches!(start(now + TimeDelta::days(366)).unwrap().start, Start::At(_)));
    assert!(start(now + TimeDelta::days(367)).is_err());

    let delay = |delay| new_task(v1::NewTask { delay: Some(duration_to_proto(delay)), ..least() }, now);
    assert_eq!(delay(Duration::ZERO).unwrap().start, Start::Now);
    assert_eq!(delay(limits::DUE_AHEAD_MAX).unwrap().start, Start::After(limits::DUE_AHEAD_MAX));
    assert!(delay(limits::DUE_AHEAD_MAX + Duration::from_millis(1)).is_err());

    let retry = |backoff: Option<u64>, backoff_max: Option<u64>| {
        let millis = |millis| duration_to_proto(Duration::from_millis(millis));
        let policy =
            v1::RetryPolicy { attempts_max: 100, backoff: backoff.map(millis), backoff_max: backoff_max.map(millis) };
        new_task(v1::NewTask { retry: Some(policy), ..least() }, now).map(|task| task.retry.backoff_max)
    };
    assert_eq!(retry(Some(1), Some(1)).unwrap(), Duration::from_millis(1));
    assert_eq!(retry(Some(86_400_000), None).unwrap(), Duration::from_secs(86_400), "never below the backoff");
    assert!(retry(Some(2), Some(1)).is_err());
    assert!(retry(Some(86_400_001), None).is_err());
    assert!(retry(None, Some(999)).is_err(), "the default backoff is 1 s");
}

#[test]
fn a_repetition_has_the_same_fingerprint() {
    let first = v1::NewTask { id: id::new_task_id().to_string(), idempotency_key: "a".into(), ..least() };
    let again = v1::NewTask { id: String::new(), idempotency_key: "b".into(), ..least() };
    assert_eq!(fingerprint(&first), fingerprint(&again));
    assert_eq!(new_task(first.clone(), Utc::now()).unwrap().fingerprint, fingerprint(&first));
    let other = v1::NewTask { title: "other".into(), ..first.clone() };
    assert_ne!(fingerprint(&first), fingerprint(&other));
}

fn any_new_task() -> impl Strategy<Value = v1::NewTask> {
    let text = || prop_oneof![Just(String::new()), "[a-z0-9]{1,8}", ".{0,80}"];
    let span = || {
        let span = prop_oneof![(0..100_000_000i64, 0..1_000_000_000i32), (any::<i64>(), any::<i32>())];
        prop::option::of(span.prop_map(|(seconds, nanos)| prost_types::Duration { seconds, nanos }))
    };
    let time = prop::option::of((any::<i64>(), any::<i32>()));
    let texts = (text(), text(), text(), text(), text(), text());
    let labels = prop::collection::btree_map(text(), text(), 0..40);
    let payload = prop_oneof![Just(b"{}".to_vec()), prop::collection::vec(any::<u8>(), 0..40)];
    let retry = prop::option::of((any::<u32>(), span(), span()));
    (texts, labels, payload, prop::option::of(any::<u32>()), time, span(), span(), retry).prop_map(
        |(texts, labels, payload, priority, time, delay, timeout, retry)| {
            let (id, idempotency_key, queue, kind, title, description) = texts;
            v1::NewTask {
                id,
                idempotency_key,
                queue,
                kind,
                title,
                description,
                payload: payload.into(),
                labels,
                priority,
                due_time: time.map(|(seconds, nanos)| prost_types::Timestamp { seconds, nanos }),
                delay,
                timeout,
                retry: retry.map(|(attempts_max, backoff, backoff_max)| v1::RetryPolicy {
                    attempts_max,
                    backoff,
                    backoff_max,
                }),
            }
        },
    )
}

proptest! {
    #[test]
    fn any_new_task_is_read_or_refused(task in any_new_task()) {
        match new_task(task, Utc::now()) {
            Ok(task) => {
                prop_assert!(task.priority <= limits::PRIORITY_MAX);
                prop_assert!((limits::TIMEOUT_MIN..=limits::TIMEOUT_MAX).contains(&task.timeout));
                prop_assert!((1..=100).contains(&task.retry.attempts_max));
                prop_assert!(task.retry.backoff <= task.retry.backoff_max);
                prop_assert!(task.retry.backoff_max <= limits::RETRY_DELAY_MAX);
            }
            Err(error) => {
                prop_assert_eq!(error.code, ErrorCode::InvalidInput);
                prop_assert!(error.violations.iter().all(|violation| !violation.field.is_empty()));
            }
        }
    }

    #[test]
    fn any_bytes_are_a_message_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(task) = v1::NewTask::decode(bytes.as_slice()) {
            let _ = new_task(task, Utc::now());
        }
    }
}
