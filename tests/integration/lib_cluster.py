"""Doubles of two APIs that run containers: Kubernetes' (Jobs, Secrets, Pods, logs) and TrueFoundry's (jobs, runs, logs).
Both speak real HTTP and really run what they are given, in bubblewrap; neither shares code with what it judges."""
import base64
import json
import os
import re
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

TOKEN = "canary-token-7d1f0e"
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\Z")


def bwrap(argv, env, cwd, binds, timeout):
    """argv as process 1 of namespaces of its own, as nobody, without capabilities and network."""
    line = ["bwrap", "--unshare-all", "--as-pid-1", "--die-with-parent", "--uid", "65534", "--gid", "65534",
            "--cap-drop", "ALL", "--ro-bind", "/usr", "/usr", "--ro-bind-try", "/etc/alternatives", "/etc/alternatives", "--proc", "/proc", "--dev", "/dev", "--clearenv"]
    for name in ("bin", "sbin", "lib", "lib64"):
        line += ["--symlink", "usr/" + name, "/" + name]
    for path, at, readonly in binds:
        line += ["--ro-bind" if readonly else "--bind", path, at]
    for name, value in env.items():
        line += ["--setenv", name, value]
    r = subprocess.run(line + ["--chdir", cwd] + argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, timeout=timeout, check=False)
    return r.returncode, r.stdout


def works():
    try:
        return shutil.which("bwrap") and bwrap(["/bin/true"], {}, "/", [], 10)[0] == 0
    except subprocess.SubprocessError:
        return False


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status, self.message = status, message


class Double:
    """What both have: the token, faults to come, all requests, threads that run things."""

    def __init__(self, tls=None):
        self.lock = threading.RLock()
        self.requests, self.faults, self.dir = [], [], tempfile.mkdtemp(prefix="healbus-cluster-")
        self.threads, self.problems = [], []
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                url = urlsplit(self.path)
                double.requests.append((self.command, self.path, body.decode()))
                try:
                    if self.headers.get("Authorization") != "Bearer " + TOKEN:
                        raise Refused(401, "Unauthorized")
                    hit = double.fault(self.command, url.path)
                    if hit and not hit["after"]:
                        raise Refused(hit["status"], hit["message"])
                    status, out = double.serve(
                        self.command, url.path, {k: v[-1] for k, v in parse_qs(url.query).items()},
                        json.loads(body) if body else None)
                    status = status if not hit or hit["status"] == 200 else hit["status"]
                except Refused as e:
                    status, out = e.status, {"kind": "Status", "message": e.message, "code": e.status}
                except BaseException as e:  # pylint: disable=broad-except
                    double.problems.append(repr(e))
                    raise
                if status == 0:  # no answer at all
                    self.close_connection = True
                    return
                raw = out if isinstance(out, bytes) else json.dumps(out).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/plain" if isinstance(out, bytes) else "application/json")
                self.send_header("Content-Length", str(len(raw)))
                if status == 429:
                    self.send_header("Retry-After", "1")
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_DELETE = answer

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = "http%s://127.0.0.1:%d" % ("s" if tls else "", self.server.server_address[1])
        if tls:  # (certificate, key), PEM files
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self, match, status, message="", times=1, after=False, slow=0):
        """The next requests whose "METHOD path" matches get this; 0: no answer. after: what was asked happens all the same."""
        self.faults.append({"match": re.compile(match), "status": status, "message": message, "times": times,
                            "after": after or status == 200, "slow": slow})

    def fault(self, method, path):
        with self.lock:
            hit = next((f for f in self.faults if f["times"] > 0 and f["match"].search(method + " " + path)), None)
            if hit:
                hit["times"] -= 1
        if hit:
            time.sleep(hit["slow"])
        return hit

    def start(self, target, *args):
        t = threading.Thread(target=self.guard, args=(target, *args), daemon=True)
        self.threads.append(t)
        t.start()

    def guard(self, target, *args):
        try:
            target(*args)
        except Exception as e:  # pylint: disable=broad-except
            self.problems.append("%s: %r" % (target.__name__, e))

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        for t in self.threads:
            t.join(30)
        shutil.rmtree(self.dir, ignore_errors=True)


