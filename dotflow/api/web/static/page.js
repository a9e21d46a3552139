// What every page does: times in the reader's own zone, clocks that go on, and news of changes.
// A part of a page that wants to be asked for anew has hx-trigger="changed from:body".

const OFTEN = Number(document.body.dataset.often ?? 1000); // milliseconds between two refreshes, at least
const POLL = 5000;
const AGAIN = 60000; // until it is asked again to be told, where the answer was that it is not
const DAY = 86400000;

// How far the server's clock is ahead of ours: durations so far are measured by the server's.
const skew = Date.parse(document.querySelector("meta[name=now]")?.content ?? "") - Date.now() || 0;

// ---- times ----

const time = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const short = new Intl.DateTimeFormat("en-GB", { timeStyle: "short" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const year = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });
const exact = new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long" });

export function clock(moment, now = new Date()) {
  if (moment.toDateString() === now.toDateString()) return time.format(moment);
  const yesterday = new Date(now.getTime() - DAY);
  if (moment.toDateString() === yesterday.toDateString()) return `Yesterday ${short.format(moment)}`;
  if (moment.getFullYear() === now.getFullYear()) return `${day.format(moment)} ${short.format(moment)}`;
  return year.format(moment);
}

// The same words as `lasting` in dotflow/waterfall/texts.py.
export function lasting(seconds) {
  if (seconds < 1) return seconds < 0.01 ? `${(seconds * 1000).toFixed(1)} ms` : `${(seconds * 1000).toFixed(0)} ms`;
  if (seconds < 60) return `${seconds.toFixed(2)} s`;
  const whole = Math.round(seconds);
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

function localise(root) {
  for (const one of root.querySelectorAll("time[datetime]:not([data-local])")) {
    const moment = new Date(one.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    one.dataset.local = "";
    one.textContent = clock(moment);
    one.title = (one.classList.contains("received") ? "Received " : "") + exact.format(moment);
  }
}

function localiseTitles(root) {
  for (const one of root.querySelectorAll("title[data-when]")) {
    one.textContent = one.textContent.replace(/[^,]*$/, ` ${clock(new Date(one.dataset.when))}`);
  }
}

function tick() {
  for (const one of document.querySelectorAll(".ticking")) {
    const seconds = (Date.now() + skew - Date.parse(one.dataset.since)) / 1000;
    // Whole seconds: a number that flickers is not read.
    one.textContent = seconds < 60 ? `${Math.max(0, Math.floor(seconds))} s` : lasting(seconds);
  }
}

// What was put in is said as all else is, before anybody sees it.
function freshen() {
  localise(document);
  localiseTitles(document);
  tick();
}

// ---- changes ----

let source = null;
let polling = 0;
let due = 0;
let last = 0;

// Several changes in a second are one refresh.
function changed() {
  if (due || document.hidden) return;
  due = setTimeout(() => {
    due = 0;
    last = Date.now();
    document.body.dispatchEvent(new CustomEvent("changed"));
  }, Math.max(0, last + OFTEN - Date.now()));
}

// A change while an answer is under way may not be in that answer, and the part that would ask
// again is replaced by it: so it is remembered here, and asked for once the answer is there.
// (htmx settles at once, see base.html: a part that is put in hears of changes from then on.)
let asking = 0;
let missed = false;
const refreshes = ({ detail }) => detail.requestConfig.triggeringEvent?.type === "changed";
document.addEventListener("changed", () => { missed = asking > 0; }, true);
document.addEventListener("htmx:beforeRequest", (event) => { if (refreshes(event)) asking += 1; });
document.addEventListener("htmx:afterRequest", (event) => {
  if (!refreshes(event)) return;
  asking -= 1;
  if (asking || !missed) return;
  missed = false;
  changed();
});

const WORDS = { live: "Live", polling: "Every 5 s", away: "No connection" };

const sign = document.getElementById("live");

function say(state) {
  if (!sign || sign.dataset.state === state) return;
  sign.dataset.state = state;
  sign.title = sign.firstElementChild.textContent = WORDS[state];
}

function ask() {
  if (sign?.dataset.state !== "away") say("polling"); // until an answer comes, nobody knows better
  changed();
}

function poll(on) {
  if (on === Boolean(polling)) return;
  if (on) polling = setInterval(ask, POLL);
  else polling = clearInterval(polling) ?? 0;
}

function listen() {
  const address = document.body.dataset.events;
  if (!address || source || document.hidden) return;
  source = new EventSource(address);
  source.onopen = () => {
    poll(false);
    say("live");
    changed(); // what happened while nobody listened
  };
  source.addEventListener("changed", changed);
  source.onerror = () => {
    poll(true);
    if (source?.readyState !== EventSource.CLOSED) return; // it tries again by itself
    source = null;
    say("polling");
    setTimeout(listen, AGAIN);
  };
}

function rest() {
  source?.close();
  source = null;
  poll(false);
}

// Nobody looks at a hidden tab: it costs the server nothing, and is anew when it is seen.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return rest();
  listen();
  changed();
});
window.addEventListener("pagehide", rest);
window.addEventListener("pageshow", (event) => event.persisted && (listen(), changed()));

