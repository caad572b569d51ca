// The list of incidents, and one of them.
import {button, clock, date, go, h, since, span, usd} from "/dom.js";
import {may} from "/net.js";
import {card} from "/approve.js";
import {answers, call, doing, fold, timeline} from "/story.js";

const SHORT = {critical: "CRIT", error: "ERR", warning: "WARN", info: "INFO"};
const FILTERS = [["live", "Live"], ["open", "Open"], ["escalated", "Need a human"], ["suppressed", "Muted"], ["resolved", "Resolved"], ["all", "All"]];
const SEVERITIES = ["critical", "error", "warning", "info"];

export const isLive = (i) => i.state === "open" || i.state === "escalated";

// Who needs a person comes first, then what is worse, then what is newer.
function urgency(state, i) {
	const waits = state.approvals.some((a) => a.incident === i.id) ? 0 : i.state === "escalated" ? 1 : i.state === "open" ? 2 : 3;
	const worst = SEVERITIES.indexOf(i.severity);
	return waits * 10 + (waits < 3 ? (worst < 0 ? 9 : worst) : 0);
}

function row(state, i, chosen) {
	const story = state.stories.get(i.id)?.story, waits = state.approvals.some((a) => a.incident === i.id);
	const what = story ? doing(story) : i.state === "resolved" || i.state === "suppressed" ? i.reason || i.state : i.reason || "…";
	const tone = waits ? "asks" : i.state;
	return h("li", {"data-key": i.id}, go(["i", i.id], {class: `incident ${tone}`, "data-nav": "", "aria-current": chosen === i.id ? "page" : null},
		h("span", {class: "sev sev-" + (SHORT[i.severity] ? i.severity : "info"), title: i.severity}, SHORT[i.severity] || "?"),
		h("span", {class: "title"}, i.title), h("span", {class: "age"}, i.state === "resolved" ? h("span", {title: date(i.resolved_at_ms)}, "took " + span(i.resolved_at_ms - i.opened_at_ms)) : since(i.opened_at_ms)),
		h("span", {class: "doing"}, h("span", {class: "state"}, waits ? "asks" : i.state === "escalated" ? "needs you" : i.state), what)));
}

export function filterIncidents(state, filter) {
	const chosen = state.incidents.filter((i) => filter === "all" || (filter === "live" ? isLive(i) : i.state === filter));
	return chosen.sort((a, b) => urgency(state, a) - urgency(state, b) || b.opened_at_ms - a.opened_at_ms);
}

function quiet(state, filter) {
	const last = state.incidents.filter((i) => i.state === "resolved").sort((a, b) => b.resolved_at_ms - a.resolved_at_ms)[0];
	return h("div", {class: "empty"}, h("p", {}, filter === "live" ? "All quiet. Nothing is broken that we know of." : "Nothing here."),
		filter === "live" && last && h("p", {class: "dim"}, "The last one, ", go(["i", last.id], {"data-nav": ""}, last.title), ", was over ", since(last.resolved_at_ms), " ago."));
}

export function list(state, filter, chosen) {
	const shown = filterIncidents(state, filter), counts = state.status.incidents || {};
	const count = (name) => name === "live" ? (counts.open || 0) + (counts.escalated || 0) : counts[name];
	return h("section", {class: "list", "data-key": "list", "aria-label": "Incidents"},
		h("div", {class: "row heading"}, h("h1", {}, "Incidents"), state.oncall?.length ? h("span", {class: "dim"}, "On call: ", state.oncall.map((o) => o.person || "nobody").join(", ")) : null),
		h("ul", {class: "filters", "aria-label": "Which"}, FILTERS.map(([name, text]) => h("li", {}, go(name === "live" ? [] : ["list", name],
			{"aria-current": name === filter ? "true" : null}, text, count(name) !== undefined && h("span", {class: "n"}, count(name)))))),
		shown.length ? h("ul", {class: "incidents"}, shown.map((i) => row(state, i, chosen))) : quiet(state, filter));
}

function undo(change) {
	return h("li", {class: "changed", "data-key": change.id}, h("div", {class: "row"}, h("code", {}, call(change)), h("span", {class: "dim"}, clock(change.at_ms)),
		change.undone_by ? h("span", {class: "dim"}, "taken back") : change.undo && may("undo") ? button("Take back …", "undo", {id: change.id, what: change.tool}) :
			!change.undo && h("span", {class: "dim"}, "cannot be undone")), fold("Exactly what ran", change.what, "w"));
}

function changes(state, id) {
	const all = (state.changes || []).filter((c) => c.incident === id);
	return all.length ? h("section", {class: "panel"}, h("h2", {}, "What was changed"), h("ul", {class: "plain"}, all.map(undo))) : null;
}

function head(i, story) {
	const taken = story.taken(), asked = i.state === "resolved" && story.of("outcome").at(-1)?.verdict === "healed" && !story.feedback() && may("feedback");
	return h("header", {class: "incident-head"},
		h("p", {class: "row"}, go([], {class: "back"}, "‹ Incidents"), h("span", {class: "chip sev-" + (SHORT[i.severity] ? i.severity : "info")}, i.severity),
			h("span", {class: "chip state-" + i.state}, i.state === "escalated" ? "needs a human" : i.state),
			h("span", {class: "dim"}, i.resolved_at_ms ? ["took ", span(i.resolved_at_ms - i.opened_at_ms)] : ["for ", since(i.opened_at_ms)], " · ", h("code", {}, i.id))),
		h("h1", {}, i.title),
		h("p", {class: "doing-now"}, h("span", {class: "dim"}, "Now: "), doing(story)),
		h("div", {class: "row actions"}, i.state !== "resolved" && !taken && may("ack") && button("I take it …", "ack", {id: i.id}),
			i.state !== "resolved" && may("silence") && button("Silence …", "silence", {id: i.id}),
			asked && [h("span", {class: "dim"}, "Did the repair hold?"), button("It held …", "held", {id: i.id, what: "yes"}), button("It did not …", "held", {id: i.id, what: "no"})]));
}

export function incident(state, id) {
	const known = state.stories.get(id);
	if (known?.missing)
		return h("section", {class: "detail", "data-key": "none"}, h("div", {class: "empty"}, h("p", {}, "No incident has this id.")));
	if (!known)
		return h("section", {class: "detail", "data-key": "reading"}, h("p", {class: "empty", "data-reading": ""}, "Reading the story …"));
	const {story} = known, i = story.incident, ask = state.approvals.find((a) => a.incident === i.id), cost = story.cost();
	return h("section", {class: "detail", "data-key": "i" + i.id, "aria-label": "Incident"}, head(i, story), answers(story),
		ask && card(ask, story, false), changes(state, i.id),
		h("section", {class: "panel"}, h("div", {class: "row heading"}, h("h2", {}, "Story"),
			h("span", {class: "dim"}, cost.n ? `${cost.n} ${cost.n === 1 ? "exchange" : "exchanges"} with models, ${cost.tokens} tokens, ${usd(cost.usd)}` : "no model was asked")),
		story.gone ? h("p", {class: "dim"}, `${story.gone} older messages are no longer on the bus.`) : null, timeline(story)));
}

