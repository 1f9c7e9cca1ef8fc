//! What people do to schedules.

use chrono::{DateTime, Utc};
use taskyard_core::{
    Error, ErrorCode, Identity, Result, limits,
    schedule::{Definition, Schedule, TickKind, Times, When},
    task::Namespace,
};
use taskyard_postgres::failure;
use taskyard_proto::{convert, v1};
use uuid::Uuid;

use super::{App, commands::creator};
use crate::{
    fault::{self, FaultPoint},
    store::{
        schedules::{self, ScheduleCreated},
        ticks::{self, Move, Mover, NewTick},
    },
};

/// How often a command looks again when the schedule changes under its hands.
const TRIES_MAX: u32 = 20;

impl App {
    /// Creates a schedule. Returns it, and whether it is new.
    ///
    /// # Errors
    /// If something is wrong with it, the name is taken by another one, or the namespace has as many as it may.
    pub async fn create_schedule(
        &self,
        caller: &Identity,
        name: &str,
        wanted: v1::ScheduleDefinition,
        paused: bool,
    ) -> Result<(Schedule, bool)> {
        limits::check_name("name", name)?;
        let (namespace, creator) = (caller.namespace, creator(caller));
        let now = self.clock().await?;
        for _ in 0..TRIES_MAX {
            let known = schedules::schedule_read(&self.pool, namespace, name).await.map_err(failure::to_error)?;
            let known = known.map(|(_, schedule)| schedule);
            let definition = convert::schedule_definition(wanted.clone(), anchor_of(known.as_ref(), now))?;
            if let Some(known) = known {
                if known.definition == definition {
                    return Ok((known, false));
                }
                let message = format!("there is a schedule `{name}` with another definition; update it, or delete it");
                return Err(Error::new(ErrorCode::NameTaken, message));
            }
            let next_at = first_tick(&definition.times, now)?;
            self.queues.ensure(&self.pool, namespace, &definition.task.queue).await?;
            let next_at = Some(next_at).filter(|_| !paused);
            let created =
                schedules::schedule_create(&self.pool, namespace, name, &creator, &definition, next_at, paused).await;
            match created.map_err(failure::to_error)? {
                ScheduleCreated::New => {
                    fault::reach(FaultPoint::CommandCommitted);
                    self.wakes.schedules_changed();
                    // Its queue can be new.
                    self.outdate_lists(namespace).await;
                    return Ok((self.schedule(namespace, name).await?.1, true));
                }
                ScheduleCreated::Known => {}
                ScheduleCreated::TooMany => {
                    let message = format!("the namespace has {} schedules; no more are allowed", limits::SCHEDULES_MAX);
                    return Err(Error::new(ErrorCode::Exhausted, message));
                }
            }
        }
        Err(busy(name))
    }

    /// Reads a schedule with its newest ticks.
    ///
    /// # Errors
    /// If there is none in this namespace.
    pub async fn get_schedule(&self, namespace: Namespace, name: &str) -> Result<Schedule> {
        let (id, schedule) = self.schedule(namespace, name).await?;
        let ticks = ticks::tick_list_newest(&self.pool, id, limits::TICKS_SHOWN).await.map_err(failure::to_error)?;
        Ok(Schedule { ticks, ..schedule })
    }

    /// One page of schedules by name, and the token of the next.
    ///
    /// # Errors
    /// If the page's size or token is wrong.
    pub async fn list_schedules(
        &self,
        namespace: Namespace,
        page_size: u32,
        page_token: &str,
    ) -> Result<(Vec<Schedule>, String)> {
        let size = limits::check_page_size(page_size, limits::PAGE_SIZE_DEFAULT, limits::PAGE_SIZE_MAX)?;
        if !page_token.is_empty() {
            limits::check_name("page_token", page_token)?;
        }
        let rows = schedules::schedule_list(&self.pool, namespace, page_token, i64::from(size) + 1).await;
        let mut page = rows.map_err(failure::to_error)?;
        let has_more = page.len() > size as usize;
        page.truncate(size as usize);
        let next = page.last().filter(|_| has_more).map(|schedule| schedule.name.clone());
        Ok((page, next.unwrap_or_default()))
    }

