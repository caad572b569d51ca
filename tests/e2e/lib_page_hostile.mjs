// Words that want to be more than words: in labels of real alerts, and in every text of a real story (logs, diffs, plans,
// exchanges with models, names of tools), which is given back to the page with each of them in turn.

const ENOUGH = 10; // of views that did not show a word: then the others need not be waited for
const RLO = "\u202e", ZWSP = "\u200b";
export const HOSTILE = [
	"<script>window.pwned=1</script>",
	"<img src=x onerror=window.pwned=1>",
	"<svg onload=window.pwned=1>",
	"<svg><script>window.pwned=1</script></svg>",
	"<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
	"<iframe src=javascript:parent.pwned=1>",
	"<object data=javascript:window.pwned=1>",
	"<embed src=http://evil.example/x.swf>",
	"<link rel=stylesheet href=http://evil.example/x.css>",
	"<base href=http://evil.example/>",
	"<meta http-equiv=refresh content='0;url=http://evil.example/'>",
	"<form action=http://evil.example/><button autofocus onfocus=window.pwned=1>",
	"<details open ontoggle=window.pwned=1>",
	"<video><source onerror=window.pwned=1></video>",
	"<a href=javascript:window.pwned=1>click</a>",
	"javascript:window.pwned=1",
	"JaVaScRiPt://%0awindow.pwned=1",
	"data:text/html,<script>window.pwned=1</script>",
	"\" onmouseover=\"window.pwned=1\" x=\"",
	"' autofocus onfocus='window.pwned=1",
	"</title></textarea></style></pre></code><script>window.pwned=1</script>",
	"{{constructor.constructor('window.pwned=1')()}}",
	"${window.pwned=1}",
	"<style>*{background:url(http://evil.example/)}</style>",
	"<math><mtext></form><form><mglyph><style></math><img src onerror=window.pwned=1>",
	"--><!--<img src=x onerror=window.pwned=1>",
	"__proto__",
	`safe${RLO}gpj.exe${ZWSP}`,
	"http://evil.example/%2e%2e/#<img src=x onerror=window.pwned=1>",
	"../../../api/pause?by=x#/approvals",
];

// Words that the page compares with its own; anything else becomes the hostile word.
const KEPT = new Set(["kind", "state", "verdict", "phase", "level", "severity", "op", "status", "incident", "plan_id", "plan_digest"]);
// Where there are edits, hostile words stand in them: as a path, and as a line that goes and one that comes.
const edits = (word) => `<<<<<<< SEARCH ${word}\n${word}\n=======\n${word}${word}\n>>>>>>> REPLACE\n`;
const patch = (word) => `--- a/${word}\n+++ b/${word}\n@@ -1 +1 @@ ${word}\n-${word}\n+${word}${word}\n`;

function poisoned(value, word, name) {
	if (typeof value === "string")
		return KEPT.has(name) ? value : name === "edits" ? edits(word) : name === "patch" ? patch(word) : name === "rendered" ? `x(y): run\nedits (9 bytes, sha256 ${"0".repeat(64)}):\n${edits(word)}` : word;
	if (Array.isArray(value))
		return value.map((v) => poisoned(v, word, name));
	if (value && typeof value === "object")
		return Object.fromEntries(Object.entries(value).map(([k, v]) => [["labels", "params"].includes(name) && k !== "edits" ? word + k : k, poisoned(v, word, k)]));
	return value;
}

const json = (route, value) => route.fulfill({status: 200, contentType: "application/json", body: JSON.stringify(value)});

