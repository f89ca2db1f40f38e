-- What worker processes have counted since they started: a row each, rewritten every few seconds. Those of processes that are gone
-- are added up in the row of the id zero, so that no counter ever falls.
create table worker_metrics (
    worker uuid primary key,
    at     timestamptz not null,
    counts jsonb not null
) with (fillfactor = 30);
