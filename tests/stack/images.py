#!/usr/bin/env python3
"""The images: each small beyond its base, for nobody in particular, with a program that runs there and a health check.

TAP. What nothing but an engine can tell; where none can be had it says why, and is skipped.
"""
from lib_stack import BASE, OTHERS, OURS, STAGES, Tap, build_images, docker, engine_or_skip, image, inspect, remove_images

MAX_BEYOND_BASE = 60 << 20
VERSIONS = {"nats": ("/usr/sbin/nats-server", "v2.10."), "broker": ("/usr/local/bin/healbus-docker-broker", "healbus-docker-broker"),
            "ctl": ("/usr/local/bin/healctl", "healctl ")}
VERSIONS.update({stage: ("/usr/local/bin/healbus-" + stage, "healbus-" + stage) for stage in STAGES})
# What a stage has no business with, and an intruder would like to find.
UNWANTED = "gcc cc make curl wget nc python3 docker ssh"


def confined(target, *argv):
    return docker("run", "--rm", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none",
                  "--entrypoint", argv[0], image(target), *argv[1:], check=False)


def look_at(tap, target, base_size):
    about = inspect(image(target))
    size = about["Size"] - base_size
    tap.ok(size < MAX_BEYOND_BASE, "%s: %.1f MiB beyond the base" % (target, size / 2**20), "at most 60")
    tap.ok(about["Config"]["User"] == ("1001:1000" if target == "broker" else "1000:1000"), "%s: not root" % target, about["Config"]["User"])
    tap.ok(target == "ctl" or about["Config"].get("Healthcheck", {}).get("Test", [""])[0] == "CMD",
           "%s: its health is asked without a shell" % target, about["Config"].get("Healthcheck"))
    program, version = VERSIONS[target]
    said = confined(target, program, "--version")
    tap.ok(version in said, "%s: %s" % (target, said.strip()[:60]), said)
    found = confined(target, "/usr/bin/bash", "-c", "command -v " + UNWANTED)
    tap.ok(not found.strip(), "%s: no compiler, downloader or client in it" % target, found)


def main():
    tap = Tap()
    engine_or_skip()
    targets = OURS + OTHERS
    try:
        build_images(targets)
        tap.say("built")
        base_size = inspect(BASE)["Size"]
        for target in OURS:
            look_at(tap, target, base_size)
        for target in OTHERS:
            user = inspect(image(target))["Config"]["User"]
            tap.ok(user == "1000:1000", "%s: not root" % target, user)
        git = confined("executor", "/usr/bin/git", "--version")
        tap.ok(git.startswith("git version"), "executor: %s, without perl's 130 MB" % git.strip(), git)
        remote = confined("executor", "/usr/bin/git", "ls-remote", "https://127.0.0.1:1/x")
        tap.ok("127.0.0.1" in remote and "not a git command" not in remote, "executor: its git speaks https", remote)
    finally:
        remove_images(targets)
    tap.end()


main()
