// healbus itself: what nobody was told, who is on call, who may what, what models cost, what would have been done, and
// what could not be read.
import {button, clock, date, go, h, percent, since, usd} from "/dom.js";
import {may} from "/net.js";
import {nameAsked, reason} from "/approve.js";

const part = (title, more, ...body) => h("section", {class: "panel part", "aria-label": title}, h("div", {class: "row heading"}, h("h2", {}, title), more), body);
const nothing = (text) => h("p", {class: "dim"}, text);

function table(name, heads, rows) {
	return h("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": name}, h("table", {},
		h("thead", {}, h("tr", {}, heads.map((t) => h("th", {scope: "col"}, t)))),
		h("tbody", {}, rows.map((cells) => h("tr", {}, cells.map((c, i) => i ? h("td", {}, c) : h("th", {scope: "row"}, c)))))));
}

const incident = (id) => go(["i", id], {}, h("code", {}, id.slice(0, 8)));

function notices({undelivered, channels}) {
	const down = channels.filter((c) => !c.up);
	return part("Notices", h("span", {class: "dim"}, undelivered.length ? `${undelivered.length} not delivered` : "all delivered"),
		down.length ? h("ul", {class: "plain"}, down.map((c) => h("li", {class: "warn"}, h("code", {}, c.name), " takes nothing, since ", since(c.failing_ms), ` (${c.failures} times): `, c.error))) : null,
		undelivered.length ? table("Notices that nobody got", ["Notice", "Incident", "Channels", "Since", "State"], undelivered.map((n) => [n.subject, incident(n.incident), n.channels.join(", "), since(n.since_ms),
			n.state === "failed" ? "failed; it will be said anew" : "under way"])) : nothing("Everything that was to be told was told."));
}

function rotation(o) {
	const changed = o.shifts.some((s) => s.override_by);
	return h("div", {}, h("div", {class: "row heading"}, h("h3", {}, o.name, ": ", o.person),
		may("oncall") && h("span", {class: "row"}, button("Somebody else …", "override", {rotation: o.name}), changed && button("As configured …", "unoverride", {rotation: o.name}))),
	table("Shifts of " + o.name, ["Person", "From", "Until"], o.shifts.map((s) => [s.override_by ? `${s.person} (put there by ${s.override_by})` : s.person, date(s.from_ms), date(s.until_ms)])));
}

function oncall(all) {
	return part("On call", null, all.oncall.length ? all.oncall.map(rotation) : nothing("No rotation is configured."));
}

export function overrideForm(people) {
	return [h("label", {for: "person"}, "Who"), people?.length ? h("select", {id: "person", name: "person"}, people.map((p) => h("option", {value: p.name}, p.name))) :
		h("input", {id: "person", name: "person", required: true, maxlength: 64, "data-first": ""}),
	h("label", {for: "duration"}, "For how long"), h("select", {id: "duration", name: "duration"}, ["1h", "4h", "8h", "12h", "24h", "7d"].map((d) => h("option", {value: d, selected: d === "12h"}, d))),
	reason("Why")];
}

function people(all) {
	if (!all)
		return null;
	const words = (list, none) => list.join(", ") || none || "–";
	return part("People", h("span", {class: "dim"}, "as notifier.yaml says"),
		all.people.length ? table("People", ["Name", "Roles", "Groups", "Known to"], all.people.map((p) => [p.name, words(p.roles), words(p.groups), words(p.known_to)])) : nothing("Nobody is named: whoever gets in may do everything."),
		all.approvers.length ? [h("h3", {}, "Whose yes a plan needs"), table("Approvers", ["Tools", "Targets", "Levels", "People", "How many"],
			all.approvers.map((r) => [words(r.tools, "all"), words(r.targets, "all"), words(r.levels, "all"), words(r.people, "every approver"), r.count]))] : null);
}

function models(all) {
	const row = (name, m) => [name, m.exchanges, m.errors, m.prompt_tokens + m.answer_tokens, usd(m.cost_micro_usd)];
	return part("Models", h("span", {class: "dim"}, `${usd(all.total.cost_micro_usd)} in the last 7 days`),
		all.models.length ? table("Models", ["Model", "Asked", "Failed", "Tokens", "Cost"], all.models.map((m) => row(`${m.provider} ${m.model}`, m))) : nothing("No model was asked."),
		all.days.length ? table("By day", ["Day", "Asked", "Failed", "Tokens", "Cost"], all.days.map((d) => row(d.day, d))) : null);
}

function shadow(all) {
	const what = {same: "the same was done", taken: "a person took it", denied: "a person said no", undone: "a person took it back", needless: "it was over by itself", open: "nobody can say yet"};
	return part("Shadow mode", h("span", {class: "dim"}, all.agreement === null ? "nothing to judge in the last 7 days" : `people agreed with ${percent(all.agreement)}`),
		all.plans.length ? table("Observed plans", ["What", "Incident", "When", "Judged"], all.plans.map((p) => [p.what, incident(p.incident), clock(p.at_ms), [what[p.verdict] || p.verdict, p.by && ` (${p.by})`]])) :
			nothing("Where autonomy is observe, what would have been done is judged here."));
}

function dead(all) {
	return part("Dead letters", h("span", {class: "dim"}, "messages that nobody could read"),
		all.length ? table("Dead letters", ["Number", "When", "Stage", "From", "Why", ""], all.map((d) => [d.seq, clock(d.at_ms), d.stage, d.subject, d.error,
			may("requeue") && d.subject.startsWith("raw.") && button("Put back …", "requeue", {seq: d.seq})])) : nothing("Everything that came could be read."));
}

export function machineView(state) {
	const m = state.machine;
	return h("section", {class: "view machine-view", "data-key": "vmachine", "aria-label": "Machine"}, h("div", {class: "row heading"}, h("h1", {}, "Machine")),
		m ? [notices(m.notices), oncall(m.oncall), people(m.people), models(m.models), shadow(m.shadow), dead(m.dead)] : h("p", {class: "empty", "data-reading": ""}, "Reading …"));
}
