// @ts-check
// Keeps a page up to date: listens to the daemon's events, fetches the parts that may have changed, and merges them
// in. It never takes away what somebody is typing, and makes no request to any other place.

/** How long changes are gathered before parts are fetched, in milliseconds. */
const GATHER = 150;
/** The shortest time between two looks at what agents are doing. */
const LOOK = 1000;
/** How long after a failure it is tried again. */
const AGAIN = 2000;
/** When more parts than that have changed, the whole list is fetched at once. */
const MANY = 4;

const stream = /** @type {string} */ (document.body.dataset.stream);
let seen = document.body.dataset.after ?? "0";
let ahead = 0; // What the daemon's clock is ahead of ours.
const stale = /** @type {Set<string>} */ (new Set()); // The ids of the elements to fetch.
let timer = /** @type {number | undefined} */ (undefined);
let fetching = false;
let looking = /** @type {number | undefined} */ (undefined);

/** @param {string} state @param {string} words */
function link(state, words) {
  const link = document.getElementById("link");
  if (!link || link.dataset.state === state) return;
  link.dataset.state = state;
  link.textContent = words;
}

/** @param {string[]} ids */
function changed(...ids) {
  for (const id of ids) if (document.getElementById(id)?.dataset.fragment) stale.add(id);
  if (stale.size && !fetching) timer ??= setTimeout(update, GATHER);
}

async function update() {
  timer = undefined;
  const ids = [...stale];
  stale.clear();
  fetching = true;
  try {
    await Promise.all(ids.map((id) => load(document.getElementById(id)?.dataset.fragment ?? "", id)));
    fetching = false;
    changed();
  } catch {
    fetching = false;
    ids.forEach((id) => stale.add(id));
    link("again", "reconnecting");
    timer ??= setTimeout(update, AGAIN);
  }
}

/** Fetches a fragment and merges each of its elements that has an id. @param {string} url @param {string} [id] */
async function load(url, id) {
  if (!url) return;
  const answer = await fetch(url, { cache: "no-store" });
  if (answer.status === 401) return link("out", "logged out: open a new login link");
  if (answer.status === 404 && id) return document.getElementById(id)?.remove();
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  const date = Date.parse(answer.headers.get("date") ?? "");
  // The header knows whole seconds only: less than that is no difference.
  if (date) ahead = Math.abs(date - Date.now()) > 2000 ? date - Date.now() : 0;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").body;
  for (const next of fresh.querySelectorAll(":scope > [id], :scope > table tr[id]")) {
    const now = document.getElementById(next.id);
    if (now?.localName === next.localName) merge(now, next);
  }
  tick();
}

/** Tells whether somebody is at work in an element. @param {Element} in_ */
const busy = (in_) => in_.contains(document.activeElement) || [...in_.querySelectorAll("textarea")].some((it) => it.value);

