-- Actors and pipelines that a person has paused, and the runs that wait for that to end.
-- Lock order: `pause` rows are shared by whoever lets a run wait for one, after its runs; lifting a pause waits for them.

create table pause (
    kind      text not null check (kind in ('actor', 'pipeline')),
    name      text not null,
    by        text not null,
    at        timestamptz not null,
    reason    text,
    lifted_at timestamptz,    -- nothing waits for it any more; the sweep wakes those that did, then removes the row
    primary key (kind, name)
);

create table pause_run (
    run_id   uuid primary key,
    kind     text not null,
    name     text not null,
    position bigint generated always as identity
);
create index pause_run_line on pause_run (kind, name, position);  -- who is woken first; `why`
