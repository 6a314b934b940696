"""A stand-in for a Python agent manager, as the contract (3) describes it.

It answers ping and status and never start and stop. What a start or a stop
does, and what its agents tell the monitor, is done when a line orders it
(pythonmanager_test.go).
"""

import datetime
import json
import os
import sys
import threading
import urllib.request

import stomp

to = json.loads(sys.argv[1])
lock = threading.RLock()
told = threading.Condition(lock)
programs = {"workflow-runner": None, "example-data-agent": None}  # name: pid
got = []  # commands with an effect


def now():
    return datetime.datetime.now().isoformat()


def supervisorctl():
    lines = []
    for name, pid in programs.items():
        state = f"RUNNING   pid {pid}, uptime 0:00:03" if pid else "STOPPED   Not started"
        lines.append(f"{name:<32} {state}")
    return "\n".join(lines) + "\n"


def rest(path, body):
    request = urllib.request.Request(to["monitor"] + path, json.dumps(body).encode(), method="POST")
    request.add_header("Content-Type", "application/json")
    request.add_header("Authorization", "Token " + to["token"])
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def beat(instance, kind, state, pid):
    rest("/api/systemagents/heartbeat/", {
        "instance_name": instance,
        "agent_type": kind,
        "status": "EXITED" if state == "EXITED" else "OK",
        "operational_state": state,
        "description": f"{kind}. MQ: connected",
        "namespace": to["namespace"],
        "pid": pid,
        "hostname": os.uname().nodename,
    })


class Control(stomp.ConnectionListener):
    def on_message(self, frame):
        command = json.loads(frame.body)
        verb, reply_to = command.get("command"), command.get("reply_to")
        if verb in ("ping", "status"):
            answer = {"status": "alive", "username": to["username"], "timestamp": now()}
            if verb == "status":
                with lock:
                    text = supervisorctl()
                answer = {
                    "username": to["username"],
                    "agents_running": "RUNNING" in text,
                    "supervisord_status": text,
                    "timestamp": now(),
                }
            if reply_to:
                conn.send(body=json.dumps(answer), destination=reply_to)
            return
        with told:
            got.append(command)
            told.notify()


def do(order):
    match order["do"]:
        case "start":
            beat(f"daq_simulator-agent-{to['username']}-1", "DAQ_Simulator", "READY", 4001)
            beat(f"data-agent-{to['username']}-2", "DATA", "READY", 4002)
            with lock:
                programs.update({"workflow-runner": 4001, "example-data-agent": 4002})
        case "stop when told":
            with told:
                told.wait_for(lambda: got and got[-1]["command"] == "stop_testbed", 60)
            with lock:
                programs.update({"workflow-runner": None, "example-data-agent": None})
            beat(f"daq_simulator-agent-{to['username']}-1", "DAQ_Simulator", "EXITED", 4001)
            beat(f"data-agent-{to['username']}-2", "DATA", "EXITED", 4002)
    with lock:
        return {"got": got}


conn = stomp.Connection(
    host_and_ports=[(to["host"], to["port"])],
    vhost=to["host"],
    try_loopback_connect=False,
    heartbeats=(30000, 30000),
    auto_content_length=False,
)
conn.set_listener("", Control())
conn.connect(to["login"], to["passcode"], wait=True)
conn.subscribe(destination=f"/queue/agent_control.{to['username']}", id="control", ack="auto")
beat(f"agent-manager-{to['username']}", "agent_manager", "READY", os.getpid())
print(json.dumps({"got": []}), flush=True)
for line in sys.stdin:
    print(json.dumps(do(json.loads(line))), flush=True)
conn.disconnect()
