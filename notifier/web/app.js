// The page: reads what the view needs, shows it, and does what is clicked. The address says which view: #/, #/list/open,
// #/i/ID, #/approvals, #/silences, #/tools, #/kpis, #/machine, #/search/WORDS.
import {age, append, button, countdown, go, h, icon, morph} from "/dom.js";
import {Live, api, get, getMaybe, may, session, who} from "/net.js";
import {Story} from "/story.js";
import {askDecision, dialog, nameAsked, nameKept, reason} from "/approve.js";
import {incident, isLive, list} from "/incidents.js";
import {approvals, kpis, matcherText, search, searchLocal, silenceForm, silences, tools} from "/view.js";
import {machineView, overrideForm} from "/machine.js";
import {keysStart, keysTable} from "/keys.js";

const LIST_MAX = 200, STORIES_MAX = 40, STORIES_KEPT = 120, STORY_PART = 2000, SETTLE_MS = 120, AGAIN_MS = 5000, KPI_DAYS = 14, ONCALL_MS = 60000, TOLD_MS = 8000, DAY_MS = 86400000;

const state = {status: {}, incidents: [], approvals: [], stories: new Map(), net: "asking"};
const $ = (id) => document.getElementById(id);

// ---- where we are ----

function place() {
	const parts = location.hash.replace(/^#\/?/, "").split("/").map((p) => {
		try {
			return decodeURIComponent(p);
		} catch {
			return p;
		}
	});
	return {view: parts[0] || "list", arg: parts[1] || ""};
}

const NAV = [["Incidents", "incidents", []], ["Approvals", "approvals", ["approvals"]], ["Silences", "silences", ["silences"]], ["Tools", "tools", ["tools"]],
	["Figures", "kpis", ["kpis"]], ["Machine", "pulse", ["machine"]]];

function nav() {
	const at = place().view, counts = state.status.incidents || {};
	const n = {Incidents: (counts.open || 0) + (counts.escalated || 0), Approvals: state.approvals.length};
	morph($("nav"), NAV.map(([text, name, to]) => go(to, {"data-key": name, class: n[text] && name === "approvals" ? "asks" : null,
		"aria-current": (to[0] || "list") === (at === "i" ? "list" : at) ? "page" : null},
	icon(name), h("span", {}, text), n[text] ? h("span", {class: "n"}, n[text]) : null)));
}

function machine() {
	const s = state.status, paused = s.paused?.on, behind = s.lag?.behind || 0;
	const kids = [
		s.bus && !s.bus.connected && h("span", {class: "chip state-escalated"}, "bus away"),
		behind > 20 && h("span", {class: "chip state-open"}, `${behind} behind`),
		s.executors && !s.executors.length && h("span", {class: "chip state-open"}, "no executor"),
		h("span", {class: "net", title: state.net === "live" ? "changes come as they happen" : "asks every 2 seconds"}, h("span", {class: "lamp " + state.net, "aria-hidden": "true"}),
			{live: "live", asking: "live", offline: "offline"}[state.net]),
		may("pause") && (paused ? button([icon("play"), "Resume"], "resume", {}, {class: "primary"}) : button([icon("pause"), "Pause"], "pause")),
		session.person && h("span", {class: "who", title: session.roles.join(", ")}, session.person),
		session.person && session.csrf && button("Log out", "logout"),
		button("?", "help", {}, {"aria-label": "Keys", class: "help"}),
	].filter(Boolean);
	morph($("machine"), kids);
}

function banner() {
	const p = state.status.paused, kids = [];
	if (state.net === "offline")
		kids.push(h("div", {class: "offline"}, h("span", {}, "The notifier does not answer. What you see is of ", h("time", {"data-since": state.seenMs}, age(Date.now() - state.seenMs)),
			" ago. Next try in ", h("time", {"data-until": state.retryMs}, countdown(state.retryMs)), "."), button("Try now", "retry")));
	if (state.status.undelivered)
		kids.push(h("div", {class: "undelivered"}, icon("notice"), h("span", {}, `${state.status.undelivered} notices reached nobody yet. `), go(["machine"], {}, "Which, and why")));
	if (p?.on)
		kids.push(h("div", {class: "paused"}, icon("pause"), h("span", {}, "Paused by ", p.by, p.reason ? `: ${p.reason}` : "", ". No new action starts.")));
	morph($("banner"), kids);
}

