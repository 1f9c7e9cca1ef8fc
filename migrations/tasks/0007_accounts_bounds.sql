-- What keeps accounts within their bounds.

-- Volatile, so that it sees what was committed while the statement that calls it waited for a row.
create function tasks.namespaces_owned(owner uuid) returns bigint
language sql volatile
as $$
    select count(*)
    from tasks.members m
    join tasks.namespaces n on n.id = m.namespace
    where m.user_id = $1 and n.owner = $1 and not n.is_personal
$$;

create index refresh_tokens_replaced on tasks.refresh_tokens (replaced_at) where replaced_at is not null;
