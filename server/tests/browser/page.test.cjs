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

test("nothing was complained about in the console", () => assert.deepEqual(complaints, []));
