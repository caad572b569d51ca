// Logging in: the token goes to the notifier once, and a session's cookie, which no script can read, comes back.
const form = document.querySelector("form"), said = document.getElementById("said"), press = form.querySelector("button");

form.addEventListener("submit", async (e) => {
	e.preventDefault();
	press.disabled = true;
	said.textContent = "";
	try {
		const reply = await fetch("/login", {method: "POST", headers: {"Content-Type": "application/json"}, credentials: "same-origin",
			body: JSON.stringify({token: form.token.value.trim()})});
		if (reply.ok) {
			location.replace("/");
			return;
		}
		const answer = await reply.json().catch(() => ({}));
		const wait = reply.headers.get("Retry-After");
		said.textContent = (answer.reason || "It was refused.") + (wait ? ` Try again in ${wait} s.` : "");
	} catch {
		said.textContent = "The notifier does not answer.";
	}
	press.disabled = false;
	form.token.select();
});
