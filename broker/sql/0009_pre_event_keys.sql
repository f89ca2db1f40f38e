-- Who may publish over HTTP. The secret itself is kept nowhere: 256 random bits are found by their digest.
create table event_key (
    id         uuid primary key,
    name       text not null,
    digest     bytea not null,
    types      text[] not null,     -- patterns of event types; one that fits is enough
    sources    text[] not null,     -- patterns of CloudEvents sources
    rate       real,                -- events a second, for each `callboard web`; null: as many as come
    created_at timestamptz not null,
    created_by text not null,
    used_at    timestamptz,         -- to the minute
    ends_at    timestamptz          -- revoked, or the end of the time that a rotation leaves
);
create unique index event_key_digest on event_key (digest);  -- each request
