-- What tasks said while they ran, a line each.

create table log (
    id     bigint generated always as identity primary key,
    run_id uuid not null,
    level  text not null check (level in ('info', 'error')),
    line   text not null,
    at     timestamptz not null default clock_timestamp()
);
create index log_run on log (run_id, id);   -- the log of a run
