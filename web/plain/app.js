// The plain page: lists over the public API, kept fresh by one event stream.
"use strict";

const $ = (id) => document.getElementById(id);

async function call(method, path, body) {
  const options = { method, credentials: "same-origin", headers: {} };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options);
  const isJson = (response.headers.get("Content-Type") || "").includes("json");
  const value = isJson ? await response.json() : null;
  if (!response.ok) {
    const error = new Error((value && value.detail) || `the server answered ${response.status}`);
    error.status = response.status;
    throw error;
  }
  return value;
}

// --- Making elements: text is only ever text ---------------------------------

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") made.addEventListener("click", value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const percent = (x) => (x === null || x === undefined ? "–" : `${(100 * x).toFixed(1)} %`);
const count = (x) => (x === null || x === undefined ? "–" : x.toLocaleString("en"));

function duration(seconds) {
  if (seconds === null || seconds === undefined || seconds < 0) return "";
  const s = Math.round(seconds);
  return s < 60 ? `${s} s left` : `${Math.floor(s / 60)} min ${s % 60} s left`;
}

const note = (text) => (text ? element("span", { class: "note" }, text) : "");

function table(columns, rows, empty) {
  if (rows.length === 0) return element("p", { class: "quiet" }, empty);
  const head = element("tr", {}, ...columns.map((c) =>
    element("th", { class: c.class || "", scope: "col", "aria-label": c.title ? null : "actions" }, c.title)));
  const body = rows.map((row) => element("tr", { "data-id": row.id }, ...columns.map((c) =>
    element("td", { class: c.class || "", "data-title": c.title }, ...[].concat(c.cell(row))))));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
}

// --- Putting a newer table in the place of an older one ------------------------
// What has not changed stays the same element, so that a button keeps the focus, and a click that
// began on it ends on it.

function putCell(old, made) {
  const folds = old.querySelectorAll("details");
  made.querySelectorAll("details").forEach((fold, i) => { fold.open = Boolean(folds[i] && folds[i].open); });
  if (old.isEqualNode(made)) return;
  const hadFocus = old.contains(document.activeElement);
  old.replaceWith(made);
  if (hadFocus) (made.querySelector("button, a") || made).focus();
}

function putRows(body, made) {
  const ids = new Set([...made.rows].map((row) => row.dataset.id));
  for (const row of [...body.rows]) if (!ids.has(row.dataset.id)) row.remove();
  const kept = new Map([...body.rows].map((row) => [row.dataset.id, row]));
  let place = body.firstElementChild;
  for (const row of [...made.rows]) {
    const old = kept.get(row.dataset.id);
    if (old) [...row.cells].forEach((cell, i) => putCell(old.cells[i], cell));
    if (old && old === place) place = place.nextElementSibling;
    else body.insertBefore(old || row, place);
  }
}

function put(place, made) {
  const old = place.firstElementChild;
  if (!old || old.tagName !== "TABLE" || made.tagName !== "TABLE") {
    place.replaceChildren(made);
    return;
  }
  putRows(old.tBodies[0], made.tBodies[0]);
  if (old.caption) old.caption.remove();
  if (made.caption) old.prepend(made.caption);
}

const busy = new WeakSet(); // not the attribute, which would take the focus away

async function act(button, work) {
  if (busy.has(button)) return;
  busy.add(button);
  try {
    await work();
    await refresh();
  } catch (error) {
    alert(error.message);
  } finally {
    busy.delete(button);
  }
}

// What it acts on is said to those who do not see the row.
const action = (label, name, work) => element("button",
  { type: "button", "aria-label": `${label} ${name}`, onclick: (e) => act(e.currentTarget, work) }, label);

// --- The three lists -----------------------------------------------------------

const jobName = (j) => j.model_name || j.id.slice(0, 8);

