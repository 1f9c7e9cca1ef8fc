-- Full-text search, and lists by label and creator: tables of their own, which one reader of the event order fills.
-- Neither creates nor changes of state write here.
--
-- Both extensions are trusted: who may create objects in this database may create them. They come with PostgreSQL and
-- with every managed one. They are left alone if they are there.

create extension if not exists unaccent;
create extension if not exists pg_trgm;

-- Russian and English in one index: the built-in configuration stems ASCII words as English and others as Russian.
-- Without accents, so that `ё` and `е`, `café` and `cafe` are the same.
create text search configuration tasks.search (copy = pg_catalog.russian);
alter text search configuration tasks.search alter mapping for hword, hword_part, word with unaccent, russian_stem;

-- The same without stems and stop words: words as they are written.
create text search configuration tasks.search_plain (copy = pg_catalog.simple);
alter text search configuration tasks.search_plain alter mapping for hword, hword_part, word with unaccent, simple;

-- Where the reader stands. One row, which fences: each step locks it at the place that it started from, and moves it
-- together with all that it writes.
create table tasks.search_reader (
    one boolean primary key default true check (one),
    -- the last event that was taken in
    epoch integer not null,
    xact bigint not null,
    seq bigint not null,
    -- the documents are gone through up to here; null once they are through
    fill_namespace integer,
    fill_id uuid,
    -- raised by every new fill, so that a step of an earlier one is refused
    fill integer not null,
    -- false until the first fill is through: until then the index lacks tasks
    is_whole boolean not null,
    filled bigint not null default 0
) with (fillfactor = 20);

-- The fill begins with the first step, which also sets the position that the events are read from.
insert into tasks.search_reader (epoch, xact, seq, fill_namespace, fill_id, fill, is_whole)
values (-1, 0, 0, -2147483648, '00000000-0000-0000-0000-000000000000', 0, false);

-- How many tasks of a namespace were numbered so far.
create table tasks.search_namespaces (
    namespace integer primary key,
    numbered bigint not null
) with (fillfactor = 50);

-- One row for each task. `words` holds, besides the words of title (weight A), labels (B) and description (D), what
-- lists are filtered by: these begin with `#`, which no word does.
create table tasks.search (
    namespace integer not null,
    id uuid not null,
    -- counts the namespace's tasks in the order in which they came, so that a part of them can be searched
    number bigint not null,
    creator text collate "C" not null,
    words tsvector not null,
    primary key (namespace, id)
) partition by range (id);

-- The pending list is small: what is in it is read by every search.
create index search_words on tasks.search using gin (words) with (gin_pending_list_limit = 512);
create index search_creator on tasks.search (namespace, creator, id) where creator <> '';

create table tasks.search_labels (
    namespace integer not null,
    key text collate "C" not null,
    value text collate "C" not null,
    id uuid not null,
    primary key (namespace, key, value, id)
) partition by range (id);

create index search_labels_task on tasks.search_labels (namespace, id);

-- The words of a namespace as they are written: for the beginnings of words, and for words that nobody wrote. `tasks`
-- counts about how many tasks have it.
create table tasks.search_dictionary (
    namespace integer not null,
    word text collate "C" not null,
    tasks integer not null,
    primary key (namespace, word)
) with (fillfactor = 70);

create index search_dictionary_similar on tasks.search_dictionary using gin (word gin_trgm_ops);

-- Tasks that could not be indexed, where the reader was told of them, and why. It goes on behind them; one that is
-- indexed after all is no longer here.
create table tasks.search_parked (
    namespace integer not null,
    task_id uuid not null,
    epoch integer not null,
    xact bigint not null,
    seq bigint not null,
    parked_at timestamptz not null default now(),
    error text not null,
    primary key (namespace, task_id)
);
