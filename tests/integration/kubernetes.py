#!/usr/bin/env python3
"""The Kubernetes manifests: the restricted Pod Security Standard, who may talk to whom, and that what they say of our
programs (ports, paths, secrets, configuration, images) is so. TAP."""
import copy
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

try:
    import yaml
except ImportError:  # Debian's python3-yaml belongs to Debian's python3
    if sys.executable == "/usr/bin/python3" or not os.path.exists("/usr/bin/python3"):
        print("1..0 # skip no python3-yaml (Debian: python3-yaml)")
        sys.exit(0)
    os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])

from lib import done, free_port, ok, wait_for

BUILD = os.path.abspath(os.environ.get("HEALBUS_BUILD", "build"))
HERE = "deploy/kubernetes"
STAGES = ("monitor", "reasoner", "executor", "notifier")
OVERLAYS = ("cluster", "bubblewrap", "keda")
COMPONENT = "app.kubernetes.io/component"
WORKLOADS = ("StatefulSet", "Deployment", "DaemonSet", "Job")
# Who may talk to whom, and nothing else. A word with / is a label of another namespace; * is any address outside.
FLOWS = {
    ("monitor", "nats", 4222), ("reasoner", "nats", 4222), ("executor", "nats", 4222), ("notifier", "nats", 4222),
    ("setup", "nats", 4222), ("nats", "nats", 6222),
    ("healbus/alerts", "nats", 4222), ("healbus/alerts", "monitor", 9095),
    ("healbus/page", "notifier", 9098), ("healbus/observes", "nats", 8222),
    ("healbus/observes", "monitor", 9095), ("healbus/observes", "reasoner", 9096),
    ("healbus/observes", "executor", 9097), ("healbus/observes", "notifier", 9098),
    ("reasoner", "*", 443), ("executor", "*", 443), ("notifier", "*", 443),
}


def load(path):
    with open(path) as f:
        return [d for d in yaml.safe_load_all(f) if d]


def key(o):
    return o["kind"], o["metadata"]["name"]


def by_name(items):
    return all(isinstance(x, dict) and "name" in x for x in items)


def merged(base, patch):
    """A strategic merge, as far as these patches need one: maps by key, lists of named things by name."""
    if isinstance(base, dict) and isinstance(patch, dict):
        return {k: merged(base[k], patch[k]) if k in base and k in patch else patch.get(k, base.get(k))
                for k in {**base, **patch}}
    if isinstance(base, list) and isinstance(patch, list) and by_name(base) and by_name(patch):
        found = {x["name"]: x for x in base}
        found.update({x["name"]: merged(found.get(x["name"], {}), x) for x in patch})
        return list(found.values())
    return patch


def build(folder):
    """{(kind, name): object} of a kustomization."""
    k = load("%s/%s/kustomization.yaml" % (HERE, folder))[0]
    objects = {}
    for r in k["resources"]:
        path = os.path.normpath("%s/%s/%s" % (HERE, folder, r))
        objects.update(build(os.path.relpath(path, HERE)) if os.path.isdir(path) else {key(o): o for o in load(path)})
    for p in k.get("patches", []):
        for o in load("%s/%s/%s" % (HERE, folder, p["path"])):
            objects[key(o)] = merged(objects[key(o)], o)
    return objects


def pods(objects):
    """{component: pod template}"""
    return {o["spec"]["template"]["metadata"]["labels"][COMPONENT]: o["spec"]["template"]
            for (kind, _), o in objects.items() if kind in WORKLOADS}


# ---- the restricted Pod Security Standard ----

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def container_breaches(c, pod):
    s, p = c.get("securityContext", {}), pod.get("securityContext", {})
    found = []
    if s.get("privileged"):
        found.append("privileged")
    if s.get("allowPrivilegeEscalation") is not False:
        found.append("allowPrivilegeEscalation")
    caps = s.get("capabilities", {})
    if caps.get("drop") != ["ALL"] or set(caps.get("add", [])) - {"NET_BIND_SERVICE"}:
        found.append("capabilities")
    if s.get("runAsNonRoot", p.get("runAsNonRoot")) is not True:
        found.append("runAsNonRoot")
    if s.get("runAsUser", p.get("runAsUser")) == 0:
        found.append("runAsUser")
    if s.get("seccompProfile", p.get("seccompProfile", {})).get("type") not in ("RuntimeDefault", "Localhost"):
        found.append("seccompProfile")
    if s.get("procMount", "Default") != "Default":
        found.append("procMount")
    if any("hostPort" in port for port in c.get("ports", [])):
        found.append("hostPort")
    return found


