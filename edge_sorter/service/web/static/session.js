// Signing in: shows the token once, gets a cookie that scripts cannot read.

import { $ } from "./dom.js";

let rights = { look: true, change: false, token: false };
let onChange = () => {};

export const mayChange = () => rights.change;
export const hasToken = () => rights.token;

export async function startSession(changed) {
  onChange = changed;
  $("sign").addEventListener("click", () => (rights.change ? signOut() : askToken()));
  $("sign-in").querySelector("[data-close]").addEventListener("click", () => $("sign-in").close());
  $("sign-in").querySelector("form").addEventListener("submit", (event) => { event.preventDefault(); signIn(); });
  await refresh();
  if (!rights.look) askToken();
  return rights;
}

export function askToken() {
  $("token").value = "";
  $("token-wrong").textContent = "";
  $("sign-in").showModal();
}

async function signIn() {
  const answer = await fetch("/api/session", { method: "POST", body: JSON.stringify({ token: $("token").value }) });
  if (answer.ok) {
    $("sign-in").close();
    await refresh();
  } else {
    $("token-wrong").textContent = answer.status === 429 ? (await answer.json()).error : "That is not the token.";
    $("token").select();
  }
}

async function signOut() {
  await fetch("/api/session", { method: "DELETE" });
  await refresh();
}

async function refresh() {
  try {
    rights = await (await fetch("/api/session")).json();
  } catch { /* no contact: the banner says so, and rights stay as they were */ }
  $("sign").textContent = rights.change ? "Sign out" : "Sign in";
  $("sign").hidden = !rights.token;
  onChange(rights);
}
