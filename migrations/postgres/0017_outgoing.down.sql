DROP TABLE outgoing_queue;
DROP TABLE outgoing_webhooks;
