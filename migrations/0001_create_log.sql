-- The log and the one function that writes it.

-- What happened. `position` numbers the whole log and `version` one stream, both 1, 2, 3 and so on without gaps.
-- `json` keeps the text as it came, and is read back half as fast again as `jsonb`.
CREATE TABLE events (
  position  bigint      PRIMARY KEY,
  stream_id text        NOT NULL,
  version   bigint      NOT NULL,
  type      text        NOT NULL,
  schema    smallint    NOT NULL,
  data      json        NOT NULL,
  meta      json        NOT NULL,
  at        timestamptz NOT NULL,
  UNIQUE (stream_id, version)
);

-- One row for each accepted command, also where nothing had to happen: all that its first answer needs.
CREATE TABLE commands (
  command_id   uuid    PRIMARY KEY,
  body_mac     bytea   NOT NULL,
  stream_id    text    NOT NULL,
  from_version bigint  NOT NULL,
  to_version   bigint  NOT NULL,
  position     bigint  NOT NULL,
  run_id       uuid,
  quiet        boolean NOT NULL
);

-- The end of the log. Positions of another epoch mean nothing.
CREATE TABLE log_head (
  one      boolean     PRIMARY KEY DEFAULT true CHECK (one),
  position bigint      NOT NULL,
  epoch    uuid        NOT NULL,
  at       timestamptz NOT NULL
);
INSERT INTO log_head (position, epoch, at) VALUES (0, gen_random_uuid(), clock_timestamp());

