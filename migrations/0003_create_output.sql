-- What runs print: bytes as they came, by attempt.

-- One row for each attempt that has begun. `bytes` counts all that was printed so far, kept or not.
CREATE TABLE outputs (
  run      uuid        NOT NULL,
  attempt  integer     NOT NULL,
  bytes    bigint      NOT NULL,
  complete boolean     NOT NULL,
  at       timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (run, attempt)
);
CREATE INDEX outputs_at ON outputs (at);

-- Stretches of it, none over 64 KiB; a hole between two of them was dropped.
CREATE TABLE output_chunks (
  run     uuid    NOT NULL,
  attempt integer NOT NULL,
  start   bigint  NOT NULL,
  bytes   bytea   NOT NULL,
  PRIMARY KEY (run, attempt, start)
);
-- Compressed, each reader of a part would have to decompress the whole.
ALTER TABLE output_chunks ALTER COLUMN bytes SET STORAGE EXTERNAL;