const VIEWS = {
	list: (arg) => [list(state, arg || "live", "")],
	i: (arg) => [list(state, "live", arg), incident(state, arg)],
	approvals: () => [approvals(state)],
	silences: () => [silences(state)],
	tools: () => [tools(state)],
	kpis: () => [kpis(state)],
	machine: () => [machineView(state)],
	search: (arg) => [search(state, arg)],
};

function render() {
	const {view, arg} = place(), name = Object.hasOwn(VIEWS, view) ? view : "list";
	nav();
	machine();
	banner();
	if (!state.read)
		return;
	$("main").setAttribute("data-view", name);
	morph($("main"), VIEWS[name](arg));
	const asks = state.approvals.length;
	document.title = (asks ? `(${asks}) ` : "") + (name === "i" ? state.stories.get(arg)?.story?.incident.title || "Incident" : "healbus");
}

// ---- reading ----

async function readStory(id) {
	const known = state.stories.get(id) || {seq: 0, entries: []};
	let answer;
	do {
		answer = await getMaybe(`/api/story/${encodeURIComponent(id)}?after=${known.seq}`);
		if (!answer) {
			state.stories.set(id, {...known, missing: true});
			return;
		}
		known.entries = known.entries.concat(answer.story.filter((e) => e.seq > known.seq));
		known.seq = known.entries.at(-1)?.seq ?? 0;
	} while (answer.story.length >= STORY_PART);
	known.story = new Story(answer.incident, known.entries);
	known.missing = false;
	state.stories.set(id, known);
}

const EXTRA = {
	i: async () => {
		state.changes = (await get("/api/changes?limit=200")).changes;
	},
	silences: async () => {
		state.silences = (await get("/api/silences")).silences;
	},
	tools: async () => {
		state.tools = (await get("/api/tools")).tools;
	},
	kpis: readKpis,
	machine: async () => {
		const paths = ["/api/undelivered", "/api/oncall?shifts=3", "/api/models", "/api/shadow", "/api/dead"];
		const [notices, oncall, models, shadow, {dead}] = await Promise.all(paths.map(get));
		state.machine = {notices, oncall, models, shadow, dead, people: may("people") ? await getMaybe("/api/people") : null};
	},
	search: async (arg) => {
		const answer = await getMaybe("/api/search?q=" + encodeURIComponent(arg));
		const all = answer ? answer.incidents : (await get("/api/incidents?all=1")).incidents;
		state.found = {query: arg, incidents: answer ? all : searchLocal({incidents: all}, arg)};
	},
};

async function readKpis() {
	const until = (Math.floor(Date.now() / DAY_MS) + 1) * DAY_MS;
	state.kpis = await getMaybe(`/api/kpis?since_ms=${until - KPI_DAYS * DAY_MS}&until_ms=${until}&step=1d`);
}

function announce(before) {
	if (!before)
		return;
	const fresh = state.approvals.filter((a) => !before.approvals.has(a.id)).map((a) => "Approval wanted: " + (a.title || a.incident));
	for (const i of state.incidents)
		if (before.states.get(i.id) !== i.state)
			fresh.push(`${i.state}: ${i.title}`);
	if (fresh.length)
		$("live").replaceChildren(append(document.createElement("p"), [fresh.slice(0, 3).join(". ")]));
}

function forgetStories(wanted) {
	for (const id of state.stories.keys())
		if (state.stories.size > STORIES_KEPT && !wanted.has(id))
			state.stories.delete(id);
}

// changed: incidents of which something new was heard; all: who knows.
async function readAll(changed, all) {
	const before = state.read && {approvals: new Set(state.approvals.map((a) => a.id)), states: new Map(state.incidents.map((i) => [i.id, i.state]))};
	const {view, arg} = place();
	const [incidents, asked] = await Promise.all([get("/api/incidents?limit=" + LIST_MAX), get("/api/approvals")]);
	state.incidents = incidents.incidents;
	state.approvals = asked.approvals;
	const wanted = new Set(state.incidents.filter(isLive).slice(0, STORIES_MAX).map((i) => i.id));
	if (view === "i" && arg)
		wanted.add(arg);
	for (const a of state.approvals)
		wanted.add(a.incident);
	const due = [...wanted].filter((id) => all || changed.has(id) || !state.stories.has(id));
	await Promise.all([...due.map(readStory), Object.hasOwn(EXTRA, view) ? EXTRA[view](arg) : null]);
	if (!(Date.now() - state.oncallMs < ONCALL_MS)) {
		state.oncallMs = Date.now();
		state.oncall = (await getMaybe("/api/oncall"))?.oncall;
	}
	forgetStories(wanted);
	announce(before);
	state.read = true;
	state.seenMs = Date.now();
}

