// The console as people use it: a real service, a real browser, by mouse, by keyboard and without scripts.
//   node run.mjs SERVICE_BINARY LOADTEST_BINARY [--screens DIR]
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFile, mkdtemp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { connect, createServer } from "node:net";
import { chromium } from "playwright-core";
import * as company from "./company.mjs";

const [programs, rest] = [process.argv.slice(2, 4).map((path) => resolve(path)), process.argv.slice(4)];
const [service, loadtest] = programs;
const screens = rest[0] === "--screens" ? resolve(rest[1]) : null;
const axeSource = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const PASSWORD = "correct horse battery";
const PAGES = ["", "/referrals", "/explore", "/rules", "/rules/1", "/backtests", "/operations", "/audit", "/accounts", "/keys", "/password"];
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

const folder = await mkdtemp(join(tmpdir(), "quoteguard-browser-"));
// The provider has to know where the console will be.
const base = `http://127.0.0.1:${await freePort()}`;
const provider = await company.start(base);
const settings = "[console]\nfirst_password_file = 'first-password'\nutc_offset = '+03:00'\nbacktests = 'reports'\n";
await mkdir(join(folder, "reports"));
await copyFile(new URL("../it/backtest.json", import.meta.url), join(folder, "reports", "november.json"));
await writeFile(join(folder, "reports", "november.html"), "<!doctype html><title>A report</title><p>A report");
await writeFile(join(folder, "quoteguard.toml"), settings + company.config(base, provider.issuer));
const server = spawn(service, ["serve", "--listen", new URL(base).host, "--data", "quoteguard.db"], { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
await listening(server);
const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
const faults = [];
// Of the API, once an administrator has made one: from then on it asks for it.
let key = null;
let failed = 0;

try {
  await demo();
  const admin = await person("admin", (await readFile(join(folder, "first-password"), "utf8")).trim());
  await step("an administrator makes accounts", () => accounts(admin));
  for (const [name, work] of [
    ["the whole path by mouse", byMouse],
    ["by keyboard alone", byKeyboard],
    ["two underwriters at once", twoAtOnce],
    ["a referral appears by itself within a second", live],
    ["the last of many changes is shown", burst],
    ["what happened while the stream was away is shown", reconnect],
    ["a condition finds decisions, and a mistake is shown in its place", condition],
    ["without scripts", withoutScripts],
    ["an administrator makes and rotates an API key", apiKey],
    ["at 390 pixels nothing is wider than the screen", narrow],
    ["axe finds nothing serious", accessible],
    ["the company's button, in both languages and colours", () => company.button(browser, base, axe)],
    ["through the company's provider and out again", () => company.wholePath(browser, base, provider.issuer, axe)],
    ["somebody of the company without a role", () => company.noRole(browser, base, provider.issuer, axe)],
    ["through the company without scripts", () => company.withoutScripts(browser, base, provider.issuer)],
  ]) await step(name, () => work(admin));
  if (screens) await step("screenshots", () => shoot(admin));
  await step("no page has complained", () => assert.deepEqual(faults, []));
} finally {
  await browser.close();
  provider.child.kill("SIGTERM");
  server.kill("SIGTERM");
  await new Promise((done) => server.once("exit", done));
  await rm(folder, { recursive: true, force: true });
}
process.exit(failed === 0 ? 0 : 1);

async function step(name, work) {
  const began = Date.now();
  try {
    await work();
    console.log(`ok    ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}\n${error.stack}`);
  }
}

/** A port that nobody has now. */
function freePort() {
  const probe = createServer();
  return new Promise((resolve) => probe.listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  }));
}

/** The address of the service, once it listens. */
function listening(child) {
  return new Promise((resolve, reject) => {
    let said = "";
    child.stderr.on("data", (bytes) => {
      said += bytes;
      const found = said.match(/"message":"listening","address":"([^"]+)"/);
      if (found) resolve(found[1]);
    });
    child.once("exit", (code) => reject(new Error(`the service ended with ${code}:\n${said}`)));
  });
}

/** The planted sample of `make run`. */
function demo() {
  const child = spawn(loadtest, ["demo", "--url", base], { stdio: "ignore" });
  return new Promise((resolve, reject) => child.once("exit", (code) => (code === 0 ? resolve() : reject(new Error(`the demo ended with ${code}`)))));
}

