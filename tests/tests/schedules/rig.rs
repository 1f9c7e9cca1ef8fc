//! Schedules of a test, and calls that are one line each.

use std::time::Duration;

use anyhow::{Context, Result};
use chrono::{DateTime, TimeDelta, Utc};
use taskyard_proto::v1::{
    CreateScheduleRequest, DeleteScheduleRequest, GetScheduleRequest, ListSchedulesRequest, ListSchedulesResponse,
    PauseScheduleRequest, ResumeScheduleRequest, Schedule, ScheduleDefinition, ScheduleTick, ScheduleTimes,
    TaskTemplate, TickKind, TriggerScheduleRequest, TriggerScheduleResponse, UpdateScheduleRequest,
    schedule_service_client::ScheduleServiceClient,
};
use taskyard_testkit::eventually;
use taskyard_tests::{Answer, Calls, KEY, Pod, SOON, Shown, Stack, read, seconds, time, timestamp};
use tonic::transport::Channel;

/// A stack with one pod, and its schedules.
pub struct Rig {
    pub stack: Stack,
    pub pod: Pod,
    pub schedules: ScheduleServiceClient<Calls>,
}

/// A schedule that makes tasks for people, which stay open.
pub fn every(interval_s: i64) -> ScheduleDefinition {
    at_times(ScheduleTimes { every: seconds(interval_s), ..ScheduleTimes::default() })
}

/// The same with one of its ticks so long ago.
pub fn every_since(interval_s: i64, ago: TimeDelta) -> ScheduleDefinition {
    let anchor_time = timestamp(Utc::now() - ago);
    at_times(ScheduleTimes { every: seconds(interval_s), anchor_time, ..ScheduleTimes::default() })
}

pub fn cron(expression: &str, time_zone: &str) -> ScheduleDefinition {
    at_times(ScheduleTimes { cron: expression.into(), time_zone: time_zone.into(), ..ScheduleTimes::default() })
}

pub fn once(at: DateTime<Utc>) -> ScheduleDefinition {
    at_times(ScheduleTimes { once_time: timestamp(at), ..ScheduleTimes::default() })
}

pub fn at_times(times: ScheduleTimes) -> ScheduleDefinition {
    let task = TaskTemplate { kind: "manual".into(), title: "tick".into(), ..TaskTemplate::default() };
    ScheduleDefinition { times: Some(times), task: Some(task), ..ScheduleDefinition::default() }
}

/// The times and kinds of ticks, the oldest first.
pub fn kinds(ticks: &[ScheduleTick]) -> Vec<(DateTime<Utc>, TickKind)> {
    ticks.iter().rev().map(|tick| (time(tick.time), tick.kind())).collect()
}

async fn connect(url: String) -> Result<ScheduleServiceClient<Calls>> {
    let channel = Channel::from_shared(url)?.connect().await?;
    Ok(ScheduleServiceClient::with_interceptor(channel, Shown(KEY)))
}

impl Rig {
    pub async fn open() -> Result<Self> {
        Self::on(Stack::shared().await?).await
    }

    pub async fn on(mut stack: Stack) -> Result<Self> {
        stack.flags.extend(["--tasks-grace-period-s", "4", "--session-timeout-s", "5"].map(Into::into));
        let pod = stack.pod().await?;
        let schedules = connect(pod.url()).await?;
        Ok(Self { stack, pod, schedules })
    }

    pub async fn close(self) -> Result<()> {
        self.pod.stop().await?;
        self.stack.close().await
    }

    /// All pods are gone for a while, in which something is done to the database.
    pub async fn down_while(mut self, meanwhile: impl AsyncFnOnce(&Stack) -> Result<()>) -> Result<Self> {
        self.pod.stop().await?;
        meanwhile(&self.stack).await?;
        self.pod = self.stack.pod().await?;
        self.schedules = connect(self.pod.url()).await?;
        Ok(self)
    }

    pub async fn create(&self, name: &str, definition: ScheduleDefinition) -> Answer<Schedule> {
        Ok(self.create_or_find(name, definition, false).await?.0)
    }

