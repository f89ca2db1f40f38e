-- Flow control: starts that are still to be asked for, deadlines of whole runs, slots, start logs.

alter table run
    add column starting    boolean not null default false,  -- its next wake-up is a start: the doors have postponed it
    add column deadline_at timestamptz,                     -- past this the run is given up, whatever it does
    add column parent_id   uuid;                            -- the run that invoked it

create index run_parent on run (parent_id) where parent_id is not null;  -- cancel: its children

-- A key of a concurrency limit. Every change of its slots is made while this row is locked.
create table limit_concurrency (
    scope text not null,
    key   text not null,
    cap   integer,
    primary key (scope, key)
);

-- A run that has a slot of its key (`granted`: its wake-up is on the way), or waits for one.
create table limit_slot (
    run_id   uuid not null primary key,
    scope    text not null,
    key      text not null,
    position bigint generated always as identity,
    priority integer not null,
    state    text not null check (state in ('waiting', 'granted', 'running')),
    ordered  boolean not null,
    queue    text not null,
    wake     uuid not null,
    since    timestamptz not null
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
create index limit_slot_waiting on limit_slot (scope, key, priority desc, position) where state = 'waiting';  -- who is next
create index limit_slot_held on limit_slot (scope, key) where state <> 'waiting';                             -- how many are taken

-- The last starts of a key, oldest first, at most as many as its rate limit allows.
create table limit_rate (
    actor  text not null,
    key    text not null,
    starts timestamptz[] not null,
    primary key (actor, key)
);

-- The live run of a key.
create table limit_singleton (
    actor  text not null,
    key    text not null,
    run_id uuid not null,
    primary key (actor, key)
);
create index limit_singleton_run on limit_singleton (run_id);
