use proptest::prelude::*;
use prost::Message;

use super::{show::definition_to_proto, *};

fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

fn daily() -> v1::ScheduleDefinition {
    v1::ScheduleDefinition {
        times: Some(v1::ScheduleTimes { cron: "0 9 * * *".into(), ..Default::default() }),
        task: Some(v1::TaskTemplate { kind: "noop".into(), ..Default::default() }),
        ..Default::default()
    }
}

fn with_times(times: v1::ScheduleTimes) -> v1::ScheduleDefinition {
    v1::ScheduleDefinition { times: Some(times), ..daily() }
}

fn wrong_fields(definition: v1::ScheduleDefinition) -> Vec<String> {
    let error = schedule_definition(definition, Utc::now()).expect_err("it is refused");
    error.violations.into_iter().map(|violation| violation.field).collect()
}

#[test]
fn defaults_are_filled_in() {
    let read = schedule_definition(daily(), Utc::now()).unwrap();
    assert_eq!((read.catch_up, read.overlap, read.jitter), (CatchUp::Once, Overlap::Allow, Duration::ZERO));
    assert_eq!(
        (read.task.queue.as_str(), read.task.payload.as_slice(), read.task.priority),
        ("default", &b"null"[..], 5)
    );
    let When::Cron(expression) = read.times.when else { panic!("{read:?}") };
    assert_eq!(expression.zone(), Tz::UTC);
    let now = Utc::now();
    let every = with_times(v1::ScheduleTimes { every: seconds(60), ..Default::default() });
    let read = schedule_definition(every, now).unwrap();
    assert_eq!(read.times.when, When::Every { interval: Duration::from_secs(60), anchor_at: now.trunc_subsecs(0) });
}

#[test]
fn what_was_read_is_shown_and_read_again() {
    let whole = v1::ScheduleDefinition {
        times: Some(v1::ScheduleTimes {
            cron: "*/5 9-17 * * MON-FRI".into(),
            time_zone: "Europe/Berlin".into(),
            start_time: at(1_900_000_000),
            end_time: at(2_000_000_000),
            ..Default::default()
        }),
        task: Some(v1::TaskTemplate {
            kind: "http".into(),
            queue: "mail".into(),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            payload: r#"{"a": 1.00}"#.into(),
            timeout: seconds(10),
            ..Default::default()
        }),
        catch_up: v1::CatchUp::All.into(),
        catch_up_max: 7,
        overlap: v1::Overlap::Skip.into(),
        jitter: seconds(30),
    };
    let every = with_times(v1::ScheduleTimes { every: seconds(60), anchor_time: at(1), ..Default::default() });
    let once = with_times(v1::ScheduleTimes { once_time: at(2_000_000_000), ..Default::default() });
    for definition in [whole, every, once, daily()] {
        let read = schedule_definition(definition, Utc::now()).unwrap();
        let shown = definition_to_proto(read.clone());
        assert_eq!(schedule_definition(shown, Utc::now()).unwrap(), read);
    }
}

#[test]
fn every_wrong_field_is_named_at_once() {
    let times = v1::ScheduleTimes {
        cron: "61 * * * *".into(),
        time_zone: "Europe/Nowhere".into(),
        start_time: at(2),
        end_time: at(1),
        ..Default::default()
    };
    let task = v1::TaskTemplate {
        labels: [("taskyard.tick".to_owned(), String::new())].into(),
        payload: format!("\"{}\"", "x".repeat(65_535)).into(),
        priority: Some(10),
        ..Default::default()
    };
    let all = v1::ScheduleDefinition {
        times: Some(times),
        task: Some(task),
        catch_up: v1::CatchUp::Skip.into(),
        catch_up_max: 3,
        overlap: 9,
        jitter: seconds(3_601),
    };
    assert_eq!(
        wrong_fields(all),
        [
            "times.time_zone",
            "times.cron",
            "times.end_time",
            "task.payload",
            "task.labels",
            "task.kind",
            "task.priority",
            "catch_up_max",
            "overlap",
            "jitter"
        ]
    );
}

#[test]
fn exactly_one_of_three_is_needed() {
    let cron = || v1::ScheduleTimes { cron: "@daily".into(), ..Default::default() };
    for times in [
        v1::ScheduleTimes::default(),
        v1::ScheduleTimes { every: seconds(60), ..cron() },
        v1::ScheduleTimes { once_time: at(1), ..cron() },
        v1::ScheduleTimes { once_time: at(1), every: seconds(60), ..Default::default() },
    ] {
        assert_eq!(wrong_fields(with_times(times)), ["times.cron"]);
    }
    assert_eq!(wrong_fields(v1::ScheduleDefinition { times: None, ..daily() }), ["times.cron"]);
    assert_eq!(wrong_fields(v1::ScheduleDefinition { task: None, ..daily() }), ["task.kind"]);
    assert_eq!(wrong_fields(with_times(v1::ScheduleTimes { anchor_time: at(1), ..cron() })), ["times.anchor_time"]);
    let every = v1::ScheduleTimes { every: seconds(60), time_zone: "UTC".into(), ..Default::default() };
    assert_eq!(wrong_fields(with_times(every)), ["times.time_zone"]);
}

#[test]
fn bounds() {
    let every = |seconds_each| with_times(v1::ScheduleTimes { every: seconds(seconds_each), ..Default::default() });
    for good in [1, 366 * 86_400] {
        assert!(schedule_definition(every(good), Utc::now()).is_ok(), "{good}");
    }
    for bad in [-1, 0, 366 * 86_400 + 1] {
        assert_eq!(wrong_fields(every(bad)), ["times.every"], "{bad}");
    }
    let all = |most| v1::ScheduleDefinition { catch_up: v1::CatchUp::All.into(), catch_up_max: most, ..daily() };
    assert_eq!(schedule_definition(all(0), Utc::now()).unwrap().catch_up, CatchUp::All(10));
    assert_eq!(schedule_definition(all(100), Utc::now()).unwrap().catch_up, CatchUp::All(100));
    assert_eq!(wrong_fields(all(101)), ["catch_up_max"]);
    assert_eq!((next_times_count(0).unwrap(), next_times_count(100).unwrap()), (5, 100));
    assert!(next_times_count(101).is_err());
}

proptest! {
    #[test]
    fn any_message_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(message) = v1::ScheduleDefinition::decode(bytes.as_slice()) {
            let _ = schedule_definition(message, Utc::now());
        }
    }

    #[test]
    fn any_times_are_read_or_refused(
        cron in prop_oneof![Just(String::new()), ".{0,20}"], every in prop::option::of(any::<i64>()),
        anchor in prop::option::of(any::<i64>()), start in prop::option::of(any::<i64>()),
    ) {
        let times = v1::ScheduleTimes {
            cron, every: every.and_then(seconds), anchor_time: anchor.and_then(at), start_time: start.and_then(at),
            ..Default::default()
        };
        if let Ok(times) = schedule_times(times, Utc::now()) {
            // Whatever was let through can be counted on from.
            let _ = times.list_after(Utc::now(), 5);
        }
    }
}
