-- Paid orders of personal songs, and the variants made of each.

create table song_order (
    id                uuid primary key,
    stripe_session_id text not null unique,  -- accept: one payment, one order
    user_id           text,
    customization     jsonb not null,
    status            text not null check (status in ('accepted', 'generating', 'completed', 'failed')),
    reason            text,                  -- why it failed
    accepted_at       timestamptz,           -- null where accepting it was given up
    finished_at       timestamptz,
    created_at        timestamptz not null default clock_timestamp()
);
create index song_order_user on song_order (user_id, created_at) where user_id is not null;  -- a user's orders; the policies below

create table song_variant (
    order_id   uuid not null references song_order (id) on delete cascade,
    number     integer not null check (number between 1 and 20),
    status     text not null default 'pending' check (status in ('pending', 'generating', 'complete', 'failed')),
    url        text,
    error      text,
    updated_at timestamptz not null default clock_timestamp(),
    primary key (order_id, number)           -- an order's variants
);

-- A role that is not the owner (the web's: `grant usage on schema orders to …; grant select on all tables in schema orders to …`)
-- reads the rows of the user that it names with `set local callboard.user_id = …`, and none without. The engine owns the tables,
-- so it sees all.
alter table song_order enable row level security;
create policy own_orders on song_order for select
    using (user_id = current_setting('callboard.user_id', true));
alter table song_variant enable row level security;
create policy own_variants on song_variant for select
    using (exists (select from song_order where song_order.id = order_id));  -- which shows a user only the own ones