/** Makes an element like another one, and keeps everything in it that is the same. @param {Element} now @param {Element} next */
function merge(now, next) {
  if (now.isEqualNode(next)) return;
  if (now.localName === "form") return; // A question's form never changes; what is typed there is somebody's.
  for (const { name } of [...now.attributes]) if (!next.hasAttribute(name) && name !== "open") now.removeAttribute(name);
  for (const { name, value } of next.attributes) {
    if (name !== "open" && now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
  let at = now.firstChild;
  for (const child of [...next.childNodes]) {
    const old = partner(now, at, child);
    if (!old) {
      now.insertBefore(child, at);
      continue;
    }
    // What stands before it goes behind it, rather than it being moved: that would end its focus.
    const before = [];
    for (let it = at; it && it !== old; it = it.nextSibling) before.push(it);
    now.append(...before);
    at = old.nextSibling;
    if (old instanceof Element && child instanceof Element) merge(old, child);
    else if (old.nodeValue !== child.nodeValue) old.nodeValue = child.nodeValue;
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    if (!(gone instanceof Element && busy(gone))) gone.remove();
    else if (!gone.matches(".gone")) {
      gone.classList.add("gone");
      const problem = gone.querySelector(".problem");
      if (problem) problem.textContent = "This question is no longer open. What you wrote is still here.";
    }
  }
}

/** Finds the node of an element that a new node takes the place of. @param {Element} now @param {ChildNode | null} at @param {ChildNode} child */
function partner(now, at, child) {
  const id = child instanceof Element && child.id;
  if (id) return [...now.children].find((it) => it.id === id);
  return at && at.nodeName === child.nodeName && !(at instanceof Element && at.id) ? at : undefined;
}

/** @param {number} secs */
function span(secs) {
  const two = (/** @type {number} */ n) => String(Math.floor(n)).padStart(2, "0");
  if (secs < 60) return `${Math.floor(secs)}s`;
  if (secs < 3600) return `${Math.floor(secs / 60)}m ${two(secs % 60)}s`;
  if (secs < 86400) return `${Math.floor(secs / 3600)}h ${two((secs % 3600) / 60)}m`;
  return `${Math.floor(secs / 86400)}d ${two((secs % 86400) / 3600)}h`;
}

function tick() {
  if (document.hidden) return;
  for (const it of document.querySelectorAll("time")) {
    const text = span(Math.max(0, Date.now() + ahead - Date.parse(it.dateTime)) / 1000);
    if (it.textContent !== text) [it.textContent, it.title] = [text, it.dateTime];
  }
  const needs = Number(document.getElementById("summary")?.dataset.needs ?? 0);
  const title = document.title.replace(/^\(\d+\) /, "");
  document.title = needs ? `(${needs}) ${title}` : title;
}

function look() {
  looking = undefined;
  if (document.hidden || !document.querySelector('tr[data-state="running"]')) return;
  load("/fragments/sessions").catch(() => link("again", "reconnecting"));
}

function listen() {
  const source = new EventSource(`${stream}?after=${seen}`);
  source.onopen = () => link("live", "live");
  source.onmessage = (message) => {
    seen = message.lastEventId || seen;
    link("live", "live");
    const event = JSON.parse(message.data);
    const one = `o-${event.objective_id}`;
    const moves = /^objective_/.test(event.type) || !document.getElementById(one)?.dataset.fragment;
    const all = document.getElementById("objectives") && (moves || stale.size > MANY);
    changed("summary", all ? "objectives" : one);
    if (all) for (const id of stale) if (id.startsWith("o-")) stale.delete(id);
    if (moves || /question|ask_user/.test(event.type)) changed("questions");
    if (/^objective_(done|failed)$/.test(event.type)) changed("health");
  };
  source.addEventListener("activity", () => (looking ??= setTimeout(look, LOOK)));
  source.onerror = () => {
    link("again", "reconnecting");
    if (source.readyState !== EventSource.CLOSED) return; // It tries again by itself, from where it was.
    // It was refused. The figures tell whether that is because we are not logged in any more.
    load("/fragments/summary").catch(() => {});
    setTimeout(() => document.querySelector('#link[data-state="out"]') || listen(), AGAIN);
  };
}

document.addEventListener("submit", async (event) => {
  const form = /** @type {HTMLFormElement} */ (event.target);
  if (!form.matches("form.answer")) return;
  event.preventDefault();
  const text = /** @type {HTMLTextAreaElement} */ (form.elements.namedItem("text"));
  const option = /** @type {HTMLButtonElement | null} */ (event.submitter);
  const answer = option?.name === "answer" ? option.value : text.value;
  const problem = /** @type {HTMLElement} */ (form.querySelector(".problem"));
  if (form.closest(".gone")) return;
  problem.textContent = answer.trim() ? "" : "Write an answer first.";
  if (!answer.trim() || form.ariaBusy === "true") return;
  form.ariaBusy = "true";
  try {
    const headers = { "content-type": "application/json", "x-orcha": "page" };
    const sent = await fetch(form.action, { method: "POST", headers, body: JSON.stringify({ answer }) });
    if (sent.ok) {
      text.value = "";
      if (form.contains(document.activeElement)) document.getElementById("main")?.focus({ preventScroll: true });
      changed("summary", "questions");
    } else {
      problem.textContent = (await sent.json().catch(() => ({}))).detail ?? `The daemon answered ${sent.status}.`;
    }
  } catch {
    problem.textContent = "The daemon could not be reached. Your answer was not sent.";
  }
  form.ariaBusy = "false";
});

document.addEventListener("keydown", (event) => {
  const in_ = /** @type {HTMLElement} */ (event.target);
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) in_.closest("form")?.requestSubmit();
});

document.addEventListener("visibilitychange", () => (tick(), look()));
setInterval(tick, 1000);
listen();
tick();
