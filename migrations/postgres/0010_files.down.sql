-- The earlier server has messages with texts only.
UPDATE entries SET text = '…' WHERE files IS NOT NULL AND text = '';
DROP TABLE file_totals;
DROP TABLE files;
ALTER TABLE entries DROP COLUMN files;
