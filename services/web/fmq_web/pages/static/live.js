// Live figures. Only numbers and the words of a row change: rows stay where they are until the reader loads the page again.
import { localize, write } from "./times.js";
import { capped, count, duration, precise, put, rate, size } from "./figures.js";

const button = document.getElementById("live");
const POLL = 5000;
const AGAIN = 3000;
const QUEUE = {
  waiting: count, running: count, retrying: capped, oldest_seconds: duration, in_per_second: rate, out_per_second: rate,
  drain_seconds: duration, dead: count, stored: count, handled: count,
};
const WORKER = { in_hand: (value) => (value === null ? "–" : count(value)), p50_seconds: precise, p95_seconds: precise, unseen_seconds: (value) => `${duration(value)} ago` };
const COUNTED = ["waiting", "running", "retrying", "dead"];
const queues = index("[data-queue]", "queue");
const workers = index("[data-worker]", "worker");
const stored = new Map();
const worded = new Map(); // what the rows of workers say in words
let asking = null;
let stream = null;
let timer = null;
let stopped = false; // by the reader
let version = null;
let level = null; // 0: all is well, 1: something asks, 2: something insists
const worst = new Map();

function index(selector, key) {
  return new Map([...document.querySelectorAll(selector)].map((element) => [element.dataset[key], element]));
}

function show(state, text) {
  button.dataset.is = state;
  put(button.querySelector(".text"), text);
  button.setAttribute("aria-pressed", String(!stopped));
}

// Cells by the field that they show: marked themselves, or by the head of their column.
function cells(element) {
  const found = new Map([...element.querySelectorAll("[data-f]")].map((cell) => [cell.dataset.f, cell]));
  if (element.tagName === "TR") {
    for (const head of element.closest("table").tHead.rows[0].cells) {
      if (head.dataset.f) found.set(head.dataset.f, element.cells[head.cellIndex]);
    }
  }
  return found;
}

function fill(element, values, formats) {
  for (const [name, cell] of cells(element)) {
    if (!Object.hasOwn(formats, name) || values[name] === undefined) continue;
    put(cell, formats[name](values[name]));
    if (!COUNTED.includes(name)) continue;
    if (cell.tagName === "TD") cell.classList.toggle("zero", values[name] === 0);
    if (name === "dead") (cell.tagName === "TD" ? cell : cell.parentElement).classList.toggle("ask", values.dead > 0);
  }
}

function needs(place, list) {
  const wanted = list.map((need) => `${need.severity} ${need.text}`).join("\n");
  if (place.dataset.says === wanted) return;
  place.dataset.says = wanted;
  place.replaceChildren(...list.map((need) => {
    const link = document.createElement("a");
    link.className = `need ${need.severity}`;
    link.href = `/runbook?${new URLSearchParams({ name: need.runbook })}`;
    link.textContent = need.text;
    if (place.tagName !== "UL") return link;
    const item = document.createElement("li");
    item.append("What to do: ", link);
    return item;
  }));
}

function queue(counts, at) {
  const row = queues.get(counts.name);
  if (row) {
    const before = row.querySelector("[data-f=stored]")?.textContent;
    fill(row, counts, QUEUE);
    const last = row.querySelector("th time");
    if (last && before !== count(counts.stored)) write(last, new Date(at * 1000));
    const why = row.querySelector(".why");
    if (why) needs(why, counts.needs);
  }
  for (const place of document.querySelectorAll("[data-needs]")) {
    if (place.dataset.needs === counts.name && counts.needs.length) needs(place, counts.needs);
  }
  const newer = document.querySelector("[data-newer]");
  if (newer && newer.dataset.newer === counts.name) {
    if (!stored.has(counts.name)) stored.set(counts.name, counts.stored);
    const more = counts.stored - stored.get(counts.name);
    newer.hidden = more === 0;
    put(newer, `${count(more)} newer ▸`);
  }
}

function newcomers(known, names, word) {
  const link = document.getElementById("newcomers");
  if (!link) return;
  const more = names.filter((name) => !known.has(name)).length;
  link.hidden = more === 0;
  if (more) link.parentElement.hidden = false;
  put(link, `${more} new ${word}${more === 1 ? "" : "s"} ▸`);
}

function whole(said) {
  const summary = document.getElementById("summary");
  if (!said || !summary) return;
  put(summary, said.summary);
  put(document.getElementById("detail"), said.detail);
  needs(document.getElementById("needs"), said.needs);
  put(document.getElementById("total"), count(said.total_stored));
  for (const place of document.querySelectorAll("[data-s]")) put(place, size(said.sizes[place.dataset.s]));
}

function services(list) {
  if (!workers.size) return;
  let changed = false;
  for (const one of list) {
    const row = workers.get(one.name);
    if (!row) continue;
    const words = JSON.stringify([one.away, one.connected, one.circuit, one.routes.map((route) => ({ ...route, in_hand: 0 }))]);
    const asks = one.away || one.connected === false || Boolean(one.circuit) || one.routes.some((route) => route.circuit);
    const known = worded.get(one.name);
    changed ||= known === undefined ? asks !== Boolean(row.querySelector(".bad, .ask")) : known !== words;
    worded.set(one.name, words);
    fill(row, one, WORKER);
    for (const [number, place] of row.querySelectorAll("[data-route]").entries()) put(place, count(one.routes[number]?.in_hand ?? 0));
  }
  newcomers(workers, list.map((one) => one.name), "worker");
  if (changed) reword();
}

