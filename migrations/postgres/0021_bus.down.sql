DROP TABLE bus_messages;
DROP SEQUENCE bus_message_ids;
