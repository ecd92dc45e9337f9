"use strict";
// The search page: one state, one search at a time. Everything from the server is shown as text, never as markup.

const element = (id) => document.getElementById(id);
const state = { key: sessionStorage.getItem("vecino-key") || "", picture: null, like: null, search: 0, urls: [] };

// Calls the server; asks for the key when it wants one. Rejects with the server's own words.
async function call(path, options = {}) {
  const headers = new Headers(options.headers);
  if (state.key) headers.set("api-key", state.key);
  const answer = await fetch(path, { ...options, headers });
  if (answer.status === 401) {
    await askForKey();
    if (!state.key) throw new Error("this server wants its API key: reload the page to give it");
    return call(path, options);
  }
  if (!answer.ok) {
    const body = await answer.json().catch(() => null);
    throw new Error(body?.status?.error || `the server answered ${answer.status}`);
  }
  return answer;
}

let asking = null;
function askForKey() {
  const dialog = element("key-dialog");
  asking ||= new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      state.key = element("key").value.trim();
      sessionStorage.setItem("vecino-key", state.key);
      asking = null;
      resolve();
    }, { once: true });
    dialog.showModal();
  });
  return asking;
}

const json = async (path, options) => (await (await call(path, options)).json()).result;
const placeOf = (name) => `/collections/${encodeURIComponent(name)}`;
const place = () => placeOf(element("collection").value);

// How many collections are looked at to find one to begin with, and how many points of it are shown.
const SEEK_MAX = 20;
const START_COUNT = 12;

function say(text, bad = false) {
  element("status").textContent = text;
  element("status").classList.toggle("bad", bad);
}

async function loadCollections() {
  const { collections } = await json("/collections");
  const names = collections.map((collection) => collection.name).sort();
  element("collection").replaceChildren(...names.map((name) => new Option(name, name)));
  if (names.length === 0) {
    say("There is no collection yet. Load the sample: vecino sample, or a folder: vecino load FOLDER --collection NAME");
    return;
  }
  element("collection").value = await firstToShow(names);
  await enter();
}

// The one that the address names, else the sample, else the first that can be searched by what a person has at hand.
async function firstToShow(names) {
  const wanted = new URLSearchParams(location.search).get("collection");
  const known = [wanted, "sample"].find((name) => names.includes(name));
  if (known) return known;
  for (const name of names.slice(0, SEEK_MAX)) {
    try {
      const can = abilities(await json(placeOf(name)));
      if (can.text.length || can.picture.length) return name;
    } catch { /* One that cannot be read is not shown first. */ }
  }
  return names[0];
}

// Names of the vectors that are made of texts and of pictures.
function abilities(info) {
  const embedders = Object.entries(info.vecino?.embedders || {});
  const named = (wanted) => embedders.filter(([, made]) => made.model.includes("image") === wanted).map(([name]) => name);
  return { text: named(false), picture: named(true) };
}

// Shows what a collection is, what can be done with it, and some of it.
async function enter() {
  const turn = ++state.search;
  const name = element("collection").value;
  show([]);
  showStart("", [], []);
  const info = await json(placeOf(name));
  if (turn !== state.search) return;
  const can = abilities(info);
  const points = info.points_count;
  element("facts").textContent = `${points.toLocaleString()} ${points === 1 ? "point" : "points"}`;
  element("text").disabled = element("go").disabled = can.text.length === 0;
  element("text").placeholder = placeholder(can);
  element("choose").hidden = can.picture.length === 0;
  element("ways").hidden = can.text.length < 2;
  if (can.text.length < 2) element("mode").value = "hybrid";
  say("");
  showStart(hint(name, can, points), [], []);
  const some = await somePoints(can, info.vecino?.media?.keep !== false);
  if (turn === state.search) showStart(hint(name, can, points), examples(name, can, some), some);
}

function placeholder(can) {
  if (can.text.length && can.picture.length) return "Type what you look for, or drop or paste a picture";
  if (can.text.length) return "Type what you look for";
  return can.picture.length ? "Drop or paste a picture" : "This collection holds vectors only";
}

