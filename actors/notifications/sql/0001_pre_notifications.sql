-- What users are told.

create table notification (
    id         uuid primary key,  -- the run's id, so that a replay tells nobody twice
    user_id    text not null,
    title      text not null,
    message    text not null,
    type       text not null check (type in ('info', 'success', 'warning', 'error')),
    read       boolean not null default false,
    created_at timestamptz not null default clock_timestamp()
);
create index notification_unread on notification (user_id, created_at) where not read;  -- the bell: a user's unread, newest first
create index notification_user on notification (user_id, created_at);                   -- a user's list, newest first
