// The question "may I?", exactly what would run, and the answer. The words of the machine come from the request itself;
// what a model wrote stands apart.
import {append, button, go, h, icon, until} from "/dom.js";
import {may, session} from "/net.js";
import {diff, parseEdits} from "/diff.js";

const EDITS = /^edits \(\d+ bytes, sha256 [0-9a-f]{64}\):$/m;

// One rendered step: a list of words that our own code made; edits in it are coloured, and stay readable as text.
function rendered(text) {
	const at = EDITS.exec(text);
	if (!at)
		return h("pre", {class: "run", tabindex: 0}, text);
	const head = text.slice(0, at.index) + at[0], edits = text.slice(at.index + at[0].length + 1);
	return h("div", {}, h("pre", {class: "run", tabindex: 0}, head), parseEdits(edits) ? diff(edits) : h("pre", {class: "run", tabindex: 0}, edits));
}

function rollback(lines) {
	if (lines.every((l) => l === "cannot be undone"))
		return h("p", {class: "warn"}, "None of it can be undone.");
	return h("ol", {class: "runs"}, lines.map((l) => h("li", {}, h("pre", {class: "run", tabindex: 0}, l))));
}

const Level = (level) => h("span", {class: "chip level-" + (["soft", "hard"].includes(level) ? level : "none")}, level);

function buttons(a) {
	if (!may("decide"))
		return h("p", {class: "dim"}, "You may look. Deciding takes the role approver.");
	return h("div", {class: "row actions"}, button(["Approve …", h("kbd", {}, "a")], "approve", {id: a.id}, {class: "primary"}),
		button(["Deny …", h("kbd", {}, "d")], "deny", {id: a.id}, {class: "danger"}), may("rehearse") && button("Dry run", "rehearse", {plan: a.plan_id}));
}

export function card(a, story, linked) {
	const plan = story?.plan(a.plan_id), votes = story?.votes(a.id) || [];
	const left = a.deadline_ms - a.asked_at_ms;
	return h("article", {class: "approval", "data-key": "a" + a.id, "data-card": a.id},
		h("header", {class: "row"}, icon("approval"), h("h2", {}, linked ? go(["i", a.incident], {"data-nav": ""}, a.title || a.incident) : "May I?"), Level(a.level),
			h("span", {class: "deadline"}, "no answer in ", until(a.deadline_ms), " means no")),
		h("progress", {"data-deadline": a.deadline_ms, max: left, value: Math.max(0, a.deadline_ms - Date.now()), "aria-label": "Time left"}),
		h("h3", {}, "Exactly what would run"),
		h("ol", {class: "runs"}, a.rendered.map((r) => h("li", {}, rendered(r)))),
		h("h3", {}, "How it is undone"), rollback(a.rollback),
		h("h3", {}, "Why you are asked"), h("ul", {}, a.reasons.map((r) => h("li", {}, r))),
		plan?.why && h("div", {}, h("h3", {}, plan.provenance === "model" ? "In the words of a model (not checked)" : "Why this plan"),
			h("blockquote", {class: plan.provenance === "model" ? "prose model" : "prose"}, plan.why)),
		h("p", {class: "dim digest"}, "bound to the plan ", h("code", {}, a.plan_digest), ", asked by ", a.executor),
		votes.length ? h("p", {class: "warn"}, votes.join(", "), votes.length > 1 ? " have" : " has", " said yes; somebody else must, too.") : null, buttons(a));
}

// ---- dialogs: one at a time, made when it is wanted ----

export function dialog(title, body, submit, data) {
	document.querySelector("dialog")?.remove();
	const form = h("form", {"data-form": data.form, ...Object.fromEntries(Object.entries(data).filter(([n]) => n !== "form").map(([n, v]) => ["data-" + n, v]))},
		h("h2", {id: "dialog-title"}, title), body, h("p", {class: "bad", role: "alert", "data-error": ""}),
		h("div", {class: "row actions"}, submit, button(submit ? "Cancel" : "Close", "close")));
	const d = append(h("dialog", {"aria-labelledby": "dialog-title"}), [form]);
	d.addEventListener("close", () => d.remove());
	d.addEventListener("keydown", (e) => {
		if (e.key === "Enter" && e.ctrlKey)
			form.requestSubmit();
	});
	document.body.append(d);
	d.showModal();
	// Never on what acts: a key too many must not decide.
	(form.querySelector("[data-first]") || form.querySelector("input, select, textarea") || form.querySelector("[data-act=close]"))?.focus();
	return d;
}

// Who acts: the session's person; where there is none, a name that this browser remembers.
export const nameKept = () => session.person || localStorage.getItem("by") || "";

export function nameAsked() {
	return session.person ? null : [h("label", {for: "by"}, "Your name"),
		h("input", {id: "by", name: "by", required: true, maxlength: 100, autocomplete: "username", value: nameKept()})];
}

export function reason(label) {
	return [h("label", {for: "reason"}, label), h("textarea", {id: "reason", name: "reason", rows: 2, maxlength: 1000, "data-first": ""}), nameAsked()];
}

export function askDecision(a, what) {
	const hard = a.level === "hard" && what === "approve";
	const sure = hard && h("label", {class: "check"}, h("input", {type: "checkbox", name: "sure", required: true}),
		h("span", {}, "This interrupts or destroys something. I have read what would run."));
	const body = [h("p", {}, a.title || a.incident), what === "approve" && h("ol", {class: "runs short"}, a.rendered.map((r) => h("li", {}, h("pre", {class: "run", tabindex: 0}, r)))),
		reason(what === "deny" ? "Why not? (told to everybody)" : "A word for the record (may stay empty)"), sure];
	return dialog(what === "approve" ? "Approve this?" : "Deny this?", body,
		h("button", {type: "submit", class: what === "approve" ? (hard ? "danger" : "primary") : "danger"}, what === "approve" ? (hard ? "Approve, it is hard" : "Approve") : "Deny"),
		{form: "decide", id: a.id, what});
}
