-- Messages of clients, and what is counted of them.

create table message (
    id          uuid primary key,
    client_id   text not null,
    folder      text not null,
    read_at     timestamptz,
    received_at timestamptz not null default clock_timestamp()
);
create index message_client on message (client_id, folder);      -- a recompute

-- `changed` grows with every change, `counted` is the change up to which the counts are right: a client is dirty while they differ.
create table client (
    client_id  text primary key,
    changed    bigint not null default 0,
    counted    bigint not null default 0,
    version    bigint not null default 0,                        -- of its counts; whoever has cached them asks for this only
    changed_at timestamptz
);
create index client_dirty on client (changed_at) where changed > counted;  -- the sweep

create table count (
    client_id text not null references client (client_id) on delete cascade,
    folder    text not null,
    total     bigint not null,
    unread    bigint not null,
    primary key (client_id, folder)
);

create table aggregate (
    client_id    text primary key,
    version      bigint not null,
    messages     bigint not null,
    unread       bigint not null,
    oldest_at    timestamptz,
    refreshed_at timestamptz not null
);

-- The newest run of each job of a client: its status is the run's own.
create table job (
    client_id text not null,
    job       text not null,
    run_id    uuid not null,
    primary key (client_id, job)
);