// Words may hold what somebody else wrote, so the server marks and shortens them. fetch() would need a parser, which the
// page's Content-Security-Policy forbids.
function reword() {
  const request = (asking = new XMLHttpRequest());
  request.open("GET", "/workers");
  request.responseType = "document";
  request.overrideMimeType("text/html"); // an error without a type would be XML, and its parser's message a breach of the policy
  request.addEventListener("loadend", () => {
    if (request !== asking) return; // a later answer counts
    const rows = request.response?.querySelectorAll("[data-worker]") ?? [];
    if (!rows.length) worded.forEach((_, name) => worded.set(name, "")); // the next news tries again
    for (const fresh of rows) {
      const row = workers.get(fresh.dataset.worker);
      if (!row) continue;
      for (const number of [0, 1]) row.cells[number].replaceChildren(...fresh.cells[number].childNodes);
      localize(row);
    }
  });
  request.send();
}

function operation(one) {
  const list = document.getElementById("busy");
  if (!list) return;
  const known = index("[data-operation]", "operation");
  const item = known.get(one.id);
  if (!item) return newcomers(known, [one.id], "operation");
  const bar = item.querySelector("progress");
  bar.max = one.total || 1;
  bar.value = one.changed;
  put(item.querySelector("[data-progress]"), `${count(one.changed)} of ${count(one.total)}${one.more ? "+" : ""}`);
  put(item.querySelector("[data-state]"), one.state);
  const cancel = item.querySelector("form");
  if (cancel) cancel.hidden = one.state !== "running";
  const running = [...document.querySelectorAll("[data-state]")].filter((state) => state.textContent === "running").length;
  return put(list, running === 0 ? "Nothing is running." : running === 1 ? "1 operation is running." : `${running} operations are running.`);
}

// A live region: read aloud, so only when it becomes better or worse, never for figures.
function severity(data) {
  const all = data.queues.flatMap((one) => one.needs.map((need) => [one.name, need.severity]));
  for (const one of data.queues) worst.set(one.name, all.some(([name, how]) => name === one.name && how === "bad") ? 2 : one.needs.length ? 1 : 0);
  if (data.whole) worst.set("", data.whole.needs.some((need) => need.severity === "bad") ? 2 : data.whole.needs.length ? 1 : 0);
  const now = Math.max(0, ...worst.values());
  if (level !== null && now !== level) {
    put(document.getElementById("severity"), data.whole?.summary ?? ["Nothing needs you now.", "Something needs you.", "Something needs you urgently."][now]);
  }
  level = now;
}

function news(data) {
  severity(data);
  for (const one of data.queues) queue(one, data.at);
  whole(data.whole);
  const time = document.querySelector("#as-of time");
  if (time) write(time, new Date(data.at * 1000));
  show("live", "live");
}

function state(data) {
  if (version !== null && version !== data.version) location.reload();
  version = data.version;
  if (document.getElementById("queues")) newcomers(queues, data.queues.map((one) => one.name), "queue");
  services(data.services);
  data.operations.forEach(operation);
  news(data);
}

function open() {
  close();
  show("waiting", "connecting");
  stream = new EventSource("/api/v1/stream");
  on("state", state);
  on("tick", news);
  on("workers", (data) => services(data.services));
  on("operation", operation);
  on("problem", () => show("problem", "store can't be read"));
  stream.addEventListener("bye", () => later(open, AGAIN, "reconnecting"));
  stream.addEventListener("error", () => {
    // CLOSED: the server refused (503, or the session ended). Otherwise the browser tries again.
    if (stream?.readyState === EventSource.CLOSED) later(poll, AGAIN, "waiting");
    else show("waiting", "reconnecting");
  });
}

function on(name, act) {
  stream.addEventListener(name, (event) => act(JSON.parse(event.data)));
}

function close() {
  stream?.close();
  stream = null;
  clearTimeout(timer);
}

function later(act, milliseconds, text) {
  close();
  show("waiting", text);
  timer = setTimeout(act, milliseconds);
}

let polls = 0;

async function poll() {
  try {
    const answer = await fetch("/api/v1/overview", { headers: { Accept: "application/json" } });
    if (answer.status === 401) return show("problem", "signed out");
    if (!answer.ok) throw new Error(answer.statusText);
    const data = await answer.json();
    if (stopped || document.hidden) return undefined;
    news({ ...data, whole: data });
    show("live", "every 5 s");
    polls += 1;
    timer = setTimeout(polls % 12 === 0 ? open : poll, POLL); // a place in the stream may be free again
  } catch {
    later(open, AGAIN, "reconnecting");
  }
  return undefined;
}

function choose() {
  if (stopped || document.hidden) {
    close();
    show("paused", "paused");
  } else {
    open();
  }
}

if (button) {
  button.hidden = false;
  button.title = "Stop or start live figures";
  button.addEventListener("click", () => { stopped = !stopped; choose(); });
  document.addEventListener("visibilitychange", choose);
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => { if (event.persisted) choose(); });
  choose();
}
