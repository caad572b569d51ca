// Small charts, drawn by us in SVG; each has its numbers as a table, for whoever does not see it.
import {h} from "/dom.js";

const W = 320, H = 110, LEFT = 4, BOTTOM = 18, TOP = 8;

function scaled(values, max) {
	const n = values.length, wide = W - LEFT * 2, high = H - TOP - BOTTOM;
	return values.map((v, i) => v === null ? null :
		[LEFT + (n > 1 ? i * wide / (n - 1) : wide / 2), TOP + high - high * Math.min(1, v / max)]);
}

// Days without a value part the line; a day alone is a dot.
function lines(points) {
	const parts = [[]];
	for (const p of points)
		if (p)
			parts.at(-1).push(p);
		else if (parts.at(-1).length)
			parts.push([]);
	return parts.filter((part) => part.length);
}

function series(values, max, name) {
	const points = scaled(values, max), drawn = [];
	for (const part of lines(points))
		if (part.length > 1)
			drawn.push(h("polyline", {class: "line " + name, points: part.map((p) => p.map((n) => n.toFixed(1)).join(",")).join(" ")}));
	for (const p of points.filter(Boolean))
		drawn.push(h("circle", {class: "dot " + name, cx: p[0].toFixed(1), cy: p[1].toFixed(1), r: 2.5}));
	return drawn;
}

function table(title, days, all, format) {
	return h("details", {class: "numbers"}, h("summary", {}, "Numbers"), h("table", {},
		h("thead", {}, h("tr", {}, h("th", {scope: "col"}, "Day"), all.map((s) => h("th", {scope: "col"}, s.name)))),
		h("tbody", {}, days.map((day, i) => h("tr", {}, h("th", {scope: "row"}, day),
			all.map((s) => h("td", {}, s.values[i] === null ? "–" : format(s.values[i]))))))));
}

// all: [{name, values: [number or null]}], at most two; now: the figure over the whole window.
export function chart({title, help, now, days, all, format, max}) {
	const known = all.flatMap((s) => s.values).filter((v) => v !== null);
	const top = max ?? Math.max(1e-9, ...known);
	const y = H - BOTTOM;
	return h("section", {class: "chart", "data-key": title},
		h("h2", {}, title), h("p", {class: "figure"}, now), h("p", {class: "dim"}, help),
		h("svg", {viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": title + " by day: " + now},
			h("line", {class: "axis", x1: LEFT, x2: W - LEFT, y1: y, y2: y}),
			h("line", {class: "axis faint", x1: LEFT, x2: W - LEFT, y1: TOP, y2: TOP}),
			all.map((s, i) => series(s.values, top, "s" + i)),
			h("text", {class: "tick", x: W - LEFT, y: TOP + 10, "text-anchor": "end"}, known.length ? format(top) : "no data"),
			h("text", {class: "tick", x: LEFT, y: H - 4}, days[0] ?? ""),
			h("text", {class: "tick", x: W - LEFT, y: H - 4, "text-anchor": "end"}, days.at(-1) ?? "")),
		table(title, days, all, format));
}

// A part of a whole as a bar.
export function bar(share) {
	return h("svg", {class: "bar", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true"},
		h("rect", {class: "bar-all", x: 0, y: 0, width: 100, height: 6}),
		h("rect", {class: "bar-part", x: 0, y: 0, width: Math.max(0, Math.min(100, share * 100)).toFixed(1), height: 6}));
}