    /// The schedule, and whether it is new.
    pub async fn create_or_find(
        &self,
        name: &str,
        definition: ScheduleDefinition,
        paused: bool,
    ) -> Answer<(Schedule, bool)> {
        let request = CreateScheduleRequest { name: name.into(), definition: Some(definition), paused };
        let answer = read(self.schedules.clone().create_schedule(request).await)?;
        Ok((answer.schedule.unwrap_or_default(), answer.created))
    }

    pub async fn get(&self, name: &str) -> Answer<Schedule> {
        let answer = self.schedules.clone().get_schedule(GetScheduleRequest { name: name.into() }).await;
        Ok(read(answer)?.schedule.unwrap_or_default())
    }

    pub async fn list(&self, page_size: u32, page_token: &str) -> Answer<ListSchedulesResponse> {
        let request = ListSchedulesRequest { page_size, page_token: page_token.into() };
        read(self.schedules.clone().list_schedules(request).await)
    }

    pub async fn update(&self, name: &str, definition: ScheduleDefinition, version: u32) -> Answer<Schedule> {
        let request = UpdateScheduleRequest { name: name.into(), definition: Some(definition), version };
        Ok(read(self.schedules.clone().update_schedule(request).await)?.schedule.unwrap_or_default())
    }

    pub async fn pause(&self, name: &str) -> Answer<Schedule> {
        let answer = self.schedules.clone().pause_schedule(PauseScheduleRequest { name: name.into() }).await;
        Ok(read(answer)?.schedule.unwrap_or_default())
    }

    pub async fn resume(&self, name: &str) -> Answer<Schedule> {
        let answer = self.schedules.clone().resume_schedule(ResumeScheduleRequest { name: name.into() }).await;
        Ok(read(answer)?.schedule.unwrap_or_default())
    }

    pub async fn delete(&self, name: &str) -> Answer<()> {
        read(self.schedules.clone().delete_schedule(DeleteScheduleRequest { name: name.into() }).await).map(drop)
    }

    pub async fn trigger(&self, name: &str, task_id: &str) -> Answer<TriggerScheduleResponse> {
        let request = TriggerScheduleRequest { name: name.into(), task_id: task_id.into() };
        read(self.schedules.clone().trigger_schedule(request).await)
    }

    /// Waits until the schedule has so many ticks in its history (ten at most are shown); returns it.
    pub async fn ticked(&self, name: &str, ticks: usize, within: Duration) -> Result<Schedule> {
        eventually(within, format!("{ticks} ticks of {name}"), async || {
            self.get(name).await.ok().filter(|schedule| schedule.ticks.len() >= ticks)
        })
        .await
        .with_context(|| format!("of schedule {name}"))
    }

    /// Waits until the schedule is not due any more: what was to be done about it is done.
    pub async fn caught_up(&self, name: &str) -> Result<Schedule> {
        let sql = "select count(*) from tasks.schedule_states where next_at <= now() + interval '1 ms'";
        eventually(SOON, "nothing is due", async || (self.stack.number(sql).await.ok()? == 0).then_some(())).await?;
        Ok(self.get(name).await?)
    }

    /// The tick labels of the tasks that a schedule has made, in order; none for one that was run by hand.
    pub async fn made(&self, name: &str) -> Result<Vec<Option<String>>> {
        let sql = "select labels ->> 'taskyard.tick' from tasks.documents \
            where labels ->> 'taskyard.schedule' = $1 and not is_deleted order by 1";
        Ok(sqlx::query_scalar(sql).bind(name).fetch_all(&self.stack.pool).await?)
    }

    /// What no schedule may ever show: a task without its tick, a tick with two tasks, or one before its time.
    pub async fn faults(&self) -> Result<i64> {
        self.stack
            .number(
                "select
                    (select count(*) from tasks.schedule_ticks where fired_at < tick_at)
                    + (select count(*) from tasks.schedule_ticks t where t.kind in (1, 2, 3) and not exists (
                        select from tasks.documents d where d.namespace = t.namespace and d.id = t.task_id
                    ))
                    + (select count(*) from (
                        select from tasks.documents where labels ? 'taskyard.tick'
                        group by namespace, labels ->> 'taskyard.schedule', labels ->> 'taskyard.tick'
                        having count(*) > 1
                    ) twice)",
            )
            .await
    }
}
