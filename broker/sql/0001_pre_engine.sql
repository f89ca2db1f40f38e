-- The engine's state. Tables are named without a schema: migrations and the engine run with search_path set to the namespace.
-- Lock order wherever two of these are locked in one transaction: worker, run (by id), outbox, delivery, limits.

-- The one source of time for everything that is compared or due. Tests replace it to move time.
create function clock() returns timestamptz language sql volatile as 'select clock_timestamp()';

create table worker (
    id           uuid primary key,
    name         text not null,
    lock_key     bigint not null,
    version      text not null,
    started_at   timestamptz not null,
    heartbeat_at timestamptz not null,
    live         uuid[] not null default '{}'
) with (fillfactor = 30);

-- One row per (event, actor). No index mentions a column that a normal completion changes, so completions are HOT updates; over half a
-- page is kept free, because a batch of completions finds none of its own old versions pruned yet and a new version is larger (22 of 50 were HOT at 70, 47 at 50).
create table run (
    id             uuid primary key,
    event_id       text not null,
    event_source   text not null,
    actor          text not null,
    event_type     text not null,
    event_version  integer not null,
    event_time     timestamptz not null,
    event          jsonb not null,
    digest         bytea not null,
    subject        text,
    correlation_id text not null,
    causation_id   text,
    traceparent    text,
    tracestate     text,
    pipeline       text,
    claim          uuid not null,  -- token of the claim or resume that runs it: an unanswered commit is recognised by it
    record         uuid,           -- token of the last record, for the same reason
    created_at     timestamptz not null,
    status         text not null check (status in ('queued', 'running', 'waiting', 'retrying', 'completed', 'skipped',
                                                   'folded', 'failed', 'cancelled')),
    attempt        integer not null,
    crashes        integer not null default 0,
    rerun          integer not null default 0,
    fence          bigint not null,
    worker         uuid,
    wake           uuid,
    due_at         timestamptz,
    sends          integer not null default 0,
    swept_by       uuid,           -- the worker whose sweep sent the last wake-up: if it dies, that one may never have left
    reserved_at    timestamptz,
    reason         text,
    started_at     timestamptz,
    finished_at    timestamptz,
    result         jsonb
) with (fillfactor = 45, autovacuum_vacuum_scale_factor = 0.05);
create unique index run_claim on run (event_id, event_source, actor);     -- claim; `why <event id>`
create index run_due on run (due_at) where due_at is not null;           -- the sweep's timers
create index run_correlation on run (correlation_id);                    -- one story: `runs show`, traces

-- Durable parts of a run. `failing` rows belong to steps with retries of their own; `waiting` to sleeps.
create table step (
    run_id      uuid not null references run (id) on delete cascade,
    name        text not null,
    occurrence  integer not null,
    status      text not null check (status in ('done', 'failing', 'failed', 'waiting')),
    tries       integer not null default 1,
    due_at      timestamptz,
    result      jsonb,
    error       text,
    attempt     integer not null,
    started_at  timestamptz not null,
    finished_at timestamptz not null,
    primary key (run_id, name, occurrence)
);

-- Failed attempts only; append-only.
create table attempt (
    id         bigint generated always as identity primary key,
    run_id     uuid not null references run (id) on delete cascade,
    rerun      integer not null,
    attempt    integer not null,
    failed_at  timestamptz not null,
    kind       text not null,
    error      text not null,
    trace      text,
    step       text,
    delay      interval
);
create index attempt_run on attempt (run_id);                            -- `runs show`

-- Messages that left a commit and are not yet confirmed, and those that are not yet due.
create table outbox (
    id           uuid primary key,
    routing_key  text not null,
    direct       boolean not null default false,
    body         bytea not null,
    headers      jsonb not null,
    content_type text not null,
    created_at   timestamptz not null,
    send_at      timestamptz not null,
    held_by      uuid
) with (autovacuum_vacuum_scale_factor = 0.05);
create index outbox_due on outbox (send_at);                             -- the sweep
create index outbox_held on outbox (held_by) where held_by is not null;  -- takeover of a dead worker's rows

-- Everything we stopped trying, until someone replays or discards it.
create table dead_letter (
    id           uuid primary key,
    created_at   timestamptz not null,
    reason       text not null,
    queue        text,
    actor        text,
    run_id       uuid,
    rerun        integer not null default 0,
    event_id     text,
    event_source text,
    event_type   text,
    field        text,
    step         text,
    error        text not null,
    attempts     jsonb not null default '[]',
    event        jsonb,
    body         bytea,
    headers      jsonb,
    content_type text,
    trace_id     text,
    settled_at   timestamptz,
    settled_as   text check (settled_as in ('replayed', 'discarded'))
);
create index dead_letter_open on dead_letter (created_at) where settled_at is null;  -- `dead list`
create index dead_letter_run on dead_letter (run_id) where run_id is not null;       -- `runs show`
create index dead_letter_event on dead_letter (event_id) where event_id is not null; -- `why <event id>`

-- Who hears what, written at boot. The `postgres` transport routes by it; `rabbitmq` finds stale bindings with it.
create table binding (
    event_type text not null,
    queue      text not null,
    primary key (event_type, queue)
);

-- The queues of the `postgres` transport.
create table delivery (
    id           bigint generated always as identity primary key,
    queue        text not null,
    body         bytea not null,
    headers      jsonb not null,
    content_type text not null,
    created_at   timestamptz not null default clock_timestamp(),
    redelivered  boolean not null default false,
    held_by      uuid
) with (autovacuum_vacuum_scale_factor = 0.02);
create index delivery_ready on delivery (queue, id) where held_by is null;          -- fetch
create index delivery_held on delivery (held_by) where held_by is not null;         -- takeover

-- Flow control.
create table limit_idempotency (
    actor      text not null,
    key        text not null,
    run_id     uuid not null,
    expires_at timestamptz not null,
    keep       boolean not null,
    primary key (actor, key)
);
create index limit_idempotency_run on limit_idempotency (run_id);                    -- release on a dead letter
create table limit_throttle (
    actor   text not null,
    key     text not null,
    next_at timestamptz not null,
    primary key (actor, key)
);