const jobColumns = [
  { title: "model", class: "name", cell: (j) => element("button",
      { type: "button", class: "link", "aria-label": `Show ${jobName(j)}`, onclick: () => openJob(j).catch(fail) }, jobName(j)) },
  { title: "strategy", class: "wide", cell: (j) => j.strategy || "" },
  { title: "status", cell: (j) => [
      element("span", { class: j.status }, j.status === "failed" && j.failure_reason ? `failed: ${j.failure_reason}` : j.status), note(j.error)] },
  { title: "progress", cell: (j) => [
      element("progress", { max: 1, value: j.progress || 0, "aria-label": "progress" }), " ",
      element("span", { class: "quiet" }, j.status === "running" ? duration(j.eta_seconds) : "")] },
  { title: "epoch", class: "number wide", cell: (j) => (j.epoch ? `${j.epoch}${j.epochs ? ` / ${j.epochs}` : ""}` : "") },
  { title: "validation", class: "number", cell: (j) => percent(j.best_accuracy) },
  { title: "", cell: (j) =>
      j.status === "pending" || j.status === "running" 
        ? action("Cancel", jobName(j), () => call("DELETE", `/api/jobs/${j.id}`))
      : j.status === "failed" || j.status === "cancelled" 
        ? action("Resume", jobName(j), () => call("POST", `/api/jobs/${j.id}/resume`))
      : "" },
];

// Nothing is left out of a data set without a word: "unsupported_format 6, no_class 2".
const findings = (d) => Object.entries(d.finding_counts || {}).map(([code, n]) => `${code} ${count(n)}`).join(", ");

const datasetColumns = [
  { title: "name", class: "name", cell: (d) => d.name },
  { title: "state", cell: (d) => d.readiness === "processing"
      ? element("progress", { max: 1, value: d.progress || 0, "aria-label": "progress" })
      : [element("span", { class: d.readiness }, d.readiness), note(d.error || findings(d))] },
  { title: "pictures", class: "number", cell: (d) => count(d.total_samples) },
  { title: "classes", class: "number wide", cell: (d) => count(d.classes && d.classes.length) },
  { title: "", cell: (d) => [
      d.readiness === "ready" 
        ? action("Train", d.name, () => call("POST", "/api/jobs", { dataset_id: d.id })) : "", " ",
      action("Delete", d.name, async () => {
        if (confirm(`Delete the data set "${d.name}" and its files?`)) await call("DELETE", `/api/datasets/${d.id}`);
      })] },
];

const modelColumns = [
  { title: "name", class: "name", cell: (m) => m.name },
  { title: "status", cell: (m) => [
      element("span", { class: m.status }, m.is_partial ? `${m.status} (partial)` : m.status), note(m.error)] },
  { title: "strategy", class: "wide", cell: (m) => m.strategy || "" },
  { title: "accuracy", class: "number", cell: (m) => percent(m.accuracy) },
  { title: "parameters", class: "number wide", cell: (m) => count(m.parameters) },
  { title: "", cell: (m) => [
      m.current_version ? element("a", { href: `/api/models/${m.id}/download`, "aria-label": `Download ${m.name}` }, "Download") : "", " ",
      action("Delete", m.name, async () => {
        if (confirm(`Delete the model "${m.name}" and its files?`)) await call("DELETE", `/api/models/${m.id}`);
      })] },
];

// --- One job: what its search tried, and what was asked --------------------------

