// start.mjs PORT NODE_MODULES: a Slack with a bot, a channel "ops" and an incoming webhook. Prints a line when it
// listens; SIGTERM ends it.
const { createEmulator } = await import(process.argv[3] + "/emulate/dist/api.js");

const slack = {
  team: { name: "Ops", domain: "ops" },
  users: [{ name: "ann", real_name: "Ann", email: "ann@example.org" }],
  channels: [{ name: "ops", topic: "incidents" }],
  bots: [{ name: "healbus" }],
  incoming_webhooks: [{ channel: "ops", label: "healbus" }],
  signing_secret: "not-a-real-secret",
};
const seed = { tokens: { "xoxb-peer": { login: "healbus", scopes: ["chat:write"] } }, slack };
const server = await createEmulator({ service: "slack", port: Number(process.argv[2]), seed });
console.log("listening on " + server.url);
process.on("SIGTERM", async () => {
  await server.close();
  process.exit(0);
});
