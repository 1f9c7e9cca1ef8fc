use chrono::{TimeDelta, TimeZone};
use proptest::prelude::*;

use super::*;
use crate::schedule::parse_zone;

fn cron(text: &str, zone: &str) -> CronExpression {
    CronExpression::parse("cron", text, parse_zone("time_zone", zone).unwrap()).unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// The ticks after a time, as UTC.
fn ticks(text: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let expression = cron(text, zone);
    std::iter::successors(expression.next_after(at(after)), |last| expression.next_after(*last))
        .take(count)
        .map(|tick| tick.format("%m-%dT%H:%M").to_string())
        .collect()
}

#[test]
fn named_hours_come_once_a_day_when_the_clock_is_put_forward() {
    // Berlin, 29 March 2026: 02:00 to 03:00 does not exist; the jump is at 01:00 UTC.
    let berlin = |text| ticks(text, "Europe/Berlin", "2026-03-28T12:00:00Z", 3);
    assert_eq!(berlin("30 2 * * *"), ["03-29T01:00", "03-30T00:30", "03-31T00:30"]);
    assert_eq!(berlin("0 3 * * *"), ["03-29T01:00", "03-30T01:00", "03-31T01:00"]);
    assert_eq!(berlin("30 1 * * *"), ["03-29T00:30", "03-29T23:30", "03-30T23:30"]);
    // All that the clock jumps over comes as one.
    assert_eq!(berlin("*/15 2 * * *"), ["03-29T01:00", "03-30T00:00", "03-30T00:15"]);
    assert_eq!(berlin("0 2,14 * * *"), ["03-28T13:00", "03-29T01:00", "03-29T12:00"]);
    // New York, 8 March 2026: 02:00 to 03:00 does not exist; the jump is at 07:00 UTC.
    let new_york = |text| ticks(text, "America/New_York", "2026-03-07T12:00:00Z", 2);
    assert_eq!(new_york("30 2 * * *"), ["03-08T07:00", "03-09T06:30"]);
    assert_eq!(new_york("0 0 * * *"), ["03-08T05:00", "03-09T04:00"]);
    // Lord Howe, 4 October 2026: 02:00 to 02:30 does not exist; the jump is at 15:30 UTC the day before.
    let lord_howe = |text| ticks(text, "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2);
    assert_eq!(lord_howe("15 2 * * *"), ["10-03T15:30", "10-04T15:15"]);
    assert_eq!(lord_howe("45 2 * * *"), ["10-03T15:45", "10-04T15:45"]);
}

#[test]
fn named_hours_come_once_a_day_when_the_clock_is_put_back() {
    // Berlin, 25 October 2026: 02:00 to 03:00 comes twice, from 00:00 and from 01:00 UTC.
    let berlin = |text| ticks(text, "Europe/Berlin", "2026-10-24T12:00:00Z", 3);
    assert_eq!(berlin("30 2 * * *"), ["10-25T00:30", "10-26T01:30", "10-27T01:30"]);
    assert_eq!(berlin("0 2,3 * * *"), ["10-25T00:00", "10-25T02:00", "10-26T01:00"]);
    assert_eq!(berlin("*/30 2 * * *"), ["10-25T00:00", "10-25T00:30", "10-26T01:00"]);
    // From within the second of the two.
    assert_eq!(ticks("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 1), ["10-26T01:30"]);
    // New York, 1 November 2026: 01:00 to 02:00 comes twice, from 05:00 and from 06:00 UTC.
    let new_york = |text| ticks(text, "America/New_York", "2026-10-31T12:00:00Z", 2);
    assert_eq!(new_york("30 1 * * *"), ["11-01T05:30", "11-02T06:30"]);
    assert_eq!(new_york("0 9 * * *"), ["10-31T13:00", "11-01T14:00"]);
    // Lord Howe, 5 April 2026: 01:30 to 02:00 comes twice, from 14:30 and from 15:00 UTC the day before.
    let lord_howe = |text| ticks(text, "Australia/Lord_Howe", "2026-04-04T00:00:00Z", 2);
    assert_eq!(lord_howe("45 1 * * *"), ["04-04T14:45", "04-05T15:15"]);
    assert_eq!(lord_howe("15 2 * * *"), ["04-04T15:45", "04-05T15:45"]);
}

#[test]
fn every_hour_goes_by_the_time_that_passes() {
    let forward = ticks("30 * * * *", "Europe/Berlin", "2026-03-28T23:00:00Z", 4);
    assert_eq!(forward, ["03-28T23:30", "03-29T00:30", "03-29T01:30", "03-29T02:30"]);
    let back = ticks("30 * * * *", "Europe/Berlin", "2026-10-24T23:00:00Z", 4);
    assert_eq!(back, ["10-24T23:30", "10-25T00:30", "10-25T01:30", "10-25T02:30"]);
    // By half an hour: minute 15 does not exist once, minute 45 comes twice.
    let forward = ticks("15 * * * *", "Australia/Lord_Howe", "2026-10-03T14:00:00Z", 3);
    assert_eq!(forward, ["10-03T14:45", "10-03T16:15", "10-03T17:15"]);
    let back = ticks("45 * * * *", "Australia/Lord_Howe", "2026-04-04T13:00:00Z", 4);
    assert_eq!(back, ["04-04T13:45", "04-04T14:45", "04-04T15:15", "04-04T16:15"]);
    // Every other hour that the clock shows: 02:00 is jumped over, and comes twice.
    let forward = ticks("0 */2 * * *", "Europe/Berlin", "2026-03-28T22:00:00Z", 2);
    assert_eq!(forward, ["03-28T23:00", "03-29T02:00"]);
    let back = ticks("0 */2 * * *", "Europe/Berlin", "2026-10-24T21:00:00Z", 4);
    assert_eq!(back, ["10-24T22:00", "10-25T00:00", "10-25T01:00", "10-25T03:00"]);
}

#[test]
fn what_an_expression_can_say() {
    let after = "2026-01-01T00:00:00Z";
    let first = |text: &str| ticks(text, "UTC", after, 1).remove(0);
    for (text, tick) in [
        ("@daily", "01-02T00:00"),
        ("@midnight", "01-02T00:00"),
        ("@Hourly", "01-01T01:00"),
        ("@weekly", "01-04T00:00"),
        ("@monthly", "02-01T00:00"),
        ("@yearly", "01-01T00:00"),
        ("@annually", "01-01T00:00"),
        (" 5  4 * * mon-fri ", "01-01T04:05"),
        ("0 0 * feb SUN", "02-01T00:00"),
        ("0 0 * * SAT-SUN", "01-03T00:00"),
        ("0 0 * * 7", "01-04T00:00"),
        ("0 0 L * *", "01-31T00:00"),
        ("0 0 LW * ?", "01-30T00:00"),
        ("0 0 15W 2 *", "02-16T00:00"),
        ("0 0 ? * FRI#2", "01-09T00:00"),
        ("0 0 * * FRIL", "01-30T00:00"),
        ("0 0 29 2 *", "02-29T00:00"),
        ("10-50/20 1-5/2,23 * * *", "01-01T01:10"),
        ("30 0 0 * * *", "01-01T00:00"),
    ] {
        assert_eq!(first(text), tick, "{text}");
    }
    let every_second = cron("*/20 * * * * *", "UTC").next_after(at("2026-01-01T00:00:20.5Z")).unwrap();
    assert_eq!(every_second, at("2026-01-01T00:00:40Z"));
    // As everywhere: with both kinds of days, either will do.
    assert_eq!(ticks("0 0 13 * FRI", "UTC", after, 3), ["01-02T00:00", "01-09T00:00", "01-13T00:00"]);
}

#[test]
fn a_mistake_names_the_field() {
    let wrong = |text: &str| {
        let error = CronExpression::parse("cron", text, Tz::UTC).unwrap_err();
        assert_eq!((error.violations.len(), error.violations[0].field.as_str()), (1, "cron"), "{text}");
        error.violations.into_iter().next().unwrap().message
    };
    for (text, message) in [
        ("", "is empty; write five fields such as `0 9 * * MON-FRI`"),
        ("* * * *", "has 4 fields; it must have five"),
        ("* * * * * * *", "has 7 fields; it must have five"),
        ("60 * * * *", "minute `60`: `60` must be a number from 0 to 59"),
        ("61 * * * * *", "second `61`: `61` must be a number from 0 to 59"),
        ("0 24 * * *", "hour `24`: `24` must be a number from 0 to 23"),
        ("0 0 0 * *", "day of month `0`: `0` must be a number from 1 to 31"),
        ("0 0 32 * *", "day of month `32`: `32` must be a number from 1 to 31"),
        ("0 0 * 13 *", "month `13`: `13` must be a number from 1 to 12, or JAN to DEC"),
        ("0 0 * JANUARY *", "month `JANUARY`: `JANUARY` must be a number from 1 to 12, or JAN to DEC"),
        ("0 0 * * 8", "day of week `8`: `8` must be a number from 0 to 7, or SUN to SAT"),
        ("0 0 * * SUNDAY", "day of week `SUNDAY`: `SUNDAY` must be"),
        ("MON * * * *", "minute `MON`: `MON` must be a number from 0 to 59"),
        ("0 0 * MON *", "month `MON`: `MON` must be"),
        ("*/0 * * * *", "minute `*/0`: the step `0` must be a number from 1 to 59"),
        ("*/60 * * * *", "minute `*/60`: the step `60` must be a number from 1 to 59"),
        ("5/10 * * * *", "minute `5/10`: a step needs a range; write `5-59` or `*` before it"),
        ("*/2/3 * * * *", "minute `*/2/3`: the step `2/3` must be"),
        ("0 22-2 * * *", "hour `22-2`: the range `22-2` goes backwards; write it as two, such as `22-23,0-2`"),
        ("0 1,,2 * * *", "hour `1,,2`: there is nothing between two commas"),
        ("0 1, * * *", "hour `1,`: there is nothing between two commas"),
        ("0 -1 * * *", "hour `-1`: `` must be a number from 0 to 23"),
        ("0 +1 * * *", "hour `+1`: `+1` must be a number from 0 to 23"),
        ("0 1.5 * * *", "hour `1.5`: `1.5` must be a number from 0 to 23"),
        ("0 0 * * +MON", "day of week `+MON`: `+MON` must be"),
        ("0 L * * *", "hour `L`: `L` must be a number from 0 to 23"),
        ("0 ? * * *", "hour `?`: `?` must be a number from 0 to 23"),
        ("0 0 32W * *", "day of month `32W`: `32` must be a number from 1 to 31"),
        ("0 0 * * FRI#6", "day of week `FRI#6`: `#6` must be #1 to #5, the week of the month"),
        ("0 0 1#1 * *", "day of month `1#1`: `1#1` must be a number"),
        ("0 0 30 2 *", "`0 0 30 2 *` names a day that never comes"),
        ("0 0 31 4,6,9,11 *", "`0 0 31 4,6,9,11 *` names a day that never comes"),
        ("@fortnightly", "`@fortnightly` is no name of an expression; known are @yearly"),
        ("@daily @daily", "`@daily @daily` is no name of an expression"),
        ("@reboot", "`@reboot` is no name of an expression"),
        ("ä * * * *", "minute `ä`: `ä` must be a number from 0 to 59"),
    ] {
        let said = wrong(text);
        assert!(said.starts_with(message), "{text}: {said}");
    }
    assert!(wrong(&"*".repeat(201)).contains("at most 200"));
    assert!(wrong("0 0 * * \0").contains("U+0000"));
}

/// Zones with clocks that are put forward and back, by an hour and by half an hour, and one that stays.
const ZONES: [&str; 6] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Santiago",
    "Africa/Casablanca",
    "Asia/Kolkata",
];

/// Times around which the clocks of most of these zones change.
const CHANGES: [&str; 8] = [
    "2026-03-29T01:00:00Z",
    "2026-10-25T01:00:00Z",
    "2026-03-08T07:00:00Z",
    "2026-11-01T06:00:00Z",
    "2026-04-04T15:00:00Z",
    "2026-10-03T15:30:00Z",
    "2026-09-06T04:00:00Z",
    "2026-04-05T03:00:00Z",
];

fn number(most: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_owned()),
        (0..=most).prop_map(|number| number.to_string()),
        (0..=most, 0..=most).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        (0..=most, 0..=most).prop_map(|(a, b)| format!("{a},{b}")),
        (1..=most).prop_map(|step| format!("*/{step}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Minute by minute, by the rule of this file and nothing else.
    #[test]
    fn ticks_are_those_of_the_rule_and_strictly_increase(
        minute in number(59), hour in number(23), zone in prop::sample::select(&ZONES[..]),
        change in prop::sample::select(&CHANGES[..]), before_s in 0..40_000_i64, micros in 0..1_000_000_i64,
    ) {
        let expression = cron(&format!("{minute} {hour} * * *"), zone);
        let zone = parse_zone("time_zone", zone).unwrap();
        let from = at(change) - TimeDelta::seconds(before_s) + TimeDelta::microseconds(micros);
        let until = from + TimeDelta::hours(30);
        let mut next = expression.next_after(from);
        let mut found = Vec::new();
        while let Some(tick) = next.filter(|tick| *tick <= until) {
            prop_assert!(found.last().is_none_or(|last| *last < tick), "strictly increases");
            found.push(tick);
            next = expression.next_after(tick);
        }
        prop_assert_eq!(found, by_the_rule(&minute, &hour, zone, from, until));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[-*/,0-9A-Za-z@#?+ ]{0,24}|.{0,30}") {
        let _ = CronExpression::parse("cron", &text, Tz::UTC);
    }

    /// What our grammar lets through, the library takes as well.
    #[test]
    fn what_is_well_formed_is_read(fields in [number(59), number(59), number(23)], day in 1..=28_u32, month in 1..=12_u32) {
        cron(&format!("{} {day} {month} *", fields.join(" ")), "UTC");
    }
}

/// All ticks of `minute hour * * *` after a time and up to another.
fn by_the_rule(minute: &str, hour: &str, zone: Tz, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let holds = |field: &str, number: u32| {
        field.split(',').any(|entry| match (entry.strip_prefix("*/"), entry.split_once('-')) {
            (Some(step), _) => number.is_multiple_of(step.parse().unwrap()),
            (_, Some((from, to))) => (from.parse().unwrap()..=to.parse().unwrap()).contains(&number),
            _ => entry == "*" || entry.parse() == Ok(number),
        })
    };
    let shows = |time: NaiveDateTime| {
        use chrono::Timelike;
        holds(minute, time.minute()) && holds(hour, time.hour())
    };
    let minute_of = |time: DateTime<Utc>| DateTime::from_timestamp(time.timestamp().div_euclid(60) * 60, 0).unwrap();
    let minutes = |from: DateTime<Utc>, until: DateTime<Utc>| {
        std::iter::successors(Some(minute_of(from)), |time| Some(*time + TimeDelta::minutes(1)))
            .take_while(move |time| *time <= until)
    };
    let mut ticks: Vec<DateTime<Utc>> = if hour.starts_with('*') {
        // Whenever the clock shows one of the times.
        minutes(from, until).filter(|time| shows(time.with_timezone(&zone).naive_local())).collect()
    } else {
        // Each time that a clock could show, at the first moment at which it shows that or more.
        let mut all = Vec::new();
        let day = TimeDelta::days(1);
        for shown in minutes(from - day, until + day).map(|time| time.naive_utc()).filter(|time| shows(*time)) {
            all.push(match zone.from_local_datetime(&shown).earliest() {
                Some(time) => time.to_utc(),
                None => minutes(shown.and_utc() - day, shown.and_utc() + day)
                    .find(|time| time.with_timezone(&zone).naive_local() >= shown)
                    .unwrap(),
            });
        }
        all
    };
    ticks.sort_unstable();
    ticks.dedup();
    ticks.retain(|tick| *tick > from && *tick <= until);
    ticks
}
