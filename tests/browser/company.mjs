// Logging in through the company's provider, the whole way: button, provider, consent, back, out.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";

export const CLIENT = ["quoteguard-browser", "the-secret-of-the-browser-suite"];

/** Starts the provider; gives it and its address. */
export function start(base) {
  const child = spawn(process.execPath, [join(import.meta.dirname, "provider.mjs"), base, ...CLIENT], { stdio: ["ignore", "pipe", "pipe"] });
  return new Promise((resolve, reject) => {
    let said = "";
    child.stderr.on("data", (bytes) => { said += bytes; });
    child.stdout.on("data", (bytes) => {
      const found = String(bytes).match(/http:\/\/\S+/);
      if (found) resolve({ child, issuer: found[0] });
    });
    child.once("exit", (code) => reject(new Error(`the provider ended with ${code}:\n${said}`)));
  });
}

/** The console's configuration for it. */
export function config(base, issuer) {
  return `[console.oidc]\nissuer = '${issuer}'\nclient_id = '${CLIENT[0]}'\nclient_secret = '${CLIENT[1]}'\npublic_url = '${base}'\n`
    + "scopes = ['profile', 'groups']\nlabel = 'Acme Insurance'\nroles = { underwriter = 'underwriter', chief = 'admin' }\n";
}

async function window(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, locale: "ru-RU", ...options });
  // The provider's pages ask for a font that is far away.
  await context.route(/fonts\.googleapis\.com/, (route) => route.abort());
  return context.newPage();
}

/** Through the button to the provider, and back. */
async function logIn(page, base, issuer, name) {
  await page.goto(`${base}/console/login`);
  await page.click("text=Acme Insurance");
  await page.waitForURL(`${issuer}/interaction/**`);
  await page.fill("[name=login]", name);
  await page.fill("[name=password]", "anything");
  await page.click("button[type=submit]");
  // The first time it asks whether the console may know.
  if (page.url().startsWith(issuer)) await page.click("button[type=submit]");
  await page.waitForURL(`${base}/console**`);
}

export async function wholePath(browser, base, issuer, axe) {
  const page = await window(browser);
  await logIn(page, base, issuer, "underwriter@acme");
  assert.equal(new URL(page.url()).pathname, "/console");
  assert.equal(await page.textContent(".who"), "underwriter@acme");
  assert.match(await page.textContent(".menu summary"), /андеррайтер/i);
  await page.goto(`${base}/console/password`);
  assert.equal(await page.locator("[name=now]").count(), 0, "there is no password to change");

  const cookies = await page.context().cookies(base);
  const session = cookies.find((cookie) => cookie.name.endsWith("quoteguard-session"));
  assert.ok(session.name.startsWith("__Host-") && session.secure && session.httpOnly && session.sameSite === "Lax", JSON.stringify(session));
  assert.ok(!cookies.some((cookie) => cookie.name.endsWith("quoteguard-sso")), "the log-in is over");

  await page.click(".menu summary");
  await page.click("text=Выйти на всех устройствах");
  await page.waitForURL(`${base}/console/logout/company`);
  await axe(page, "out");
  // The session with the provider goes on: the button leads in without a question.
  await page.goto(`${base}/console/login`);
  await page.click("text=Acme Insurance");
  await page.waitForURL(new RegExp(`^${base}/console$`));
  await page.click(".menu summary");
  await page.locator(".menu button", { hasText: /^Выйти$/ }).click();
  await page.click("text=Выйти из учётной записи компании");
  await page.waitForURL(`${issuer}/session/end**`);
  await page.click("button[value=yes]");
  await page.waitForURL(`${base}/console/login**`);
  await page.click("text=Acme Insurance");
  await page.waitForURL(`${issuer}/interaction/**`);
  await page.context().close();
}

export async function noRole(browser, base, issuer, axe) {
  const page = await window(browser);
  await logIn(page, base, issuer, "stranger@acme");
  assert.match(await page.textContent("main"), /роль здесь вам не назначена/);
  await axe(page, "no place");
  await page.click("text=Войти снова");
  await page.waitForURL(`${base}/console/login`);
  await page.goto(`${base}/console`);
  assert.equal(new URL(page.url()).pathname, "/console/login", "there is no session");
  await page.context().close();
}

export async function withoutScripts(browser, base, issuer) {
  const page = await window(browser, { javaScriptEnabled: false, locale: "en-GB" });
  await logIn(page, base, issuer, "chief@acme");
  await page.goto(`${base}/console/accounts`);
  assert.match(await page.locator("tr", { hasText: "chief@acme" }).textContent(), /through the company/);
  await page.context().close();
}

/** The log-in page with its button: both languages, both colours, wide and narrow. */
export async function button(browser, base, axe) {
  for (const locale of ["ru-RU", "en-GB"]) {
    for (const colorScheme of ["light", "dark"]) {
      const page = await window(browser, { locale, colorScheme });
      await page.goto(`${base}/console/login`);
      await axe(page, `log-in ${locale} ${colorScheme}`);
      const [company, form] = [await page.locator("a.main").boundingBox(), await page.locator("form.stack").boundingBox()];
      assert.ok(company.y + company.height <= form.y, "the button stands above the form");
      await page.setViewportSize({ width: 390, height: 844 });
      assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 390);
      await page.context().close();
    }
  }
}
