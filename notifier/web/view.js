// The other views: approvals, silences, tools, KPIs, search.
import {button, date, go, h, percent, since, span, until, usd} from "/dom.js";
import {may} from "/net.js";
import {card, nameAsked} from "/approve.js";
import {bar, chart} from "/charts.js";

const view = (name, title, more, ...body) => h("section", {class: "view " + name, "data-key": "v" + name, "aria-label": title},
	h("div", {class: "row heading"}, h("h1", {}, title), more), body);

const empty = (text) => h("div", {class: "empty"}, h("p", {}, text));
const reading = (name, title) => view(name, title, null, h("p", {class: "empty", "data-reading": ""}, "Reading …"));

export function approvals(state) {
	const all = [...state.approvals].sort((a, b) => a.deadline_ms - b.deadline_ms);
	return view("approvals", "Approvals", h("span", {class: "dim"}, all.length ? `${all.length} wait for an answer` : ""),
		all.length ? all.map((a) => card(a, state.stories.get(a.incident)?.story, true)) : empty("Nobody asks for anything."));
}

// ---- silences ----

const OPS = {equal: "=", not_equal: "!=", regex: "=~", not_regex: "!~"};
export const matcherText = (m) => `${m.name}${OPS[m.op] || "?"}${JSON.stringify(m.value || "")}`;

function silence(s) {
	return h("li", {class: "panel silence", "data-key": s.id, "data-nav": "", tabindex: 0},
		h("ul", {class: "labels"}, (s.matchers || []).map((m) => h("li", {}, h("code", {}, matcherText(m))))),
		h("p", {}, s.comment || h("span", {class: "dim"}, "no comment")),
		h("p", {class: "row"}, h("span", {class: "dim"}, "by ", s.created_by, s.active ? [", ends in ", until(s.ends_at_ms)] : s.ends_at_ms < Date.now() ? ", over" : [", from ", date(s.starts_at_ms)]),
			s.active && may("silence") && button("End it …", "expire", {id: s.id})));
}

export function silenceForm(matchers) {
	return [h("label", {for: "matchers"}, "Matchers, one a line"), h("textarea", {id: "matchers", name: "matchers", rows: 3, required: true, "data-first": "", placeholder: 'service="db"'}, matchers),
		h("label", {for: "duration"}, "For how long"), h("select", {id: "duration", name: "duration"}, ["30m", "1h", "2h", "8h", "24h", "7d"].map((d) => h("option", {value: d, selected: d === "2h"}, d))),
		h("label", {for: "comment"}, "Why"), h("input", {id: "comment", name: "comment", maxlength: 500}), nameAsked()];
}

export function silences(state) {
	const all = state.silences;
	if (!all)
		return reading("silences", "Silences");
	return view("silences", "Silences", may("silence") && button("New silence …", "silence", {}, {class: "primary"}),
		all.length ? h("ul", {class: "plain"}, all.map(silence)) : empty("Nothing is silenced."));
}

// ---- tools ----

function rate(t) {
	if (!t || !t.runs)
		return h("span", {class: "dim"}, "not yet used");
	return h("span", {class: "rate"}, bar(t.done / t.runs), `${percent(t.done / t.runs)} of ${t.runs}`);
}

export function tools(state) {
	if (!state.tools)
		return reading("tools", "Tools");
	const all = [...state.tools];
	all.sort((a, b) => b.runs - a.runs || a.name.localeCompare(b.name));
	return view("tools", "Tools", h("span", {class: "dim"}, `${all.length} in the catalogue; success over all incidents that are kept`),
		h("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "Tools"}, h("table", {}, h("thead", {}, h("tr", {}, ["Tool", "Level", "Success", "Runner", "Parameters"].map((t) => h("th", {scope: "col"}, t)))),
			h("tbody", {}, all.map((t) => h("tr", {"data-key": t.name}, h("th", {scope: "row"}, h("code", {}, t.name), h("span", {class: "dim"}, t.summary)),
				h("td", {}, h("span", {class: "chip level-" + t.level}, t.level)), h("td", {}, rate(t)), h("td", {}, t.runner), h("td", {class: "dim"}, (t.params || []).join(", "))))))));
}

// ---- KPIs ----

const KPIS = [
	{title: "Autonomous resolution", help: "of those that needed a repair: healed, and nobody had to do anything", format: percent, max: 1, keys: ["autonomous_resolution"]},
	{title: "Time to heal", help: "from opened to resolved: half of them, and nine of ten, were faster", format: (v) => span(v).trim(), keys: ["time_to_heal_p50_ms", "time_to_heal_p90_ms"], names: ["p50", "p90"]},
	{title: "First attempt", help: "of those acted upon: healed by the first plan", format: percent, max: 1, keys: ["first_attempt_success"]},
	{title: "False positives", help: "of those acted upon: there was nothing to repair", format: percent, max: 1, keys: ["false_positive_rate"]},
	{title: "Escalations", help: "of all: a human had to look", format: percent, max: 1, keys: ["escalation_rate"]},
	{title: "Cost per incident", help: "what models took", format: usd, keys: ["cost_per_incident_micro_usd"]},
];

const value = (row, key) => typeof row?.[key] === "number" ? row[key] : null;
const day = (row) => new Date(row.from_ms ?? 0).toISOString().slice(5, 10);

export function kpis(state) {
	if (state.kpis === undefined)
		return reading("kpis", "Figures");
	if (state.kpis === null)
		return view("kpis", "Figures", null, empty("This notifier keeps no figures."));
	const {overall, steps: days} = state.kpis;
	return view("kpis", "Figures", h("span", {class: "dim"}, `${overall?.incidents ?? 0} incidents in ${days.length} days`),
		h("div", {class: "charts"}, KPIS.map((k) => {
			const all = k.keys.map((key, i) => ({name: k.names?.[i] || "value", values: days.map((d) => value(d, key))}));
			const now = k.keys.map((key, i) => (k.names ? k.names[i] + " " : "") + (value(overall, key) === null ? "–" : k.format(value(overall, key)))).join(" · ");
			return chart({title: k.title, help: k.help, now, days: days.map(day), all, format: k.format, max: k.max});
		})));
}

// ---- search: what the notifier finds, else what is known here ----

export function searchLocal(state, query) {
	const words = query.toLowerCase().split(/\s+/).filter(Boolean);
	const text = (i) => [i.id, i.title, i.state, i.severity, i.reason, ...Object.entries(i.labels || {}).map(([n, v]) => n + "=" + v)].join(" ").toLowerCase();
	return state.incidents.filter((i) => words.every((w) => text(i).includes(w)));
}

export function search(state, query) {
	const all = state.found?.query === query ? state.found.incidents : null;
	if (!all)
		return reading("search", "Search");
	return view("search", "Search", h("span", {class: "dim"}, "“", query, `”: ${all.length} found`),
		all.length ? h("ul", {class: "incidents"}, all.map((i) => h("li", {"data-key": i.id},
			go(["i", i.id], {class: "incident " + i.state, "data-nav": ""}, h("span", {class: "sev sev-" + i.severity}, i.severity),
				h("span", {class: "title"}, i.title), h("span", {class: "age"}, since(i.opened_at_ms)),
				h("span", {class: "doing"}, h("span", {class: "state"}, i.state), i.reason || Object.entries(i.labels || {}).map(([n, v]) => n + "=" + v).join(" ")))))) :
			empty("Nothing has these words."));
}