-- Who may have something running for a staging: at most one, until `expires_at` on this database's clock.
CREATE TABLE leases (
  staging     text        PRIMARY KEY,
  kind        text        NOT NULL CHECK (kind IN ('run', 'check')),
  run         uuid        NOT NULL,
  attempt     integer     NOT NULL,
  owner_id    uuid        NOT NULL,
  owner_start integer     NOT NULL,
  taken_at    timestamptz NOT NULL,
  expires_at  timestamptz NOT NULL
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% on % is refused: the log is only ever appended to', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON events
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON commands
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
ALTER TABLE events ENABLE ALWAYS TRIGGER refuse_change;
ALTER TABLE commands ENABLE ALWAYS TRIGGER refuse_change;

-- Appends a batch of commands, each whole or not at all, and says for each what became of it:
--
--   ok          appended
--   duplicate   appended earlier, by the same request; the row is its first answer
--   key_reused  its id belongs to another request
--   conflict    its stream is not at the expected version; `actual` is where it is
--   lease       the lease is not as the command needs it
--
-- Arrays run in parallel: one for each thing known of a command, of an event and of a lease operation. `event_command`
-- and `lease_command` hold the number of the command, from 1; events stand in the order of their commands. No two
-- commands of a batch may share an id or a stream.
--
-- Called outside a transaction block, so that the lock lives only as long as this call and its commit: order of commit
-- is then order of position, and a client that freezes between two statements holds nothing.
CREATE FUNCTION append_batch(
  command_id      uuid[],
  command_mac     bytea[],
  command_stream  text[],
  command_expects bigint[],
  command_events  bigint[],
  command_run     uuid[],
  event_command   integer[],
  event_stream    text[],
  event_version   bigint[],
  event_type      text[],
  event_schema    smallint[],
  event_data      text[],
  event_meta      text[],
  lease_command   integer[],
  lease_operation text[],
  lease_owner     uuid[],
  lease_start     integer[],
  lease_run       uuid[],
  lease_attempt   integer[],
  lease_ttl       interval
) RETURNS TABLE (
  verdict      text,
  actual       bigint,
  from_version bigint,
  to_version   bigint,
  "position"   bigint,
  run_id       uuid,
  quiet        boolean
) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
  verdicts text[];
  versions bigint[];
  held     integer[];
  head     bigint;
  moment   timestamptz;
  appended bigint;
BEGIN
  -- First and alone: what follows has a snapshot taken under the lock, which shows every earlier append.
  PERFORM pg_advisory_xact_lock(4918);

  SELECT array_agg(
           CASE
             WHEN known.body_mac = c.mac THEN 'duplicate'
             WHEN known.body_mac IS NOT NULL THEN 'key_reused'
             WHEN newest.version <> c.expects THEN 'conflict'
             ELSE 'ok'
           END ORDER BY c.ordinal),
         array_agg(newest.version ORDER BY c.ordinal)
    INTO verdicts, versions
    FROM unnest(command_id, command_mac, command_stream, command_expects)
           WITH ORDINALITY AS c (id, mac, stream, expects, ordinal)
    CROSS JOIN LATERAL (SELECT (SELECT k.body_mac FROM commands k WHERE k.command_id = c.id)) AS known (body_mac)
    CROSS JOIN LATERAL (
      SELECT coalesce((SELECT e.version FROM events e WHERE e.stream_id = c.stream ORDER BY e.version DESC LIMIT 1), 0)
    ) AS newest (version);

  IF cardinality(lease_command) > 0 THEN
    -- Leases also change outside this function and its lock. Hence each operation is its own test: what it did not
    -- change, it does not have.
    WITH operation AS (
      SELECT o.*, command_stream[o.command] AS staging
        FROM unnest(lease_command, lease_operation, lease_owner, lease_start, lease_run, lease_attempt)
               AS o (command, kind, owner_id, owner_start, run, attempt)
       WHERE verdicts[o.command] = 'ok'
    ), claimed AS (
      INSERT INTO leases AS l (staging, kind, run, attempt, owner_id, owner_start, taken_at, expires_at)
      SELECT o.staging, 'run', o.run, o.attempt, o.owner_id, o.owner_start, clock_timestamp(), clock_timestamp() + lease_ttl
        FROM operation o
       WHERE o.kind = 'claim'
       ORDER BY o.staging
          ON CONFLICT (staging) DO UPDATE
         SET kind = excluded.kind, run = excluded.run, attempt = excluded.attempt, owner_id = excluded.owner_id,
             owner_start = excluded.owner_start, taken_at = excluded.taken_at, expires_at = excluded.expires_at
       WHERE l.expires_at <= clock_timestamp()
      RETURNING l.staging
    ), freed AS (
      DELETE FROM leases l
       USING operation o
       WHERE l.staging = o.staging
         AND CASE o.kind
               WHEN 'release' THEN l.kind = 'run' AND l.run = o.run AND l.attempt = o.attempt
                                   AND l.owner_id = o.owner_id AND l.owner_start = o.owner_start
                                   AND l.expires_at > clock_timestamp()
               WHEN 'break' THEN l.expires_at <= clock_timestamp()
                                 OR (l.kind = 'run' AND l.run = o.run AND l.attempt = o.attempt
                                     AND l.owner_id = o.owner_id AND l.owner_start < o.owner_start)
               ELSE false
             END
      RETURNING o.command
    )
    SELECT array_agg(done.command) INTO held
      FROM (
        SELECT f.command FROM freed f
        UNION ALL
        SELECT o.command FROM operation o WHERE o.kind = 'claim' AND o.staging IN (SELECT c.staging FROM claimed c)
        UNION ALL
        SELECT o.command FROM operation o
         WHERE o.kind = 'break' AND (SELECT 1 FROM leases l WHERE l.staging = o.staging) IS NULL
      ) AS done;

    SELECT array_agg(
             CASE WHEN v.verdict = 'ok' AND v.ordinal = ANY (lease_command) AND NOT v.ordinal = ANY (coalesce(held, '{}'))
                  THEN 'lease' ELSE v.verdict
             END ORDER BY v.ordinal)
      INTO verdicts
      FROM unnest(verdicts) WITH ORDINALITY AS v (verdict, ordinal);
  END IF;

  SELECT h.position, greatest(clock_timestamp(), h.at) INTO head, moment FROM log_head h;

  INSERT INTO events (position, stream_id, version, type, schema, data, meta, at)
  SELECT head + row_number() OVER (ORDER BY e.ordinal),
         e.stream, e.version, e.type, e.schema, e.data::json, e.meta::json, moment
    FROM unnest(event_command, event_stream, event_version, event_type, event_schema, event_data, event_meta)
           WITH ORDINALITY AS e (command, stream, version, type, schema, data, meta, ordinal)
   WHERE verdicts[e.command] = 'ok';
  GET DIAGNOSTICS appended = ROW_COUNT;

  INSERT INTO commands (command_id, body_mac, stream_id, from_version, to_version, position, run_id, quiet)
  SELECT c.id, c.mac, c.stream, c.expects, c.expects + c.events,
         head + sum(c.events) OVER (ORDER BY c.ordinal), c.run, c.events = 0
    FROM unnest(command_id, command_mac, command_stream, command_expects, command_events, command_run)
           WITH ORDINALITY AS c (id, mac, stream, expects, events, run, ordinal)
   WHERE verdicts[c.ordinal] = 'ok';

  IF appended > 0 THEN
    UPDATE log_head h SET position = head + appended, at = moment;
    PERFORM pg_notify('dm_log', (head + appended)::text);
  END IF;

  RETURN QUERY
  SELECT v.verdict, v.actual, k.from_version, k.to_version, k.position, k.run_id, k.quiet
    FROM unnest(verdicts, versions, command_id) WITH ORDINALITY AS v (verdict, actual, id, ordinal)
    LEFT JOIN commands k ON k.command_id = v.id AND v.verdict IN ('ok', 'duplicate')
   ORDER BY v.ordinal;
END
$$;
