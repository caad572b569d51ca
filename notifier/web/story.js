// What a story says: the four answers, what is being done now, and the timeline. Pure: JSON in, nodes or text out.
import {clock, h, icon, out, percent, took, usd} from "/dom.js";
import {diff} from "/diff.js";

export const call = (s) => s.tool + (s.target ? "(" + s.target + ")" : "");
export const calls = (plan) => (plan.steps || []).map(call).join(", then ");

const GOOD = {healed: "healed", rehearsed: "dry run done", observed: "observed, as configured"};
const WORDS = {failed: "failed", rolled_back: "failed, and was rolled back", refused: "refused by policy", denied: "denied", expired: "came too late",
	rollback_failed: "failed, and undoing failed too", unknown: "ended, nobody knows how"};
export const verdict = (v) => GOOD[v] || WORDS[v] || v || "unknown";

export class Story {
	constructor(incident, entries) {
		this.incident = incident;
		this.all = entries.filter((e) => e.message);
		this.gone = entries.length - this.all.length;
	}

	of(kind) {
		return this.all.filter((e) => e.kind === kind).map((e) => e.message);
	}

	plan(id) {
		return this.of("plan").find((p) => p.id === id);
	}

	outcome(planId) {
		return this.of("outcome").find((o) => o.plan_id === planId && o.verdict !== "rehearsed");
	}

	decision(approval) {
		return this.of("decision").find((d) => d.approval === approval && d.verdict !== "rehearse");
	}

	// The question that nobody has answered yet.
	pending() {
		return this.of("approval").filter((a) => !this.decision(a.id) && !this.outcome(a.plan_id)).at(-1);
	}

	taken() {
		return this.of("control").filter((c) => c.kind === "ack").at(-1);
	}

	votes(approval) {
		return this.of("control").filter((c) => c.kind === "vote" && c.approval === approval).map((c) => c.by);
	}

	feedback() {
		return this.of("control").filter((c) => c.kind === "feedback").at(-1);
	}

	cost() {
		const asked = this.of("model").filter((m) => m.state === "exchanged");
		const sum = (name) => asked.reduce((n, m) => n + (m[name] || 0), 0);
		return {n: asked.length, usd: sum("cost_micro_usd"), tokens: sum("prompt_tokens") + sum("answer_tokens")};
	}
}

function ofStep(s) {
	const name = (s.phase === "verify" ? "checking by " : s.phase === "rollback" ? "undoing by " : "") + call(s);
	return s.state === "waiting" ? `${name} waits: ${s.reason || "not said why"}` : `${name} is running`;
}

function ofPlan(story, plan) {
	const outcome = story.outcome(plan.id);
	if (!outcome)
		return `attempt ${plan.attempt} of ${plan.max_attempts}: ${calls(plan)}`;
	if (outcome.verdict === "healed")
		return "repaired and checked; the alert is still to clear";
	return `attempt ${plan.attempt} ${verdict(outcome.verdict)}`;
}

// What is being done, in one line.
export function doing(story) {
	const i = story.incident, last = story.all.filter((e) => !["notice", "incident"].includes(e.kind)).at(-1), plan = story.of("plan").at(-1);
	if (i.state === "resolved")
		return i.reason || "over";
	if (i.state === "suppressed")
		return i.reason || i.suppressed_by || "muted";
	if (story.pending())
		return "may I " + calls(story.plan(story.pending().plan_id) || {}) + "?";
	if (i.state === "escalated")
		return i.reason || "a human must look";
	if (last?.kind === "step" && ["waiting", "started"].includes(last.message.state))
		return ofStep(last.message);
	if (last?.kind === "model" && last.message.state !== "answered")
		return `looking into it, for attempt ${last.message.attempt}`;
	if (story.taken() && !plan)
		return "taken by " + story.taken().by;
	return plan ? ofPlan(story, plan) : "seen; looking for what to do";
}

// ---- the four answers ----

function broke(i) {
	const labels = Object.entries(i.labels || {});
	const about = (i.events || []).map((e) => e.summary).find((s) => s && !i.title.includes(s));
	return [h("p", {}, i.title), about && h("p", {}, about), i.trusted === false && h("p", {class: "warn"}, "The source did not prove who it is."),
		h("ul", {class: "labels", "aria-label": "Labels"}, labels.map(([n, v]) => h("li", {}, h("span", {class: "dim"}, n + "="), v)))];
}