const json = (value) => element("pre", {}, JSON.stringify(value, null, 2));
const fold = (title, ...children) => element("details", {}, element("summary", {}, title), ...children);
const parentsOf = (r) => (r.parents && r.parents.length ? ` of ${r.parents.map((n) => `#${n}`).join(" and ")}` : "");

const runColumns = [
  { title: "candidate", class: "name", cell: (r) => [
      `#${r.iteration} ${r.operator || ""}${parentsOf(r)}`, note(r.failure || r.hypothesis)] },
  { title: "source", class: "wide", cell: (r) => r.source || "" },
  { title: "validation", class: "number", cell: (r) => percent(r.best_accuracy) },
  { title: "test", class: "number wide", cell: (r) => percent(r.accuracy) },
  { title: "verdict", cell: (r) => element("span", { class: r.verdict === "best" ? "ready" : r.status }, r.verdict || r.status) },
  { title: "parameters", class: "number wide", cell: (r) => count(r.parameters) },
  { title: "how", cell: (r) => [
      fold("hyperparameters", json(r.hyperparameters)), r.architecture ? fold("network", json(r.architecture)) : ""] },
];

// Only a search that has ended has counted them.
function proposalsOf(job) {
  const p = job.result && job.result.proposals;
  return p ? `Proposals: ${p.asked} checked, ${p.valid_first} right at first, ${p.repaired} after repair, ${p.replaced} by a stand-in. ` : "";
}

let opened = null; // the job that is shown

async function openJob(job) {
  opened = job;
  $("job-name").textContent = jobName(job);
  delete $("exchange-list").dataset.job;
  $("exchanges").open = false;
  await showJob();
  $("job").hidden = false;
  $("job").scrollIntoView({ block: "nearest" });
}

function closeJob() {
  opened = null;
  $("job").hidden = true;
}

async function showJob() {
  if (!opened) return;
  const path = `/api/jobs/${opened.id}`;
  try {
    const [exchanges, job] = await Promise.all([
      call("GET", `${path}/exchanges?limit=1`),
      call("GET", path),
      show("runs", `${path}/runs?limit=500`, runColumns, "Nothing is through yet."),
    ]);
    $("exchanges").hidden = exchanges.total === 0;
    $("exchange-count").textContent = exchanges.total;
    $("job-more").replaceChildren(proposalsOf(job), element("a", { href: `${path}/exchanges?format=jsonl` }, "All of it as lines of JSON"));
    if ($("exchanges").open) await showExchanges(exchanges.total);
  } catch (error) {
    if (error.status !== 404) throw error;
    closeJob(); // it is gone
  }
}

const exchangeTitle = (x) => `${x.number} ${x.purpose}: ${x.outcome}, ${x.model || "nobody"}, ${x.prompt_tokens} + ` +
  `${x.completion_tokens} tokens, ${(x.latency_ms / 1000).toFixed(1)} s${x.dollars ? `, $${x.dollars.toFixed(4)}` : ""}`;

const makeExchange = (x) => fold(exchangeTitle(x), note(x.reason), note(`SHA-256 of the question: ${x.request_hash}`),
  fold("question", json(x.request)), fold("answer", json(x.response)));

// Rows are never changed: only what is new is fetched.
async function showExchanges(total) {
  const list = $("exchange-list");
  const job = opened;
  if (list.dataset.job !== job.id) {
    list.replaceChildren();
    list.dataset.job = job.id;
    list.dataset.cursor = "";
  }
  let cursor = list.dataset.cursor;
  while (opened === job && list.children.length < total) {
    const page = await call("GET", `/api/jobs/${job.id}/exchanges?limit=20${cursor ? `&cursor=${cursor}` : ""}`);
    const shown = new Set([...list.children].map((child) => child.dataset.number));
    for (const x of page.items) {
      if (shown.has(String(x.number))) continue;
      const made = makeExchange(x);
      made.dataset.number = x.number;
      list.append(made);
    }
    if (!page.next_cursor) break;
    cursor = page.next_cursor;
    list.dataset.cursor = cursor;
  }
}

async function show(id, path, columns, empty) {
  const list = await call("GET", path);
  const made = table(columns, list.items, empty);
  if (list.total > list.items.length) {
    made.prepend(element("caption", { class: "quiet" }, `the newest ${list.items.length} of ${list.total}`));
  }
  put($(id), made);
}

let isRefreshing = false;
let isStale = false;

// One refresh at a time; what happens meanwhile makes one more.
async function refresh() {
  if (isRefreshing) {
    isStale = true;
    return;
  }
  isRefreshing = true;
  try {
    do {
      isStale = false;
      await Promise.all([
        show("jobs", "/api/jobs?limit=50", jobColumns, "No jobs yet: train on a data set."),
        show("datasets", "/api/datasets?limit=50", datasetColumns, "No data sets yet: upload one."),
        show("models", "/api/models?limit=50", modelColumns, "No models yet."),
        showJob(),
      ]);
    } while (isStale);
  } finally {
    isRefreshing = false;
  }
}

// --- Watching ------------------------------------------------------------------

let source = null;

const RETRY_MS = 3000;

function watch() {
  source = new EventSource("/api/events");
  const soon = () => { clearTimeout(watch.timer); watch.timer = setTimeout(() => refresh().catch(fail), 150); };
  for (const type of ["status", "progress", "metrics", "run", "llm", "created", "updated", "deleted", "reset"]) {
    source.addEventListener(type, soon);
  }
  source.onopen = () => { $("connection").textContent = "live"; soon(); };
  source.onerror = () => {
    $("connection").textContent = "reconnecting";
    // A browser tries again by itself when the connection broke, but not when the answer was no stream.
    if (source && source.readyState === EventSource.CLOSED) setTimeout(watchAgain, RETRY_MS);
  };
}

async function watchAgain() {
  if (!source) return;
  try {
    await refresh();
    if (source) watch();
  } catch (error) {
    fail(error);
    if (source) setTimeout(watchAgain, RETRY_MS);
  }
}

function fail(error) {
  if (error.status === 401) signOut();
  else $("connection").textContent = error.message;
}

// --- Signing in and out ----------------------------------------------------------

function setSignedIn(isSignedIn) {
  $("sign-in").hidden = isSignedIn;
  for (const id of ["content", "sign-out", "more"]) $(id).hidden = !isSignedIn;
}

function signOut() {
  if (source) source.close();
  source = null;
  closeJob();
  setSignedIn(false);
  $("connection").textContent = "not signed in";
}

// The sign-in address carries the token in its fragment, which is never sent; it goes from the bar at once.
function takeToken() {
  const match = location.hash.match(/^#token=(.+)$/);
  if (match) history.replaceState(null, "", location.pathname);
  return match ? match[1] : null;
}

async function enter(token) {
  if (token) await call("POST", "/api/session", { token });
  await refresh();
  $("sign-in-error").textContent = "";
  setSignedIn(true);
  if (source) source.close();
  watch();
}

async function start(token) {
  try {
    await enter(token);
  } catch (error) {
    if (!error.status || error.status >= 500) {
      $("connection").textContent = error.message;
      setTimeout(() => start(token), RETRY_MS);
      return;
    }
    signOut();
    if (token) $("sign-in-error").textContent = error.message;
    $("token").focus();
  }
}

$("sign-in-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("sign-in-error").textContent = "";
  try {
    await enter($("token").value.trim());
    $("token").value = "";
  } catch (error) {
    $("sign-in-error").textContent = error.message;
  }
});

$("job-close").addEventListener("click", closeJob);
$("exchanges").addEventListener("toggle", () => { if ($("exchanges").open) showJob().catch(fail); });

$("sign-out").addEventListener("click", async () => {
  await call("DELETE", "/api/session").catch(() => {});
  signOut();
  $("token").focus();
});

// A sign-in address that is put into the bar of a page that is open already.
addEventListener("hashchange", () => {
  const token = takeToken();
  if (token) start(token);
});

// --- Uploading: XMLHttpRequest, because fetch tells no progress ----------------------

$("upload").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = new FormData();
  form.append("name", $("upload-name").value);
  form.append("file", $("upload-file").files[0]);
  const request = new XMLHttpRequest();
  const bar = $("upload-progress");
  $("upload-error").textContent = "";
  bar.hidden = false;
  request.upload.onprogress = (e) => { bar.value = e.total ? e.loaded / e.total : 0; };
  request.onloadend = () => {
    bar.hidden = true;
    if (request.status === 201) {
      $("upload").reset();
    } else {
      let detail = request.status ? `the server answered ${request.status}` : "the connection was lost";
      try { detail = JSON.parse(request.responseText).detail || detail; } catch { /* no problem document */ }
      $("upload-error").textContent = detail;
    }
    refresh().catch(fail);
  };
  request.open("POST", "/api/datasets");
  request.send(form);
});

start(takeToken());