let settling = 0, reading = false, changed = new Set(), all = true;

// Many changes at once are one reading; what comes while reading is read after it.
function refresh(incident) {
	if (incident)
		changed.add(incident);
	else
		all = true;
	clearTimeout(settling);
	if (!reading)
		settling = setTimeout(readNow, SETTLE_MS);
}

async function readNow() {
	const now = changed, whole = all;
	changed = new Set();
	all = false;
	let failed = false;
	reading = true;
	try {
		await readAll(now, whole);
	} catch (e) {
		all = failed = true;
		console.warn("healbus:", e.message);
	}
	reading = false;
	render();
	if (changed.size || all)
		settling = setTimeout(readNow, failed ? AGAIN_MS : SETTLE_MS);
}

const live = new Live(refresh, (net, wait, more) => {
	state.net = net;
	if (net === "offline")
		state.retryMs = Date.now() + wait;
	else {
		state.status = more;
		state.seenMs = Date.now();
	}
	render();
});

// ---- doing ----

// What the notifier says about a deed: for a while, and to screen readers.
function tell(text) {
	if (!text)
		return;
	$("told").replaceChildren(append(document.createElement("p"), [text]));
	setTimeout(() => $("told").replaceChildren(), TOLD_MS);
}

function by(fields) {
	const given = (fields?.get("by") || "").trim();
	if (given)
		localStorage.setItem("by", given);
	return session.person || given || nameKept() || "page";
}

const approval = (id) => state.approvals.find((a) => a.id === id);
const send = (text) => h("button", {type: "submit", class: "primary"}, text);

const ACTS = {
	approve: (d) => approval(d.id) && askDecision(approval(d.id), "approve"),
	deny: (d) => approval(d.id) && askDecision(approval(d.id), "deny"),
	rehearse: async (d, b) => {
		b.disabled = true;
		try {
			await api("POST", "/api/rehearse", {plan: d.plan, by: by()});
		} catch (e) {
			dialog("No dry run", h("p", {}, e.message), null, {form: "none"});
		}
	},
	pause: () => dialog("Pause healing?", [h("p", {}, "No new action starts until somebody resumes. What runs, runs on."), reason("Why")], h("button", {type: "submit", class: "danger"}, "Pause"), {form: "pause"}),
	resume: () => dialog("Resume healing?", [h("p", {}, "What waited may start at once."), reason("A word for the record (may stay empty)")], send("Resume"), {form: "resume"}),
	ack: (d) => dialog("Take this incident?", [h("p", {}, "No further plan is made, and nobody is reminded."), reason("A word for the others (may stay empty)"),
		h("label", {class: "check"}, h("input", {type: "checkbox", name: "false_alarm"}), h("span", {}, "It was a false alarm: there was nothing to repair."))], send("I take it"), {form: "ack", id: d.id}),
	held: (d) => dialog(d.what === "yes" ? "It held?" : "It did not hold?", [h("p", {}, "This is remembered for the next incident like it."), reason("A word for the record (may stay empty)")],
		send(d.what === "yes" ? "It held" : "It did not hold"), {form: "held", id: d.id, what: d.what}),
	undo: (d) => dialog("Take this change back?", [h("p", {}, d.what), reason("Why")], h("button", {type: "submit", class: "danger"}, "Take it back"), {form: "undo", id: d.id}),
	silence: (d) => {
		const labels = state.stories.get(d.id)?.story?.incident.labels || {};
		const text = Object.entries(labels).filter(([n]) => ["alertname", "service", "repository", "instance"].includes(n)).map(([name, value]) => matcherText({name, op: "equal", value})).join("\n");
		dialog("New silence", silenceForm(text), send("Silence"), {form: "silence"});
	},
	expire: (d) => dialog("End this silence?", [h("p", {}, "What it mutes is told again."), nameAsked()], send("End it"), {form: "expire", id: d.id}),
	override: (d) => dialog("Somebody else on call?", [h("p", {}, "For ", h("code", {}, d.rotation), "; every notifier calls them from now on.")].concat(overrideForm(state.machine?.people?.people)), send("Put on call"), {form: "override", id: d.rotation}),
	unoverride: (d) => dialog("As configured?", [h("p", {}, "Whom notifier.yaml says is on call for ", h("code", {}, d.rotation), " again, from now on."), nameAsked()], send("Clear"), {form: "unoverride", id: d.rotation}),
	requeue: (d) => dialog("Put it back?", [h("p", {}, "It is read again; if it still cannot be read, it comes back under a new number."), nameAsked()], send("Put back"), {form: "requeue", id: d.seq}),
	help: () => dialog("Keys", keysTable(), null, {form: "none"}),
	close: (d, b) => b.closest("dialog").close(),
	retry: () => live.ask(),
	logout: async () => {
		await api("POST", "/logout", {}).catch(() => null);
		location.assign("/login");
	},
};

