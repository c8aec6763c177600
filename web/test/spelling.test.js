import assert from "node:assert/strict";
import { test } from "node:test";

import { beginsSo, hasSpelling, inOtherScript } from "../logic/spelling.js";

test("a name is found in either script", () => {
  for (const [name, ...typed] of [
    ["Мария", "ma", "mari", "mariya", "maria", "МАР"],
    ["Maria", "ма", "мари", "мария", "MAR"],
    ["Юлия", "yu", "yul", "julia", "iulia", "Yuliya"],
    ["Julia", "юл", "юлия"],
    ["Дмитрий", "dmitry", "dmitri", "Dmitriy"],
    ["Михаил", "mikhail", "mihail"],
    ["Александр", "alex", "aleks"],
    ["Alexander", "алекс"],
    ["Сергей", "sergey", "sergei"],
    ["Пётр", "petr", "pyotr", "петр"],
    ["Щукин", "shukin", "shchukin"],
    ["Victor", "виктор"],
    ["Царёв", "tsarev", "tsaryov"],
    ["Нина Ким", "kim"],
  ]) {
    for (const wanted of typed) assert.ok(hasSpelling(name ?? "", wanted), `${wanted} finds ${name}`);
  }
  assert.ok(!hasSpelling("Мария", "ira") && !hasSpelling("Anna", "мар") && !hasSpelling("bob", "ь"), "others are not");
  assert.ok(beginsSo("Мария", "ma") && !beginsSo("Тамара", "ma"));
});

test("the server is asked for what a name begins with in the other script", () => {
  assert.deepEqual(["ma", "ма", "sh", "42", "日本", ""].map(inOtherScript), [["ма"], ["ma"], ["ш", "щ", "сх"], [], [], []]);
  for (const [name = "", ...typed] of [
    ["Мария", "m", "ma", "maria", "mariya"],
    ["Maria", "м", "ма", "мария"],
    ["Юлия", "y", "yu", "julia", "iulia"],
    ["Julia", "ю", "юлия"],
    ["Сергей", "s", "sergey", "sergei"],
    ["Sergei", "сергей"],
    ["Пётр", "petr", "pyotr"],
    ["Щукин", "shukin", "shchukin"],
    ["Victor", "виктор"],
    ["William", "вильям"],
    ["Ксения", "xenia"],
    ["Xenia", "ксения"],
    ["Чарли", "ch"],
  ]) {
    for (const wanted of typed) {
      assert.ok(inOtherScript(wanted).some((beginning) => name.toLowerCase().startsWith(beginning)), `${wanted} asks for ${name}: ${inOtherScript(wanted)}`);
    }
  }
  assert.ok(inOtherScript("Christopher Robin").length <= 4, "each is a request");
});
