// The page behind a TLS proxy: one that has logged its people in already, and one that has not. Everything is done by keyboard.

// Presses a key until something is focused: the way of who has no mouse.
async function tabTo(page, selector) {
	for (let i = 0; i < 120; i++) {
		await page.keyboard.press("Tab");
		if (await page.evaluate((s) => document.activeElement?.matches(s), selector))
			return true;
	}
	return false;
}

export async function behindProxy({browser, ports, it, ok, sees, alert, token, judge, shots, WAIT}) {
	const context = await browser.newContext({ignoreHTTPSErrors: true, viewport: {width: 1440, height: 900}, reducedMotion: "reduce"});
	const page = await context.newPage(), url = `https://127.0.0.1:${ports.oidc}`;
	await page.goto(url + "/");
	await it("who the proxy has logged in is in at once, over TLS", () => sees(page, ".who", "ann"));
	await it("changes are streamed through it", () => page.locator(".lamp.live").waitFor(WAIT));
	await it("no cookie is needed", async () => (await context.cookies()).length === 0);
	alert({alertname: "Keys", service: "keys", severity: "warning"}, {summary: "it may be restarted"});
	await page.goto(url + "/#/approvals");
	await it("a question comes", () => sees(page, ".approval .run", "/usr/bin/sv -w 20 restart"));
	await page.locator("main").focus();
	await it("Tab leads to Approve, and one sees where one is", async () => await tabTo(page, '.approval [data-act="approve"]') &&
		await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle !== "none"));
	await page.screenshot({path: `${shots}/page-keyboard-1440.png`});
	await page.keyboard.press("Enter");
	await it("Enter opens the dialog, whose focus stays in it", async () => {
		await page.locator("dialog").waitFor(WAIT);
		for (let i = 0; i < 12; i++) {
			await page.keyboard.press("Tab");
			if (!await page.evaluate(() => document.activeElement === document.body || document.querySelector("dialog").contains(document.activeElement)))
				return false;
		}
		return true;
	});
	await judge(page, "the dialog, over TLS");
	await it("Escape closes it, and nothing is decided", async () => {
		await page.keyboard.press("Escape");
		await page.locator("dialog").waitFor({state: "detached", ...WAIT});
		return await page.locator(".approval").count() === 1;
	});
	await page.keyboard.press("a");
	await page.locator("dialog [name=reason]").waitFor(WAIT);
	await it("a opens it as well, and Tab leads to the reason", () => tabTo(page, "dialog [name=reason]"));
	await page.keyboard.type("by keyboard");
	await it("Tab leads to the button, and Space approves", async () => {
		if (!await tabTo(page, "dialog [type=submit]"))
			return false;
		await page.keyboard.press("Space");
		await page.locator("dialog").waitFor({state: "detached", ...WAIT});
		await sees(page, "main", "Nobody asks for anything");
	});
	const story = await page.evaluate(async () => {
		const {incidents} = await (await fetch("/api/incidents?limit=5")).json();
		return (await (await fetch("/api/story/" + incidents.find((i) => i.title.startsWith("Keys")).id)).json()).story;
	});
	const decision = story.filter((e) => e.kind === "decision").at(-1).message;
	ok(decision.by === "ann" && decision.verdict === "approve" && decision.reason === "by keyboard", "the decision is that of who the proxy said", decision);
	const forged = await page.evaluate(async () => (await fetch("/api/pause", {method: "POST", headers: {"Content-Type": "application/json", "X-Auth-Subject": "ann@idp"}, body: "{}"})).status);
	ok(forged === 403, "without the CSRF token nothing is changed, whoever one says to be", forged);
	await context.close();
	await byToken({browser, ports, it, ok, sees, token, WAIT});
}

// No subject: the login by token, and the cookie that HTTPS asks for.
async function byToken({browser, ports, it, ok, sees, token, WAIT}) {
	const context = await browser.newContext({ignoreHTTPSErrors: true}), page = await context.newPage(), url = `https://127.0.0.1:${ports.open}`;
	await page.setExtraHTTPHeaders({"X-Auth-Subject": "ann@idp"});
	await page.goto(url + "/");
	await it("a subject that the browser itself claims is no login", () => page.waitForURL("**/login", WAIT));
	await page.locator("#token").fill(token("bob"));
	await page.keyboard.press("Enter");
	await it("a token logs in, over TLS", () => sees(page, ".who", "bob"));
	const [cookie] = await context.cookies();
	ok(cookie?.name === "__Host-healbus" && cookie.secure && cookie.httpOnly && cookie.sameSite === "Strict", "the cookie is for this host and HTTPS alone", cookie);
	await context.close();
}
