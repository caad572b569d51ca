// Edits as people read them: search/replace blocks and unified diffs become coloured lines, with a sign before each, so
// that colour is not all. Only for looking at: what is decided on is the text itself, which is shown beside it.
import {h} from "/dom.js";

const LCS_MAX = 600;

// Which lines of two texts are the same, the longest way: [["=", line] | ["-", line] | ["+", line]].
function compare(old, fresh) {
	if (old.length > LCS_MAX || fresh.length > LCS_MAX)
		return [...old.map((l) => ["-", l]), ...fresh.map((l) => ["+", l])];
	const n = old.length, m = fresh.length, best = Array.from({length: n + 1}, () => new Uint16Array(m + 1));
	for (let i = n - 1; i >= 0; i--)
		for (let j = m - 1; j >= 0; j--)
			best[i][j] = old[i] === fresh[j] ? best[i + 1][j + 1] + 1 : Math.max(best[i + 1][j], best[i][j + 1]);
	const lines = [];
	let i = 0, j = 0;
	while (i < n || j < m) {
		if (i < n && j < m && old[i] === fresh[j]) {
			lines.push(["=", old[i++]]);
			j++;
		} else if (i < n && (j === m || best[i + 1][j] >= best[i][j + 1])) {
			lines.push(["-", old[i++]]);
		} else {
			lines.push(["+", fresh[j++]]);
		}
	}
	return lines;
}

const START = /^<{7} SEARCH ?(.*)$/, MIDDLE = /^={7}$/, END = /^>{7} REPLACE$/;

function blocks(lines) {
	const all = [];
	let part = null, at = null;
	for (const line of lines) {
		const start = START.exec(line);
		if (start) {
			at = {file: start[1], old: [], fresh: []};
			part = "old";
		} else if (at && part === "old" && MIDDLE.test(line)) {
			part = "fresh";
		} else if (at && part === "fresh" && END.test(line)) {
			all.push({file: at.file, lines: compare(at.old, at.fresh)});
			at = part = null;
		} else if (at) {
			at[part].push(line);
		}
	}
	return at ? null : all;
}

const SIGNS = {"+": "+", "-": "-", " ": "="};

function unified(lines) {
	const all = [];
	let file = null;
	for (const line of lines) {
		const name = /^\+\+\+ (?:b\/)?(.*?)(?:\t.*)?$/.exec(line);
		if (/^--- /.test(line)) {
			file = {file: line.slice(4).replace(/^a\//, ""), lines: []};
			all.push(file);
		} else if (name && file && !file.lines.length) {
			file.file = name[1] === "/dev/null" ? file.file + " (deleted)" : name[1];
		} else if (file && line.startsWith("@@")) {
			file.lines.push(["@", line]);
		} else if (file && file.lines.length && SIGNS[line[0]]) {
			file.lines.push([SIGNS[line[0]], line.slice(1)]);
		}
	}
	return all;
}

// [{file, lines}] or null when the text is neither.
export function parseEdits(text) {
	const lines = text.replace(/\n$/, "").split("\n");
	if (lines.some((l) => START.test(l)))
		return blocks(lines);
	const files = /^--- /m.test(text) && /^@@ /m.test(text) ? unified(lines) : [];
	return files.length ? files : null;
}

const CLASSES = {"+": "add", "-": "del", "=": "same", "@": "place"};

function one({file, lines}) {
	const plus = lines.filter((l) => l[0] === "+").length, minus = lines.filter((l) => l[0] === "-").length;
	return h("figure", {class: "diff"},
		h("figcaption", {}, h("code", {}, file || "(no name)"), " ", h("span", {class: "plus"}, "+" + plus), " ", h("span", {class: "minus"}, "−" + minus)),
		h("pre", {tabindex: 0, role: "region", "aria-label": "Changes of " + (file || "a file")}, lines.map(([sign, line]) => h("span", {class: "l " + CLASSES[sign]},
			h("span", {class: "sign"}, sign === "=" || sign === "@" ? " " : sign), line, "\n"))));
}

export function diff(text) {
	const files = parseEdits(text);
	if (!files)
		return h("pre", {class: "said", tabindex: 0}, text);
	return h("div", {class: "diffs"}, files.map(one),
		h("details", {}, h("summary", {}, "The same as it was written"), h("pre", {class: "said", tabindex: 0}, text)));
}
