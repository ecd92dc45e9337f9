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
const place = () => `/collections/${encodeURIComponent(element("collection").value)}`;

function say(text, bad = false) {
  element("status").textContent = text;
  element("status").classList.toggle("bad", bad);
}

async function loadCollections() {
  const { collections } = await json("/collections");
  const wanted = new URLSearchParams(location.search).get("collection");
  const names = collections.map((collection) => collection.name).sort();
  const options = names.map((name) => new Option(name, name, false, name === wanted));
  element("collection").replaceChildren(...options);
  if (names.length === 0) {
    say("There is no collection yet. Load a folder: vecino load FOLDER --collection NAME");
    return;
  }
  await showFacts();
}

async function showFacts() {
  const info = await json(place());
  const points = info.points_count;
  element("facts").textContent = `${points.toLocaleString()} ${points === 1 ? "point" : "points"}`;
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
    if (turn === state.search) say(error.message, true);
  }
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
  foot.append(part("", String(point.id), "span"), part("", point.score.toPrecision(4), "span"));
  foot.title = point.score_parts.map((p) => `${p.using}: rank ${p.rank + 1}, score ${p.score.toPrecision(4)}`).join("\n");
  card.append(foot);
  item.append(card);
  return item;
}

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
  state.picture = state.like = null;
  state.search += 1;
  showPicture(null);
  element("text").value = "";
  element("clear").hidden = true;
  element("hits").replaceChildren();
  say("");
  element("text").focus();
}

const pictureIn = (list) => [...(list || [])].find((file) => file.type.startsWith("image/"));

element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (element("text").value.trim()) {
    state.picture = state.like = null;
    showPicture(null);
  }
  search();
});
element("clear").addEventListener("click", clear);
element("mode").addEventListener("change", search);
element("count").addEventListener("change", search);
element("collection").addEventListener("change", () => {
  state.like = null;
  element("hits").replaceChildren();
  showFacts().then(search).catch((error) => say(error.message, true));
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

loadCollections().catch((error) => say(error.message, true));
