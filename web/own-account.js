// Requests about the account of the user who is signed in: picture and password.

import { call, me } from "./api.js";

/**
 * @param {Blob} picture a square
 * @returns {Promise<string>} its address
 */
export async function setPicture(picture) {
  const form = new FormData();
  form.set("avatar", picture, "avatar.png");
  const { avatar } = await call("/api/me/avatar", { method: "PUT", body: form });
  return avatar ?? (await me()).avatar;
}

export async function removePicture() {
  await call("/api/me/avatar", { method: "DELETE" });
}

/**
 * Changes the password, and ends the other sessions of the user.
 * @param {string} current
 * @param {string} next
 */
export async function setPassword(current, next) {
  await call("/api/me/password", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ current, new: next }),
  });
}
