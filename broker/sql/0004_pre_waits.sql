-- Durable waits: events that somebody waits for, and what each run waits for.
-- Lock order, where these are locked: worker, runs (by id), advisory locks of awaited keys, events, steps that wait (by run, name,
-- occurrence), outbox, delivery, limits. Whoever settles a wait locks its step and never waits for its run.

-- Events of the types that some actor waits for, kept for the look-back. A second copy of one changes nothing.
create table event (
    id             text not null,
    source         text not null,
    position       bigint generated always as identity,
    type           text not null,
    version        integer not null,
    time           timestamptz not null,
    correlation_id text not null,
    recorded_at    timestamptz not null,
    data           jsonb not null,
    keys           text[] not null,    -- `path=value` of each plain field
    primary key (id, source)
) with (autovacuum_vacuum_scale_factor = 0.05);
create index event_recorded on event (type, recorded_at);                -- a wait without a key looks back
create index event_keys on event using gin (keys);                       -- a wait with one looks back
create index event_age on event (recorded_at);                           -- retention

-- One thing that a step waits for: an event, an invoked run, a time. The rows of a step are its members: what has come, what is
-- still open, what is not sent yet. They are counted, never a counter.
create table wait (
    run_id       uuid not null,
    name         text not null,
    occurrence   integer not null,
    place        integer not null,
    kind         text not null check (kind in ('event', 'child', 'timer')),
    what         text not null,                                          -- event type, or actor
    match_key    text not null,                                          -- `path=value`, or the id of the child's event
    also         text[] not null,                                        -- further keys that must match
    needs_all    boolean not null,
    due_at       timestamptz,
    state        text not null check (state in ('held', 'open', 'settled')),
    outcome      jsonb,
    message_id   uuid,                                                   -- of a child that is held back: its message
    queue        text,
    body         bytea,
    headers      jsonb,
    primary key (run_id, name, occurrence, place),
    foreign key (run_id, name, occurrence) references step on delete cascade
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
create index wait_event on wait (what, match_key) where kind = 'event' and state = 'open';         -- the recorder
create index wait_child on wait (match_key) where kind = 'child' and state <> 'settled';           -- the end of a child
create index wait_unsettled on wait (run_id, name, occurrence, state, place) where state <> 'settled'; -- is it over, who is next
