ALTER TABLE servers DROP COLUMN opened;
