use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::schedule::{CronExpression, When};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn hourly() -> Times {
    let when = When::Every { interval: Duration::from_secs(3_600), anchor_at: at("2026-01-01T00:00:00Z") };
    Times { when, starts_at: None, ends_at: None }
}

/// Hours and what became of them.
fn hours(plan: &Plan) -> Vec<(String, TickKind)> {
    plan.ticks.iter().map(|(tick, kind)| (tick.format("%H").to_string(), *kind)).collect()
}

fn plan_hours(catch_up: CatchUp, overlap: Overlap, now: &str) -> Vec<(String, TickKind)> {
    let plan = plan(&hourly(), catch_up, overlap, at("2026-01-01T01:00:00Z"), at(now));
    assert_eq!(plan.next_at, hourly().next_after(at(now)));
    hours(&plan)
}

fn expected(list: &[(u32, TickKind)]) -> Vec<(String, TickKind)> {
    list.iter().map(|(hour, kind)| (format!("{hour:02}"), *kind)).collect()
}

#[test]
fn a_tick_is_on_time_for_half_a_minute() {
    for catch_up in [CatchUp::Skip, CatchUp::Once, CatchUp::All(5)] {
        for now in ["2026-01-01T01:00:00Z", "2026-01-01T01:00:30Z"] {
            assert_eq!(plan_hours(catch_up, Overlap::Allow, now), expected(&[(1, TickKind::OnTime)]));
        }
    }
    let late = "2026-01-01T01:00:30.000001Z";
    assert_eq!(plan_hours(CatchUp::Skip, Overlap::Allow, late), expected(&[(1, TickKind::Missed)]));
    assert_eq!(plan_hours(CatchUp::Once, Overlap::Allow, late), expected(&[(1, TickKind::CaughtUp)]));
    assert_eq!(plan_hours(CatchUp::All(1), Overlap::Allow, late), expected(&[(1, TickKind::CaughtUp)]));
}

#[test]
fn nothing_is_due_before_its_time() {
    let next_at = at("2026-01-01T01:00:00Z");
    let plan = plan(&hourly(), CatchUp::All(9), Overlap::Allow, next_at, at("2026-01-01T00:59:59.999999Z"));
    assert_eq!(plan, Plan { ticks: Vec::new(), next_at: Some(next_at) });
}

#[test]
fn ten_missed_ticks_under_each_policy() {
    let now = "2026-01-01T10:30:00Z";
    let all = |kind| (1..=10).map(|hour| (hour, kind)).collect::<Vec<_>>();
    assert_eq!(plan_hours(CatchUp::Skip, Overlap::Allow, now), expected(&all(TickKind::Missed)));
    let mut once = all(TickKind::Missed);
    once[9].1 = TickKind::CaughtUp;
    assert_eq!(plan_hours(CatchUp::Once, Overlap::Allow, now), expected(&once));
    let mut four = all(TickKind::Missed);
    four[6..].iter_mut().for_each(|tick| tick.1 = TickKind::CaughtUp);
    assert_eq!(plan_hours(CatchUp::All(4), Overlap::Allow, now), expected(&four));
    assert_eq!(plan_hours(CatchUp::All(100), Overlap::Allow, now), expected(&all(TickKind::CaughtUp)));
}

#[test]
fn one_on_time_stands_for_all_that_were_missed() {
    let now = "2026-01-01T03:00:10Z";
    let expected_once = [(1, TickKind::Missed), (2, TickKind::Missed), (3, TickKind::OnTime)];
    assert_eq!(plan_hours(CatchUp::Once, Overlap::Allow, now), expected(&expected_once));
    let expected_all = [(1, TickKind::CaughtUp), (2, TickKind::CaughtUp), (3, TickKind::OnTime)];
    assert_eq!(plan_hours(CatchUp::All(2), Overlap::Allow, now), expected(&expected_all));
}

