DELETE FROM meta WHERE key IN ('min_compatible', 'lane_seed');
DROP FUNCTION tell_servers(JSON);
ALTER TABLE changes ADD COLUMN batch TEXT COLLATE "C";
ALTER TABLE entries ADD COLUMN batch TEXT COLLATE "C";
ALTER TABLE topics DROP COLUMN writer, DROP COLUMN n, DROP COLUMN prev_writer, DROP COLUMN prev_n;
DROP TABLE commits;
DROP TABLE servers;