// All that the page reads, with the word in it; ids that the page puts into addresses are the word, too.
async function poison(page, real, word) {
	const one = {...poisoned(real.story.incident, word, ""), id: word, state: "open"};
	const story = {incident: one, story: real.story.story.map((e, i) => ({...e, message: e.message && {...poisoned(e.message, word, ""), step_id: "s" + i, patch: patch(word), url: word}}))};
	const asks = real.approvals.map((a) => ({...poisoned(a, word, ""), incident: word, deadline_ms: Date.now() + 60000, asked_at_ms: Date.now()}));
	await page.unrouteAll({behavior: "ignoreErrors"});
	await page.route("**/api/story/**", (r) => json(r, story));
	await page.route("**/api/incidents*", (r) => json(r, {incidents: [one]}));
	await page.route("**/api/approvals*", (r) => json(r, {approvals: asks}));
	await page.route("**/api/silences*", (r) => json(r, {silences: [{id: word, matchers: [{name: word, op: "equal", value: word}], created_by: word, comment: word, active: true, ends_at_ms: Date.now() + 60000}]}));
	await page.route("**/api/tools*", (r) => json(r, {tools: [{name: word, summary: word, level: word, runner: word, params: [word]}]}));
	await page.route("**/api/search*", (r) => json(r, {incidents: [one]}));
	await page.route("**/api/changes*", (r) => json(r, {changes: [{id: word, incident: word, what: word, tool: word, undo: {}, undone_by: null}]}));
	await page.route("**/api/session*", (r) => json(r, {person: word, roles: ["admin", word], csrf: "x"}));
	await page.route("**/api/status*", (r) => json(r, {...real.status, paused: {on: true, by: word, reason: word}}));
}

// Elements and addresses that only markup from outside could have made.
const intruders = () => [
	...[...document.querySelectorAll("body script, body style, img, iframe, object, embed, base, video, math, body meta, body link, frame")].map((e) => e.outerHTML.slice(0, 80)),
	...[...document.querySelectorAll("*")].flatMap((e) => [...e.attributes].filter((a) => a.name.startsWith("on") || a.name === "style").map((a) => a.name)),
	...[...document.querySelectorAll("a[href]")].map((a) => a.getAttribute("href")).filter((href) => !/^(#\/|#main$|https?:\/\/)/.test(href)),
	...(window.pwned ? ["a script ran"] : []),
];

export async function hostileTests({page, wrong, ok, get, alert, sees, at}) {
	HOSTILE.forEach((word, i) => alert({alertname: "Hostile" + i, service: "none" + i, said: word}, {summary: word}));
	const {incidents} = await get("/api/incidents?all=1");
	const real = {story: await get("/api/story/" + incidents.find((i) => i.title.startsWith("CIFailure")).id), status: await get("/api/status")};
	real.approvals = real.story.story.filter((e) => e.kind === "approval").map((e) => ({...e.message, title: "t"})).slice(0, 1);
	await at(page, "list/all");
	const listed = await sees(page, ".incident", "Hostile29").then(() => true, () => false);
	const labels = await page.evaluate(intruders);
	ok(listed && labels.length === 0, "hostile labels of 30 real alerts are words in the list", labels);
	const missing = [], found = [];
	for (const [n, word] of HOSTILE.entries()) {
		if (missing.length > ENOUGH)
			break;
		const visible = word.replace(RLO, "⟨U+202E⟩").replace(ZWSP, "⟨U+200B⟩"), name = encodeURIComponent(word);
		await poison(page, real, word);
		await page.goto("about:blank"); // so that nothing is left of the last one
		for (const hash of ["i/" + name, "approvals", "silences", "tools", "search/" + name]) {
			await at(page, hash);
			const there = hash.startsWith("i/") ? ".timeline .diff" : hash.startsWith("search/") ? ".incidents" : "main";
			await page.locator(there).filter({hasText: visible}).first().waitFor({timeout: 5000}).catch(() => missing.push(`${n} ${hash}`));
			found.push(...(await page.evaluate(intruders)).map((what) => `${n} ${hash}: ${what}`));
		}
	}
	await page.unrouteAll({behavior: "ignoreErrors"});
	ok(HOSTILE.length === 30 && found.length === 0, "30 hostile words in labels, logs, diffs, plans and names make no element, no handler, no address", found);
	ok(missing.length === 0, "and are shown as what they are", missing);
	ok(wrong.dialogs.length === 0, "no dialog opened", wrong.dialogs);
	ok(wrong.foreign.length === 0, "no request went to another host", wrong.foreign);
	ok(wrong.violations.length === 0, "the content security policy had nothing to stop", wrong.violations);
}
