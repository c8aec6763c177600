DROP TABLE audit;
DROP TABLE reports;
DROP TABLE password_links;
DROP TABLE bans;
DROP TABLE invites;
DROP TABLE server_profile;
