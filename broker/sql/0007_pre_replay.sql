-- Who settled a dead letter, and what it was replayed with where that was edited: the letter keeps the original.

alter table dead_letter
    add column settled_by text,
    add column edited     jsonb;

-- How long the whole run may take: a replay gets all of it again.
alter table run add column deadline interval;

-- What people did, append-only.
create table audit (
    id      bigint generated always as identity primary key,
    at      timestamptz not null,
    who     text not null,
    what    text not null,
    target  text not null,
    details jsonb not null default '{}'
);
create index audit_target on audit (target);  -- `runs show`
