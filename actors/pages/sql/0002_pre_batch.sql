-- Batches of pages: who is in them, and what became of each. Counts are made of members, never kept.

create table batch (
    id          uuid primary key,
    project_id  uuid not null,
    user_id     text not null,
    started_at  timestamptz not null,
    finished_at timestamptz
);
create index batch_project on batch (project_id, started_at);  -- a project's batches, newest first

create table batch_page (
    batch_id uuid not null references batch (id) on delete cascade,
    page_id  uuid not null,
    outcome  text check (outcome in ('completed', 'failed')),   -- null: not over
    primary key (batch_id, page_id)
);
