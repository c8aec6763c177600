DROP TABLE name_words;
DROP TABLE administrators;