    /// Replaces what a schedule shall be. Where its times are other ones, it goes by them from now on; otherwise a tick
    /// that is due at this moment still comes.
    ///
    /// # Errors
    /// If there is none, it has another version, or something is wrong.
    pub async fn update_schedule(
        &self,
        namespace: Namespace,
        name: &str,
        wanted: v1::ScheduleDefinition,
        version: u32,
    ) -> Result<Schedule> {
        for _ in 0..TRIES_MAX {
            let (id, known) = self.schedule(namespace, name).await?;
            if version != 0 && version != known.version {
                let message = format!("the schedule has version {}; read it again and decide anew", known.version);
                return Err(Error::new(ErrorCode::VersionMismatch, message));
            }
            let now = self.clock().await?;
            let definition = convert::schedule_definition(wanted.clone(), anchor_of(Some(&known), now))?;
            if definition == known.definition {
                return Ok(known);
            }
            let next_at = if definition.times == known.definition.times {
                None
            } else {
                Some(Some(first_tick(&definition.times, now)?).filter(|_| !known.paused))
            };
            self.queues.ensure(&self.pool, namespace, &definition.task.queue).await?;
            let updated = schedules::schedule_update(&self.pool, id, known.version, &definition, next_at).await;
            if updated.map_err(failure::to_error)? {
                fault::reach(FaultPoint::CommandCommitted);
                self.wakes.schedules_changed();
                self.outdate_lists(namespace).await;
                return Ok(self.schedule(namespace, name).await?.1);
            }
        }
        Err(busy(name))
    }

    /// Deletes a schedule. Its tasks stay.
    ///
    /// # Errors
    /// If there is none.
    pub async fn delete_schedule(&self, namespace: Namespace, name: &str) -> Result<()> {
        limits::check_name("name", name)?;
        let deleted = schedules::schedule_delete(&self.pool, namespace, name).await.map_err(failure::to_error)?;
        fault::reach(FaultPoint::CommandCommitted);
        if deleted { Ok(()) } else { Err(not_found(name)) }
    }

    /// Pauses a schedule or lets it go on from now on. One that is so already stays as it is.
    ///
    /// # Errors
    /// If there is none.
    pub async fn set_schedule_paused(&self, namespace: Namespace, name: &str, paused: bool) -> Result<Schedule> {
        for _ in 0..TRIES_MAX {
            let (id, known) = self.schedule(namespace, name).await?;
            if known.paused == paused {
                return Ok(known);
            }
            let next_at = if paused { None } else { known.definition.times.next_after(self.clock().await?) };
            let changed = schedules::schedule_set_paused(&self.pool, id, known.version, paused, next_at).await;
            if changed.map_err(failure::to_error)? {
                fault::reach(FaultPoint::CommandCommitted);
                self.wakes.schedules_changed();
                return Ok(self.schedule(namespace, name).await?.1);
            }
        }
        Err(busy(name))
    }