const FORMS = {
	decide: (f, d) => api("POST", "/api/decisions", {approval: d.id, verdict: d.what, by: by(f), reason: f.get("reason")}),
	pause: (f) => api("POST", "/api/pause", {by: by(f), reason: f.get("reason")}),
	resume: (f) => api("POST", "/api/resume", {by: by(f), reason: f.get("reason")}),
	ack: (f, d) => api("POST", "/api/ack", {incident: d.id, by: by(f), reason: f.get("reason"), false_alarm: f.get("false_alarm") === "on"}),
	held: (f, d) => api("POST", "/api/feedback", {incident: d.id, held: d.what === "yes", by: by(f), reason: f.get("reason")}),
	undo: (f, d) => api("POST", "/api/undo", {change: d.id, by: by(f), reason: f.get("reason")}),
	silence: (f) => api("POST", "/api/silences", {matchers: f.get("matchers").split("\n").map((l) => l.trim()).filter(Boolean), duration: f.get("duration"), comment: f.get("comment"), by: by(f)}),
	override: (f, d) => api("POST", "/api/oncall", {rotation: d.id, person: f.get("person"), duration: f.get("duration"), reason: f.get("reason"), by: by(f)}),
	unoverride: (f, d) => api("DELETE", `/api/oncall/${encodeURIComponent(d.id)}?by=${encodeURIComponent(by(f))}`),
	requeue: (f, d) => api("POST", `/api/dead/${encodeURIComponent(d.id)}/requeue`, {by: by(f)}),
	expire: (f, d) => api("DELETE", `/api/silences/${encodeURIComponent(d.id)}?by=${encodeURIComponent(by(f))}`),
};

document.addEventListener("click", (e) => {
	const b = e.target.closest("[data-act]");
	if (b && Object.hasOwn(ACTS, b.dataset.act))
		ACTS[b.dataset.act](b.dataset, b);
});

document.addEventListener("submit", async (e) => {
	const form = e.target, name = form.dataset.form;
	if (!name)
		return;
	e.preventDefault();
	const fields = new FormData(form);
	if (name === "search") {
		const q = fields.get("q").trim();
		location.hash = q ? "#/search/" + encodeURIComponent(q) : "#/";
		return;
	}
	const press = form.querySelector("[type=submit]");
	if (!Object.hasOwn(FORMS, name) || press.disabled)
		return;
	press.disabled = true;
	try {
		const answer = await FORMS[name](fields, form.dataset);
		form.closest("dialog").close();
		tell(answer.text);
		live.ask();
		refresh();
	} catch (error) {
		press.disabled = false;
		form.querySelector("[data-error]").textContent = error.message;
	}
});

window.addEventListener("hashchange", () => {
	render();
	refresh();
	if (matchMedia("(max-width: 1099px)").matches)
		window.scrollTo(0, 0);
});

setInterval(() => {
	for (const t of document.querySelectorAll("[data-since]"))
		t.textContent = age(Date.now() - Number(t.dataset.since));
	for (const t of document.querySelectorAll("[data-until]"))
		t.textContent = countdown(Number(t.dataset.until));
	for (const p of document.querySelectorAll("[data-deadline]"))
		p.value = Math.max(0, Number(p.dataset.deadline) - Date.now());
}, 1000);

keysStart(ACTS.help);
who().catch(() => null).then(() => live.start());
