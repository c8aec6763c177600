-- The earlier server knows messages only, and numbers without a gap: each change becomes a
-- message with the text "…", and so does each deleted message.
UPDATE entries SET text = '…' WHERE deleted = 1;
INSERT INTO entries (topic, seq, kind, sender, text, at, nonce)
SELECT topic, seq, 1, sender, '…', at, nonce FROM changes;
-- It removes a nonce with the message of this nonce, or seven days after it outlived that.
INSERT INTO outlived_nonces (at, nonce, sender)
SELECT at, nonce, sender FROM remembered_nonces WHERE true ON CONFLICT DO NOTHING;
DROP TABLE remembered_nonces;
DROP TABLE reactions;
DROP TABLE states;
DROP TABLE changes;
UPDATE topics SET last_at = changed_at WHERE changed_at > last_at;
ALTER TABLE topics DROP COLUMN changed_at;
ALTER TABLE entries DROP COLUMN deleted;
ALTER TABLE entries DROP COLUMN reply_to;
