-- What a buyer was offered after an order, once each.

create table song_offer (
    order_id   uuid primary key references song_order (id) on delete cascade,
    genres     text[] not null,
    created_at timestamptz not null default clock_timestamp()
);
alter table song_offer enable row level security;
create policy own_offers on song_offer for select
    using (exists (select from song_order where song_order.id = order_id));  -- which shows a user only the own ones