    /// Makes a schedule's task now. Returns its id, and whether it is new.
    ///
    /// # Errors
    /// If there is no such schedule, or the id is taken by a task that is not of this schedule.
    pub async fn trigger_schedule(&self, namespace: Namespace, name: &str, task: Uuid) -> Result<(Uuid, bool)> {
        self.quotas.look(namespace).await;
        self.quotas.admit(namespace, 0)?;
        for _ in 0..TRIES_MAX {
            let (id, known) = self.schedule(namespace, name).await?;
            if ticks::tick_has_made(&self.pool, id, task).await.map_err(failure::to_error)? {
                self.outdate(namespace, &[task]).await;
                return Ok((task, false));
            }
            let tick = NewTick { at: None, kind: TickKind::ByHand, task };
            let order = Move {
                schedule: id,
                version: known.version.cast_signed(),
                next_at: known.next_at,
                then_at: known.next_at,
                ticks: vec![tick],
            };
            match ticks::tick_fire_batch(&self.pool, Mover::Person, &[order]).await {
                Ok(fired) => {
                    fault::reach(FaultPoint::CommandCommitted);
                    if !fired.made.is_empty() {
                        self.tell_made(fired);
                        self.outdate(namespace, &[task]).await;
                        return Ok((task, true));
                    }
                }
                Err(error) if error.as_database_error().is_some_and(|error| error.is_unique_violation()) => {
                    // Perhaps the same order, at another pod, at this moment.
                    if !ticks::tick_has_made(&self.pool, id, task).await.map_err(failure::to_error)? {
                        return Err(Error::new(ErrorCode::IdTaken, format!("the id {task} is taken by another task")));
                    }
                }
                Err(error) => return Err(failure::to_error(error)),
            }
        }
        Err(busy(name))
    }

    /// The next ticks of a schedule.
    ///
    /// # Errors
    /// If there is none, or too many are asked for.
    pub async fn next_times(&self, namespace: Namespace, name: &str, count: u32) -> Result<Vec<DateTime<Utc>>> {
        let count = convert::next_times_count(count)?;
        Ok(self.schedule(namespace, name).await?.1.next_times(count))
    }

    /// The ticks of times that are not saved.
    ///
    /// # Errors
    /// If something is wrong with them.
    pub async fn preview_schedule(&self, request: v1::PreviewScheduleRequest) -> Result<Vec<DateTime<Utc>>> {
        let count = convert::next_times_count(request.count)?;
        let after = match request.after_time {
            Some(after) => convert::timestamp("after_time", after)?,
            None => self.clock().await?,
        };
        Ok(convert::schedule_times(request.times.unwrap_or_default(), after)?.list_after(after, count))
    }

    /// Tells of ticks and the tasks that they have made.
    pub fn tell_made(&self, fired: ticks::Fired) {
        self.metrics.created(fired.made.len());
        fired.ticks.iter().for_each(|kind| self.metrics.ticked(*kind));
        self.wakes.ready(fired.ready);
        if let Some(earliest) = fired.scheduled.into_values().min() {
            self.wakes.scheduled(earliest);
        }
    }

    /// The database's clock: a process whose own is wrong gives no schedule a wrong time.
    async fn clock(&self) -> Result<DateTime<Utc>> {
        schedules::clock_read(&self.pool).await.map_err(failure::to_error)
    }

    async fn schedule(&self, namespace: Namespace, name: &str) -> Result<(i64, Schedule)> {
        limits::check_name("name", name)?;
        let known = schedules::schedule_read(&self.pool, namespace, name).await.map_err(failure::to_error)?;
        known.ok_or_else(|| not_found(name))
    }
}

/// The anchor of an interval that names none: the one that it has, or now.
fn anchor_of(known: Option<&Schedule>, now: DateTime<Utc>) -> DateTime<Utc> {
    match known.map(|schedule| &schedule.definition) {
        Some(Definition { times: Times { when: When::Every { anchor_at, .. }, .. }, .. }) => *anchor_at,
        _ => now,
    }
}

fn first_tick(times: &Times, now: DateTime<Utc>) -> Result<DateTime<Utc>> {
    times.next_after(now).ok_or_else(|| match times.when {
        When::Once(at) if at <= now => Error::invalid("times.once_time", format!("is {at}, which has passed")),
        When::Once(_) => Error::invalid("times.once_time", "does not lie between start_time and end_time"),
        _ => Error::invalid("times.end_time", "comes before the first tick"),
    })
}

fn not_found(name: &str) -> Error {
    Error::new(ErrorCode::ScheduleNotFound, format!("there is no schedule `{name}`"))
}

fn busy(name: &str) -> Error {
    Error::unavailable(format!("schedule `{name}` changes too fast; try again"))
}
