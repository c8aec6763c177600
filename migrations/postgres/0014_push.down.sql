DROP TABLE push_progress;
DROP TABLE push_queue;
DROP TABLE push_subscriptions;
DROP TABLE push_key;
