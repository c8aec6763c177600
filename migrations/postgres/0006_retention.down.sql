DROP TABLE outlived_nonces;
