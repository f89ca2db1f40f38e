-- Schedules and their ticks. Lock order: schedule (one a transaction), then outbox.

-- One row per declared schedule. What an operator edits stands beside what the code declares and wins until it is reset.
create table schedule (
    name              text primary key,
    app               text not null,         -- the package that declares it; only those who load it may retire it
    event_type        text not null,
    expression        text not null,
    timezone          text not null,
    missed            text not null check (missed in ('skip', 'one', 'all')),
    grace             interval not null,
    max_age           interval,
    catch_up          integer not null,
    edited_expression text,
    edited_timezone   text,
    edited_missed     text check (edited_missed in ('skip', 'one', 'all')),
    edited_at         timestamptz,
    declared_at       timestamptz not null,  -- since when it is declared so
    next_at           timestamptz not null,  -- the first slot that has no tick
    paused_at         timestamptz,
    retired_at        timestamptz,
    error             text,                  -- why the slot at next_at could not be published
    error_at          timestamptz
);
create index schedule_due on schedule (next_at) where paused_at is null and retired_at is null;  -- the sweep

-- One row per slot that was decided, written in the commit that its event leaves with: this key is why a slot has one event.
create table schedule_tick (
    schedule text not null,
    slot     timestamptz not null,
    kind     text not null check (kind in ('due', 'late', 'skipped', 'triggered')),
    event_id text,                           -- null for skipped ones
    missed   integer not null default 0,     -- earlier slots that were let go with this one
    at       timestamptz not null,
    primary key (schedule, slot)
);
create index schedule_tick_at on schedule_tick (at);                                               -- retention
create index schedule_tick_event on schedule_tick (event_id) where event_id is not null;           -- which tick an event came from
