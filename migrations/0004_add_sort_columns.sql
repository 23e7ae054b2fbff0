-- Expand: what a listing of stagings is sorted and filtered by. Generations of an older fold leave them empty.
ALTER TABLE stagings
    ADD COLUMN created_at timestamptz,
    -- Since when it has its status.
    ADD COLUMN changed_at timestamptz,
    -- Since when it is archived, if it is.
    ADD COLUMN archived_at timestamptz;