def breaches(pod):
    found = [name for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name)]
    for c in pod.get("containers", []) + pod.get("initContainers", []) + pod.get("ephemeralContainers", []):
        found += container_breaches(c, pod)
    for v in pod.get("volumes", []):
        if set(v) - {"name"} - VOLUMES:
            found.append("volumes")
    if pod.get("securityContext", {}).get("sysctls"):
        found.append("sysctls")
    return found


def test_judge(pod):
    """Each rule is seen to be broken."""
    def broken(change):
        p = copy.deepcopy(pod)
        change(p, p["containers"][0], p["containers"][0]["securityContext"])
        return breaches(p)
    rules = {
        "hostNetwork": lambda p, c, s: p.update(hostNetwork=True),
        "hostPID": lambda p, c, s: p.update(hostPID=True),
        "hostIPC": lambda p, c, s: p.update(hostIPC=True),
        "privileged": lambda p, c, s: s.update(privileged=True),
        "allowPrivilegeEscalation": lambda p, c, s: s.pop("allowPrivilegeEscalation"),
        "capabilities": lambda p, c, s: s.update(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
        "runAsNonRoot": lambda p, c, s: p["securityContext"].pop("runAsNonRoot"),
        "runAsUser": lambda p, c, s: s.update(runAsUser=0),
        "seccompProfile": lambda p, c, s: s.update(seccompProfile={"type": "Unconfined"}),
        "procMount": lambda p, c, s: s.update(procMount="Unmasked"),
        "hostPort": lambda p, c, s: c["ports"].append({"containerPort": 1, "hostPort": 1}),
        "volumes": lambda p, c, s: p["volumes"].append({"name": "x", "hostPath": {"path": "/"}}),
        "sysctls": lambda p, c, s: p["securityContext"].update(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
    }
    blind = [name for name, change in rules.items() if broken(change) != [name]]
    ok(not blind, "the judge of the standard sees each of %d breaches" % len(rules), blind)


def test_pods(objects, what):
    for component, template in sorted(pods(objects).items()):
        pod = template["spec"]
        c = pod["containers"][0]
        ok(not breaches(pod), "%s: %s keeps to the restricted standard" % (what, component), breaches(pod))
        mounts = {m["name"] for m in c["volumeMounts"]}
        claims = set()
        for (kind, _), o in objects.items():
            if kind == "StatefulSet" and o["spec"]["template"] is template:
                claims = {v["metadata"]["name"] for v in o["spec"].get("volumeClaimTemplates", [])}
        ok(mounts == {v["name"] for v in pod["volumes"]} | claims and c["securityContext"]["readOnlyRootFilesystem"] and
           {"cpu", "memory"} == set(c["resources"]["limits"]) == set(c["resources"]["requests"]) and
           pod["automountServiceAccountToken"] is False and ("ServiceAccount", pod["serviceAccountName"]) in objects,
           "%s: %s has its volumes, limits, and an account without a token" % (what, component), pod)


def test_objects(objects):
    files = {os.path.basename(p) for p in glob.glob(HERE + "/base/*.yaml")} - {"kustomization.yaml"}
    listed = load(HERE + "/base/kustomization.yaml")[0]["resources"]
    ok(sorted(files) == sorted(listed), "the kustomization lists every file", (files, listed))
    stray = [key(o) for o in objects.values() if o["kind"] != "Namespace" and o["metadata"].get("namespace") != "healbus"]
    ok(not stray, "everything is in the namespace healbus", stray)
    ns = objects[("Namespace", "healbus")]["metadata"]["labels"]
    ok(ns["pod-security.kubernetes.io/enforce"] == "restricted", "which enforces the restricted standard")
    ok(all(o["automountServiceAccountToken"] is False for (k, _), o in objects.items() if k == "ServiceAccount"),
       "no account has a token")
    for (kind, name), o in sorted(objects.items()):
        if kind == "StatefulSet":
            ok(o["spec"]["selector"]["matchLabels"].items() <= o["spec"]["template"]["metadata"]["labels"].items() and
               ("Service", o["spec"]["serviceName"]) in objects, "%s selects its own pods" % name)
        if kind in ("Service", "PodDisruptionBudget"):
            want = o["spec"]["selector"] if kind == "Service" else o["spec"]["selector"]["matchLabels"]
            hit = [t for t in pods(objects).values() if want.items() <= t["metadata"]["labels"].items()]
            ok(len(hit) == 1, "%s %s selects one kind of pod" % (kind, name), len(hit))
            if kind == "Service":
                there = {p["name"]: p["containerPort"] for p in hit[0]["spec"]["containers"][0]["ports"]}
                ok(all(there.get(p["targetPort"]) == p["port"] for p in o["spec"]["ports"]),
                   "Service %s: its ports are the pod's" % name, there)


# ---- the network ----

def selects(selector, labels):
    for e in selector.get("matchExpressions", []):
        if e["operator"] != "In" or labels.get(e["key"]) not in e["values"]:
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def peers(rule, side, labels):
    """Names of those whom a rule lets in or out: components, labels of namespaces, *."""
    found = set()
    for peer in rule[side]:
        if "ipBlock" in peer:
            found.add("*" if peer["ipBlock"].get("except") else "* with metadata")
        elif "namespaceSelector" in peer:
            found |= set(peer["namespaceSelector"]["matchLabels"])
        else:
            found |= {c for c, l in labels.items() if selects(peer["podSelector"], l)}
    return found


def allowed(objects, component, labels, direction, side):
    """{(peer, port)} of one component, over all policies that select it."""
    found, closed = set(), False
    for (kind, _), o in objects.items():
        if kind != "NetworkPolicy" or not selects(o["spec"]["podSelector"], labels[component]):
            continue
        closed |= direction.title() in o["spec"]["policyTypes"]
        for rule in o["spec"].get(direction, []):
            found |= {(p, port["port"]) for p in peers(rule, side, labels) for port in rule["ports"]}
    return found if closed else {("everybody", 0)}


def test_network(objects):
    labels = {c: t["metadata"]["labels"] for c, t in pods(objects).items()}
    flows, dns = set(), set()
    for c in labels:
        into = allowed(objects, c, labels, "ingress", "from")
        out = allowed(objects, c, labels, "egress", "to")
        flows |= {(p, c, port) for p, port in into if "/" in p or p == "everybody"}
        flows |= {(c, p, port) for p, port in out if p.startswith(("*", "everybody"))}
        flows |= {(c, p, port) for p, port in out
                  if p in labels and (c, port) in allowed(objects, p, labels, "ingress", "from")}
        dns |= {c for p, port in out if p == "kubernetes.io/metadata.name" and port == 53}
    ok(flows == FLOWS, "the network lets pass what the table says, and nothing else",
       "more: %s, missing: %s" % (sorted(flows - FLOWS), sorted(FLOWS - flows)))
    ok(dns == set(labels), "everybody may ask for names")
    torn = copy.deepcopy(objects)
    for o in torn.values():
        if o["kind"] == "NetworkPolicy" and o["metadata"]["name"] == "default-deny":
            o["spec"]["policyTypes"] = ["Ingress"]
    torn.pop(("NetworkPolicy", "setup"))
    torn.pop(("NetworkPolicy", "dns"))
    ok(("everybody", 0) in allowed(torn, "setup", labels, "egress", "to"), "the judge sees a pod that no policy closes")


# ---- what the manifests say of our programs ----

def test_images(objects):
    with open("Makefile") as f:
        version = re.search(r"^VERSION := (\S+)", f.read(), re.M)[1]
    with open("deploy/Dockerfile") as f:
        targets = set(re.findall(r"^FROM .* AS (\S+)", f.read(), re.M))
    for component, t in pods(objects).items():
        image = t["spec"]["containers"][0]["image"]
        name, _, tag = image.partition(":")
        ok(name.startswith("healbus-") and name[len("healbus-"):] in targets and tag == version,
           "%s: %s is an image of deploy/Dockerfile" % (component, image))


def secrets_made(where):
    """{secret: {key: path}}, as secrets.sh makes them with a kubectl that only writes down what it is asked."""
    fake = where + "/bin"
    os.makedirs(fake)
    with open(fake + "/kubectl", "w") as f:
        f.write('#!/bin/sh\n[ "$1" = apply ] && exec cat >/dev/null\necho "$*" >>"%s/asked"\n' % where)
    os.chmod(fake + "/kubectl", 0o755)
    subprocess.run([BUILD + "/healctl", "init", where + "/healbus.d", "--host", "nats.healbus.svc", "--server", "2.9"],
                   check=True, stdout=subprocess.DEVNULL, timeout=60)
    subprocess.run([HERE + "/secrets.sh", where + "/healbus.d"], check=True, timeout=60,
                   env=dict(os.environ, PATH=fake + ":" + os.environ["PATH"]))
    made = {}
    with open(where + "/asked") as f:
        for line in f:
            made[line.split()[5]] = dict(w[len("--from-file="):].split("=", 1) for w in line.split() if "from-file" in w)
    return made


def secrets_of(pod):
    return [v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v]


def test_secrets(objects, made):
    gone = [p for keys in made.values() for p in keys.values() if not os.path.exists(p)]
    ok(len(made) == 7 and not gone, "secrets.sh finds what healctl init made", (sorted(made), gone))
    for component, t in pods(objects).items():
        names = secrets_of(t["spec"])
        text = "".join(str(o.get("data")) for (kind, name), o in objects.items()
                       if kind == "ConfigMap" and name in (component, "bus") and (component != "nats" or name == "nats"))
        used = set(re.findall(r"/run/secrets/([\w.]+)", text))
        used |= {k + ".pub" for k in used if k == "decision.key"}  # looked for beside it
        ok(names and used == {k for n in names for k in made.get(n, {})},
           "%s: is given the secrets that its configuration names, and no others" % component, (names, used))


def configure(objects, stage, where, made):
    """The folder that a stage's pod sees."""
    etc = "%s/etc-%s" % (where, stage)
    os.makedirs(etc + "/secrets")
    for secret, path in made[stage].items():
        shutil.copy(path, etc + "/secrets/" + secret)
    for name in ("bus", stage):
        for file, text in objects[("ConfigMap", name)]["data"].items():
            text = text.replace("/run/secrets/", etc + "/secrets/")
            with open("%s/%s" % (etc, file), "w") as f:
                f.write(text)
    share = {"monitor": {"SOURCES_DIR": "monitor/sources"}, "executor": {"TOOLS_DIR": "executor/tools"},
             "notifier": {"WEB_DIR": "notifier/web"},
             "reasoner": {"RUNBOOKS_DIR": "reasoner/runbooks", "FAILURES_DIR": "reasoner/failures",
                          "PROMPTS_DIR": "reasoner/prompts", "SPECIALISTS_FILE": "reasoner/specialists.yaml"}}
    env = dict(os.environ, **objects[("ConfigMap", "bus-env")]["data"])
    for k, v in share[stage].items():
        env["HEALBUS_%s_%s" % (stage.upper(), k)] = os.path.abspath(v)
    return etc, env


def get(port, path):
    try:
        with urllib.request.urlopen("http://127.0.0.1:%d%s" % (port, path), timeout=10) as r:
            return r.status
    except urllib.error.HTTPError as e:
        return e.code
    except OSError:
        return 0


def probes(pod):
    return {n: pod["containers"][0][n]["httpGet"] for n in ("startupProbe", "livenessProbe", "readinessProbe")}


def test_stage(objects, stage, where, made):
    pod = pods(objects)[stage]["spec"]
    etc, env = configure(objects, stage, where, made)
    program = "%s/healbus-%s" % (BUILD, stage)
    r = subprocess.run([program, "-c", etc, "--check"], capture_output=True, text=True, env=env, timeout=60)
    ok(r.returncode == 0, "%s: --check takes its ConfigMap" % stage, r.stdout + r.stderr)
    listen = re.search(r'listen: "0\.0\.0\.0:(\d+)"', objects[("ConfigMap", stage)]["data"][stage + ".yaml"])
    ok(listen and int(listen[1]) == pod["containers"][0]["ports"][0]["containerPort"],
       "%s: listens on the port that its pod opens" % stage)
    port = free_port()
    env["HEALBUS_%s_HTTP_LISTEN" % stage.upper()] = "127.0.0.1:%d" % port
    env["HEALBUS_%s_STATE_DIR" % stage.upper()] = etc + "/state"
    env["HEALBUS_BUS_URL"] = "nats://127.0.0.1:%d" % free_port()
    with open(etc + "/log", "wb") as log:
        p = subprocess.Popen([program, "-c", etc], env=env, stderr=log)
    try:
        paths = {n: g["path"] for n, g in probes(pod).items()}
        healthy = wait_for(stage, lambda: get(port, paths["livenessProbe"]) == 200, 60)
        ok(healthy and get(port, paths["startupProbe"]) == 200 and get(port, paths["readinessProbe"]) == 503 and
           all(g["port"] == "http" for g in probes(pod).values()),
           "%s: without a bus its probes find it alive, and not ready" % stage, paths)
        ok(set(os.listdir(etc + "/secrets")) == set(made[stage]), "%s: writes nothing beside its secrets" % stage,
           os.listdir(etc + "/secrets"))
    finally:
        p.kill()
        p.wait()


def test_nats(base, cluster, where, made):
    """The server's configuration; without sync_interval, which Debian 12's does not know."""
    etc = where + "/etc-nats"
    os.makedirs(etc)
    shutil.copy(made["nats-users"]["users.conf"], etc)
    client, monitor = free_port(), free_port()
    env = dict(os.environ, POD_NAME="nats-0")
    for objects in (cluster, base):
        for file, text in objects[("ConfigMap", "nats")]["data"].items():
            for secret, path in made["nats"].items():
                text = text.replace("/run/secrets/" + secret, path)
            text = text.replace("0.0.0.0:4222", "127.0.0.1:%d" % client).replace("0.0.0.0:8222", "127.0.0.1:%d" % monitor)
            with open(etc + "/" + file, "w") as f:
                f.write(text.replace('"/data"', '"%s/data"' % where).replace("sync_interval: always", ""))
        r = subprocess.run(["nats-server", "-t", "-c", etc + "/nats.conf"], capture_output=True, text=True, env=env,
                           timeout=60)
        ok(r.returncode == 0, "nats-server takes its ConfigMap%s" % (", as a cluster" if objects is cluster else ""),
           r.stdout + r.stderr)
    p = subprocess.Popen(["nats-server", "-c", etc + "/nats.conf"], env=env, stderr=subprocess.DEVNULL)
    try:
        found = {n: wait_for(n, lambda g=g: get(monitor, g["path"]) == 200) for n, g in probes(pods(base)["nats"]["spec"]).items()}
        ok(all(found.values()), "nats: its probes find it alive and ready", found)
    finally:
        p.kill()
        p.wait()


def test_keda(objects):
    o = objects[("ScaledObject", "executor")]
    trigger = o["spec"]["triggers"][0]
    m = trigger["metadata"]
    # https://keda.sh/docs/latest/scalers/nats-jetstream
    ok(o["apiVersion"] == "keda.sh/v1alpha1" and trigger["type"] == "nats-jetstream" and
       {"natsServerMonitoringEndpoint", "account", "stream", "consumer", "lagThreshold"} <= set(m) <=
       {"natsServerMonitoringEndpoint", "account", "stream", "consumer", "lagThreshold", "activationLagThreshold", "useHttps"} and
       all(isinstance(v, str) for v in m.values()), "KEDA: the fields that its scaler has, as text")
    target = o["spec"]["scaleTargetRef"]
    ok((target["kind"], target["name"]) in objects and
       o["spec"]["minReplicaCount"] >= 1, "KEDA: scales the executor, never to none")
    with open("common/topic.c") as f:
        consumers = f.read()
    users = subprocess.run([BUILD + "/healctl", "topics", "--nats-users"], capture_output=True, text=True, timeout=60).stdout
    ok('{"%s", STREAM_%s,' % (m["consumer"], m["stream"]) in consumers and "\t%s {" % m["account"] in users,
       "KEDA: the account, the stream and the consumer are ours", users[:300])
    host, _, port = m["natsServerMonitoringEndpoint"].partition(":")
    ports = {p["port"] for p in objects[("Service", host.split(".")[0])]["spec"]["ports"]}
    ok(int(port) in ports and host == "nats.healbus.svc.cluster.local", "KEDA: the Service that it asks has that port", ports)


def test_kustomize(overlay, objects):
    if not shutil.which("kubectl"):
        return
    r = subprocess.run(["kubectl", "kustomize", "%s/%s" % (HERE, overlay)], capture_output=True, text=True, timeout=60)
    made = {key(o): o for o in yaml.safe_load_all(r.stdout) if o}
    ok(r.returncode == 0 and made == objects, "%s: kustomize makes of it what was judged here" % overlay,
       r.stderr or [k for k in objects if made.get(k) != objects[k]])


def main():
    base = build("base")
    all_of = {"base": base, **{o: build(o) for o in OVERLAYS}}
    where = tempfile.mkdtemp(prefix="healbus-kubernetes-")
    try:
        test_objects(base)
        test_judge(pods(base)["executor"]["spec"])
        for name, objects in all_of.items():
            test_pods(objects, name)
            test_kustomize(name, objects)
        test_network(base)
        test_images(base)
        made = secrets_made(where)
        test_secrets(base, made)
        for stage in STAGES:
            test_stage(base, stage, where, made)
        if shutil.which("nats-server"):
            test_nats(base, all_of["cluster"], where, made)
        test_keda(all_of["keda"])
    finally:
        shutil.rmtree(where, ignore_errors=True)
    return done()


if __name__ == "__main__":
    sys.exit(main())
