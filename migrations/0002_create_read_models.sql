-- The read models: what people read, filled from the log by dm-projector. The log is the truth; everything here can be
-- dropped and filled again. Rows of `stagings` and `runs` keep every version: one that holds now has no `valid_to`; what
-- held at a position is the newest at or before it.

-- Which generation of a read model is the one that people read. A rebuild fills the next one beside it; the swap updates
-- this one row.
CREATE TABLE projections (
    projection text PRIMARY KEY,
    generation integer NOT NULL
);

-- How far a generation has come. The row is also the lock under which it is moved.
CREATE TABLE checkpoints (
    projection text NOT NULL,
    generation integer NOT NULL,
    -- The version of the fold that fills this generation; a build with another one leaves it alone.
    version integer NOT NULL,
    position bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (projection, generation)
);

-- Stagings of which an event could not be applied: their rows stay as they were before it, until a rebuild.
CREATE TABLE quarantine (
    projection text NOT NULL,
    generation integer NOT NULL,
    key text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    cause text NOT NULL,
    PRIMARY KEY (projection, generation, key)
);

CREATE TABLE stagings (
    generation integer NOT NULL,
    -- The staging's name.
    key text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    valid_to bigint,
    -- Null: there is no such staging; then `cleaned_up_at` says when its last life ended in a cleanup, if it did.
    row json,
    cleaned_up_at timestamptz,
    -- For filters.
    status text,
    tag text,
    -- Hints for the runner: which work is due (`run`, `stop`, `links`) and since when, whether checks are wanted, when the
    -- wait for a pass ends, and who has claimed the run under way.
    work text,
    due timestamptz,
    checked boolean NOT NULL,
    deadline timestamptz,
    owner uuid,
    PRIMARY KEY (generation, key, position)
);
CREATE UNIQUE INDEX stagings_now ON stagings (generation, key) WHERE valid_to IS NULL;
-- Names outlive their stagings, so a listing must not wade through those that are gone.
CREATE INDEX stagings_listed ON stagings (generation, key) WHERE valid_to IS NULL AND status IS NOT NULL;
CREATE INDEX stagings_due ON stagings (generation, due, key) WHERE valid_to IS NULL AND due IS NOT NULL;
CREATE INDEX stagings_deadline ON stagings (generation, deadline) WHERE valid_to IS NULL AND deadline IS NOT NULL;
CREATE INDEX stagings_checked ON stagings (generation, key) WHERE valid_to IS NULL AND checked;
CREATE INDEX stagings_started ON stagings (generation, key) WHERE valid_to IS NULL AND owner IS NOT NULL;

CREATE TABLE runs (
    generation integer NOT NULL,
    -- The run's id.
    key uuid NOT NULL,
    position bigint NOT NULL,
    valid_to bigint,
    row json NOT NULL,
    staging text COLLATE "C" NOT NULL,
    -- The version of the event that opened the run.
    version bigint NOT NULL,
    PRIMARY KEY (generation, key, position)
);
CREATE UNIQUE INDEX runs_now ON runs (generation, key) WHERE valid_to IS NULL;
CREATE INDEX runs_of_staging ON runs (generation, staging, version) WHERE valid_to IS NULL;

CREATE TABLE audit (
    generation integer NOT NULL,
    position bigint NOT NULL,
    staging text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    type text NOT NULL,
    sentence text NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    channel text NOT NULL,
    reason text,
    on_behalf text,
    run uuid,
    -- What the run does, so that the sentences of its next events can say it.
    verb text,
    data json NOT NULL,
    PRIMARY KEY (generation, position)
);
CREATE UNIQUE INDEX audit_of_staging ON audit (generation, staging, version);
