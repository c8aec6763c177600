-- What the servers tell each other beside the feed, where they have no other bus: who is present, who
-- types, what is read. It is read within a second, removed half a minute later, and survives no crash.
-- The numbers go on after a crash, as the sequence is no part of the table.
CREATE SEQUENCE bus_message_ids;

CREATE UNLOGGED TABLE bus_messages (
    id      BIGINT PRIMARY KEY DEFAULT nextval('bus_message_ids'),
    server  BIGINT NOT NULL, -- its start: servers(id)
    at      BIGINT NOT NULL, -- by the database's clock, in milliseconds since 1970
    message BYTEA  NOT NULL
);

-- They are small, and gone soon.
ALTER TABLE bus_messages ALTER COLUMN message SET STORAGE EXTERNAL;
