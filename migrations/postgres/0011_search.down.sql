DROP TABLE search_topics;
DROP TABLE search_documents;
DROP INDEX closed_named_rooms;
DELETE FROM meta WHERE key = 'search';
