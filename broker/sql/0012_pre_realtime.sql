-- What runs broadcast to those who listen, and the deliveries of webhooks that were taken.

-- A row leaves with the run's commit and is kept for an hour or so, so that a listener who comes back misses nothing.
-- `position` is given after that commit, by whoever reads, one reader at a time: ids of a sequence are taken before a commit,
-- so a reader that follows them would miss what commits late.
create table broadcast (
    id         bigint generated always as identity primary key,
    channel    text not null,
    name       text not null,
    data       jsonb not null,
    run_id     uuid not null,
    rerun      integer not null,
    place      integer not null,   -- the n-th broadcast of that run
    created_at timestamptz not null,
    position   bigint,
    unique (run_id, rerun, place)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
create sequence broadcast_position;
create index broadcast_new on broadcast (id) where position is null;                -- giving positions
create unique index broadcast_read on broadcast (position);                         -- what is new, for all listeners
create index broadcast_channel on broadcast (channel, position);                    -- what one listener has missed
create index broadcast_age on broadcast (created_at);                               -- retention

-- A provider delivers at least once: the first of a delivery's id publishes, the others find this row.
create table webhook_delivery (
    webhook     text not null,
    id          text not null,
    topic       text not null,
    shop_id     text,
    received_at timestamptz not null,
    mapped      boolean not null,   -- false: nobody wanted this topic, it left as webhook.received
    problem     text,               -- why the mapping failed
    types       text[] not null,
    events      text[] not null,    -- ids
    primary key (webhook, id)
);
create index webhook_delivery_age on webhook_delivery (received_at);                 -- retention; `callboard webhooks`
