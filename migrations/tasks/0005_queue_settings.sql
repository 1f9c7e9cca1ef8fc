-- Raised by every change of a queue's settings. A start is refused while the leader has read an older one: so a limit or
-- pause holds from its commit on, whether the leader has been told of it or not.
alter table tasks.leader add column settings bigint not null default 0;
