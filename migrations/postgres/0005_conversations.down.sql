DROP INDEX topics_by_other;