// ---- parts that are asked for anew ----

const shown = new Map(); // the last answer by the id of the part that it was for

document.body.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const { xhr, target, pathInfo } = detail;
  // Whoever has no session any more is led to the page to log in: that is no part of this one.
  const asked = new URL(pathInfo.finalRequestPath, location).pathname;
  if (xhr.status === 401 || new URL(xhr.responseURL).pathname !== asked) {
    detail.shouldSwap = false;
    location.reload();
    return;
  }
  if (xhr.status === 422) [detail.shouldSwap, detail.isError] = [true, false]; // it says what is wrong
  // What is as it was stays: a text that somebody marked, and the place of the keyboard.
  const answer = detail.serverResponse.replace(/^[^]*<body/, "");
  if (target.id && shown.get(target.id) === answer) detail.shouldSwap = false;
  shown.set(target.id, answer);
});
document.body.addEventListener("htmx:afterSwap", freshen);
for (const fault of ["htmx:sendError", "htmx:responseError"]) document.body.addEventListener(fault, () => say("away"));
document.body.addEventListener("htmx:responseError", ({ detail }) => {
  const gone = document.getElementById("gone");
  if (!gone || detail.xhr.status !== 404) return;
  gone.hidden = false;
  for (const one of document.querySelectorAll(".ticking")) one.classList.remove("ticking");
});
document.body.addEventListener("htmx:afterOnLoad", () => sign?.dataset.state === "away" && say(polling ? "polling" : "live"));

// ---- forms ----

// Fields for a time have the reader's own; the address has UTC.
for (const field of document.querySelectorAll("input[type=datetime-local]")) {
  const moment = new Date(`${field.value}Z`);
  if (!Number.isNaN(moment.getTime())) {
    const local = new Date(moment.getTime() - moment.getTimezoneOffset() * 60000);
    field.value = local.toISOString().slice(0, 16);
  }
}

document.addEventListener("formdata", ({ target, formData }) => {
  for (const [name, value] of [...formData]) {
    // What is not asked for is not in the address.
    if (value === "") formData.delete(name);
    else if (target.elements[name]?.type === "datetime-local") formData.set(name, `${new Date(value).toISOString().slice(0, 16)}Z`);
  }
});

// What is set shows that it is, also while it is closed.
document.addEventListener("change", ({ target }) => {
  const panel = target.closest("details.between");
  panel?.toggleAttribute("data-set", [...panel.querySelectorAll("input")].some((one) => one.value));
});

// A panel closes as menus do.
document.addEventListener("click", ({ target }) => {
  for (const one of document.querySelectorAll("details.between[open]")) if (!one.contains(target)) one.open = false;
});
document.addEventListener("keydown", ({ key, target }) => {
  const panel = key === "Escape" && target.closest("details.between[open]");
  if (panel) {
    panel.open = false;
    panel.querySelector("summary").focus();
  }
});

freshen();
setInterval(tick, 1000);
listen();