#[test]
fn where_tasks_must_not_overlap_the_newest_tick_stands_for_all() {
    let now = "2026-01-01T03:30:00Z";
    let overlapped = [(1, TickKind::Overlapped), (2, TickKind::Overlapped), (3, TickKind::CaughtUp)];
    assert_eq!(plan_hours(CatchUp::All(9), Overlap::Skip, now), expected(&overlapped));
}

#[test]
fn an_end_ends_it() {
    let times = Times { ends_at: Some(at("2026-01-01T01:30:00Z")), ..hourly() };
    let plan = plan(&times, CatchUp::Once, Overlap::Allow, at("2026-01-01T01:00:00Z"), at("2026-01-01T01:00:01Z"));
    assert_eq!((hours(&plan), plan.next_at), (expected(&[(1, TickKind::OnTime)]), None));
}

#[test]
fn a_long_outage_costs_little() {
    let begun = std::time::Instant::now();
    for text in ["* * * * * *", "* * 3 * * *", "0 0 29 2 *"] {
        let expression = CronExpression::parse("cron", text, chrono_tz::Europe::Berlin).unwrap();
        let times = Times { when: When::Cron(expression), starts_at: None, ends_at: None };
        let next_at = times.next_after(at("2020-01-01T00:00:00Z")).unwrap();
        let plan = plan(&times, CatchUp::All(100), Overlap::Allow, next_at, at("2026-01-01T12:00:00Z"));
        assert!(plan.ticks.len() <= 131, "{text}: {}", plan.ticks.len());
        assert!(!plan.ticks.is_empty(), "{text}");
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn numbers_stay() {
    for kind in TickKind::ALL {
        assert_eq!(TickKind::from_number(kind.number()), Some(kind));
    }
    assert_eq!(TickKind::from_number(0), None);
}

proptest! {
    /// Walked through tick by tick, whatever the policy: none is there twice, none is made up, and of those on time
    /// none is left out.
    #[test]
    fn a_plan_holds_the_ticks_that_are_due(
        interval_s in 1..5_000_u64, anchor_s in 0..100_000_i64, away_s in 0..20_000_i64, most in 1..20_u32,
        policy in 0..3_u8, overlaps in any::<bool>(),
    ) {
        let anchor_at = DateTime::from_timestamp(1_700_000_000 + anchor_s, 0).unwrap();
        let when = When::Every { interval: Duration::from_secs(interval_s), anchor_at };
        let times = Times { when, starts_at: None, ends_at: None };
        let next_at = times.next_after(anchor_at).unwrap();
        let now = next_at + TimeDelta::seconds(away_s);
        let catch_up = [CatchUp::Skip, CatchUp::Once, CatchUp::All(most)][usize::from(policy)];
        let overlap = if overlaps { Overlap::Allow } else { Overlap::Skip };
        let plan = plan(&times, catch_up, overlap, next_at, now);
        let due: Vec<_> = std::iter::successors(Some(next_at), |last| times.next_after(*last))
            .take_while(|tick| *tick <= now)
            .collect();
        let planned: Vec<_> = plan.ticks.iter().map(|(tick, _)| *tick).collect();
        prop_assert!(planned.iter().all(|tick| due.contains(tick)));
        prop_assert!(planned.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert_eq!(plan.next_at, times.next_after(now));
        let on_time = due.iter().filter(|tick| now - **tick <= TimeDelta::seconds(30));
        prop_assert!(on_time.clone().all(|tick| planned.contains(tick)));
        let made = plan.ticks.iter().filter(|(_, kind)| kind.makes_task()).count();
        let on_time = on_time.count();
        let missed = due.len() - on_time;
        let caught_up = match catch_up {
            CatchUp::Skip => 0,
            CatchUp::Once => usize::from(on_time == 0).min(missed),
            CatchUp::All(most) => missed.min(most as usize),
        };
        let expected = if overlaps { on_time + caught_up } else { (on_time + caught_up).min(1) };
        prop_assert_eq!(made, expected);
    }
}
