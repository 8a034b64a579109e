-- The tables of a log. They are made when a node starts. This file can be run again.

-- Two nodes may start at the same time. The lock is released at the end of the transaction.
SELECT pg_advisory_xact_lock(hashtext('sse_log'));

-- One row: the identity of the log. Appends lock it.
CREATE TABLE IF NOT EXISTS sse_log (
    identity bytea NOT NULL DEFAULT uuid_send(gen_random_uuid())
);

-- One row for each position. Numbers have no gap. The first row is the position before the oldest
-- entry. A row without a topic is a position whose entry was removed.
CREATE TABLE IF NOT EXISTS sse_entries (
    number      bigint PRIMARY KEY,
    -- After the end of the log was lost, its numbers are given again, with other fingerprints.
    fingerprint bigint NOT NULL DEFAULT floor(random() * 4294967296),
    append_id   bytea UNIQUE,
    topic       text COLLATE "C",
    key         bytea, -- A `text` cannot contain U+0000. A key can.
    kind        text NOT NULL DEFAULT 'event',
    fields      text NOT NULL DEFAULT '[]', -- JSON: pairs of a name and a value.
    data        bytea NOT NULL DEFAULT '',
    appended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at  timestamptz
);
CREATE INDEX IF NOT EXISTS sse_topics ON sse_entries (topic, number);
-- PostgreSQL refuses a key that is too long for an index: above about 2,700 bytes.
CREATE INDEX IF NOT EXISTS sse_keys ON sse_entries (topic, key, number DESC) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS sse_ends ON sse_entries (topic, number DESC) WHERE kind = 'end';

-- A log that was emptied is another log. It begins with the position `START`.
DELETE FROM sse_log WHERE NOT EXISTS (SELECT FROM sse_entries);
INSERT INTO sse_log SELECT WHERE NOT EXISTS (SELECT FROM sse_log);
INSERT INTO sse_entries (number, fingerprint) SELECT 0, 0 WHERE NOT EXISTS (SELECT FROM sse_entries);

-- Removes the entries up to a number. The last of them stays as a position.
CREATE OR REPLACE FUNCTION sse_trim(upto bigint) RETURNS void LANGUAGE sql AS $$
    DELETE FROM sse_entries WHERE number < upto;
    UPDATE sse_entries SET topic = NULL, key = NULL, fields = '[]', data = ''
        WHERE number = upto AND topic IS NOT NULL;
$$;

-- Appends entries and returns their positions. A function is one round trip, so no node holds the
-- lock while it waits for the network.
CREATE OR REPLACE FUNCTION sse_append(
    append_ids bytea[], topics text[], keys bytea[], kinds text[], all_fields text[], datas bytea[],
    ttls float8[], max_entries bigint
) RETURNS TABLE (at_number bigint, at_fingerprint bigint) LANGUAGE plpgsql AS $$
DECLARE newest bigint;
BEGIN
    -- The lock is held until the commit. So the next append gets higher numbers than this one, and
    -- its entries become visible later. A sequence would not do: it gives a number at once, and the
    -- transaction with the higher number may commit first.
    PERFORM FROM sse_log FOR UPDATE;
    -- Each statement of this function sees what was committed before the statement, so this one sees
    -- the entries of the append that held the lock before. (With `READ COMMITTED`, the default. With
    -- another isolation, the primary key makes an error of it.)
    SELECT max(number) INTO STRICT newest FROM sse_entries;
    INSERT INTO sse_entries (number, append_id, topic, key, kind, fields, data, expires_at)
        SELECT newest + row_number() OVER (ORDER BY place), append_id, topic, key, kind, fields, data,
            clock_timestamp() + ttl * interval '1 second'
        FROM (
            SELECT DISTINCT ON (append_id) *
            FROM unnest(append_ids, topics, keys, kinds, all_fields, datas, ttls) WITH ORDINALITY
                AS given (append_id, topic, key, kind, fields, data, ttl, place)
            ORDER BY append_id, place
        ) AS given
        -- A retry is not appended again.
        WHERE NOT EXISTS (SELECT FROM sse_entries AS old WHERE old.append_id = given.append_id);
    RETURN QUERY
        SELECT number, fingerprint
        FROM unnest(append_ids) WITH ORDINALITY AS given (append_id, place)
        JOIN sse_entries USING (append_id)
        ORDER BY place;
    PERFORM sse_trim(max(number) - max_entries) FROM sse_entries;
    -- Wakes the tails, after the commit.
    NOTIFY sse_entries;
END $$;
