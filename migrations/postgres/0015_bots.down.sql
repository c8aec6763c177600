DROP TABLE webhooks;
DROP TABLE bot_rooms;
DROP TABLE bots;
