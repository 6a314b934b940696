"""A stand-in for the Python agents' and the runner's use of the monitor.

It makes the calls of the contract (1.4) in their order, with the bodies that
those programs send: naive local stamps, run numbers as strings, trailing
slashes, the token on everything but logs. It ends with a line of what it saw.
"""

import datetime
import json
import os
import sys
import urllib.error
import urllib.request

to = json.loads(sys.argv[1])
USER = to["username"]


def now():
    return datetime.datetime.now().isoformat()


def call(method, path, body=None, token=True):
    data = None if body is None else json.dumps(body).encode()
    if data is None and method == "POST":
        data = b""  # the allocators: Content-Length 0, no content type
    request = urllib.request.Request(to["monitor"] + "/api" + path, data, method=method)
    request.add_header("Accept", "*/*")
    if body is not None:
        request.add_header("Content-Type", "application/json")
    elif data == b"":
        request.add_header("Content-Type", "")
    if token:
        request.add_header("Authorization", "Token " + (to["token"] if token is True else token))
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as e:
        status, text = e.code, e.read()
    try:
        return status, json.loads(text) if text else None
    except ValueError:
        return status, text.decode(errors="replace")


def must(want, got, what):
    status, body = got
    if status != want:
        sys.exit(f"{what}: {status} {body}")
    return body


def check(ok, what, *seen):
    if not ok:
        sys.exit(f"{what}: {seen}")


def start_agent():
    first = must(200, call("POST", "/state/next-agent-id/"), "agent id")
    check(first == {"agent_id": 1, "status": "success"}, "the first agent id", first)
    name = f"data-agent-{USER}-{first['agent_id']}"
    must(200, call("POST", "/namespaces/ensure/", {"name": "torre2", "owner": USER}), "namespace")
    subscriber = {
        "subscriber_name": f"{name}-/topic/epictopic",
        "description": "DATA agent subscribing to /topic/epictopic",
        "is_active": True,
        "fraction": 1.0,
    }
    made = must(201, call("POST", "/subscribers/", subscriber), "subscriber")
    check(made["subscriber_name"] == subscriber["subscriber_name"], "subscriber", made)
    text = json.dumps(must(400, call("POST", "/subscribers/", subscriber), "subscriber again")).lower()
    check("already exists" in text and "subscriber" in text, "subscriber again", text)
    beat = {
        "instance_name": name,
        "agent_type": "DATA",
        "status": "OK",
        "description": "DATA agent. MQ: connected",
        "mq_connected": True,
        "pid": os.getpid(),
        "hostname": os.uname().nodename,
        "operational_state": "READY",
        "namespace": "torre2",
    }
    must(201, call("POST", "/systemagents/heartbeat/", beat), "first heartbeat")
    beat.update(workflow_enabled=True, current_stf_count=1, total_stf_processed=2, operational_state="PROCESSING")
    must(200, call("POST", "/systemagents/heartbeat/", beat), "second heartbeat")
    agents = must(200, call("GET", "/systemagents/"), "agents")
    check(isinstance(agents, list) and [a["agent_type"] for a in agents] == ["DATA"], "agents", agents)
    record = {
        "app_name": "base_agent",
        "instance_name": name,
        "timestamp": now(),
        "level": 20,
        "levelname": "INFO",
        "message": "connected",
        "module": "base_agent",
        "funcname": "run",
        "lineno": 1,
        "process": os.getpid(),
        "thread": 140000000000000,
        "extra_data": {"username": USER},
    }
    must(201, call("POST", "/logs/", record, token=False), "log")  # no token, ever
    return name


def start_run():
    query = "/workflow-definitions/?workflow_name=stf_datataking&version=1.0"
    check(must(200, call("GET", query), "definitions") == [], "definitions")
    definition = {
        "workflow_name": "stf_datataking",
        "version": "1.0",
        "workflow_type": "simulation",
        "definition": "class WorkflowExecutor: pass",
        "parameter_values": {"workflow": {"name": "stf_datataking", "version": "1.0"}},
        "created_by": USER,
        "created_at": now(),
    }
    must(201, call("POST", "/workflow-definitions/", definition), "definition")
    found = must(200, call("GET", query), "definition")[0]["id"]
    sequence = must(200, call("POST", "/state/next-workflow-execution-id/", {"workflow_name": "stf_datataking"}), "sequence")
    check(sequence == {"sequence": 1, "status": "success"}, "sequence", sequence)
    execution = f"stf_datataking-{USER}-{sequence['sequence']:04d}"
    must(201, call("POST", "/workflow-executions/", {
        "execution_id": execution,
        "workflow_definition": found,
        "namespace": "torre2",
        "status": "running",
        "executed_by": USER,
        "start_time": now(),
        "parameter_values": {"daq_state_machine": {"stf_count": 2}, "git_version": {"commit": "0"}},
    }), "execution")
    got = must(200, call("GET", f"/workflow-executions/{execution}/"), "execution")
    check(got["parameter_values"]["daq_state_machine"] == {"stf_count": 2}, "execution", got)
    return execution


