-- Pages, what was found on them, and what to do about it.

create table page (
    id               uuid primary key,
    user_id          text not null,
    project_id       uuid,
    url              text not null,
    status           text not null default 'pending' check (status in ('pending', 'completed', 'failed')),
    reason           text,            -- why it failed
    html_length      integer,
    title            text,
    meta_description text,
    meta_keywords    text,
    canonical        text,
    robots           text,
    headings         jsonb not null default '[]',
    images           jsonb not null default '[]',
    links            jsonb not null default '[]',
    scanned_at       timestamptz,     -- the last scan that succeeded
    created_at       timestamptz not null default clock_timestamp()
);
create index page_user on page (user_id, created_at);                                -- a user's pages, newest first
create index page_project on page (project_id, status) where project_id is not null; -- how far a batch is

-- What an analysis asks for. Places in braces are filled from the facts of the page.
create table prompt_template (
    id         bigint generated always as identity primary key,
    name       text not null unique,
    content    text not null check (content <> ''),
    active     boolean not null default false,
    created_at timestamptz not null default clock_timestamp()
);
create unique index prompt_template_active on prompt_template (active) where active; -- at most one; fetch-prompt

insert into prompt_template (name, content, active)
values (
    'default',
    'Say how to improve the search engine optimisation of the page at {url}. Its title is: {title}. Its meta description is: '
    '{meta_description}. It has {word_count} words, {heading_count} headings, {image_count} images, {images_without_alt} of them '
    'without an alt text, and {link_count} links. Name the five to ten changes that matter most.',
    true
);

-- The id follows from page and key, so that saving twice is saving once.
create table recommendation (
    id          uuid primary key,
    page_id     uuid not null references page (id) on delete cascade,
    key         text not null,
    title       text not null,
    description text not null,
    priority    text not null check (priority in ('high', 'medium', 'low')),
    category    text not null,
    created_at  timestamptz not null default clock_timestamp(),
    unique (page_id, key)                                            -- a page's recommendations; save, cascade
);
