// Drives the page in a real Chromium; page.sh starts it and does what it asks for through descriptor 3. TAP.
import {readFileSync, readdirSync, writeSync} from "node:fs";
import {createRequire} from "node:module";
import {hostileTests} from "./lib_page_hostile.mjs";
import {behindProxy} from "./lib_page_tls.mjs";

const [url, executablePath, shots, peers, secrets] = process.argv.slice(2);
const require = createRequire(peers + "/");
const {chromium} = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const WAIT = {timeout: 40000}, SIZES = [[1440, 900], [390, 844]];

let n = 0, failures = 0;
function ok(good, text, detail) {
	n++;
	if (!good) {
		failures++;
		if (detail !== undefined)
			console.log("# " + JSON.stringify(detail).slice(0, 1500));
	}
	console.log(`${good ? "ok" : "not ok"} ${n} - ${text}`);
}

// A step of the story: when it throws, the test fails, and the rest goes on.
async function it(text, run) {
	try {
		const answer = await run();
		ok(answer !== false, text, answer);
	} catch (e) {
		ok(false, text, e.message.split("\n").slice(0, 6).join(" | "));
	}
}

const act = (what) => writeSync(3, what + "\n");
const alert = (labels, annotations) => act("alert " + JSON.stringify([{status: "firing", labels, annotations: annotations || {}, startsAt: new Date().toISOString()}]));
const token = (name) => readFileSync(`${secrets}/token-${name}`, "utf8").trim();
const get = async (path) => (await fetch(url + path, {headers: {Authorization: "Bearer " + token("ann")}})).json();

// ---- a browser that notes whatever should not happen ----

const wrong = {dialogs: [], foreign: [], violations: [], errors: []};

async function open(browser, size, scheme) {
	const context = await browser.newContext({viewport: {width: size[0], height: size[1]}, colorScheme: scheme, reducedMotion: "reduce"});
	const page = await context.newPage();
	await page.exposeFunction("violated", (what) => wrong.violations.push(what));
	await page.addInitScript(() => document.addEventListener("securitypolicyviolation", (e) => window.violated(`${e.violatedDirective} ${e.blockedURI}`)));
	page.on("dialog", (d) => {
		wrong.dialogs.push(d.message());
		d.dismiss();
	});
	page.on("request", (r) => {
		if (!r.url().startsWith(url) && !r.url().startsWith("data:,"))
			wrong.foreign.push(r.url());
	});
	page.on("pageerror", (e) => wrong.errors.push(e.message));
	return page;
}

