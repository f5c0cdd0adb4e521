"""Two hosts on one machine: network namespaces with addresses of their own, joined by a pair of virtual devices.

``python -m tests.two_hosts SCRIPT [ARGUMENTS]`` runs a script on both as the launcher of a cluster would, prints a line
of JSON per host (what it printed, how it ended), and leaves nothing behind. No root is needed where the system lets a
user have namespaces.
"""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

ADDRESSES = ("10.77.0.1", "10.77.0.2")
PORT, LIMIT = "29511", 300
INSIDE = "LRFIND_INSIDE_TWO_HOSTS"
ALONE = ("unshare", "--net", "--mount", "--map-root-user")


def why_not():
    """Say why two hosts cannot be had here; nothing where they can."""
    for tool in ("ip", "unshare", "mount"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    command = [*ALONE, sys.executable, __file__]
    done = subprocess.run(command, env=inside(), capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"namespaces of a network are refused: {done.stderr.strip()[-200:]}"


def inside():
    return {**os.environ, INSIDE: "1", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def main(command):
    if INSIDE not in os.environ:
        os.execvpe(ALONE[0], [*ALONE, sys.executable, __file__, *command], inside())
    join()
    if command:
        for host, result in enumerate(run(command)):
            print(json.dumps({"host": host, **result}), flush=True)


def join():
    """Make the two hosts, and a network of them, in namespaces that end with this process."""
    ip("mount", "-t", "tmpfs", "hosts", "/run")  # where names of namespaces are kept
    for host in (0, 1):
        ip("ip", "netns", "add", f"host{host}")
    ip("ip", "link", "add", "eth0", "netns", "host0", "type", "veth", "peer", "name", "eth0", "netns", "host1")
    for host, address in enumerate(ADDRESSES):
        ip("ip", "-n", f"host{host}", "addr", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            ip("ip", "-n", f"host{host}", "link", "set", device, "up")


def ip(*command):
    subprocess.run(command, check=True)


def run(command):
    """Run a command on both hosts at once; return what each printed, and how it ended."""
    with ThreadPoolExecutor(2) as both:
        return list(both.map(partial(run_on, command), (0, 1)))


def run_on(command, host):
    size = {"WORLD_SIZE": "2", "RANK": str(host), "LOCAL_RANK": "0", "NODE_RANK": str(host), "LOCAL_WORLD_SIZE": "1"}
    network = {"MASTER_ADDR": ADDRESSES[0], "MASTER_PORT": PORT, "GLOO_SOCKET_IFNAME": "eth0"}
    entered = ["ip", "netns", "exec", f"host{host}", sys.executable, *command]
    options = {"env": {**os.environ, **size, **network}, "capture_output": True, "text": True, "timeout": LIMIT}
    try:
        done = subprocess.run(entered, check=False, **options)
    except subprocess.TimeoutExpired as error:
        return {"code": "it hung", "out": "", "err": str(error)}
    return {"code": done.returncode, "out": done.stdout[-2000:], "err": done.stderr[-2000:]}


if __name__ == "__main__":
    main(sys.argv[1:])