/** Six forms of one applicant whose facts change until the price falls; the case's id. */
async function plant(number) {
  let referral = null;
  for (let i = 0; i < 6; i += 1) {
    const quote = {
      quote_id: `planted-${number}-${i}`, submitted_at: new Date(Date.now() - (5 - i) * 4_000).toISOString(), product: "osago",
      channel: { kind: "web", session_id: `s-${number}`, device_id: `d-${number}` },
      policyholder: {
        last_name: ["Петрова", "Пeтрова", "Петрова", "Петрова", "Петровa", "Петрова"][i], first_name: "Ирина", middle_name: "Олеговна",
        birth_date: `19${60 + (number % 30)}-0${1 + (i % 3)}-17`, driver_licence: `77${String(10_000_000 + number * 7919).slice(-8)}`,
        phone: `+7903${String(1_000_000 + number * 104_729).slice(-7)}`, address: { city: "Тверь", street: "Садовая", house: String(7 + number) },
      },
      vehicle: { vin: `XTA219010K${String(1_000_003 * (i + 1) + number).slice(-7)}`, plate: `А${100 + (number % 900)}ВС77`, make: "Lada", model: "Granta", year: 2019, power_hp: 87 },
      coverage: { term_months: 12, deductible: 0 }, premium: 18_400 - i * 1_300,
    };
    const answer = await fetch(`${base}/v1/quotes/check`, { method: "POST", headers: { "content-type": "application/json", ...(key && { "x-api-key": key }) }, body: JSON.stringify(quote) });
    assert.equal(answer.status, 200, await answer.clone().text());
    referral = (await answer.json()).referral_id ?? referral;
  }
  assert.ok(referral, "six versions of the facts are referred");
  return referral;
}

/** A window of a person who is logged in, past the change of a first password. */
async function person(name, password, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, locale: "ru-RU", timezoneId: "Europe/Moscow", ...options });
  const page = await context.newPage();
  page.on("pageerror", (error) => faults.push(`${page.url()}: ${error.message}`));
  page.on("console", (message) => {
    // What we answer on purpose (409, 422) is told by the browser as an error of its network.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) faults.push(`${page.url()}: ${message.text()}`);
  });
  await page.goto(`${base}/console/login`);
  await page.fill("[name=name]", name);
  await page.fill("[name=password]", password);
  await page.click("form.stack button");
  if (page.url().endsWith("/console/password")) {
    await page.fill("[name=now]", password);
    await page.fill("[name=new]", PASSWORD);
    await page.fill("[name=again]", PASSWORD);
    await page.click("form.stack button");
  }
  await page.waitForURL(/\/console(\?|$)/);
  return page;
}

async function accounts(admin) {
  for (const [name, role] of [["olga", "underwriter"], ["ivan", "underwriter"], ["auditor-1", "auditor"]]) {
    await admin.goto(`${base}/console/accounts`);
    await admin.fill("form.stack [name=name]", name);
    await admin.selectOption("form.stack [name=role]", role);
    await admin.click("form.stack button");
    const first = await admin.textContent(".secret output");
    const page = await person(name, first);
    await page.context().close();
  }
}

async function apiKey(admin) {
  await admin.goto(`${base}/console/keys`);
  await admin.fill("form.stack [name=name]", "site");
  await admin.click("form.stack button.main");
  assert.ok(await admin.locator("form.stack [name=close]:invalid").count(), "the first key asks for a tick");
  await admin.check("form.stack [name=close]");
  await admin.click("form.stack button.main");
  const first = (await admin.textContent(".secret output")).trim();
  assert.match(first, /^qg_[0-9a-f]{12}_[0-9a-f]{72}$/);
  await axe(admin, "a fresh key");
  await admin.setViewportSize({ width: 390, height: 844 });
  assert.ok((await admin.evaluate(() => document.documentElement.scrollWidth)) <= 390, "a fresh key is wider than the screen");
  await admin.setViewportSize({ width: 1280, height: 860 });
  const plain = () => fetch(`${base}/v1/decisions/none`);
  for (let i = 0; i < 100 && (await plain()).status !== 401; i += 1) await new Promise((done) => setTimeout(done, 20));
  assert.equal((await plain()).status, 401);
  await admin.locator("tr", { hasText: first.slice(3, 15) }).locator("button[value=rotate]").click();
  key = (await admin.textContent(".secret output")).trim();
  assert.notEqual(key, first);
  const asked = (text) => fetch(`${base}/v1/decisions/none`, { headers: { "x-api-key": text } });
  for (let i = 0; i < 100 && (await asked(key)).status !== 404; i += 1) await new Promise((done) => setTimeout(done, 20));
  assert.deepEqual([(await asked(key)).status, (await asked(first)).status], [404, 404], "both hold");
}

