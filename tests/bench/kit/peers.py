"""The peers: other people's programs, configured for the same work as healbus beside them."""
import json
import os

from kit.process import Missing, free_port, http_get, need, port_open, wait_for

ALERTS = "/api/v2/alerts"


def start_floor(world, mode, *more):
    """A bare server; see floor.c. Its port and its process."""
    port = free_port()
    p = world.spawn("floor", [world.bench.tool("floor"), "-p", str(port), "-m", mode, *more])
    wait_for(f"floor listens: {p.last_words()}", lambda: port_open(port), 10)
    return port, p


def start_alertmanager(world, group_by, hook):
    """Alertmanager that tells `hook` (a URL) at once. Its port and its process."""
    port = free_port()
    conf = world.write("config/alertmanager.yml",
                       f"route: {{receiver: hook, group_by: {group_by}, group_wait: 0s, group_interval: 1s, "
                       "repeat_interval: 4h}\n"
                       f"receivers: [{{name: hook, webhook_configs: [{{url: '{hook}', send_resolved: true}}]}}]\n")
    p = world.spawn("alertmanager", [
        need("prometheus-alertmanager"), f"--config.file={conf}", f"--storage.path={world.path('alertmanager')}",
        "--cluster.listen-address=", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"])
    wait_for("Alertmanager is ready", lambda: http_get(port, "/-/ready")[0] == 200, 30)
    return port, p


def start_webhook(world):
    """Debian's webhook, which runs the action for a body whose first alert fires. Its URL's port, path and process."""
    port = free_port()
    hooks = [{"id": "note", "execute-command": world.bench.tool("act"), "success-http-response-code": 202,
              "pass-arguments-to-command": [{"source": "payload", "name": "alerts.0.annotations.t0"}],
              "trigger-rule": {"match": {"type": "value", "value": "firing",
                                         "parameter": {"source": "payload", "name": "alerts.0.status"}}}}]
    conf = world.write("config/hooks.json", json.dumps(hooks))
    p = world.spawn("webhook", [need("webhook"), "-hooks", conf, "-ip", "127.0.0.1", "-port", str(port)],
                    {"ACT_OUT": world.out})
    wait_for("webhook listens", lambda: port_open(port), 10)
    return port, "/hooks/note", p


FLOW_CODE = """
const seen = context.get('seen') || new Map();
context.set('seen', seen);
const out = [];
for (const a of msg.payload.alerts || []) {
    const key = a.fingerprint + a.startsAt + a.status;
    if (seen.has(key)) continue;
    seen.set(key, true);
    if (a.status === 'firing') out.push({payload: a.annotations.t0});
}
return [out];
"""


def start_node_red(world):
    """Node-RED with a flow of four nodes: HTTP in and answer, a function that drops repeats, exec. Port, path, process."""
    red = f"{world.build}/peers/node_modules/node-red/red.js"
    if not os.path.exists(red):
        raise Missing("Node-RED is not installed (make deps-bench)")
    port = free_port()
    flow = [
        {"id": "tab", "type": "tab", "label": "heal"},
        {"id": "in", "type": "http in", "z": "tab", "url": "/alerts", "method": "post", "wires": [["fold", "answer"]]},
        {"id": "answer", "type": "http response", "z": "tab", "statusCode": "202", "headers": {}, "wires": []},
        {"id": "fold", "type": "function", "z": "tab", "func": FLOW_CODE, "outputs": 1, "wires": [["act"]]},
        {"id": "act", "type": "exec", "z": "tab", "command": world.bench.tool("act"), "addpay": "payload", "append": "",
         "useSpawn": "true", "timer": "", "wires": [[], [], []]}]
    settings = {"uiPort": port, "uiHost": "127.0.0.1", "httpAdminRoot": False, "httpNodeRoot": "/",
                "userDir": world.path("node-red"), "flowFile": "flow.json", "apiMaxLength": "5mb",
                "logging": {"console": {"level": "warn"}}, "telemetry": {"enabled": False}}
    os.mkdir(world.path("node-red"))
    world.write("node-red/flow.json", json.dumps(flow))
    conf = world.write("node-red/settings.js", "module.exports = " + json.dumps(settings) + ";\n")
    p = world.spawn("node-red", [need("node", "nodejs"), red, "-u", world.path("node-red"), "-s", conf],
                    {"ACT_OUT": world.out})
    wait_for(f"Node-RED answers: {p.last_words()}", lambda: node_red_answers(world, port), 60, 0.2)
    return port, "/alerts", p


def node_red_answers(world, port):
    try:
        return world.post(port, "/alerts", "{}")[0] == 202
    except (OSError, ValueError):
        return False


def sec_rules(world, act):
    """One SEC rule: a firing line whose fingerprint was not seen lately; with `act` it runs the action."""
    action = f"shellcmd {world.bench.tool('act')} $2" if act else "none"
    return world.write("config/sec.conf", "type=SingleWithSuppress\nptype=RegExp\n"
                       r"pattern=ALERT fp=(\S+) status=firing .*t0=(\d+)" "\n"
                       f"desc=alert $1\naction={action}\nwindow=300\n")


def sec_argv(world, act):
    return [need("sec"), f"--conf={sec_rules(world, act)}", "--input=-", "--notail", f"--log={world.path('log', 'sec')}",
            "--poll-timeout=0.001"]
