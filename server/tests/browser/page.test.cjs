// The page at /ui in a real browser, against a real server: type to search, drop a picture, click for more like it.
// Run by scripts/check-console, which sets CHROMIUM, VECINO and NODE_PATH.
const assert = require("node:assert/strict");
const { spawn, execFileSync } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { after, before, test } = require("node:test");
const { chromium } = require("playwright-core");

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vecino-page-"));
let server, browser, page, url;
const complaints = [];
// Where screenshots are kept for a person who asks for them.
const shots = process.env.SCREENSHOTS || folder;

before(async () => {
  server = spawn(process.env.VECINO, ["serve", "--data", path.join(folder, "data"), "--listen", "127.0.0.1:0"]);
  url = await new Promise((resolve, reject) => {
    let said = "";
    const listen = (chunk) => {
      said += chunk;
      const found = said.match(/http:\/\/127\.0\.0\.1:\d+/);
      if (found) resolve(found[0]);
    };
    server.stdout.on("data", listen);
    server.stderr.on("data", listen);
    server.on("exit", () => reject(new Error(`the server has stopped: ${said}`)));
  });
  execFileSync(process.env.VECINO, ["sample", path.join(folder, "sample")]);
  execFileSync(process.env.VECINO, ["sample", "--url", url], { stdio: "ignore" });
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
  page = await browser.newPage();
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await page.goto(`${url}/ui`);
});

after(async () => {
  await browser?.close();
  server?.kill();
  fs.rmSync(folder, { recursive: true, force: true });
});

async function captions() {
  await page.waitForFunction(() => document.querySelectorAll("#hits li").length > 0);
  return page.locator("#hits li").allInnerTexts();
}

test("the start page shows the sample, its pictures, and words to try", async () => {
  await page.waitForFunction(() => document.querySelectorAll("#few img").length > 3 && document.querySelectorAll(".example").length > 1);
  assert.equal(await page.inputValue("#collection"), "sample");
  await page.screenshot({ path: path.join(shots, "start.png") });
  await page.click(".example");
  assert.match((await captions())[0].toLowerCase(), /apple/);
  assert.equal(await page.locator("#start").isVisible(), false);
  const cut = await page.locator(".hit .score").evaluateAll((scores) => scores.filter((score) => score.scrollWidth > score.clientWidth || !/\d\.\d/.test(score.textContent)).length);
  assert.equal(cut, 0, "scores are whole");
  await page.screenshot({ path: path.join(shots, "hits.png") });
});

test("typing finds pictures by their words", async () => {
  await page.selectOption("#collection", "sample");
  await page.fill("#text", "green apple");
  await page.click("#go");
  const found = await captions();
  assert.match(found[0].toLowerCase(), /apple/);
  const picture = page.locator("#hits img").first();
  await picture.evaluate((image) => image.decode());
  assert.ok((await picture.evaluate((image) => image.naturalWidth)) > 0, "the thumbnail is shown");
});

test("a picture finds pictures that look like it", async () => {
  const sample = path.join(folder, "sample");
  const file = fs.readdirSync(sample, { recursive: true }).find((name) => /banana.*\.png$/.test(String(name)));
  const before = await page.locator("#hits").innerText();
  await page.setInputFiles("#file", path.join(sample, String(file)));
  await page.waitForFunction((old) => document.querySelector("#hits").innerText !== old && document.querySelectorAll("#hits li").length > 0, before);
  assert.match((await captions())[0].toLowerCase(), /banana/);
});

test("what a document says is shown as text, never run", async () => {
  await fetch(`${url}/collections/hostile`, { method: "PUT" });
  const text = "<img src=x onerror=\"window.hurt=1\"><script>window.hurt=1</script> pear";
  const answer = await fetch(`${url}/collections/hostile/documents`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ id: "x", text }),
  });
  assert.equal(answer.status, 200);
  await page.goto(`${url}/ui`);
  await page.selectOption("#collection", "hostile");
  await page.fill("#text", "pear");
  await page.click("#go");
  assert.match((await captions())[0], /onerror/);
  assert.equal(await page.evaluate(() => window.hurt), undefined);
});

test("a collection of ready vectors says what it cannot do, and shows neighbours", async () => {
  await put("colors", { vectors: { size: 2, distance: "Euclid" } });
  await put("colors/points", { points: [1, 2, 3].map((id) => ({ id, vector: [id, 0], payload: { name: `color ${id}` } })) });
  await page.goto(`${url}/ui?collection=colors`);
  await page.waitForFunction(() => document.querySelectorAll("#few li").length === 3);
  assert.match(await page.locator("#hint").innerText(), /no embedder.*vecino load/s);
  assert.equal(await page.locator("#text").isDisabled(), true);
  await page.screenshot({ path: path.join(shots, "vectors.png") });
  await page.click("#few li:first-child .hit");
  assert.match((await captions())[0], /color 2/);
});

test("nothing was complained about in the console", () => assert.deepEqual(complaints, []));

// The browser itself complains of the refusal, so this comes last.
test("an error takes away what was found before", async () => {
  await page.goto(`${url}/ui`);
  await page.waitForFunction(() => document.querySelectorAll(".example").length > 1);
  await page.click(".example");
  await captions();
  await page.setInputFiles("#file", { name: "broken.png", mimeType: "image/png", buffer: Buffer.from("no picture") });
  await page.waitForFunction(() => document.querySelector("#status").classList.contains("bad"));
  assert.equal(await page.locator("#hits li").count(), 0);
  assert.equal(await page.locator("#picture").isVisible(), false);
});

async function put(place, body) {
  const answer = await fetch(`${url}/collections/${place}`, {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  assert.equal(answer.status, 200);
}
