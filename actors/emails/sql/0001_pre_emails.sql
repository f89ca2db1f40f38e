-- Orders of a store, as far as letters tell of them, and a log of every letter.

create table purchase (
    order_id       text primary key,
    customer_email text not null,
    customer_name  text,
    currency       text not null check (currency ~ '^[A-Z]{3}$'),
    status         text not null check (status in ('processing', 'fulfilled', 'refunded')),
    fulfilled_at   timestamptz,              -- its confirmation was sent
    refunded_at    timestamptz,
    created_at     timestamptz not null default clock_timestamp()
);

create table purchase_item (
    order_id    text not null references purchase (order_id) on delete cascade,
    position    integer not null,
    product     text not null,
    quantity    integer not null check (quantity > 0),
    price_cents integer not null check (price_cents >= 0),
    primary key (order_id, position)         -- an order's items
);

-- One row a letter, whatever its attempts: `select * from emails.email_log where status = 'failed' order by created_at desc`.
create table email_log (
    run_id     uuid primary key,             -- each step of its run; `callboard runs show`
    kind       text not null,
    about      text not null,                -- the order or user
    recipient  text not null,
    status     text not null check (status in ('pending', 'sent', 'failed')),
    provider   text,
    message_id text,
    error      text,
    created_at timestamptz not null,
    ended_at   timestamptz
);
create index email_log_status on email_log (status, created_at);   -- what failed, newest first
create index email_log_about on email_log (about, created_at);     -- why an order's letter did not come
