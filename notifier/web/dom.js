// The only file that makes elements. Every value from outside goes in as a text node or as the value of an attribute
// that is listed here; characters that hide, reorder or imitate are shown as what they are.

const ATTRIBUTES = new Set(["class", "id", "type", "name", "value", "for", "role", "tabindex", "title", "placeholder", "disabled",
	"checked", "open", "rows", "maxlength", "required", "autocomplete", "datetime", "max", "min", "scope", "viewBox", "d", "x", "y",
	"width", "height", "cx", "cy", "r", "x1", "x2", "y1", "y2", "points", "text-anchor", "preserveAspectRatio", "selected"]);
const SVG = new Set(["svg", "use", "path", "rect", "circle", "line", "polyline", "polygon", "text", "g"]);

// Controls but newline and tab, soft hyphen, bidirectional marks and overrides, zero width, fillers, tags.
const HIDDEN = new RegExp("[\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f" +
	"\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff0-\\ufffb\\u{e0000}-\\u{e0fff}]", "gu");

export function shown(text) {
	return String(text).replace(HIDDEN, (c) => "⟨U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0") + "⟩");
}

function isAllowed(name) {
	return ATTRIBUTES.has(name) || /^(aria|data)-[a-z-]+$/.test(name);
}

export function append(node, kids) {
	for (const kid of kids.flat(Infinity)) {
		if (kid === null || kid === undefined || kid === false)
			continue;
		node.append(kid instanceof Node ? kid : document.createTextNode(shown(kid)));
	}
	return node;
}

// h("p", {class: "dim"}, "text", node, [more])
export function h(tag, attributes, ...kids) {
	const node = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
	for (const [name, value] of Object.entries(attributes || {})) {
		if (value === null || value === undefined || value === false)
			continue;
		if (!isAllowed(name))
			throw new Error("attribute " + name);
		node.setAttribute(name, value === true ? "" : String(value));
	}
	return append(node, kids);
}

export function icon(name) {
	const svg = h("svg", {class: "icon", "aria-hidden": "true"}), use = h("use", {});
	use.setAttribute("href", "/icons.svg#" + name);
	svg.append(use);
	return svg;
}

// A link within the page: the parts are encoded, so that no id can leave its place.
export function go(parts, attributes, ...kids) {
	const a = h("a", attributes, ...kids);
	a.setAttribute("href", "#/" + parts.map(encodeURIComponent).join("/"));
	return a;
}

// A link out of it: only to http and https; anything else stays text.
export function out(url, ...kids) {
	let parsed = null;
	try {
		parsed = new URL(url);
	} catch {
		return append(h("span", {}), kids.length ? kids : [url]);
	}
	if (parsed.protocol !== "http:" && parsed.protocol !== "https:")
		return append(h("span", {}), kids.length ? kids : [url]);
	const a = append(h("a", {class: "out"}), kids.length ? kids : [url]);
	a.setAttribute("href", parsed.href);
	a.setAttribute("rel", "noopener noreferrer");
	a.setAttribute("target", "_blank");
	return a;
}

export function button(text, act, data, attributes) {
	const b = h("button", {type: "button", "data-act": act, ...attributes}, text);
	for (const [name, value] of Object.entries(data || {}))
		b.dataset[name] = value;
	return b;
}

// ---- bringing what is shown up to date, without touching what the reader has opened, typed or focused ----

function sameKind(a, b) {
	return a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.dataset?.key ?? "") === (b.dataset?.key ?? "");
}

function morphAttributes(old, fresh) {
	for (const {name} of [...old.attributes])
		if (!fresh.hasAttribute(name) && !(name === "open" && old.nodeName === "DETAILS"))
			old.removeAttribute(name);
	for (const {name, value} of fresh.attributes)
		if (old.getAttribute(name) !== value && !(name === "open" && old.nodeName === "DETAILS"))
			old.setAttribute(name, value);
}

function morphNode(old, fresh) {
	if (old.nodeType === Node.TEXT_NODE) {
		if (old.data !== fresh.data)
			old.data = fresh.data;
		return;
	}
	morphAttributes(old, fresh);
	if (!old.matches("input, textarea, select"))
		morph(old, [...fresh.childNodes]);
}

export function morph(parent, fresh) {
	const keyed = new Map();
	for (const child of parent.children)
		if (child.dataset.key)
			keyed.set(child.dataset.key, child);
	let at = parent.firstChild;
	for (const node of fresh) {
		const known = node.dataset?.key && keyed.get(node.dataset.key);
		const old = known && sameKind(known, node) ? known : at && !at.dataset?.key && sameKind(at, node) ? at : null;
		if (!old) {
			parent.insertBefore(node, at);
			continue;
		}
		if (old === at)
			at = at.nextSibling;
		else
			parent.insertBefore(old, at);
		morphNode(old, node);
	}
	while (at) {
		const next = at.nextSibling;
		at.remove();
		at = next;
	}
}

// ---- words for times and numbers ----

export function span(ms) {
	const s = Math.max(0, Math.round(ms / 1000));
	if (s < 60)
		return s + " s";
	if (s < 3600)
		return Math.floor(s / 60) + " min " + (s % 60 ? (s % 60) + " s" : "");
	if (s < 172800)
		return Math.floor(s / 3600) + " h " + Math.floor((s % 3600) / 60) + " min";
	return Math.floor(s / 86400) + " days";
}

// How long ago: nobody counts seconds after a minute.
export function age(ms) {
	return ms < 60000 || ms >= 3600000 ? span(ms) : Math.floor(ms / 60000) + " min";
}

export function took(ms) {
	return ms < 1000 ? Math.max(0, Math.round(ms)) + " ms" : ms < 60000 ? (ms / 1000).toFixed(1) + " s" : span(ms);
}

export function clock(ms) {
	return new Date(ms).toTimeString().slice(0, 8);
}

export function date(ms) {
	const d = new Date(ms), two = (n) => String(n).padStart(2, "0");
	return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${clock(ms)}`;
}

export function since(ms) {
	return h("time", {"data-since": ms, datetime: new Date(ms).toISOString(), title: date(ms)}, age(Date.now() - ms));
}

export function until(ms) {
	return h("time", {"data-until": ms, datetime: new Date(ms).toISOString(), title: date(ms)}, countdown(ms));
}

export function countdown(ms) {
	const s = Math.max(0, Math.ceil((ms - Date.now()) / 1000));
	return s > 3600 ? span(s * 1000) : Math.floor(s / 60) + ":" + String(s % 60).padStart(2, "0");
}

export function usd(micro) {
	return "$" + (micro / 1e6).toFixed(micro < 100000 ? 4 : 2);
}

export function percent(n) {
	return n === null || n === undefined ? "–" : (n * 100).toFixed(n > 0 && n < 0.1 ? 1 : 0) + " %";
}