async function judge(page, name) {
	await page.evaluate(axe);
	const bad = await page.evaluate(async () => (await window.axe.run(document, {resultTypes: ["violations"]})).violations
		.filter((v) => ["serious", "critical"].includes(v.impact)).map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((x) => x.target.join(" ")).join("; ")}`));
	ok(bad.length === 0, `axe finds nothing serious: ${name}`, bad);
}

const at = (page, hash) => page.goto(`${url}/#/${hash}`);
const sees = (page, selector, text) => page.locator(selector).filter({hasText: text}).first().waitFor({state: "visible", ...WAIT});

async function submit(page, fields) {
	for (const [name, value] of Object.entries(fields)) {
		const field = page.locator(`dialog [name=${name}]`);
		if (await field.count())
			await field.fill(value);
	}
	await page.locator("dialog [type=submit]").click();
	await page.locator("dialog").waitFor({state: "detached", ...WAIT});
}

// ---- who ----

async function login(page, name, secret) {
	await page.goto(url + "/login");
	await page.locator("#token").fill(secret || token(name));
	await page.locator("button").click();
	if (!secret)
		await page.locator("main[data-view]").waitFor(WAIT);
}

async function logsIn(page, small) {
	await page.goto(url + "/");
	await it("who is not known is sent to the login", () => page.waitForURL("**/login", WAIT));
	await judge(page, "login");
	await small.goto(url + "/login");
	await judge(small, "login, small and light");
	for (const view of [page, small])
		await view.screenshot({path: `${shots}/page-login-${view.viewportSize().width}.png`});
	await login(page, "", "wrong".repeat(9));
	await it("a wrong token is refused, and told", () => sees(page, "#said", "not known"));
	await login(page, "ann");
	await it("a right one logs in", () => sees(page, ".who", "ann"));
	await it("no script can read the cookie", async () => await page.evaluate(() => document.cookie) === "");
}

// Who may only look sees no button; and a button would be of no use: the notifier decides.
async function looks(browser) {
	const page = await open(browser, SIZES[0], "light");
	await login(page, "vic");
	await at(page, "approvals");
	await it("a viewer sees the question, and that it is not for him", () => sees(page, ".approval", "Deciding takes the role approver"));
	await it("and no button for it, nor to pause", async () => await page.locator('[data-act="approve"], [data-act="deny"], [data-act="pause"]').count() === 0);
	const status = await page.evaluate(async () => {
		const {csrf} = await (await fetch("/api/session")).json(), {approvals} = await (await fetch("/api/approvals")).json();
		return (await fetch("/api/decisions", {method: "POST", headers: {"Content-Type": "application/json", "X-CSRF-Token": csrf},
			body: JSON.stringify({approval: approvals[0].id, verdict: "approve", by: "ann", reason: ""})})).status;
	});
	ok(status === 403, "and what he sends all the same is refused", status);
	await page.locator('[data-act="logout"]').click();
	await it("logging out leads to the login", () => page.waitForURL("**/login", WAIT));
	ok(await page.evaluate(async () => (await fetch("/api/incidents")).status) === 401, "and ends the session");
	await page.context().close();
}

// ---- an incident from red to green ----

async function heals(page) {
	let loads = 0;
	page.on("load", () => loads++);
	await page.goto(url + "/");
	await it("a quiet page says so, and who is on call", () => sees(page, "main", "All quiet").then(() => sees(page, "main", "On call: bob")));
	await it("changes are streamed", () => page.locator(".lamp.live").waitFor(WAIT));
	act("fail-job");
	await it("an incident appears without loading the page again", async () => {
		await sees(page, ".incident", "CIFailure");
		return loads === 1;
	});
	await it("it says what is asked", () => sees(page, ".incident.asks .doing", "may I code_fix(octo-org_calc)"));
	await page.keyboard.press("j");
	await page.keyboard.press("Enter");
	await it("j and Enter open it", () => sees(page, ".detail h1", "CIFailure"));
	await it("its edits can be read, in colour and with signs", async () => {
		await sees(page, ".approval .diff .l.del", "-\treturn a - b;");
		await sees(page, ".approval .diff .l.add", "+\treturn a * b;");
	});
	await it("exactly what would run is there", () => sees(page, ".approval .run", "fix octo-org/calc at"));
	await judge(page, "an incident that asks");
	await shoot(page, "asks");
	await page.keyboard.press("a");
	await judge(page, "the dialog of a decision");
	await it("a, Space and Enter approve nothing: they are typed", async () => {
		await page.keyboard.press("Space");
		await page.keyboard.press("Enter");
		return await page.locator("dialog [name=reason]").inputValue() === " \n";
	});
	await page.locator("dialog [name=reason]").fill("looks right");
	await page.keyboard.press("Control+Enter");
	await it("a and Ctrl Enter approve", () => page.locator("dialog").waitFor({state: "detached", ...WAIT}));
	await it("the first attempt fails in the sandbox", () => sees(page, ".entry.bad .what", "attempt 1 failed"));
	await it("a second one asks, with another edit", () => sees(page, ".approval .diff .l.add", "+\treturn a + b;"));
	await page.locator('.approval [data-act="approve"]').click();
	await it("a click approves", () => submit(page, {}));
	await it("the pull request is opened", () => sees(page, ".entry .what", "pull_request_open(octo-org_calc) done"));
	act("run-succeeded");
	await it("the story ends healed", async () => {
		await sees(page, ".detail .chip", "resolved");
		await sees(page, ".answer", "Yes. Over since");
	});
	await it("it says who allowed it", () => sees(page, ".entry .what", "approved by ann"));
	await it("and what the model was asked, folded, and its cost", async () => {
		const asked = page.locator(".entry details:has(> summary:has-text('asked scripted'))").first();
		await asked.locator("summary").first().click();
		await asked.locator("summary", {hasText: "What it was asked"}).click();
		await sees(page, ".entry .said", "# Incident");
		await sees(page, ".detail", "tokens, $0.");
	});
	await page.locator('[data-act="held"][data-what="yes"]').click();
	await it("whether it held can be said", () => submit(page, {}).then(() => sees(page, ".entry .what", "it held, as seen by ann")));
	await it("all of it without loading the page again", () => loads === 1);
	await judge(page, "a story");
	await shoot(page, "healed");
}

// ---- no, and wait ----

async function denies(page, browser) {
	await at(page, "approvals");
	await it("nobody asks", () => sees(page, "main", "Nobody asks for anything"));
	act("break-web");
	await it("a question appears live", () => sees(page, ".approval .run", "/usr/bin/sv -w 20 restart"));
	await judge(page, "approvals");
	await shoot(page, "approvals");
	await looks(browser);
	await page.keyboard.press("d");
	await it("d denies, with a reason", () => submit(page, {reason: "not now"}));
	await it("the question goes", () => sees(page, "main", "Nobody asks for anything"));
	const {incidents} = await get("/api/incidents");
	await at(page, "i/" + incidents.find((i) => i.title.startsWith("WebDown")).id);
	await it("the story says who said no, and why", async () => {
		await sees(page, ".entry .what", "denied by ann");
		await sees(page, ".entry", "not now");
	});
	await it("nothing ran", async () => await page.locator(".entry .what", {hasText: "service_restart(web) done"}).count() === 0);
}

async function pauses(page, browser) {
	await page.keyboard.press("p");
	await it("p pauses, with a reason", () => submit(page, {reason: "let me look"}));
	await it("the banner says by whom and why", () => sees(page, ".paused", "Paused by ann: let me look"));
	alert({alertname: "Hard", service: "hard", severity: "critical"}, {summary: "it must be stopped"});
	await at(page, "approvals");
	await it("something hard asks", () => sees(page, ".approval .level-hard", "hard"));
	await page.locator('[data-act="approve"]').click();
	await page.locator("dialog [type=submit]").click();
	await it("hard needs a second yes", async () => await page.locator("dialog").count() === 1 && (await get("/api/approvals")).approvals.length === 1);
	await judge(page, "the dialog of something hard");
	await page.locator("dialog [name=sure]").check();
	await it("then it is a first yes", () => submit(page, {}));
	await it("and the page says that another person must say it, too", () => sees(page, ".approval", "ann has said yes; somebody else must, too"));
	const bob = await open(browser, SIZES[1], "light");
	await login(bob, "bob");
	await at(bob, "approvals");
	await bob.locator('[data-act="approve"]').click();
	await judge(bob, "the dialog on a phone");
	await bob.screenshot({path: `${shots}/page-dialog-390.png`});
	await bob.locator("dialog [name=sure]").check();
	await it("whose yes, from a phone, is the second", () => submit(bob, {}));
	await bob.context().close();
	const {incidents} = await get("/api/incidents");
	await at(page, "i/" + incidents.find((i) => i.title.startsWith("Hard")).id);
	await it("but while paused it waits, and says why", () => sees(page, ".doing-now", "paused"));
	await shoot(page, "paused");
	await page.locator('[data-act="resume"]').click();
	await it("resumed", () => submit(page, {}));
	await it("it runs", () => sees(page, ".entry .what", "service_stop(web) done"));
	await it("the banner is gone", () => page.locator(".paused").waitFor({state: "detached", ...WAIT}));
}

async function silencesIt(page) {
	await at(page, "silences");
	await page.locator('[data-act="silence"]').click();
	await it("a silence is made", () => submit(page, {matchers: 'service="quiet"', comment: "work on it"}));
	await it("and listed", () => sees(page, ".silence", 'service="quiet"'));
	await judge(page, "silences");
	await shoot(page, "silences");
	await page.locator('[data-act="expire"]').click();
	await it("and ended", () => submit(page, {}).then(() => sees(page, "main", "Nothing is silenced")));
}

async function others(page) {
	for (const [hash, name, text] of [["", "incidents", "Hard"], ["list/all", "all-incidents", "CIFailure"], ["tools", "tools", "service_restart"], ["kpis", "figures", ""], ["machine", "machine", "On call"], ["search/calc", "search", "CIFailure"]]) {
		await at(page, hash);
		await it(`the view ${name} is there`, () => sees(page, "main", text));
		await judge(page, name);
		await shoot(page, name);
	}
	await at(page, "tools");
	const {tools} = await get("/api/tools"), restart = tools.find((t) => t.name === "service_stop");
	await it("a tool's success is what the notifier counted", () => sees(page, "tr", `100 % of ${restart.runs}`).then(() => restart.runs === restart.done && restart.runs > 0));
	await at(page, "machine");
	await it("who may what is there for an admin", () => sees(page, ".part", "Whose yes a plan needs"));
	await page.locator('[data-act="override"]').click();
	await judge(page, "the dialog of an override");
	await page.locator("dialog [name=person]").selectOption("ann");
	await it("somebody else is put on call", () => submit(page, {reason: "swap"}).then(() => sees(page, ".part", "put there by ann")));
	await page.locator('[data-act="unoverride"]').click();
	await it("and taken off again", () => submit(page, {}).then(() => page.locator('[data-act="unoverride"]').waitFor({state: "detached", ...WAIT})));
	await page.keyboard.press("/");
	await page.keyboard.type("nginx");
	await page.keyboard.press("Enter");
	await it("/ searches", () => sees(page, ".view.search", "WebDown"));
	await page.locator("main").focus();
	await page.keyboard.press("?");
	await it("? tells the keys", () => sees(page, "dialog", "next / previous"));
	await judge(page, "the keys");
	await page.keyboard.press("Escape");
}

async function offline(page) {
	await at(page, "");
	await sees(page, ".net", "live");
	await page.context().setOffline(true);
	await it("when nobody answers, the page says so", () => sees(page, ".banner .offline", "does not answer"));
	await judge(page, "offline");
	await page.context().setOffline(false);
	await it("and finds back by itself", () => page.locator(".banner .offline").waitFor({state: "detached", ...WAIT}));
}

// What is on the screen at both sizes and both schemes, by a page of its own each.
async function shoot(page, name) {
	const hash = new URL(page.url()).hash;
	for (const other of watching) {
		await other.goto("about:blank");
		await other.goto(`${url}/${hash}`);
		await other.locator("main > section:visible").first().waitFor(WAIT);
		await other.locator("[data-reading]").first().waitFor({state: "detached", ...WAIT});
		const width = other.viewportSize().width;
		await other.screenshot({path: `${shots}/page-${name}-${width}.png`, fullPage: true});
		const over = await other.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
		ok(over <= 0, `${name} fits ${width} pixels`, over);
		if (width < 500)
			await judge(other, `${name}, small and light`);
	}
}

// What turns text into markup, a script or a style has no place in the page.
function reads(web) {
	const forbidden = /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|setAttribute\("(on|style)|DOMParser|createContextualFragment|srcdoc/;
	for (const file of readdirSync(web).filter((f) => /\.(js|html)$/.test(f)))
		ok(!forbidden.test(readFileSync(`${web}/${file}`, "utf8").replace(/^\/\/.*$/gm, "")), `${file} makes nothing of text but text`);
}

reads("notifier/web");
const browser = await chromium.launch({executablePath, args: process.getuid() === 0 ? ["--no-sandbox"] : []});
const watching = [];
try {
	watching.push(await open(browser, SIZES[0], "dark"), await open(browser, SIZES[1], "light"));
	for (const w of watching) {
		w.context().setDefaultTimeout(WAIT.timeout);
		await w.route("**/api/events*", (r) => r.abort()); // so that a picture can be still
	}
	const page = await open(browser, SIZES[0], "dark");
	await logsIn(page, watching[1]);
	for (const w of watching)
		await login(w, "ann");
	await heals(page);
	await denies(page, browser);
	await pauses(page, browser);
	await silencesIt(page);
	const port = (name) => readFileSync(`${secrets}/../proxy/${name}`, "utf8").trim();
	await behindProxy({browser, ports: {oidc: port("port"), open: port("port-open")}, it, ok, sees, alert, token, judge, shots, WAIT});
	await others(page);
	await offline(page);
	for (const view of [page, ...watching])
		view.removeAllListeners("load");
	ok(wrong.errors.length === 0, "no script of ours failed", wrong.errors);
	const victim = await open(browser, SIZES[0], "dark");
	await login(victim, "ann");
	await hostileTests({page: victim, wrong, ok, get, alert, sees, at});
} catch (e) {
	ok(false, "the tests could be run", e.stack);
} finally {
	await browser.close();
}
console.log(`1..${n}`);
process.exit(failures ? 1 : 0);