async function openCase(page, id) {
  await page.goto(`${base}/console/referrals/${id}`);
  // The desk follows the log: a case is there a moment after its answer.
  for (let i = 0; i < 100 && !(await page.$(".matrix")); i += 1) await page.reload();
  await page.waitForSelector(".matrix");
}

async function byMouse() {
  const id = await plant(1);
  const page = await person("olga", PASSWORD);
  await openCase(page, id);
  await page.goto(`${base}/console/referrals`);
  await page.click(`#case-${id}`);
  assert.match(await page.textContent(".why"), /подбор параметров/);
  assert.match(await page.textContent(".why .drop"), /18.400 → 11.900/u);
  const vin = page.locator(".matrix tbody.changed tr", { hasText: "VIN" });
  assert.equal(await vin.locator("td.near, td.different").count(), 5, "each other VIN is marked");
  assert.ok((await page.locator("td.disguised .sign").first().textContent()) === "~", "and a look-alike letter by its sign");
  assert.ok(!(await page.textContent(".matrix")).includes("Петрова"), "masked");
  const scroll = await page.$eval(".matrix-scroll", (box) => ({ left: box.scrollLeft, wide: box.scrollWidth > box.clientWidth }));
  assert.ok(scroll.left === 0 || !scroll.wide, "the newest quote is in sight");
  await page.click(".open-all button");
  assert.ok((await page.textContent(".matrix")).includes("Петрова"), "open");
  assert.ok((await page.locator("td.disguised mark").first().textContent()).length > 0, "the letter that differs is marked");
  await page.fill("[name=comment]", "Позвонила: называет VIN из первой заявки.");
  await page.click("text=Добавить комментарий");
  assert.match(await page.textContent(".timeline"), /Позвонила/);
  assert.ok((await page.textContent(".matrix")).includes("Петрова"), "what was open stays open");
  await page.fill("[name=assignee]", "olga");
  await page.locator("form[action$='/assign'] button").click();
  await page.click("[data-key=p]");
  await page.waitForSelector(".pill.proof_requested");
  await page.click("[data-key=x]");
  await page.waitForSelector(".pill.confirmed");
  const told = await (await fetch(`${base}/v1/referrals/${id}`)).json();
  assert.equal(told.status, "confirmed");
  assert.match(await page.textContent(".timeline"), /подтверждено/);
  await page.context().close();
}

async function byKeyboard() {
  const ids = [await plant(2), await plant(3)];
  const page = await person("olga", PASSWORD);
  await openCase(page, ids[1]);
  await page.keyboard.press("u");
  await page.waitForURL(/\/referrals$/);
  await page.keyboard.press("?");
  assert.ok(await page.isVisible("#keys"), "the keys are told");
  await page.keyboard.press("?");
  await page.keyboard.press("j");
  const first = await page.evaluate(() => document.activeElement.id);
  await page.keyboard.press("j");
  const second = await page.evaluate(() => document.activeElement.id);
  assert.ok(first.startsWith("case-") && second.startsWith("case-") && first !== second, `${first} ${second}`);
  await page.keyboard.press("k");
  assert.equal(await page.evaluate(() => document.activeElement.id), first);
  await page.keyboard.press("Enter");
  await page.waitForSelector(".matrix");
  await page.keyboard.press("c");
  await page.waitForSelector(".pill.cleared");
  const id = first.slice("case-".length);
  assert.equal((await (await fetch(`${base}/v1/referrals/${id}`)).json()).status, "cleared");
  await page.focus("[name=comment]");
  await page.keyboard.type("xcp");
  assert.equal(await page.inputValue("[name=comment]"), "xcp", "letters in a text are letters");
  await page.context().close();
}

async function twoAtOnce() {
  const id = await plant(4);
  const [olga, ivan] = [await person("olga", PASSWORD), await person("ivan", PASSWORD)];
  await openCase(olga, id);
  await openCase(ivan, id);
  const before = await (await fetch(`${base}/v1/referrals/${id}`)).json();
  await Promise.all([olga.click("[data-key=c]"), ivan.click("[data-key=x]")]);
  await Promise.all([olga.waitForSelector(".flash"), ivan.waitForSelector(".flash")]);
  const bad = [await olga.$(".flash.bad"), await ivan.$(".flash.bad")].filter(Boolean);
  assert.equal(bad.length, 1, "one of the two is told that the other was first");
  const told = await (await fetch(`${base}/v1/referrals/${id}`)).json();
  assert.equal(told.revision, before.revision + 1, "there was one ruling");
  const third = await plant(5);
  await openCase(olga, third);
  await olga.click("form[action$='/claim'] button");
  await openCase(ivan, third);
  assert.match(await ivan.textContent(".facts"), /olga/);
  await ivan.click("[data-key=c]");
  assert.match(await ivan.textContent(".flash.bad"), /olga/);
  for (const page of [olga, ivan]) await page.context().close();
}