function hint(name, can, points) {
  if (!can.text.length && !can.picture.length) {
    const mend = "To search by words or pictures, load texts or pictures into a new collection: vecino load PATH --collection NAME";
    const now = `Click a point to find its neighbours, or search with numbers: vecino search '[…]' --collection ${name}`;
    return `This collection has no embedder: it holds ready vectors only, and takes no words and no pictures. ${now}. ${mend}`;
  }
  if (points === 0) return `This collection is empty. Load into it: vecino load PATH --collection ${name}`;
  if (!can.text.length) return "This collection is searched by pictures: drop one, or click one below for more like it.";
  if (!can.picture.length) return "This collection is searched by words: type some, or click a text below for more like it.";
  return "Type what you look for, drop a picture, or click something below for more like it.";
}

const SAMPLE_QUERIES = ["a green apple", "something with two wheels", "stormy weather", "a bird"];

// Words to try: those of the collection itself.
function examples(name, can, points) {
  if (!can.text.length) return [];
  if (name === "sample") return SAMPLE_QUERIES;
  const words = points.map(wordsOf).filter((text) => text && text.length <= 40 && !text.startsWith("{"));
  return [...new Set(words)].slice(0, 3);
}

// A few points with what can be shown of them, as a search would answer them.
async function somePoints(can, kept) {
  const vectors = [...can.picture, ...can.text];
  const wanted = { limit: START_COUNT, with_payload: true, with_vector: vectors };
  const options = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(wanted) };
  const base = place();
  const { points } = await json(`${base}/points/scroll`, options);
  return Promise.all(points.map(async ({ id, payload, vector }) => {
    const has = (names) => kept && names.some((name) => vector && vector[name]);
    // Digits in quotes are a text; without, a number.
    const path = `${base}/points/${encodeURIComponent(typeof id === "string" ? `"${id}"` : id)}`;
    const point = { id, payload };
    if (has(can.picture)) point.thumbnail = `${path}/thumbnail`;
    else if (has(can.text)) point.text = await textAt(`${path}/media?kind=text`);
    return point;
  }));
}

// A point whose vector came ready has no text to show.
const textAt = async (path) => {
  const answer = await call(path).catch(() => null);
  return answer ? (await answer.text()).slice(0, 300) : "";
};

function showStart(text, queries, points) {
  element("start").hidden = !text;
  element("hint").textContent = text;
  element("few").replaceChildren(...points.map(hit));
  element("examples").replaceChildren(...queries.map((query) => {
    const button = part("example", query, "button");
    button.type = "button";
    button.addEventListener("click", () => {
      forget();
      element("text").value = query;
      search();
    });
    return button;
  }));
}

function request() {
  const count = element("count").value;
  const body = (value) => ({
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(value),
  });
  if (state.like !== null) return [`${place()}/search`, body({ like: state.like.id, k: Number(count) })];
  if (state.picture) {
    const headers = { "content-type": "application/octet-stream" };
    return [`${place()}/search?k=${count}`, { method: "POST", headers, body: state.picture }];
  }
  const text = element("text").value.trim();
  if (!text) return null;
  return [`${place()}/search`, body({ text, k: Number(count), mode: element("mode").value })];
}

async function search() {
  const asked = request();
  element("clear").hidden = !asked;
  if (!asked) return;
  const turn = ++state.search;
  const started = performance.now();
  element("start").hidden = true;
  say("…");
  try {
    const found = await json(...asked);
    if (turn !== state.search) return;
    const ms = Math.round(performance.now() - started);
    const count = found.points.length;
    const way = state.like !== null ? "like this one" : state.picture ? "like the picture" : "";
    say(`${count === 0 ? "nothing" : count} found ${way} in ${ms} ms (${found.searched.join(" + ")})`);
    show(found.points);
  } catch (error) {
    if (turn === state.search) fail(error);
  }
}

// What was found before would look like the answer, and a picture that cannot be read shows nothing.
function fail(error) {
  show([]);
  forget();
  say(error.message, true);
}

