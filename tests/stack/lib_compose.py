"""The stack of deploy/docker-compose.yml as one project of its own: started, asked, hurt, and taken away again."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from lib_stack import BUILD, ROOT, docker, image, inspect, run, wait_for

HEALTHY_S = 120


def compose_program():
    """Compose 2 where it is; else compose 1 with what it lacks."""
    if subprocess.run(["docker", "compose", "version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
        return ["docker", "compose"]
    return [os.path.join(ROOT, "tests/stack/lib_compose1")]


class Stack:
    def __init__(self, profiles):
        self.project = "healbus-test-%d" % os.getpid()
        self.dir = tempfile.mkdtemp(prefix="healbus-stack-")
        os.chmod(self.dir, 0o755)
        self.config = os.path.join(self.dir, "config")
        self.secrets = os.path.join(self.dir, "healbus.d")
        self.demo = self.project + "-demo"
        self.program = compose_program()
        repository, version = image("").split("-:")
        self.env = dict(os.environ, COMPOSE_PROJECT_NAME=self.project, COMPOSE_PROFILES=",".join(profiles),
                        HEALBUS_IMAGE=repository, HEALBUS_VERSION=version,
                        HEALBUS_BACKUP=os.path.join(self.dir, "backup"), HEALBUS_SECRETS=self.secrets, HEALBUS_CONFIG=self.config, HEALBUS_DEMO_NAME=self.demo,
                        HEALBUS_DEMO_LIFE="100000", HEALBUS_ENGINE_GID=str(os.stat("/var/run/docker.sock").st_gid),
                        **{"HEALBUS_%s_PORT" % name: "" for name in ("NATS", "MONITOR", "PAGE", "PROMETHEUS", "ALERTMANAGER")})
        shutil.copytree(os.path.join(ROOT, "deploy/stack/config"), self.config)

    # ---- what an operator does ----

    def init(self, *options):
        # The containers' user reads them; no other user of this host.
        owner = ["--owner", "1000:1000"] if os.getuid() == 0 else []
        run(os.path.join(BUILD, "healctl"), "init", self.secrets, *owner, *options)

    def compose(self, *words, check=True):
        return run(*self.program, *words, check=check, env=self.env, cwd=os.path.join(ROOT, "deploy"))

    def scale(self, copies):
        self.env["HEALBUS_MONITORS"] = str(copies["monitor"])
        self.compose("up", "-d", *[word for service, n in copies.items() for word in ("--scale", "%s=%d" % (service, n))])

    def secret(self, name):
        with open(os.path.join(self.secrets, name)) as f:
            return f.read().strip()

    def containers(self):
        """Service to names of its containers that compose has made, and that are meant to stay."""
        found = {}
        form = '{{.Names}} {{.Label "com.docker.compose.service"}}'
        for line in docker("ps", "-a", "--filter", "label=com.docker.compose.project=" + self.project, "--format", form).splitlines():
            name, service = line.split()
            if service != "setup":
                found.setdefault(service, []).append(name)
        return found

    def names(self):
        return [name for names in self.containers().values() for name in names]

    def unhealthy(self):
        return {name: state for name in self.names() for state in [health(name)] if state != "healthy"}

    def all_healthy(self, timeout_s=HEALTHY_S):
        return wait_for("all containers healthy", lambda: not self.unhealthy(), timeout_s)

    def logs(self, service, tail=30):
        return self.compose("logs", "--no-color", "--tail", str(tail), service, check=False)

    def down(self):
        """Containers and networks go, volumes stay. Of a container that crashed, the Engine may keep an endpoint for a while,
        and then for good: what is left is cut off."""
        def gone():
            said[0] = self.compose("down", check=False)
            left = docker("network", "ls", "-q", "--filter", "label=com.docker.compose.project=" + self.project).split()
            for network in left:
                ends = docker("network", "inspect", "-f", "{{range .Containers}}{{.Name}} {{end}}", network, check=False).split()
                for end in ends:
                    docker("network", "disconnect", "-f", network, end, check=False)
            return not left and not self.names()

        said = [""]
        if not wait_for("everything is taken down", gone, 60):
            raise RuntimeError("down: " + said[0][-1000:])

    def remove(self):
        found = docker("ps", "-aq", "--filter", "label=com.docker.compose.project=" + self.project).split()
        if found: # at once: nobody waits for what is thrown away
            docker("rm", "-f", *found, check=False)
        said = self.compose("down", "-v", "--remove-orphans", "-t", "3", check=False)
        if self.names():
            print("# not taken away:", said[-500:], flush=True)
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- HTTP ----

    def port(self, service):
        """Where this host reaches the first copy of a service; 0: nowhere now."""
        name = (self.containers().get(service) or [""])[0]
        found = docker("port", name, check=False).split(":") if name else []
        return int(found[-1]) if found and found[-1].strip().isdigit() else 0

    def http(self, service, path, body=None, token=None):
        """(status, JSON or text); (0, reason) when nobody answers."""
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = "Bearer " + token
        request = urllib.request.Request("http://127.0.0.1:%d%s" % (self.port(service), path), headers=headers,
                                         data=None if body is None else json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                text = answer.read().decode()
                return answer.status, json.loads(text) if "json" in answer.headers.get("Content-Type", "") else text
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode(errors="replace")
        except (OSError, ValueError) as e:
            return 0, str(e)

    def api(self, path):
        status, answer = self.http("notifier", path, token=self.secret("tokens/notifier"))
        return answer if status == 200 else {}

    def incidents(self):
        return self.api("/api/incidents?limit=500").get("incidents", [])

    def story(self, incident):
        """Messages of one incident: a list of (kind, message)."""
        return [(m["kind"], m["message"]) for m in self.api("/api/story/" + incident).get("story", [])]

    def alert(self, name, status="firing", **labels):
        """Tells the monitor as Alertmanager would; True once it has taken it."""
        labels = dict(labels, alertname=name, severity="critical")
        starts = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        body = {"version": "4", "status": status, "receiver": "healbus", "groupKey": "{}", "groupLabels": {},
                "commonLabels": labels, "commonAnnotations": {}, "externalURL": "http://test", "truncatedAlerts": 0,
                "alerts": [{"status": status, "labels": labels, "annotations": {"summary": "it does not answer"},
                            "startsAt": starts, "endsAt": "0001-01-01T00:00:00Z", "generatorURL": ""}]}
        return self.http("monitor", "/webhook/alertmanager", body, self.secret("tokens/monitor"))[0] == 202


def health(container):
    state = inspect(container)["State"]
    if state["Status"] != "running":
        return state["Status"]
    return state.get("Health", {}).get("Status", "healthy")


def crash(container):
    """Its first process dies as if by a fault of its own. (`docker kill` counts as stopped on purpose.)"""
    pid = wait_for("%s runs" % container, lambda: inspect(container)["State"]["Pid"], 20)
    if not pid: # 0 would be this very process and all its own
        return False
    os.kill(pid, signal.SIGKILL)
    return wait_for("%s is gone" % container, lambda: inspect(container)["State"]["Pid"] != pid, 20)


def status_of(pid):
    with open("/proc/%d/status" % pid) as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