function done(story) {
	const rows = story.of("plan").map((p) => {
		const o = story.outcome(p.id);
		return h("li", {}, calls(p), ": ", o ? verdict(o.verdict) : "under way", o?.reason ? h("span", {class: "dim"}, " " + o.reason) : null);
	});
	return rows.length ? h("ol", {}, rows) : h("p", {}, "Nothing yet.");
}

function helped(story) {
	const i = story.incident, last = story.of("outcome").filter((o) => o.verdict !== "rehearsed").at(-1);
	if (i.state === "resolved")
		return h("p", {class: "good"}, last?.verdict === "healed" ? `Yes. Over since ${clock(i.resolved_at_ms)}.` : `It is over since ${clock(i.resolved_at_ms)}.`);
	if (!last)
		return h("p", {}, "Not known yet.");
	return last.verdict === "healed" ? h("p", {class: "good"}, "Its check says yes; the alert is still to clear.") : h("p", {class: "bad"}, "No.");
}

function needed(story) {
	const i = story.incident, taken = story.taken(), pending = story.pending();
	if (pending)
		return h("p", {class: "warn"}, "Your answer to the question below.");
	if (i.state === "escalated")
		return [h("p", {class: "bad"}, "A look. ", i.reason || ""), taken && h("p", {}, "Taken by ", taken.by, ".")];
	return h("p", {}, taken && i.state !== "resolved" ? `${taken.by} has taken it.` : "Nothing.");
}

export function answers(story) {
	const one = (title, body) => h("section", {class: "answer"}, h("h3", {}, title), body);
	return h("div", {class: "answers"}, one("What broke", broke(story.incident)), one("What was done", done(story)),
		one("Did it help", helped(story)), one("Needed from you", needed(story)));
}

// ---- the timeline ----

export function fold(summary, text, key) {
	return text ? h("details", {"data-key": key}, h("summary", {}, summary), h("pre", {class: "said", tabindex: 0}, text)) : null;
}

function params(step) {
	const rest = Object.entries(step.params || {}).filter(([n]) => n !== "edits");
	return rest.length ? h("dl", {class: "params"}, rest.map(([n, v]) => [h("dt", {}, n), h("dd", {}, String(v))])) : null;
}

const line = (text, tone, ...more) => ({text, tone, more});

const LINES = {
	incident: (m) => line(`${m.state}: ${m.state !== "open" && m.reason ? m.reason : m.title}`, {open: "bad", escalated: "bad", resolved: "good"}[m.state] || "dim"),
	plan: (m) => line(`plan, attempt ${m.attempt} of ${m.max_attempts}: ${calls(m)}`, "accent",
		h("p", {class: "dim"}, m.provenance, m.runbook && ` ${m.runbook}`, m.specialist && `, ${m.specialist}`, m.failure_type && `, ${m.failure_type}`,
			m.confidence ? `, ${percent(m.confidence)} sure` : ""),
		m.requested_by && h("p", {}, "wanted by ", m.requested_by),
		m.why && h("blockquote", {class: m.provenance === "model" ? "prose model" : "prose"}, m.why),
		h("ol", {class: "steps"}, (m.steps || []).map((s) => h("li", {}, h("code", {}, call(s)), s.params?.edits && diff(s.params.edits), params(s))))),
	approval: (m) => line("asks: may I?", "warn", h("ul", {}, (m.reasons || []).map((r) => h("li", {}, r)))),
	decision: (m) => line(`${{approve: "approved", deny: "denied", expired: "nobody answered in time", rehearse: "dry run asked for"}[m.verdict] || m.verdict} by ${m.by}` +
		(m.channel ? ` through ${m.channel}` : ""), m.verdict === "approve" ? "good" : "warn", m.reason && h("p", {}, "“", m.reason, "”")),
	step: (m) => line(`${ofStepDone(m)}`, {done: "good", failed: "bad", refused: "bad", unknown: "bad", waiting: "warn"}[m.state] || "plain",
		m.reason && h("p", {class: "dim"}, m.reason), m.url && h("p", {}, out(m.url)), m.patch && diff(m.patch), fold("Exactly what ran", m.rendered, "r"),
		fold("What it printed" + (m.output_truncated ? " (the end of it)" : ""), m.output, "o")),
	outcome: (m) => line(`attempt ${m.attempt} ${verdict(m.verdict)}`, GOOD[m.verdict] ? "good" : "bad", m.reason && h("p", {class: "dim"}, m.reason)),
	model: (m) => MODEL[m.state]?.(m) || line("the model", "plain"),
	notice: (m) => line(`${{queued: "to be told", sent: "told", failed: "could not be told"}[m.state] || m.state} through ${m.channel}: ${m.kind}${m.to?.length ? ", for " + m.to.join(", ") : ""}`,
		m.state === "failed" ? "bad" : "dim", m.error && h("p", {class: "bad"}, m.error), fold(m.subject || "Text", m.text, "t")),
	control: (m) => line(`${{ack: m.false_alarm ? "called a false alarm" : "taken", undo: "asked to take back " + (m.change || ""), vote: "a first yes",
		feedback: m.held ? "it held, as seen" : "it did not hold, as seen"}[m.kind] || m.kind} by ${m.by}`, "accent",
		m.reason && h("p", {}, "“", m.reason, "”")),
};

