-- Publishing from SQL, in the caller's own transaction: for services in any language that share this database. A rollback means no event;
-- the same (source, id) a second time changes nothing. Nothing is validated here: what does not fit its type is parked by its claim.
create function publish(type text, data jsonb, id text default gen_random_uuid()::text, source text default 'sql')
returns text language plpgsql set search_path from current as $$
begin
    if publish.type !~ '^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$' or length(publish.type) > 255 then
        raise exception 'type: must be dotted lower snake_case, like page.scan.requested' using errcode = '22023';
    end if;
    if jsonb_typeof(publish.data) is distinct from 'object' then
        raise exception 'data: must be a JSON object' using errcode = '22023';
    end if;
    if octet_length(publish.id) not between 1 and 255 or octet_length(publish.source) not between 1 and 255 then
        raise exception 'id, source: must be 1 to 255 bytes' using errcode = '22023';
    end if;
    insert into outbox (id, routing_key, body, headers, content_type, created_at, send_at)
    values (md5(publish.source || chr(31) || publish.id)::uuid, publish.type, convert_to(publish.data::text, 'utf8'),
            jsonb_build_object(
                'cloudEvents_specversion', '1.0', 'cloudEvents_id', publish.id, 'cloudEvents_source', publish.source,
                'cloudEvents_type', publish.type, 'cloudEvents_correlationid', publish.id, 'cloudEvents_schemaversion', '1',
                'cloudEvents_time', to_char(clock() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"')),
            'application/json', clock(), clock())
    on conflict do nothing;
    return publish.id;
end $$;
