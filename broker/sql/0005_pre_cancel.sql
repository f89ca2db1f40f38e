-- Cancelled runs that somebody has still to hear of, and the events that cancel a run.
-- Lock order: both come after the runs and steps, and before outbox and limits. A `cancel_watch` row that another transaction
-- holds is never waited for: the sweep finds it.

-- One row a cancelled run that was being performed, or has invoked others; gone once all of them know.
create table cancellation (
    run_id  uuid primary key,
    worker  uuid,                 -- who was performing it: its keeper stops the body
    fence   bigint not null,      -- under which it was performed
    by      text not null,
    at      timestamptz not null,
    horizon xid8                  -- whatever began before this and is over has shown its children
);
create index cancellation_worker on cancellation (worker) where worker is not null;            -- each keeper

-- What cancels a live run: an event of this type with these keys, as in `wait`.
create table cancel_watch (
    run_id    uuid not null,
    place     integer not null,
    what      text not null,
    match_key text not null,
    also      text[] not null,
    heard_at  timestamptz,        -- it has come: the sweep cancels the run
    primary key (run_id, place)
) with (autovacuum_vacuum_scale_factor = 0.05);
create index cancel_watch_key on cancel_watch (what, match_key) where heard_at is null;        -- the recorder
create index cancel_watch_heard on cancel_watch (heard_at) where heard_at is not null;         -- the sweep
