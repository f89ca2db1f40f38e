-- One run for many events: what is folded into a run that gathers, and until when it does.

-- The run that does this one's work. Set once, by the claim, so completions stay HOT.
alter table run add column folded_into uuid;
create index run_folded on run (folded_into, id) where folded_into is not null;  -- the events of a run that has gathered

-- A key of a debounce or batch. Folding and starting are done while this row is locked; `run_id` is the run that gathers.
create table limit_fold (
    actor    text not null,
    key      text not null,
    run_id   uuid,
    first_at timestamptz,
    due_at   timestamptz,
    members  integer not null default 0,
    primary key (actor, key)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);
create index limit_fold_run on limit_fold (run_id) where run_id is not null;     -- `why`
