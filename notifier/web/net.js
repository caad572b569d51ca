// The API of the notifier, and knowing when something has changed: server-sent events where they are offered, else
// asking for the status. When the notifier cannot be reached: growing pauses, told to whoever listens.

const PAUSE_FIRST_MS = 1000, PAUSE_MAX_MS = 30000, ASK_EVERY_MS = 2000, TIMEOUT_MS = 35000;

export const session = {person: "", roles: [], may: [], csrf: "", known: false};

export class Refused extends Error {
	constructor(status, body) {
		super(body.reason || body.error || "HTTP " + status);
		this.status = status;
	}
}

export async function api(method, path, body) {
	const headers = {Accept: "application/json"};
	if (body)
		headers["Content-Type"] = "application/json";
	if (method !== "GET" && session.csrf)
		headers["X-CSRF-Token"] = session.csrf;
	const reply = await fetch(path, {method, headers, body: body && JSON.stringify(body), credentials: "same-origin",
		cache: "no-store", redirect: "error", signal: AbortSignal.timeout(TIMEOUT_MS)});
	const answer = await reply.json().catch(() => ({}));
	if (reply.status === 401 && path !== "/login")
		location.assign("/login");
	if (!reply.ok)
		throw new Refused(reply.status, answer);
	return answer;
}

export const get = (path) => api("GET", path);

// A part that this notifier may not have.
export async function getMaybe(path) {
	try {
		return await get(path);
	} catch (e) {
		if (e instanceof Refused && [403, 404, 405].includes(e.status))
			return null;
		throw e;
	}
}

export async function who() {
	const s = await getMaybe("/api/session");
	if (s)
		Object.assign(session, {person: s.person || "", roles: s.roles || [], may: s.may || [], csrf: s.csrf || "", known: true});
}

// What the notifier says that I may; it decides by the same table.
export const may = (right) => session.may.includes(right);

export class Live {
	// changed(incident or null), state(name, seconds until the next try)
	constructor(changed, state) {
		Object.assign(this, {changed, state, pause: PAUSE_FIRST_MS, seq: -1, heard: -1, timer: 0, events: null});
	}

	start() {
		this.ask();
		this.listen();
	}

	listen() {
		this.events = new EventSource("/api/events");
		const heard = (e) => {
			let said = {};
			try {
				said = JSON.parse(e.data);
			} catch {
				return;
			}
			this.heard = said.seq ?? -1;
			this.changed(said.incident || null);
		};
		this.events.onmessage = heard;
		for (const kind of ["incident", "plan", "approval", "decision", "step", "outcome", "model", "notice", "control"])
			this.events.addEventListener(kind, heard);
	}

	streaming() {
		return this.events && this.events.readyState === EventSource.OPEN;
	}

	// Also while events come: it is how we notice that nobody is there any more.
	async ask() {
		clearTimeout(this.timer);
		try {
			if (!session.known)
				await who();
			const status = await get("/api/status");
			this.reached(status);
			this.timer = setTimeout(() => this.ask(), ASK_EVERY_MS * (this.streaming() ? 5 : 1));
		} catch (e) {
			const wait = this.pause * (0.8 + 0.4 * Math.random());
			this.pause = Math.min(this.pause * 2, PAUSE_MAX_MS);
			this.away = true;
			this.state("offline", wait, e.message);
			this.timer = setTimeout(() => this.ask(), wait);
		}
	}

	reached(status) {
		const seq = status.lag?.applied_seq ?? 0, back = this.away;
		if (this.away && this.events.readyState === EventSource.CLOSED && this.streamed)
			this.listen();
		this.streamed ||= this.streaming();
		this.pause = PAUSE_FIRST_MS;
		this.away = false;
		this.state(this.streaming() ? "live" : "asking", 0, status);
		if (back || seq !== this.seq && !(this.streaming() && this.heard >= seq))
			this.changed(null);
		this.seq = seq;
	}
}
