-- The timeline on which a server has let its lanes append. Who starts there later waits for nobody: what
-- a server that is silent knows of the timeline before was waited for already.
ALTER TABLE servers ADD COLUMN opened BIGINT NOT NULL DEFAULT 0;