async function live() {
  const page = await person("olga", PASSWORD);
  const stream = page.waitForResponse((response) => response.url().endsWith("/console/events"));
  await page.goto(`${base}/console/referrals`);
  await stream;
  const id = await plant(6);
  const began = Date.now();
  await page.waitForSelector(`#case-${id}`, { timeout: 5000 });
  const took = Date.now() - began;
  assert.ok(took <= 1000, `it took ${took} ms`);
  console.log(`      the page showed it ${took} ms after the answer`);
  await page.context().close();
}

/** Decisions of the last hour, as the overview shows them. */
async function decided(page) {
  const tile = page.locator(".tile", { hasText: "Решений за час" }).locator("dd").first();
  return Number((await tile.textContent()).replace(/\D/g, ""));
}

/** Waits until the overview shows so many. */
async function shows(page, count) {
  const until = Date.now() + 10_000;
  while ((await decided(page)) !== count) {
    assert.ok(Date.now() < until, `${await decided(page)} decisions are shown instead of ${count}`);
    await page.waitForTimeout(50);
  }
}

/** Quotes of as many people who have nothing in common, all at once. */
async function many(name, count) {
  const letters = (of, i, length) => Array.from({ length }, (_, at) => of[createHash("sha256").update(`${name} ${i} ${of}`).digest()[at] % of.length]).join("");
  const quote = (i) => ({
    quote_id: `${name}-${i}`, submitted_at: new Date().toISOString(), product: "osago", channel: { kind: "web", session_id: `${name}-s-${i}`, device_id: `${name}-d-${i}` },
    policyholder: { last_name: letters("абвгдежзиклмнопрст", i, 9), first_name: letters("авеилноркт", i, 6), birth_date: `19${50 + (i % 40)}-0${1 + (i % 7)}-1${i % 10}` },
    vehicle: { vin: letters("ABCDEFGHJKLMNPRSTUVWXYZ1234567890", i, 17), make: "Lada", model: "Vesta", year: 2020, power_hp: 106 }, coverage: { term_months: 12, deductible: 0 }, premium: 9_000 + i,
  });
  const headers = { "content-type": "application/json", ...(key && { "x-api-key": key }) };
  const send = (i) => fetch(`${base}/v1/quotes/check`, { method: "POST", headers, body: JSON.stringify(quote(i)) });
  const answers = await Promise.all(Array.from({ length: count }, (_, i) => send(i)));
  assert.ok(answers.every((answer) => answer.status === 200), `${answers.map((answer) => answer.status)}`);
}

async function burst() {
  const page = await person("olga", PASSWORD);
  const stream = page.waitForResponse((response) => response.url().endsWith("/console/events"));
  await page.goto(`${base}/console`);
  await stream;
  const before = await decided(page);
  await many("burst", 50);
  await shows(page, before + 50);
  await page.context().close();
}