# ---- Kubernetes ----

def restricted(pod):
    """What the restricted Pod Security Standard has against a pod's spec.
    https://kubernetes.io/docs/concepts/security/pod-security-standards/"""
    bad, security = [], pod.get("securityContext", {})
    containers = pod.get("initContainers", []) + pod.get("containers", []) + pod.get("ephemeralContainers", [])
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            bad.append(name)
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
    for volume in pod.get("volumes", []):
        bad += ["volume " + k for k in volume if k != "name" and k not in allowed]
    if security.get("sysctls") or security.get("seLinuxOptions") or security.get("windowsOptions"):
        bad.append("pod options")
    if security.get("runAsUser", 1) == 0:
        bad.append("pod runAsUser 0")
    for c in containers:
        own, name = c.get("securityContext", {}), c.get("name")
        checks = {
            "privileged": own.get("privileged", False) is False,
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "runAsNonRoot": own.get("runAsNonRoot", security.get("runAsNonRoot")) is True,
            "runAsUser": own.get("runAsUser", 1) != 0,
            "drop ALL": own.get("capabilities", {}).get("drop") == ["ALL"],
            "add": not set(own.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"},
            "seccomp": own.get("seccompProfile", security.get("seccompProfile", {})).get("type") in
            ("RuntimeDefault", "Localhost"),
            "procMount": own.get("procMount", "Default") == "Default",
            "hostPort": not any(p.get("hostPort") for p in c.get("ports", [])),
            "selinux": not own.get("seLinuxOptions") and not own.get("windowsOptions"),
        }
        bad += ["%s: %s" % (name, k) for k, good in checks.items() if not good]
    return bad


def stricter(pod):
    """What we promise beyond the standard."""
    bad = []
    if pod.get("automountServiceAccountToken") is not False or pod.get("serviceAccountName"):
        bad.append("service account")
    if pod.get("enableServiceLinks") is not False or pod.get("restartPolicy") != "Never":
        bad.append("links or restarts")
    for v in pod["volumes"]:
        if "emptyDir" in v and (v["emptyDir"].get("medium") != "Memory" or not v["emptyDir"].get("sizeLimit")):
            bad.append("volume %s is not bounded memory" % v["name"])
    for c in pod["initContainers"] + pod["containers"]:
        if set(c["resources"]["limits"]) != {"cpu", "memory", "ephemeral-storage"}:
            bad.append(c["name"] + ": limits")
        if c["securityContext"].get("readOnlyRootFilesystem") is not True:
            bad.append(c["name"] + ": root can be written")
        sees = any(m["name"] == "in" for m in c["volumeMounts"])
        if sees != (c["name"] == "unpack"):
            bad.append(c["name"] + ": Secrets")
    return bad


def expand(text, env):
    """$(NAME) as the kubelet does it; $$ is $."""
    def one(m):
        return "$" if m[0] == "$$" else env.get(m[1], m[0])
    return re.sub(r"\$\$|\$\(([^()]*)\)", one, text)


JOB_KEYS = {"backoffLimit", "completions", "parallelism", "activeDeadlineSeconds", "ttlSecondsAfterFinished", "template"}
POD_KEYS = {"restartPolicy", "automountServiceAccountToken", "enableServiceLinks", "hostNetwork", "hostPID", "hostIPC",
            "shareProcessNamespace", "terminationGracePeriodSeconds", "securityContext", "initContainers", "containers",
            "volumes", "nodeSelector", "runtimeClassName"}
CONTAINER_KEYS = {"name", "image", "command", "env", "workingDir", "volumeMounts", "resources",
                  "terminationMessagePolicy", "securityContext"}


class Kubernetes(Double):
    namespace = "healbus-cells"

    def __init__(self, tls=None):
        super().__init__(tls)
        self.jobs, self.secrets, self.pods, self.logs = {}, {}, {}, {}
        self.seen_jobs, self.seen_secrets = [], []
        self.pending = self.evict = None  # a reason not to start; when to evict
        self.edit_log = lambda raw: raw
        self.status_of = None  # a pod's status as it shall be told

    def serve(self, method, path, query, body):
        m = re.match(r"/(apis/batch/v1|api/v1)/namespaces/([^/]+)/(jobs|secrets|pods)(?:/([^/]+))?(/log)?\Z", path)
        if not m or m[2] != self.namespace or (m[1] == "apis/batch/v1") != (m[3] == "jobs"):
            raise Refused(404, "the server could not find the requested resource")
        handler = getattr(self, "%s_%s%s" % (method.lower(), m[3], "_log" if m[5] else ""), None)
        if not handler:
            raise Refused(403, "%s is forbidden: User cannot %s resource" % (m[3], method))
        with self.lock:
            return handler(m[4], query, body)

    def make(self, store, body, kind, version):
        meta = body["metadata"]
        if body["kind"] != kind or body["apiVersion"] != version or not NAME.match(meta["name"]):
            raise Refused(422, "not a " + kind)
        if meta["name"] in store:
            raise Refused(409, '%s "%s" already exists' % (kind.lower(), meta["name"]))
        meta.update(uid=str(uuid.uuid4()), namespace=self.namespace)
        store[meta["name"]] = body
        return 201, body

    def post_jobs(self, _name, _query, body):
        pod = body["spec"]["template"]["spec"]
        unknown = set(body["spec"]) - JOB_KEYS | set(pod) - POD_KEYS
        for c in pod["initContainers"] + pod["containers"]:
            unknown |= set(c) - CONTAINER_KEYS
        if unknown:
            raise Refused(400, "strict decoding error: unknown field %s" % sorted(unknown))
        bad = restricted(pod)
        if bad:
            raise Refused(403, "violates PodSecurity \"restricted:latest\": " + ", ".join(bad))
        self.seen_jobs.append(json.loads(json.dumps(body)))
        out = self.make(self.jobs, body, "Job", "batch/v1")
        self.start(self.run_job, body)
        return out

    def post_secrets(self, _name, _query, body):
        size = sum(len(base64.b64decode(v, validate=True)) for v in body["data"].values())
        if size > 1 << 20:
            raise Refused(422, "Too long: must have at most 1048576 bytes")
        owners = [o["uid"] for o in body["metadata"].get("ownerReferences", [])]
        if not any(j["metadata"]["uid"] in owners for j in self.jobs.values()):
            self.problems.append("a Secret without an owner would stay")
        self.seen_secrets.append(json.loads(json.dumps(body)))
        return self.make(self.secrets, body, "Secret", "v1")

    def delete_jobs(self, name, _query, body):
        job = self.jobs.pop(name, None)
        if not job:
            raise Refused(404, 'jobs.batch "%s" not found' % name)
        if body.get("propagationPolicy") == "Background":  # else the pod is orphaned
            self.collect(job["metadata"]["uid"])
        return 200, {"kind": "Status", "status": "Success"}

    def collect(self, uid):
        """The garbage collector."""
        for store in (self.secrets, self.pods):
            for name in [n for n, o in store.items()
                         if any(r["uid"] == uid for r in o["metadata"].get("ownerReferences", []))]:
                store.pop(name)

    def get_pods(self, name, query, _body):
        if name:
            raise Refused(403, "pods is forbidden: cannot get")
        key, value = query["labelSelector"].split("=")
        found = [p for p in self.pods.values() if p["metadata"]["labels"].get(key) == value]
        if self.status_of:
            found = [dict(p, status=self.status_of(p["status"])) for p in found]
        return 200, {"kind": "PodList", "items": found}

    def get_pods_log(self, name, query, _body):
        if name not in self.pods:
            raise Refused(404, 'pods "%s" not found' % name)
        if (name, query["container"]) not in self.logs:
            raise Refused(400, "container \"%s\" is waiting to start: PodInitializing" % query["container"])
        return 200, self.edit_log(self.logs[name, query["container"]])[:int(query["limitBytes"])]

    # -- the kubelet and the Job controller --

    def run_job(self, job):
        name = job["metadata"]["name"] + "-" + uuid.uuid4().hex[:5]
        template = job["spec"]["template"]
        status = {"phase": "Pending", "conditions": [], "initContainerStatuses": [], "containerStatuses": []}
        pod = {"metadata": {"name": name, "labels": template["metadata"]["labels"], "ownerReferences": [
            {"kind": "Job", "uid": job["metadata"]["uid"], "controller": True}]}, "status": status}
        with self.lock:
            if job["metadata"]["name"] not in self.jobs or self.pending == "quota":
                return
            self.pods[name] = pod
            if self.pending:
                status["initContainerStatuses"].append(
                    {"name": "unpack", "state": {"waiting": {"reason": self.pending, "message": "cannot have it"}}})
                return
        root = os.path.join(self.dir, name)
        try:
            self.run_pod(template["spec"], pod, root)
        finally:
            subprocess.run(["chmod", "-R", "u+rwX", root], check=False, stderr=subprocess.DEVNULL)
            shutil.rmtree(root, ignore_errors=True)

    def mount(self, volume, root):
        path = os.path.join(root, volume["name"])
        os.makedirs(path)
        os.chmod(path, 0o777)
        for source in volume.get("projected", {}).get("sources", []):
            deadline = time.monotonic() + 10
            while source["secret"]["name"] not in self.secrets:
                if time.monotonic() > deadline:
                    return None
                time.sleep(0.02)
            for key, value in self.secrets[source["secret"]["name"]]["data"].items():
                with open(os.path.join(path, key), "wb") as f:
                    f.write(base64.b64decode(value))
        return path

    def run_pod(self, spec, pod, root):
        status, name = pod["status"], pod["metadata"]["name"]
        paths = {v["name"]: self.mount(v, root) for v in spec["volumes"]}
        if None in paths.values() or name not in self.pods:
            return
        for kind in ("initContainers", "containers"):
            for c in spec[kind]:
                code = self.run_container(c, status[kind[:-1].replace("ontainer", "ontainerStatuses")], paths, name)
                if self.evict == c["name"]:
                    status.update(phase="Failed", reason="Evicted", message="The node was low on resource: memory.")
                    return
                if code:
                    status["phase"] = "Failed"
                    return
        status["phase"] = "Succeeded"

    def run_container(self, c, statuses, paths, pod):
        entry = {"name": c["name"], "state": {"running": {}}}
        statuses.append(entry)
        env = {}
        for e in c["env"]:
            env[e["name"]] = expand(e["value"], env)
        binds = [(paths[m["name"]], m["mountPath"], m.get("readOnly")) for m in c["volumeMounts"]]
        try:
            code, out = bwrap([expand(a, env) for a in c["command"]], env, c["workingDir"], binds, 25)
        except subprocess.TimeoutExpired:
            code, out = 137, b""
        self.logs[pod, c["name"]] = out
        reason = "Completed" if code == 0 else "OOMKilled" if code == 137 else "Error"
        entry["state"] = {"terminated": {"exitCode": code, "reason": reason,
                                         "message": out.decode(errors="replace")[-200:] if code else ""}}
        return code


# ---- TrueFoundry ----

class TrueFoundry(Double):
    """https://www.truefoundry.com/docs/api-reference: Jobs and Logs. The job is deployed with deploy/truefoundry."""
    job = "cm1jobid0000healbus"

    def __init__(self, script):
        super().__init__()
        self.script, self.runs, self.logs, self.deleted, self.terminated = script, {}, {}, [], []
        self.fail_with = self.stay = None
        self.edit_lines = lambda lines: lines
        self.log_delay = 0
        self.params = []

    def serve(self, method, path, query, body):
        with self.lock:
            if (method, path) == ("POST", "/api/svc/v1/jobs/trigger"):
                return self.trigger(body)
            if (method, path) == ("POST", "/api/svc/v1/jobs/terminate"):
                self.terminated.append(query["jobRunName"])
                self.runs[query["jobRunName"]]["status"] = "TERMINATED"
                return 200, {"message": "terminated", "jobRunStatus": "TERMINATED"}
            if (method, path) == ("GET", "/api/svc/v1/logs"):
                return self.read_logs(query)
            m = re.match(r"/api/svc/v1/jobs/([^/]+)/runs/([^/]+)\Z", path)
            if not m or m[1] != self.job or m[2] not in self.runs:
                raise Refused(404, "Job run not found")
            if method == "DELETE":
                if self.runs[m[2]]["status"] in ("RUNNING", "SCHEDULED", "CREATED"):
                    raise Refused(409, "Job run is still active")
                self.runs.pop(m[2])
                self.deleted.append(m[2])
                return 200, {"message": "deleted"}
            return 200, {"data": self.runs[m[2]]}

    def trigger(self, body):
        if set(body) - {"applicationId", "deploymentId", "input", "metadata"} or set(body["input"]) != {"params"}:
            raise Refused(422, "unknown fields")
        if body["applicationId"] != self.job:
            raise Refused(404, "Application not found")
        params = body["input"]["params"]
        if not all(isinstance(v, str) and v for v in params.values()):
            raise Refused(422, "params must be strings")
        name = "healbus-cell-%s" % uuid.uuid4().hex[:6]
        run = {"id": uuid.uuid4().hex, "name": name, "applicationName": "healbus-cell", "deploymentVersion": "1",
               "createdAt": int(time.time() * 1000), "command": "", "totalRetries": 0, "status": "CREATED",
               "deploymentId": "cm1deployment0000", "applicationId": self.job}
        self.runs[name] = run
        self.params.append(params)
        self.start(self.work, run, params)
        return 200, {"message": "Job triggered", "jobRunName": name, "data": run}

    def work(self, run, params):
        if self.stay:
            run["status"] = self.stay
            return
        if self.fail_with:
            run.update(status="FAILED", error=self.fail_with)
            return
        run["status"] = "RUNNING"
        words = [params[k] for k in ["nonce", "say", "spec"] + ["tree%d" % i for i in range(8)]]
        dir_ = tempfile.mkdtemp(dir=self.dir)
        os.chmod(dir_, 0o777)
        try:
            code, out = bwrap(["/bin/sh", "/opt/cell.sh", *words], {"PATH": "/usr/bin:/bin", "TMPDIR": "/tmp"}, "/",
                              [(self.script, "/opt/cell.sh", True), (dir_, "/tmp", False)], 25)
        except subprocess.TimeoutExpired:
            code, out = 137, b""
        subprocess.run(["chmod", "-R", "u+rwX", dir_], check=False)
        shutil.rmtree(dir_, ignore_errors=True)
        with self.lock:
            self.logs[run["name"]] = (time.monotonic() + self.log_delay, out.decode(errors="replace").splitlines())
            if run["status"] == "RUNNING":
                run.update(status="FAILED" if code else "FINISHED", exitCode=code)

    def read_logs(self, query):
        if query["applicationId"] != self.job or not int(query["startTs"]) < int(query["endTs"]):
            raise Refused(400, "bad query")
        ready, lines = self.logs.get(query["jobRunName"], (0, []))
        if time.monotonic() < ready:
            lines = []
        data = [{"log": line, "stream": "stdout", "time": "0", "containerName": "healbus-cell"}
                for line in self.edit_lines(lines)]
        return 200, {"data": data[:int(query["limit"])]}
