-- Upgrades: which post migrations a worker knows, and since when a run waits for newer code.

-- The rooms it has loaded, and the post migrations in them. A worker that has a room but not one of its post migrations is older.
alter table worker add column knows text[] not null default '{}';

-- Since when workers take this run up and cannot read its event, whose type or version they do not know.
alter table run add column unread_since timestamptz;
