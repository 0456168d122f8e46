// The HTTP API: every answer is data or a Problem that can be shown.

import { known, language, say } from "./words.js";

const ROOT = "/api/v1";

/** What the server refused and why; `message` and `detail` are for people, `slug` is for code. */
export class Problem extends Error {
  constructor(status, body = {}) {
    const slug = String(body.type ?? "")
      .split("/")
      .pop();
    const own = known("problem", slug);
    super(own && own !== slug ? own : body.title || say("problem.other", { status }));
    this.slug = slug;
    this.status = status;
    const fields = (body.errors ?? []).map(({ where, message }) => `${where}: ${message}`);
    // what was found in a recording is told in every language, the rest in English
    const told = (body.problems ?? []).map((found) => `${found[language].problem} ${found[language].remedy}`);
    this.details = told.length ? told : [body.detail, ...fields, body.remedy].filter(Boolean);
    this.language = told.length ? language : "en";
    this.retryAfter = Number(body.retry_after_s) || null;
  }
}

/** The server could not be reached. */
export class Unreachable extends Error {
  constructor() {
    super(say("problem.unreachable"));
    this.details = [];
    this.language = language;
  }
}

/**
 * Call the API: `json` or `body` is sent; resolves to the Response. A session that is over leads to the sign-in
 * page, and from there back.
 */
export async function request(method, path, { json, body, headers = {}, signal } = {}) {
  const sent = json === undefined ? body : JSON.stringify(json);
  const type = json === undefined ? {} : { "Content-Type": "application/json" };
  let answer;
  try {
    answer = await fetch(address(path), {
      method,
      body: sent,
      signal,
      headers: { Accept: "application/json", "X-ALP-Request": "1", ...type, ...headers },
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable();
  }
  if (answer.ok) return answer;
  const problem = new Problem(answer.status, await answer.json().catch(() => ({})));
  if (answer.status === 401 && location.pathname !== "/sign-in") await signInAgain();
  throw problem;
}

export const get = async (path, options) => (await request("GET", path, options)).json();
export const post = async (path, json, options) => (await request("POST", path, { json, ...options })).json();

/** A path with a query; values that are empty are left out, lists repeat their name. */
export function query(path, values) {
  const pairs = Object.entries(values).flatMap(([name, value]) => [value].flat().map((item) => [name, item]));
  const text = new URLSearchParams(pairs.filter(([, item]) => item !== "" && item !== null && item !== undefined));
  return text.size ? `${path}?${text}` : path;
}

/** The full address of a path of the API; links in answers already have it. */
export const address = (path) => (path.startsWith(ROOT) ? path : ROOT + path);

export const session = () => get("/session");

let leaving = false;

/** End the session and go to the sign-in page; what is still being asked is not told as an expired session. */
export async function signOut() {
  leaving = true;
  await request("DELETE", "/session").catch(() => {});
  location.assign("/sign-in");
}

export const mayOperate = (who) => who.roles.includes("operator");
export const mayAdminister = (who) => who.roles.includes("admin");

function signInAgain() {
  if (leaving) return new Promise(() => {});
  const next = encodeURIComponent(location.pathname + location.search);
  location.assign(`/sign-in?why=over&next=${next}`);
  return new Promise(() => {}); // the page is being left; nothing more is told on it
}