/** A way to the service that can be cut. */
async function cuttable() {
  const sockets = new Set();
  let open = true;
  const { hostname, port } = new URL(base);
  const way = createServer((client) => {
    if (!open) return client.destroy();
    const server = connect(Number(port), hostname);
    for (const [from, to] of [[client, server], [server, client]]) {
      sockets.add(from);
      from.on("error", () => to.destroy());
      from.on("close", () => { sockets.delete(from); to.destroy(); });
      from.pipe(to);
    }
  });
  await new Promise((done) => way.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${way.address().port}`,
    cut() { open = false; for (const socket of sockets) socket.destroy(); },
    mend() { open = true; },
    close() { this.cut(); way.close(); },
  };
}

async function reconnect() {
  const way = await cuttable();
  const page = await person("olga", PASSWORD);
  const streams = () => page.waitForResponse((response) => response.url() === `${way.url}/console/events`);
  let stream = streams();
  await page.goto(`${way.url}/console`);
  await stream;
  const before = await decided(page);
  way.cut();
  await many("away", 7);
  assert.equal(await decided(page), before, "nothing is heard while the way is cut");
  stream = streams();
  way.mend();
  await stream;
  await shows(page, before + 7);
  await page.context().close();
  way.close();
  // That the stream was lost is told by htmx as an error.
  faults.splice(0, faults.length, ...faults.filter((fault) => !fault.startsWith(way.url)));
}

async function condition() {
  const page = await person("auditor-1", PASSWORD);
  await page.goto(`${base}/console/explore`);
  await page.fill("[name=where]", "premum > 9000.0");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#faults");
  assert.match(await page.textContent("#faults"), /unknown name `premum`.*premium/s);
  assert.match(await page.textContent("#faults pre"), /\^{6}/);
  await axe(page, "a mistake in a condition");
  await page.fill("[name=where]", "decision == \"refer\" && premium > 1000.0");
  await page.keyboard.press("Enter");
  await page.waitForSelector("tbody .verdict.refer");
  assert.equal(await page.locator("tbody .verdict:not(.refer)").count(), 0);
  assert.match(await page.textContent("main"), /Просмотрено решений/);
  await page.context().close();
}

async function withoutScripts() {
  const id = await plant(7);
  const page = await person("ivan", PASSWORD, { javaScriptEnabled: false });
  await openCase(page, id);
  await page.goto(`${base}/console/referrals?status=open`);
  await page.click(`#case-${id}`);
  await page.locator(".matrix tbody.changed tr", { hasText: "VIN" }).locator("button").click();
  assert.match(await page.textContent(".matrix"), /XTA219010K/);
  await page.fill("[name=comment]", "Без скриптов.");
  await page.click("text=Добавить комментарий");
  assert.match(await page.textContent(".timeline"), /Без скриптов/);
  await page.locator("button[value=cleared]").click();
  assert.equal(await page.locator(".pill.cleared").count() > 0, true);
  await page.locator("details.menu summary").click();
  await page.click("text=English");
  assert.equal(await page.getAttribute("html", "lang"), "en");
  await page.goto(`${base}/console/explore?verdict=refer`);
  assert.ok((await page.locator("tbody tr").count()) >= 2);
  await page.context().close();
}

async function everyPage(admin, work) {
  const id = await plant(8 + Math.floor(Math.random() * 1000));
  await openCase(admin, id);
  for (const path of [...PAGES, `/referrals/${id}`]) {
    await admin.goto(`${base}/console${path}`);
    await work(path);
  }
}

async function narrow(admin) {
  await admin.setViewportSize({ width: 390, height: 844 });
  await everyPage(admin, async (path) => {
    const width = await admin.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 390, `${path} is ${width} wide`);
  });
  await admin.setViewportSize({ width: 1280, height: 860 });
}

async function accessible(admin) {
  for (const colorScheme of ["light", "dark"]) {
    await admin.emulateMedia({ colorScheme });
    await everyPage(admin, (path) => axe(admin, `${colorScheme} ${path}`));
  }
  await admin.emulateMedia({ colorScheme: "light" });
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${base}/console/login`);
  await axe(page, "login");
  await context.close();
}

async function axe(page, name) {
  // The page's policy lets no script of ours in but its own: axe comes through the debugger.
  await page.evaluate(axeSource);
  const found = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"] }));
  const serious = found.violations.filter((violation) => ["serious", "critical"].includes(violation.impact));
  const told = serious.map((violation) => `${violation.id}: ${violation.nodes.slice(0, 3).map((node) => `${node.target} ${node.failureSummary}`).join("; ")}`);
  assert.deepEqual(told, [], name);
}

async function shoot(admin) {
  await mkdir(screens, { recursive: true });
  await admin.setViewportSize({ width: 1280, height: 860 });
  const id = await plant(2024);
  const save = (page, name, fullPage = false) => page.screenshot({ path: join(screens, `${name}.png`), fullPage });
  for (const [language, colorScheme] of [["ru", "light"], ["en", "dark"]]) {
    await admin.emulateMedia({ colorScheme });
    for (const [name, path] of [["overview", ""], ["queue", "/referrals"], ["case", `/referrals/${id}`], ["explore", "/explore"]]) {
      await openCase(admin, id);
      await admin.goto(`${base}/console/switch?language=${language}&back=/console${path}`);
      await save(admin, `${name}-${language}-${colorScheme}`);
    }
  }
  await admin.emulateMedia({ colorScheme: "light" });
  await admin.setViewportSize({ width: 390, height: 844 });
  for (const [name, path] of [["queue", "/referrals"], ["case", `/referrals/${id}`]]) {
    await admin.goto(`${base}/console${path}`);
    await save(admin, `${name}-390`);
  }
}