const MODEL = {
	asked: (m) => line(`looking into it, for attempt ${m.attempt}`, "plain"),
	exchanged: (m) => line(`asked ${m.model || m.provider}: ${took(m.took_ms || 0)}, ${(m.prompt_tokens || 0) + (m.answer_tokens || 0)} tokens, ${usd(m.cost_micro_usd || 0)}` +
		(m.cached ? ", from the cache" : ""), m.error ? "bad" : "plain", m.error && h("p", {class: "bad"}, m.error),
	fold("What it was asked", m.prompt, "p"), fold("What it answered (words of a model, not checked)", m.answer, "a")),
	answered: (m) => line(m.diagnosis?.failure_type ? `diagnosis: ${m.diagnosis.failure_type}, ${percent(m.diagnosis.confidence)} sure` : "no diagnosis", "plain",
		m.diagnosis?.reason && h("p", {}, m.diagnosis.reason),
		h("ul", {class: "evidence"}, (m.diagnosis?.evidence || []).map((e) => h("li", {}, h("span", {class: "dim"}, e.source + (e.line ? ":" + e.line : "") + " "), h("code", {}, e.text)))),
		(m.diagnosis?.recalled || []).length ? h("p", {class: "dim"}, `${m.diagnosis.recalled.length} earlier incidents are alike`) : null),
};

function ofStepDone(m) {
	const phase = {verify: "check ", rollback: "rollback ", policy: "policy "}[m.phase] || "";
	const ran = m.ended_at_ms && m.started_at_ms ? `, ${took(m.ended_at_ms - m.started_at_ms)}` : "";
	const code = m.state === "failed" && m.exit_code ? ` (${m.exit_code})` : "";
	return `${phase}${call(m)} ${m.state}${code}${ran}`;
}

// What a later message makes superfluous: a step that has ended, a notice that has gone out, an incident said again.
function worth(all) {
	const last = new Map();
	const name = (e) => e.kind === "step" ? `s${e.message.step_id}${e.message.phase}` : e.kind === "notice" ? `n${e.message.id}` : "";
	for (const e of all)
		if (name(e))
			last.set(name(e), e);
	let said = "";
	return all.filter((e) => {
		if (name(e))
			return last.get(name(e)) === e;
		if (e.kind !== "incident")
			return true;
		const now = `${e.message.state} ${e.message.reason || ""} ${e.message.title}`, same = now === said;
		said = now;
		return !same;
	});
}

const OPEN = new Set(["plan", "approval", "decision", "outcome", "incident", "control"]);

export function timeline(story) {
	const first = story.all[0]?.time_ms ?? 0;
	return h("ol", {class: "timeline"}, worth(story.all).map((e) => {
		const l = (LINES[e.kind] || (() => line(e.kind, "plain")))(e.message), more = l.more.filter(Boolean), head = [h("span", {class: "what"}, l.text)];
		const body = !more.length ? h("p", {class: "head"}, head) :
			h("details", {open: OPEN.has(e.kind)}, h("summary", {class: "head"}, head), h("div", {class: "more"}, more));
		return h("li", {class: `entry ${l.tone}`, "data-key": "e" + e.seq}, h("span", {class: "when", title: `message ${e.seq}`}, clock(e.time_ms),
			h("span", {class: "dim"}, "+" + took(e.time_ms - first))), h("span", {class: "knot"}, icon(e.kind)), body);
	}));
}
