-- What a person has asked to be forgotten: the run stays as a fact, its payload and all that came of it is gone.

alter table run add column erased_at timestamptz;
create index run_subject on run (subject) where subject is not null;    -- erasing what is about somebody