def take_data(name, execution):
    number = must(200, call("POST", "/state/next-run-number/"), "run number")
    check(number == {"run_number": 100010, "status": "success"}, "the first run number", number)
    run_id = str(number["run_number"])
    state = {
        "run_number": run_id,  # a string, as everywhere in messages
        "phase": "initializing",
        "state": "imminent",
        "substate": "preparing",
        "target_worker_count": 2,
        "active_worker_count": 0,
        "stf_samples_received": 0,
        "slices_created": 0,
        "slices_queued": 0,
        "slices_processing": 0,
        "slices_completed": 0,
        "slices_failed": 0,
        "state_changed_at": now(),
        "metadata": {"execution_id": execution, "stf_sampling_rate": 1.0, "slices_per_sample": 2},
    }
    made = must(201, call("POST", "/run-states/", state), "run state")
    check(made["run_number"] == 100010, "a run number comes back as a number", made)
    must(200, call("PATCH", f"/run-states/{run_id}/", {"slices_created": 2, "slices_queued": "2"}), "run state")
    event = {"timestamp": now(), "run_number": run_id, "event_type": "run_imminent", "state": "imminent", "substate": None, "event_data": {}}
    check("event_id" in must(201, call("POST", "/system-state-events/", event), "event"), "event")
    run = must(201, call("POST", "/runs/", {"run_number": int(run_id), "start_time": now(), "run_conditions": {}}), "run")
    stf = f"swf.{run_id}.000001.stf"
    file = must(201, call("POST", "/stf-files/", {
        "run": run["run_id"],
        "stf_filename": stf,
        "file_size_bytes": None,
        "machine_state": "physics",
        "status": "registered",
        "metadata": {"created_by": name, "substate": "physics", "start": None, "end": None, "sequence": 1},
    }), "STF file")
    must(200, call("PATCH", f"/stf-files/{file['file_id']}/", {"status": "processed", "metadata": {"processed_by": name}}), "STF file")
    tf = must(201, call("POST", "/fastmon-files/", {
        "stf_file": stf,
        "tf_filename": f"swf.{run_id}.000001.tf_001",
        "tf_first": 0,
        "tf_last": 9,
        "tf_count": 10,
        "file_size_bytes": 7,
        "status": "registered",
        "metadata": {"simulation": True, "created_from": stf},
    }), "TF file")
    for key in ("tf_file_id", "tf_filename", "tf_first", "tf_last", "tf_count", "file_size_bytes", "status"):
        check(tf.get(key) is not None, "the TF file must echo what the message is made of", key, tf)
    piece = {  # the shape that the fast agent sends, with file names
        "slice_id": 0,
        "tf_first": 0,
        "tf_last": 4,
        "tf_count": 5,
        "tf_filename": f"{tf['tf_filename']}_slice_000",
        "stf_filename": stf,
        "run_number": run_id,
        "status": "queued",
        "retries": 0,
        "metadata": {"execution_id": execution, "created_by": name},
    }
    made = must(201, call("POST", "/tf-slices/", piece), "slice")
    found = must(200, call("GET", f"/tf-slices/?run_number={run_id}&slice_id=0"), "slices")
    check(isinstance(found, list) and len(found) == 1 and found[0]["id"] == made["id"], "slices", found)
    done = {"status": "completed", "processed_at": now(), "metadata": {"hostname": "worker"}}
    must(200, call("PATCH", f"/tf-slices/{made['id']}/", done), "slice")
    must(200, call("PATCH", f"/runs/{run['run_id']}/", {"end_time": now()}), "run")
    return run_id


def be_refused():
    body = {"name": "x", "owner": USER}
    must(401, call("POST", "/state/next-agent-id/", token=False), "an allocator without a token")
    must(401, call("POST", "/state/next-agent-id/", token="f" * 40), "an allocator with a wrong token")
    must(403, call("POST", "/namespaces/ensure/", body, token=False), "a namespace without a token")
    must(403, call("POST", "/systemagents/heartbeat/", {"instance_name": "x"}, token=False), "a heartbeat without a token")
    must(403, call("GET", "/systemagents/", token="f" * 40), "a list with a wrong token")
    must(200, call("GET", "/systemagents/", token=False), "a list without a token")
    must(400, call("POST", "/systemagents/heartbeat/", {}), "a heartbeat without a name")
    must(404, call("GET", "/workflow-executions/none-such-0001/"), "an execution that is not there")


name = start_agent()
execution = start_run()
run_id = take_data(name, execution)
be_refused()
must(200, call("PATCH", f"/workflow-executions/{execution}/", {"status": "completed", "end_time": now()}), "execution")
must(200, call("POST", "/systemagents/heartbeat/", {
    "instance_name": name,
    "agent_type": "DATA",
    "status": "EXITED",
    "operational_state": "EXITED",
    "description": "DATA agent. Shut down",
    "namespace": "torre2",
}), "the last heartbeat")
print(json.dumps({"agent": name, "execution": execution, "run": run_id}), flush=True)
sys.stdin.read()