function forget() {
  state.picture = state.like = null;
  showPicture(null);
}

function show(points) {
  state.urls.forEach((url) => URL.revokeObjectURL(url));
  state.urls = [];
  element("hits").replaceChildren(...points.map(hit));
}

function hit(point) {
  const item = document.createElement("li");
  const card = document.createElement("button");
  card.type = "button";
  card.className = "hit";
  card.title = "search for more like this";
  card.addEventListener("click", () => moreLike(point));
  if (point.thumbnail) card.append(frame(point));
  const words = wordsOf(point);
  if (words) card.append(part("words" + (point.thumbnail ? "" : " long"), words));
  const foot = part("foot", "");
  foot.append(part("id", shortened(String(point.id)), "span"));
  if (point.score !== undefined) foot.append(part("score", point.score.toPrecision(4), "span"));
  const parts = (point.score_parts || []).map((p) => `${p.using}: rank ${p.rank + 1}, score ${p.score.toPrecision(4)}`);
  foot.title = [point.id, ...parts].join("\n");
  card.append(foot);
  item.append(card);
  return item;
}

// Both ends of an id tell it from its neighbours; the whole one is in the tip.
const shortened = (id) => (id.length > 16 ? `${id.slice(0, 8)}…${id.slice(-4)}` : id);

function part(className, text, tag = "div") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function frame(point) {
  const box = part("frame", "");
  const image = document.createElement("img");
  image.alt = wordsOf(point) || "picture";
  box.append(image);
  // With a key, a picture cannot be fetched by its address alone.
  if (!state.key) {
    image.loading = "lazy";
    image.src = point.thumbnail;
    return box;
  }
  call(point.thumbnail).then((answer) => answer.blob()).then((blob) => {
    image.src = URL.createObjectURL(blob);
    state.urls.push(image.src);
  }).catch((error) => { image.alt = error.message; });
  return box;
}

function wordsOf(point) {
  if (point.text) return point.text;
  const payload = point.payload || {};
  const told = ["title", "name", "caption", "label", "text", "file_name"].map((key) => payload[key]);
  const first = told.find((value) => typeof value === "string" && value.trim());
  if (first) return first;
  return Object.keys(payload).length ? JSON.stringify(payload) : "";
}

function moreLike(point) {
  state.like = point;
  state.picture = null;
  showPicture(null);
  element("text").value = "";
  scrollTo({ top: 0, behavior: "smooth" });
  search();
}

function usePicture(file) {
  if (!file) return;
  state.picture = file;
  state.like = null;
  element("text").value = "";
  showPicture(file);
  search();
}

let shown = null;
function showPicture(file) {
  if (shown) URL.revokeObjectURL(shown);
  shown = file ? URL.createObjectURL(file) : null;
  element("picture").hidden = !file;
  if (file) element("picture").src = shown;
}

function clear() {
  forget();
  state.search += 1;
  element("text").value = "";
  element("clear").hidden = true;
  show([]);
  element("start").hidden = !element("hint").textContent;
  say("");
  element("text").focus();
}

const pictureIn = (list) => [...(list || [])].find((file) => file.type.startsWith("image/"));

element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (element("text").value.trim()) forget();
  search();
});
element("clear").addEventListener("click", clear);
element("mode").addEventListener("change", search);
element("count").addEventListener("change", search);
element("collection").addEventListener("change", () => {
  state.like = null;
  enter().then(() => request() && search()).catch(fail);
});
element("file").addEventListener("change", (event) => {
  usePicture(event.target.files[0]);
  event.target.value = "";
});
addEventListener("paste", (event) => usePicture(pictureIn(event.clipboardData?.files)));
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  const file = pictureIn(event.dataTransfer?.files);
  if (file) usePicture(file);
  else say("that is no picture", true);
});

// A format that the browser does not show may still be one that the server reads.
element("picture").addEventListener("error", () => { element("picture").hidden = true; });

loadCollections().catch(fail);
