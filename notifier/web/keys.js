// The keyboard: j and k go through what can be opened, letters act. Never while somebody types or a dialog is open.
import {h} from "/dom.js";

export const KEYS = [
	["j / k", "next / previous"], ["Enter", "open"], ["a", "approve …"], ["d", "deny …"], ["/", "search"], ["p", "pause or resume …"],
	["1 – 5", "incidents, approvals, silences, tools, KPIs"], ["?", "these keys"], ["Ctrl Enter", "send what a dialog asks"], ["Esc", "close"],
];

function move(by) {
	const all = [...document.querySelectorAll("main [data-nav]")];
	if (!all.length)
		return;
	const at = all.indexOf(document.activeElement.closest("[data-nav]"));
	const next = all[Math.max(0, Math.min(all.length - 1, at < 0 ? 0 : at + by))];
	next.focus();
	next.scrollIntoView({block: "nearest"});
}

function act(name) {
	const near = document.activeElement.closest("[data-card]") || document.querySelector("main");
	const found = near.querySelector(`[data-act="${name}"]`) || document.querySelector(`main [data-act="${name}"]`);
	if (found && !found.disabled)
		found.click();
}

const DO = {
	j: () => move(1),
	k: () => move(-1),
	a: () => act("approve"),
	d: () => act("deny"),
	p: () => document.querySelector('[data-act="pause"], [data-act="resume"]')?.click(),
	"/": () => document.getElementById("search").focus(),
};

export function keysStart(help) {
	document.addEventListener("keydown", (e) => {
		if (e.ctrlKey || e.altKey || e.metaKey || e.target.closest("input, textarea, select, dialog") || document.querySelector("dialog[open]"))
			return;
		const view = document.querySelectorAll("#nav a")[Number(e.key) - 1];
		const run = e.key === "?" ? help : DO[e.key] || (/^[1-5]$/.test(e.key) && view && (() => view.click()));
		if (!run)
			return;
		e.preventDefault();
		run();
	});
}

export function keysTable() {
	return h("dl", {class: "keys"}, KEYS.map(([key, what]) => [h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)]));
}
